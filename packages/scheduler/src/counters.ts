/**
 * The scheduler's counters, for runtime/metrics, and the sampling of latencies.
 *
 * The counters are a block in one Float64Array, at the positions of `schedCounters`. A facade may pass a view of memory
 * that other threads can read. As in Go, no transition is counted. The states follow from the lengths of the queues, so
 * a reading is O(1):
 *
 *     goroutines = notInGo + runnable + running + waiting
 *     runnable   = ring + runnext + global queue
 *     running    = 1 if this scheduler runs a goroutine now, else 0
 *
 * Like Go's, the figures are approximate. The runtime's own goroutines, and those that run ops of host code, are not in
 * `goroutines`, but they count while they are runnable or running. `waiting` is the rest, not below 0. `readCounters`
 * and the end of each slice bring the block up to date.
 *
 * With several threads, each has a block of its own. `readCounters` returns their sum.
 *
 * Latencies. One in `period` transitions to runnable is timed until the goroutine runs. It is recorded as `period / 8`,
 * so that a count stands for 8 transitions, as in Go. Go always times one in 8. Here two readings of the clock would
 * cost as much as a few switches, so if switches are short, one in 1024 is timed.
 *
 * Unlike Go: the sampler chooses among the transitions of the whole scheduler, not of each goroutine. The distances are
 * random. Otherwise they would beat with goroutines that take turns, and always the same goroutine would be sampled.
 */

import { type G, m0, type Schedt } from "./runtime2.ts";

/** Positions in the block of counters. All are counts, except `mutexWaitNs`, which is in ns. */
export const schedCounters = {
  /** Goroutines of the user that exist. */
  goroutines: 0,
  /** Goroutines started so far, with the runtime's and those that run ops of host code. */
  goroutinesCreated: 1,
  /** Goroutines in a system call. */
  goroutinesNotInGo: 2,
  goroutinesRunnable: 3,
  goroutinesRunning: 4,
  goroutinesWaiting: 5,
  threads: 6,
  gomaxprocs: 7,
  /** Sum of the waits for Mutex and RWMutex that have ended. */
  mutexWaitNs: 8,
  /** Calls of `cgocall`. */
  cgoCalls: 9,
} as const;

/** Length of the block. */
export const SCHED_COUNTERS_LENGTH = 10;

/**
 * Brings `c` up to date, except `mutexWaitNs`, which each wait adds to at its end. `created`: goroutines started so
 * far.
 */
export function fillCounters(c: Float64Array, s: Schedt, created: number): Float64Array {
  const notInGo = s.nnotInGo;
  const runnable = s.p.runqLength + (s.p.runnext === null ? 0 : 1) + s.globq.size;
  const current = m0.curg?.sched === s ? 1 : 0;
  c[schedCounters.goroutines] = s.ngoroutines;
  c[schedCounters.goroutinesCreated] = created;
  c[schedCounters.goroutinesNotInGo] = notInGo;
  c[schedCounters.goroutinesRunnable] = runnable;
  c[schedCounters.goroutinesRunning] = current;
  c[schedCounters.goroutinesWaiting] = Math.max(0, s.ngoroutines - notInGo - runnable - current);
  c[schedCounters.threads] = 1;
  c[schedCounters.gomaxprocs] = s.nprocs;
  c[schedCounters.cgoCalls] = s.ncgocall;
  return c;
}

/** Takes latencies: after `count` transitions to runnable it took `ns` until the goroutine ran. */
export interface LatencyRecorder {
  record(ns: number, count: number): void;
}

/** The period while transitions are rare: Go's. */
export const SHORT_PERIOD = 8;
/** The period while transitions follow each other within `SHORT_MS` on average. */
const LONG_PERIOD = 1024;
const SHORT_MS = 0.002;

/** The transitions that are being timed. `G.tracking` is the position of its own transition; position 0 is none. */
export class LatencySampler {
  /** One in `period` transitions is timed. */
  period: number = SHORT_PERIOD;
  private readonly recorder: LatencyRecorder;
  private random = 1;
  /** When each transition was, in ms. At 0: the latest one. */
  private since = new Float64Array(16);
  /** The count that each transition is recorded with. */
  private counts = new Float64Array(16);
  private readonly free: number[] = [];
  private used = 1;

  constructor(recorder: LatencyRecorder) {
    this.recorder = recorder;
  }

  /** `g` has become runnable at `now`, in ms, and stands for `transitions`. */
  start(g: G, now: number, transitions: number): void {
    if (g.tracking !== 0) return;
    const i = this.free.length > 0 ? this.free.pop()! : this.used++;
    if (i === this.since.length) this.grow();
    this.period = now - this.since[0] < SHORT_MS * this.period ? LONG_PERIOD : SHORT_PERIOD;
    this.since[0] = now;
    this.since[i] = now;
    this.counts[i] = transitions / SHORT_PERIOD;
    g.tracking = i;
  }

  /** The random number of transitions until the next sample: `period` on average. */
  next(): number {
    this.random = (Math.imul(this.random, 1664525) + 1013904223) | 0;
    return 1 + Math.floor((this.random >>> 0) * ((2 * this.period - 1) / 2 ** 32));
  }

  /** Switches to the short period if transitions have become rare. Returns whether it did. */
  relax(now: number): boolean {
    if (this.period === SHORT_PERIOD || now - this.since[0] < SHORT_MS * LONG_PERIOD) return false;
    this.period = SHORT_PERIOD;
    return true;
  }

  /** `g` runs: records its latency. */
  ran(g: G, now: number): void {
    const i = g.tracking;
    this.drop(g);
    this.recorder.record(Math.max(0, now - this.since[i]) * 1e6, this.counts[i]);
  }

  /** `g` will not run: drops its sample. */
  drop(g: G): void {
    this.free.push(g.tracking);
    g.tracking = 0;
  }

  private grow(): void {
    const { since, counts } = this;
    this.since = new Float64Array(since.length * 2);
    this.since.set(since);
    this.counts = new Float64Array(counts.length * 2);
    this.counts.set(counts);
  }
}
