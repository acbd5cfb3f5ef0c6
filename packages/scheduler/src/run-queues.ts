/** How goroutines enter the run queues. proc.ts has the order in which they leave them. */

import { LatencySampler, SHORT_PERIOD } from "./counters.ts";
import type { SchedulerOptions } from "./options.ts";
import { type G, Grunnable } from "./runtime2.ts";
import { SchedState } from "./sched-state.ts";

/** The countdown of a scheduler without a recorder of latencies. Its end has no effect. */
const NEVER_SAMPLE = 2 ** 30 - 1;

// What the run loop does. The values of `RunQueues.state`:
/** No goroutine can run, and no slice is queued. */
export const IDLE = 0;
/** A slice is queued, or begins, or polls the other threads. */
export const SCHEDULED = 1;
/** A slice runs. */
export const RUNNING = 2;
/** Goroutines may be runnable, but no P is free. The thread sleeps until one is. */
export const WAITING_FOR_P = 3;

export abstract class RunQueues extends SchedState {
  protected state: number = IDLE;
  private blockProfile = false;
  protected readonly latencies: LatencySampler | null;
  /**
   * Transitions to runnable until the next one is sampled. It counts while `ready` may take its short path, that is in
   * the run loop without block profiling. Otherwise it is 0, and `sampleLeft` has the number.
   */
  private countdown = 0;
  private sampleLeft: number = SHORT_PERIOD;
  /** The same for goroutines that yield. The loop counts them when it reads the clock. */
  protected yieldsLeft: number = SHORT_PERIOD;

  constructor(options: SchedulerOptions) {
    super(options);
    this.latencies = options.latencies === undefined ? null : new LatencySampler(options.latencies);
    if (this.latencies === null) this.sampleLeft = NEVER_SAMPLE;
  }

  /** Queues a slice if the scheduler is idle. */
  protected abstract wake(): void;

  /** Makes a new or a waiting goroutine runnable. */
  ready(g: G): void {
    if (--this.countdown > 0) {
      g.atomicstatus = Grunnable;
      this.p.runqput(g, true, this.globq);
      return;
    }
    if (g.blockStart !== 0) {
      if (this.blockProfile) {
        this.hooks.blockEvent?.(g, (this.clock.now() - g.blockStart) * 1e6, g.waitreason);
      }
      g.blockStart = 0;
    }
    this.readySlow(g, this.state === RUNNING);
  }

  /** Makes `g` runnable: as `runnext`, or at the tail of the ring. */
  protected readySlow(g: G, next: boolean): void {
    if (this.state === RUNNING && !this.blockProfile) {
      this.countdown = this.sample(g);
    } else {
      this.countdown = 0;
      if (--this.sampleLeft <= 0) this.sampleLeft = this.sample(g);
    }
    g.atomicstatus = Grunnable;
    this.p.runqput(g, next, this.globq);
    if (this.state === IDLE) this.wake();
  }

  /**
   * Starts to time how long `g`, which becomes runnable, waits until it runs. Returns the number of transitions
   * until the next sample.
   */
  private sample(g: G): number {
    const { latencies } = this;
    if (latencies === null) return NEVER_SAMPLE;
    latencies.start(g, this.clock.now(), latencies.period);
    return latencies.next();
  }

  /** Samples a transition after `SHORT_PERIOD` others at most. */
  protected sampleSoon(): void {
    this.yieldsLeft = SHORT_PERIOD;
    if (this.countdown > 0) this.countdown = SHORT_PERIOD;
    else this.sampleLeft = SHORT_PERIOD;
  }

  /** Lets `ready` take its short path, which block profiling forbids; or, with `on` false, its long one. */
  protected shortPath(on: boolean): void {
    if (on && !this.blockProfile) {
      this.countdown = this.sampleLeft;
    } else {
      if (this.countdown > 0) this.sampleLeft = this.countdown;
      this.countdown = 0;
    }
  }

  /** Whether waits are timed and reported to `hooks.blockEvent`. */
  get blockProfileEnabled(): boolean {
    return this.blockProfile;
  }

  set blockProfileEnabled(on: boolean) {
    this.blockProfile = on;
    if (this.state === RUNNING) this.shortPath(true);
  }

  /** Whether no goroutine is running or runnable. */
  get isIdle(): boolean {
    return this.state === IDLE;
  }

  /** Whether a goroutine is in a run queue. */
  protected get hasRunnable(): boolean {
    return this.p.runnext !== null || this.p.runqLength > 0 || this.globq.size > 0;
  }
}
