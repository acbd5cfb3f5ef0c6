/** The state of a scheduler that its goroutines, ops, timers and reports share: Go's `sched`. */

import { writeStderr } from "@gort/base";
import { SCHED_COUNTERS_LENGTH, schedCounters } from "./counters.ts";
import type { Symbolize } from "./frames.ts";
import { type Clock, hostClock } from "./host.ts";
import { LONG_LOCK_MS, LockWaits } from "./lock-waits.ts";
import { bindClock, checkSeed, type SchedulerOptions } from "./options.ts";
import { type G, G_HOST, G_SYSTEM, GQueue, type LockWait, P, type SchedulerHooks } from "./runtime2.ts";
import { GStacks } from "./stack-tree.ts";
import type { ThreadLink } from "./thread-link.ts";
import { TimerHeap } from "./timer-heap.ts";

export class SchedState {
  readonly clock: Required<Clock>;
  readonly hooks: SchedulerHooks;
  readonly symbolize: Symbolize | undefined;
  readonly stacks: GStacks;
  readonly stderr: (text: string) => void;
  readonly seed: number;
  /** Whether the report of a panic shows all goroutines, as with GOTRACEBACK=all. */
  tracebackAll = false;
  /** Whether waits for locks are timed and reported to `hooks.mutexEvent` when the lock is released. */
  mutexProfileEnabled = false;
  /** Calls of `cgocall` on this thread. */
  ncgocall = 0;

  /** The other threads; null on one thread. */
  link: ThreadLink | null = null;
  readonly p: P;
  /** GOMAXPROCS until there is a link. */
  protected ownProcs = 1;
  readonly globq = new GQueue();
  readonly timers = new TimerHeap();
  /** Goroutines of the user that exist. */
  ngoroutines = 0;
  /** Goroutines in a system call, and host sources kept open. */
  nsyscall = 0;
  /** Goroutines of the user in a system call. */
  nnotInGo = 0;
  /** Ops that host code awaits. */
  nhost = 0;
  /** Whether `close` was called. */
  closed = false;
  /** The coarse clock: seconds since the scheduler was made, as of the last reading between two goroutines. */
  coarseSec = 0;

  protected readonly startMs: number;
  private rng: number;
  protected readonly counters: Float64Array;
  readonly lockWaits = new LockWaits();
  /** When the clock was last read between two goroutines, in ms. A requested safepoint runs there. */
  protected tickAt = 0;

  constructor(options: SchedulerOptions) {
    this.clock = { ...hostClock, ...bindClock(options.clock) };
    this.hooks = options.hooks ?? {};
    this.symbolize = options.symbolize;
    this.stacks = new GStacks(options.symbolize);
    this.stderr = options.stderr ?? writeStderr;
    this.seed = checkSeed(options.seed) >>> 0;
    // A xorshift generator must not start at 0, and small seeds would give poor first values.
    this.rng = Math.imul(this.seed ^ 0x9e3779b9, 0x85ebca6b) | 1;
    this.startMs = this.clock.now();
    this.p = new P(0);
    this.counters = options.counters ?? new Float64Array(SCHED_COUNTERS_LENGTH);
    if (this.counters.length < SCHED_COUNTERS_LENGTH) {
      throw new RangeError(
        `scheduler: counters must have ${SCHED_COUNTERS_LENGTH} elements (got ${this.counters.length})`,
      );
    }
  }

  /** Takes a goroutine out of the run queues. */
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

  /** Counts a goroutine that begins. */
  gstarted(g: G): void {
    if ((g.flags & (G_SYSTEM | G_HOST)) === 0) this.ngoroutines++;
    else if ((g.flags & G_HOST) !== 0) this.nhost++;
  }

  /** Counts a goroutine that has ended or is about to. */
  gended(g: G): void {
    if ((g.flags & (G_SYSTEM | G_HOST)) === 0) this.ngoroutines--;
    else if ((g.flags & G_HOST) !== 0) this.nhost--;
  }

  enterSyscall(g: G): void {
    this.nsyscall++;
    if ((g.flags & (G_SYSTEM | G_HOST)) === 0) this.nnotInGo++;
  }

  leaveSyscall(g: G): void {
    this.nsyscall--;
    if ((g.flags & (G_SYSTEM | G_HOST)) === 0) this.nnotInGo--;
  }

  /** GOMAXPROCS. */
  get nprocs(): number {
    return this.link === null ? this.ownProcs : this.link.gomaxprocs;
  }

  /** Whether something that the scheduler knows of can wake a waiting goroutine: a timer, a promise, host code. */
  get hopes(): boolean {
    return this.nsyscall > 0 || this.nhost > 0 || this.timers.nuser > 0;
  }

  get lastSafepoint(): number {
    return this.tickAt;
  }

  /**
   * Adds a wait for a lock that has ended. A long wait counts once, a shorter one for all the waits that it stands for.
   */
  lockWaitOver(sg: LockWait, now?: number): void {
    const long = this.tickAt - sg.parkedAt > LONG_LOCK_MS;
    if (!long && sg.waits === 0) return;
    const ms = (now ?? this.clock.now()) - sg.parkedAt;
    this.counters[schedCounters.mutexWaitNs] += ms * (long ? 1 : sg.waits) * 1e6;
  }

  /** Seconds since the start. Not negative, even if the clock was set back: `waitsince` must not be. */
  protected wholeSec(now: number): number {
    return Math.max(0, Math.floor((now - this.startMs) / 1000));
  }

  /** Whole seconds since the start; reads the clock. */
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
