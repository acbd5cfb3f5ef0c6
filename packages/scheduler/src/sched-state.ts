/** The state of a scheduler that its goroutines, ops, timers and reports share, as Go's `sched`. */

import { writeStderr } from "@gort/base";
import { schedCounters, schedCountersLength } from "./counters.ts";
import type { Symbolize } from "./frames.ts";
import { type Clock, hostClock } from "./host.ts";
import { LockWaits, longLockMs } from "./lock-waits.ts";
import { bindClock, checkSeed, type SchedulerOptions } from "./options.ts";
import { type G, GQueue, gHost, gSystem, P, type SchedulerHooks, type Sudog } from "./runtime2.ts";
import { GStacks } from "./stack-tree.ts";
import { TimerHeap } from "./timer-heap.ts";

export class SchedState {
  readonly clock: Required<Clock>;
  readonly hooks: SchedulerHooks;
  readonly symbolize: Symbolize | undefined;
  readonly stacks: GStacks;
  readonly stderr: (text: string) => void;
  readonly seed: number;
  /** Prints all goroutines with a panic, as GOTRACEBACK=all does. */
  tracebackAll = false;
  /** Waits for locks are timed, and reported to `hooks.mutexEvent` when the lock is released. */
  mutexProfileEnabled = false;

  readonly p: P;
  /** GOMAXPROCS. One thread uses one P; of the others only the number exists. */
  nprocs = 1;
  readonly globq = new GQueue();
  readonly timers = new TimerHeap();
  /** Goroutines of the user that exist. */
  ngoroutines = 0;
  /** Goroutines in a system call, and host sources kept open. */
  nsyscall = 0;
  /** Goroutines of the user in a system call. */
  nnotInGo = 0;
  /** Host code that awaits an op. */
  nhost = 0;
  /** Whether `close` was called. */
  closed = false;
  /** Seconds of the clock when it was last read. */
  coarseSec = 0;

  protected readonly startMs: number;
  private rng: number;
  protected readonly counters: Float64Array;
  readonly lockWaits = new LockWaits();
  protected tickAt = 0;

  constructor(options: SchedulerOptions) {
    this.clock = { ...hostClock, ...bindClock(options.clock) };
    this.hooks = options.hooks ?? {};
    this.symbolize = options.symbolize;
    this.stacks = new GStacks(options.symbolize);
    this.stderr = options.stderr ?? writeStderr;
    this.seed = checkSeed(options.seed) >>> 0;
    // A xorshift generator must not start at 0, and small seeds give poor first values.
    this.rng = Math.imul(this.seed ^ 0x9e3779b9, 0x85ebca6b) | 1;
    this.startMs = this.clock.now();
    this.p = new P(0);
    this.counters = options.counters ?? new Float64Array(schedCountersLength);
    if (this.counters.length < schedCountersLength) {
      throw new RangeError(
        `scheduler: counters must have ${schedCountersLength} elements (got ${this.counters.length})`,
      );
    }
  }

  /** Takes a goroutine out of the run queues, if it is in one. */
  unqueue(g: G): void {
    const { p, globq } = this;
    if (p.runnext === g) p.runnext = null;
    for (let n = p.runqLength; n > 0; n--) {
      const x = p.runqget()!;
      if (x !== g) p.runqput(x, false, globq);
    }
    for (let n = globq.size; n > 0; n--) {
      const x = globq.pop()!;
      if (x !== g) globq.pushBack(x);
    }
  }

  gstarted(g: G): void {
    if ((g.flags & (gSystem | gHost)) === 0) this.ngoroutines++;
    else if ((g.flags & gHost) !== 0) this.nhost++;
  }

  gended(g: G): void {
    if ((g.flags & (gSystem | gHost)) === 0) this.ngoroutines--;
    else if ((g.flags & gHost) !== 0) this.nhost--;
  }

  enterSyscall(g: G): void {
    this.nsyscall++;
    if ((g.flags & (gSystem | gHost)) === 0) this.nnotInGo++;
  }

  leaveSyscall(g: G): void {
    this.nsyscall--;
    if ((g.flags & (gSystem | gHost)) === 0) this.nnotInGo--;
  }

  /** When the clock was last read between two goroutines, in ms: where a safepoint that is asked for is run. */
  get lastSafepoint(): number {
    return this.tickAt;
  }

  /** A goroutine has left a lock's queue. Long waits all count, of the others those that were chosen to stand for more. */
  lockWaitOver(sg: Sudog, now?: number): void {
    const long = this.tickAt - sg.parkedAt > longLockMs;
    if (!long && sg.waits === 0) return;
    const ms = (now ?? this.clock.now()) - sg.parkedAt;
    this.counters[schedCounters.mutexWaitNs] += ms * (long ? 1 : sg.waits) * 1e6;
  }

  /** Seconds since the start, of a clock that may go back: `waitsince` has no use for less than 0. */
  protected wholeSec(now: number): number {
    return Math.max(0, Math.floor((now - this.startMs) / 1000));
  }

  nowSec(): number {
    return Math.floor((this.clock.now() - this.startMs) / 1000);
  }

  /** A random integer in [0, n). */
  randn(n: number): number {
    let x = this.rng;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.rng = x;
    return ((x >>> 0) * (n * 2.3283064365386963e-10)) | 0;
  }
}
