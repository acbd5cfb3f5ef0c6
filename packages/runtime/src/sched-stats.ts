/**
 * The scheduler's figures in linear memory, so that other threads can read them. The scheduler writes its counters, and
 * the facade writes the histogram of latencies. Threads find the blocks through the root ROOT_SCHEDULER. Each thread
 * writes its own block, and readers add up all of them.
 *
 *     ROOT_SCHEDULER -> block of M 0 -> block of a worker -> ... -> 0
 *
 * A thread brings its counters up to date at the end of each slice, so those of other threads may be that old.
 *
 * What threads that have ended have counted is part of the sums. M 0 adds it to a block of its own (PAST). Then the
 * next worker uses the block of the ended one. Meanwhile a reader would see the counts twice, or not at all: `version`
 * of M 0's block tells it to read again (a seqlock).
 */
import type { LinearMemory } from "@gort/memory";
import {
  beginChange,
  defineStruct,
  endChange,
  f64s,
  ROOT_SCHEDULER,
  stableVersion,
  unchanged,
} from "@gort/memory/internal";
import { TIME_BUCKETS, TimeHistogram } from "@gort/memstats/internal";
import type { RawMetrics } from "@gort/memstats/metrics";
import { type LatencyRecorder, SCHED_COUNTERS_LENGTH, schedCounters } from "@gort/scheduler/internal";
import { queuedTasks } from "./shared-block.ts";

const SCHEDSTATS = defineStruct("schedStats", {
  /** The block of another thread, 0 at the end of the list. */
  next: "u32",
  /** The number of the M; or PAST, or FREE. */
  m: "u32",
  /** In the block of M 0: odd while M 0 moves counts from one block to another. */
  version: "u32",
  /** In the order of schedCounters. */
  counters: f64s(SCHED_COUNTERS_LENGTH),
  /** Nanoseconds that goroutines were runnable before they ran, in Go's buckets. */
  latencies: f64s(TIME_BUCKETS),
});
const O = SCHEDSTATS.offsets;

/** In `m`: the block has the counts of the threads that have ended. */
const PAST = 0xffffffff;
/** In `m`: the block is for the next worker. */
const FREE = 0xfffffffe;

/** Counters of what is, and not of what was: a thread that has ended has none of it. */
const GAUGES = [
  schedCounters.goroutines,
  schedCounters.goroutinesNotInGo,
  schedCounters.goroutinesRunnable,
  schedCounters.goroutinesRunning,
  schedCounters.goroutinesWaiting,
  schedCounters.threads,
];

export class SchedStats implements LatencyRecorder {
  /** For the scheduler to write. */
  readonly counters: Float64Array;
  readonly #latencies: TimeHistogram;
  readonly #mem: LinearMemory;
  readonly #base: number;
  /** The sums over all threads at the last read. */
  readonly #sums = new Float64Array(SCHED_COUNTERS_LENGTH);
  readonly #latencySums = new TimeHistogram();

  private constructor(mem: LinearMemory, base: number) {
    this.#mem = mem;
    this.#base = base;
    const counters = (base + O.counters) >>> 3;
    this.counters = mem.f64.subarray(counters, counters + SCHED_COUNTERS_LENGTH);
    const latencies = (base + O.latencies) >>> 3;
    this.#latencies = new TimeHistogram(mem.f64.subarray(latencies, latencies + TIME_BUCKETS));
  }

  /** The block of M 0, which other threads find. */
  static create(mem: LinearMemory): SchedStats {
    const base = mem.persistentAlloc(SCHEDSTATS.size, 64, "otherSys");
    if (base === 0) throw noMemory();
    mem.setRoot(ROOT_SCHEDULER, base);
    return new SchedStats(mem, base);
  }

  /** The block of a worker, M m, behind that of M 0. */
  static add(mem: LinearMemory, m: number): SchedStats {
    const main = mem.root(ROOT_SCHEDULER);
    for (let at = main; at !== 0; at = mem.u32[(at + O.next) >>> 2]) {
      if (mem.kernel.cas(at + O.m, FREE | 0, m) >>> 0 === FREE) return new SchedStats(mem, at);
    }
    const block = insert(mem, m);
    if (block === 0) throw noMemory();
    return new SchedStats(mem, block);
  }

  /** The block of a runtime on another thread, or null. */
  static attach(mem: LinearMemory): SchedStats | null {
    const base = mem.root(ROOT_SCHEDULER);
    return base === 0 ? null : new SchedStats(mem, base);
  }

  /** The blocks of all threads. */
  *#blocks(): Generator<number, void> {
    const { u32 } = this.#mem;
    for (let at = this.#mem.root(ROOT_SCHEDULER); at !== 0; at = u32[(at + O.next) >>> 2]) yield at;
  }

