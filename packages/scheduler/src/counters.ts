/**
 * The scheduler's counters, for runtime/metrics, and the sampling of latencies.
 *
 * The counters lie in one Float64Array, by position as `schedCounters` says. A facade may give a view of memory that other
 * threads see. Nothing is counted at a transition: as in Go, the states follow from what the queues know,
 *
 *     goroutines = notInGo + runnable + running + waiting
 *     runnable   = ring + runnext + global queue
 *     running    = whether this scheduler runs one now
 *
 * so that reading is O(1). Like Go's, the figures are approximate: a goroutine of the runtime's own, or the stand-in of host code that
 * awaits an op, is none of `goroutines` but counts while it is runnable or running, and `waiting` is what is left, not below 0.
 * The block is brought up to date by `Scheduler.readCounters` and at the end of each slice.
 *
 * Latencies. One of `period` transitions to runnable is timed until the goroutine runs, and recorded as period / 8
 * of them; so a count stands for 8 transitions, as in Go. Go times one of 8 always; here two readings of the clock would
 * cost as much as a few switches, so where switches are short one of 1024 has to do.
 *
 * Unlike Go: which transition is sampled is a matter of the whole scheduler, not of each goroutine. The distances are random, as
 * goroutines that take turns would otherwise beat with them and always the same one be sampled.
 */

import { type G, m0, type Schedt } from "./runtime2.ts";

/** Positions in the block of counters. Counts, but for `mutexWaitNs`: nanoseconds. */
export const schedCounters = {
  /** Goroutines of the user that exist. */
  goroutines: 0,
  /** Goroutines started so far, those of the runtime and of awaiting host code included. */
  goroutinesCreated: 1,
  /** In a system call. */
  goroutinesNotInGo: 2,
  goroutinesRunnable: 3,
  goroutinesRunning: 4,
  goroutinesWaiting: 5,
  threads: 6,
  gomaxprocs: 7,
  /** Time that goroutines were blocked on Mutex and RWMutex, of waits that have ended. */
  mutexWaitNs: 8,
} as const;

/** Length of the block. */
export const schedCountersLength = 9;

/** Brings `c` up to date: all but the waits for locks, which are counted as they end. `created`: goroutines started so far. */
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
  return c;
}

/** Takes the latencies: `count` transitions to runnable after which it took `ns` to run. */
export interface LatencyRecorder {
  record(ns: number, count: number): void;
}

/** Go times one transition of so many. */
export const shortPeriod = 8;
/** And we, while transitions follow each other within `shortMs`. */
const longPeriod = 1024;
const shortMs = 0.002;

/** The transitions that are being timed. A G holds the position of its own, and 0 is none. */
export class LatencySampler {
  /** One of so many transitions is timed. */
  period: number = shortPeriod;
  private readonly recorder: LatencyRecorder;
  private random = 1;
  /** At 0: of the latest. */
  private since = new Float64Array(16);
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
    this.period = now - this.since[0] < shortMs * this.period ? longPeriod : shortPeriod;
    this.since[0] = now;
    this.since[i] = now;
    this.counts[i] = transitions / shortPeriod;
    g.tracking = i;
  }

  /** How many transitions from now the next is due: `period` on average. */
  next(): number {
    this.random = (Math.imul(this.random, 1664525) + 1013904223) | 0;
    return 1 + Math.floor((this.random >>> 0) * ((2 * this.period - 1) / 2 ** 32));
  }

  /** Whether transitions have become so rare that the period is now the short one. */
  relax(now: number): boolean {
    if (this.period === shortPeriod || now - this.since[0] < shortMs * longPeriod) return false;
    this.period = shortPeriod;
    return true;
  }

  /** It runs. */
  ran(g: G, now: number): void {
    const i = g.tracking;
    this.drop(g);
    this.recorder.record(Math.max(0, now - this.since[i]) * 1e6, this.counts[i]);
  }

  /** It will not run. */
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
