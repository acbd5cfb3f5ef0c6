/**
 * The scheduler's figures in linear memory, so that other threads can read them. The scheduler writes its counters, and
 * the facade writes the histogram of latencies. Threads find the block through the root ROOT_SCHEDULER.
 */
import { defineStruct, f64s, type LinearMemory } from "@gort/memory";
import { ROOT_SCHEDULER } from "@gort/memory/internal";
import { type RawMetrics, TIME_BUCKETS, TimeHistogram } from "@gort/memstats/metrics";
import { type LatencyRecorder, SCHED_COUNTERS_LENGTH, schedCounters } from "@gort/scheduler/internal";

const SCHEDSTATS = defineStruct("schedStats", {
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
  readonly #f64: Float64Array;
  readonly #cgoCalls: number;

  /** @param base an existing block; 0 makes a new one, which other threads find later */
  constructor(mem: LinearMemory, base = 0) {
    let at = base;
    if (at === 0) {
      at = mem.persistentAlloc(SCHEDSTATS.size, 64, "otherSys");
      if (at === 0) throw new RangeError("runtime: no memory left for the scheduler's statistics");
      mem.setRoot(ROOT_SCHEDULER, at);
    }
    this.#f64 = mem.f64;
    this.#cgoCalls = (at + O.cgoCalls) >>> 3;
    const counters = (at + O.counters) >>> 3;
    this.counters = mem.f64.subarray(counters, counters + SCHED_COUNTERS_LENGTH);
    const latencies = (at + O.latencies) >>> 3;
    this.#latencies = new TimeHistogram(mem.f64.subarray(latencies, latencies + TIME_BUCKETS));
  }

  /** The block of a runtime on another thread, or null. */
  static attach(mem: LinearMemory): SchedStats | null {
    const base = mem.root(ROOT_SCHEDULER);
    return base === 0 ? null : new SchedStats(mem, base);
  }

  record(ns: number, count: number): void {
    this.#latencies.record(ns, count);
  }

  setCgoCalls(n: number): void {
    this.#f64[this.#cgoCalls] = n;
  }

  get goroutines(): number {
    return this.counters[schedCounters.goroutines];
  }

  fill(raw: RawMetrics): void {
    const c = this.counters;
    raw.cgoCalls = this.#f64[this.#cgoCalls];
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
