/**
 * The scheduler's figures in linear memory, so that other threads can read them. The scheduler writes its counters, and
 * the facade writes the histogram of latencies. Threads find the block through the root ROOT_SCHEDULER.
 */
import { defineStruct, f64s, type LinearMemory } from "@gort/memory";
import { ROOT_SCHEDULER } from "@gort/memory/internal";
import { type RawMetrics, TIME_BUCKETS, TimeHistogram } from "@gort/memstats/metrics";
import { type LatencyRecorder, SCHED_COUNTERS_LENGTH, schedCounters } from "@gort/scheduler/internal";

const SCHEDSTATS = defineStruct("schedStats", {
  /** The block of another thread, 0 at the end of the list. */
  next: "u32",
  /** Calls into native code and WebAssembly, at the last read or slice on the runtime's thread. */
  cgoCalls: "f64",
  /** In the order of schedCounters. */
  counters: f64s(SCHED_COUNTERS_LENGTH),
  /** Nanoseconds that goroutines were runnable before they ran, in Go's buckets. */
  latencies: f64s(TIME_BUCKETS),
});
const O = SCHEDSTATS.offsets;

export class SchedStats implements LatencyRecorder {
  /** For the scheduler to write. */
  readonly counters: Float64Array;
  readonly #latencies: TimeHistogram;
  readonly #mem: LinearMemory;
  readonly #base: number;

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
    const base = newBlock(mem);
    mem.setRoot(ROOT_SCHEDULER, base);
    return new SchedStats(mem, base);
  }

  /** The block of a worker, behind that of M 0. */
  static add(mem: LinearMemory): SchedStats {
    const base = newBlock(mem);
    const head = mem.root(ROOT_SCHEDULER) + O.next;
    for (;;) {
      const first = mem.kernel.load(head);
      mem.u32[(base + O.next) >>> 2] = first;
      if (mem.kernel.cas(head, first, base) === first) return new SchedStats(mem, base);
    }
  }

  /** The block of a runtime on another thread, or null. */
  static attach(mem: LinearMemory): SchedStats | null {
    const base = mem.root(ROOT_SCHEDULER);
    return base === 0 ? null : new SchedStats(mem, base);
  }

  /** The blocks of the other threads. */
  *#others(): Generator<number, void> {
    const { u32 } = this.#mem;
    for (let at = this.#mem.root(ROOT_SCHEDULER); at !== 0; at = u32[(at + O.next) >>> 2]) {
      if (at !== this.#base) yield at;
    }
  }

  cgoCallsOfOthers(): number {
    let n = 0;
    for (const at of this.#others()) n += this.#mem.f64[(at + O.cgoCalls) >>> 3];
    return n;
  }

  /** Adds the counters of the other threads, except gomaxprocs. */
  addOthers(sum: Float64Array): void {
    for (const at of this.#others()) {
      const counters = (at + O.counters) >>> 3;
      for (let i = 0; i < SCHED_COUNTERS_LENGTH; i++) {
        if (i !== schedCounters.gomaxprocs) sum[i] += this.#mem.f64[counters + i];
      }
    }
  }

  /** Adds tasks that have not started: runnable goroutines. */
  addQueued(sum: Float64Array, n: number): void {
    sum[schedCounters.goroutines] += n;
    sum[schedCounters.goroutinesRunnable] += n;
  }

  record(ns: number, count: number): void {
    this.#latencies.record(ns, count);
  }

  setCgoCalls(n: number): void {
    this.#mem.f64[(this.#base + O.cgoCalls) >>> 3] = n;
  }

  get goroutines(): number {
    return this.counters[schedCounters.goroutines];
  }

  fill(raw: RawMetrics): void {
    const c = this.counters;
    raw.cgoCalls = this.#mem.f64[(this.#base + O.cgoCalls) >>> 3];
    raw.gomaxprocs = c[schedCounters.gomaxprocs];
    raw.threads = c[schedCounters.threads];
    raw.goroutinesCreated = c[schedCounters.goroutinesCreated];
    raw.goroutinesRunnable = c[schedCounters.goroutinesRunnable];
    raw.goroutinesRunning = c[schedCounters.goroutinesRunning];
    raw.goroutinesNotInGo = c[schedCounters.goroutinesNotInGo];
    raw.goroutinesWaiting = c[schedCounters.goroutinesWaiting];
    raw.mutexWait = c[schedCounters.mutexWaitNs] / 1e9;
    raw.schedLatencies = this.#latencies;
  }
}

function newBlock(mem: LinearMemory): number {
  const base = mem.persistentAlloc(SCHEDSTATS.size, 64, "otherSys");
  if (base === 0) throw new RangeError("runtime: no memory left for the scheduler's statistics");
  return base;
}