  /** The sum of `read` over all blocks, while M 0 moves no counts from one to another. */
  #consistent<T>(read: () => T): T {
    const mem = this.#mem;
    const version = mem.root(ROOT_SCHEDULER) + O.version;
    for (;;) {
      const v = stableVersion(mem, version);
      const result = read();
      if (unchanged(mem, version, v)) return result;
    }
  }

  cgoCallsOfOthers(): number {
    return this.#consistent(() => {
      let n = 0;
      for (const at of this.#blocks()) if (at !== this.#base) n += this.#counter(at, schedCounters.cgoCalls);
      return n;
    });
  }

  #counter(block: number, counter: number): number {
    return this.#mem.f64[((block + O.counters) >>> 3) + counter];
  }

  /** Adds the counters of the other threads, except gomaxprocs. */
  addOthers(sum: Float64Array): void {
    const others = this.#consistent(() => {
      const sums = this.#sums.fill(0);
      for (const at of this.#blocks()) if (at !== this.#base) this.#add(sums, at);
      return sums;
    });
    for (let i = 0; i < SCHED_COUNTERS_LENGTH; i++) sum[i] += others[i];
  }

  #add(sum: Float64Array, block: number): void {
    for (let i = 0; i < SCHED_COUNTERS_LENGTH; i++) {
      if (i !== schedCounters.gomaxprocs) sum[i] += this.#counter(block, i);
    }
  }

  /** Adds tasks that have not started: runnable goroutines. */
  addQueued(sum: Float64Array, n: number): void {
    sum[schedCounters.goroutines] += n;
    sum[schedCounters.goroutinesRunnable] += n;
  }

  /** All counters of all threads. GOMAXPROCS is that of M 0's block, which every change writes. */
  #sumAll(): Float64Array {
    const sums = this.#consistent(() => {
      this.#sums.fill(0);
      for (const at of this.#blocks()) this.#add(this.#sums, at);
      return this.#sums;
    });
    this.addQueued(sums, queuedTasks(this.#mem));
    sums[schedCounters.gomaxprocs] = this.#counter(this.#mem.root(ROOT_SCHEDULER), schedCounters.gomaxprocs);
    return sums;
  }

  /** A thread has changed GOMAXPROCS. M 0 writes it at the end of its slices too. */
  setGomaxprocs(n: number): void {
    const counters = (this.#mem.root(ROOT_SCHEDULER) + O.counters) >>> 3;
    this.#mem.f64[counters + schedCounters.gomaxprocs] = n;
  }

  /** On M 0: the thread of M m has ended, and its goroutines with it. The next worker may get its block. */
  ended(m: number): void {
    const block = this.#blockOf(m);
    if (block === 0) return;
    const mem = this.#mem;
    for (const gauge of GAUGES) mem.f64[((block + O.counters) >>> 3) + gauge] = 0;
    const past = this.#blockOf(PAST) || insert(mem, PAST);
    // A full memory. The counts stay where they are.
    if (past === 0) return;
    const version = mem.root(ROOT_SCHEDULER) + O.version;
    beginChange(mem, version);
    move(mem.f64, (block + O.counters) >>> 3, (past + O.counters) >>> 3, SCHED_COUNTERS_LENGTH);
    move(mem.f64, (block + O.latencies) >>> 3, (past + O.latencies) >>> 3, TIME_BUCKETS);
    endChange(mem, version);
    mem.kernel.store(block + O.m, FREE | 0);
  }

  /** The block with this number of an M; 0: there is none. */
  #blockOf(m: number): number {
    for (const at of this.#blocks()) if (this.#mem.u32[(at + O.m) >>> 2] === m) return at;
    return 0;
  }

  /** Between slices too: after the end of a task, its calls of `cgocall` are counted. */
  setCgoCalls(n: number): void {
    this.counters[schedCounters.cgoCalls] = n;
  }

  record(ns: number, count: number): void {
    this.#latencies.record(ns, count);
  }

  /** The user's goroutines on all threads. */
  get goroutines(): number {
    return this.#sumAll()[schedCounters.goroutines];
  }

  fill(raw: RawMetrics): void {
    const c = this.#sumAll();
    raw.cgoCalls = c[schedCounters.cgoCalls];
    raw.gomaxprocs = c[schedCounters.gomaxprocs];
    raw.threads = c[schedCounters.threads];
    raw.goroutinesCreated = c[schedCounters.goroutinesCreated];
    raw.goroutinesRunnable = c[schedCounters.goroutinesRunnable];
    raw.goroutinesRunning = c[schedCounters.goroutinesRunning];
    raw.goroutinesNotInGo = c[schedCounters.goroutinesNotInGo];
    raw.goroutinesWaiting = c[schedCounters.goroutinesWaiting];
    raw.mutexWait = c[schedCounters.mutexWaitNs] / 1e9;
    raw.schedLatencies = this.#allLatencies();
  }

  #allLatencies(): TimeHistogram {
    const { f64 } = this.#mem;
    const { counts } = this.#latencySums;
    return this.#consistent(() => {
      counts.fill(0);
      for (const at of this.#blocks()) {
        const from = (at + O.latencies) >>> 3;
        for (let i = 0; i < TIME_BUCKETS; i++) counts[i] += f64[from + i];
      }
      return this.#latencySums;
    });
  }
}

/** Adds counts to those at `to`, and clears them. */
function move(f64: Float64Array, from: number, to: number, length: number): void {
  for (let i = 0; i < length; i++) {
    f64[to + i] += f64[from + i];
    f64[from + i] = 0;
  }
}

/** Makes a block behind that of M 0; 0: no memory is left. */
function insert(mem: LinearMemory, m: number): number {
  const base = mem.persistentAlloc(SCHEDSTATS.size, 64, "otherSys");
  if (base === 0) return 0;
  mem.u32[(base + O.m) >>> 2] = m;
  const head = mem.root(ROOT_SCHEDULER) + O.next;
  for (;;) {
    const first = mem.kernel.load(head);
    mem.u32[(base + O.next) >>> 2] = first;
    if (mem.kernel.cas(head, first, base) === first) return base;
  }
}

function noMemory(): RangeError {
  return new RangeError("runtime: no memory left for the scheduler's statistics");
}
