/**
 * The scheduler.
 *
 * Three records, as in Go: G is a goroutine, M a thread, P the right to run goroutines. Here is one M, the thread
 * that loaded the package, and its event loop; and one working P a scheduler. Schedulers can live side by side.
 *
 * Who runs next, exactly as Go on one P:
 *   1. `go` puts the new goroutine in `runnext`, and so does readying a waiting one; who was there moves to the
 *      tail of the P's ring of 256. When the ring is full, half of it moves to the global queue.
 *   2. gosched puts the goroutine at the tail of the global queue.
 *   3. The loop takes: every 61st tick the head of the global queue; else `runnext`, which inherits the time slice
 *      and so does not count as a tick; else the head of the ring; else a batch from the global queue.
 *   4. Two goroutines that hand to each other through `runnext` would keep everybody else out. When the tick has not moved
 *      for 10 ms, the goroutine in `runnext` goes to the global queue, as one that sysmon preempts does.
 *   5. When steps take long, 61 ticks are seconds. The head of the global queue that has waited there for 10 ms moves
 *      to the ring.
 * Goroutines that host code starts or readies go to the tail of the ring: there is no goroutine whose turn they
 * could inherit.
 *
 * The host loop:
 *   1. Whatever makes a goroutine runnable while the scheduler sleeps wakes it: by a microtask, or, when the last
 *      event loop turn began over 10 ms ago, by a task, so that promises and goroutines together cannot starve the host.
 *   2. A slice runs goroutines for `sliceMs`, then the rest waits for the next task: timers, I/O and rendering come
 *      first. The clock is read every few switches; how many adapts to how long they take, down to one.
 *   3. When nothing can run, one host timer is set for the earliest sleeper and the scheduler costs nothing. A process
 *      whose goroutines all wait for nothing that can come ends.
 *
 * Deadlock. While `main` has not returned and nothing is runnable, a callback of the host may still wake a goroutine. By
 * default the program ends as deadlocked only when the event loop would end; deadlock.ts has the rules and the other modes.
 *
 * main() is the program: when its goroutine returns the others end with it, and a panic in any goroutine ends it with
 * that panic. Goroutines ended so do not run their deferred calls, as in Go.
 *
 * Safepoints: between two goroutines no JavaScript frame holds a raw heap pointer of this thread, so that is where
 * `hooks.safepoint` runs when asked for.
 *
 * Here are the run loop, the slices and how goroutines start. What they are made of:
 *
 *     runtime2.ts    G, M, P, sudogs and queues        gpool.ts      Gs in use and for reuse
 *     goroutine.ts   from a function to its body       sites.ts      where goroutines are started
 *     op.ts          blocking, and its stack probe     yield.ts      gosched, checkpoint
 *     syscall.ts     waiting for promises              hosttimer.ts  the host's timer of a sleeping scheduler
 *     deadlock.ts    is there any hope left            leak.ts       goroutines that nobody can wake
 *     longrun.ts     goroutines that keep the thread   counters.ts   counts by state, latencies
 *     ends.ts        returns and panics                program.ts    main, and how it ends
 *
 * Rejected: a microtask per switch (49 ns, and no say in the order); setTimeout per sleeper (no virtual
 * time, one host timer each).
 *
 * Sources: Go's runtime/proc.go and its scheduler design document; measurements in the project's performance notes.
 */

import { type FatalError, isFatalError } from "@gort/base";
import { fillCounters, LatencySampler, shortPeriod } from "./counters.ts";
import { checkDeadlockMode } from "./deadlock.ts";
import { Ends } from "./ends.ts";
import { Fairness, forcePreemptMs } from "./fairness.ts";
import { type StackHolder, setStackTraceLimit, stackLines } from "./frames.ts";
import { resume, start } from "./goroutine.ts";
import { GPool } from "./gpool.ts";
import { hostTasks, type TaskQueue } from "./host.ts";
import { HostTimer } from "./hosttimer.ts";
import { LeakDetector } from "./leak.ts";
import { LeakSearch } from "./leak-search.ts";
import { LongRuns } from "./longrun.ts";
import { parseGodebug, type SchedulerOptions } from "./options.ts";
import { Program } from "./program.ts";
import {
  type AnyOp,
  type G,
  Grunnable,
  Grunning,
  type Leak,
  type M,
  m0,
  type P,
  type Schedt,
} from "./runtime2.ts";
import { SchedState } from "./sched-state.ts";
import { SchedTrace } from "./schedtrace.ts";
import { CreationSites } from "./sites.ts";
import type { RuntimeTimer } from "./timer-heap.ts";

/**
 * Time that goroutines run before the event loop gets its turn. The clock is read every `maxBatch` switches at worst, which, if
 * each takes half a millisecond for once, end 8 ms later: within the 10 ms of the promise. (Steps that grow to more than that in
 * the middle of a slice can miss it, once.) A turn of the event loop costs
 * microseconds, so a longer slice would gain little, a shorter one lose some tenths of a percent.
 */
const sliceMs = 2;
/** Aim of the adaptive clock reading, and bounds of the number of switches between readings. */
const readMs = 0.25;
const maxBatch = 16;
/** With so few a slice begins at most: what runs now may take longer steps than what ran in the slice before. */
const firstBatch = 2;
/** Every so many ticks the global queue comes first. A prime, so that it does not beat with anything. */
const globalTick = 61;
/** A countdown that does not end, while nobody wants latencies. */
const neverSample = 2 ** 30 - 1;
const idle = 0;
const scheduled = 1;
const running = 2;

export abstract class RunLoop extends SchedState implements Schedt {
  /** Called with the goroutine that runs from now on, or null for host code. For profilers, while they sample. */
  onSwitch: ((g: G | null) => void) | null = null;
  /** Waits are timed and reported to `hooks.blockEvent`. */
  private blockProfile = false;

  protected readonly pool: GPool;
  protected readonly leak: LeakDetector | null;
  protected readonly leakSearch: LeakSearch;
  /** Goroutines found to be leaked: with `leakDetection`, and by searches. */
  readonly leaks: Leak[] = [];

  private readonly tasks: TaskQueue;
  protected readonly program: Program;
  private readonly ends: Ends;
  private readonly trace: SchedTrace | null;
  private state = idle;
  private readonly latencies: LatencySampler | null;
  /**
   * Transitions to runnable until the next one that is sampled, while ready may take its short path: in
   * the run loop, without block profiling. Otherwise 0, and `sampleLeft` has the number.
   */
  private countdown = 0;
  private sampleLeft = shortPeriod;
  /** The same for goroutines that yield, of which the run loop learns when it reads the clock. */
  private yieldsLeft = shortPeriod;
  /** Switches between the reading of the clock that comes and the one before. */
  private span = 1;
  /** Switches until the clock is read. */
  private credit = 0;
  /** Switches between two readings of the clock: 1 where steps take long. */
  batch = 1;
  private sliceEnd = 0;
  private lastTurn = Number.NEGATIVE_INFINITY;
  private readonly fairness: Fairness;
  private safepointRequested = false;
  private readonly hostTimer: HostTimer;
  protected readonly sites = new CreationSites();
  protected readonly long: LongRuns;
  private readonly onTask = () => this.runSlice(true);
  private readonly onMicrotask = () => this.runSlice(false);

  constructor(options: SchedulerOptions = {}) {
    super(options);
    this.fairness = new Fairness(this.p, this.globq);
    this.tasks = options.tasks ?? hostTasks;
    const debug = parseGodebug(options.godebug);
    this.trace = debug.schedtrace > 0 ? new SchedTrace(this, debug.schedtrace, debug.scheddetail > 0) : null;
    this.long = new LongRuns(this, debug.sysmon > 0);
    this.hostTimer = new HostTimer(this.clock, () => {
      if (this.state !== idle) return;
      this.state = scheduled;
      this.runSlice(true);
    });
    const onLeak = (leak: Leak) => {
      this.leaks.push(leak);
      // A leaked goroutine is the user's.
      this.ngoroutines--;
      this.hooks.leak?.(leak);
      if (this.state === idle) this.settle();
    };
    this.leak = options.leakDetection ? new LeakDetector(onLeak) : null;
    this.pool = new GPool(this, this.leak);
    this.leakSearch = new LeakSearch(this.pool, onLeak);
    this.latencies = options.latencies === undefined ? null : new LatencySampler(options.latencies);
    if (this.latencies === null) this.sampleLeft = neverSample;
    const mode = checkDeadlockMode(options.deadlock);
    const realTime = options.clock === undefined;
    this.program = new Program(this, this.pool, this.latencies, this.tasks, mode, realTime);
    this.ends = new Ends(this, this.pool, this.program, this.long);
  }

  // ---- entering the run queues ----

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
    this.readySlow(g);
  }

  private readySlow(g: G): void {
    if (this.state === running && !this.blockProfile) {
      this.countdown = this.sample(g);
    } else {
      this.countdown = 0;
      if (--this.sampleLeft <= 0) this.sampleLeft = this.sample(g);
    }
    g.atomicstatus = Grunnable;
    const inside = this.state === running;
    this.p.runqput(g, inside, this.globq);
    if (!inside) this.wake();
  }

  /** Times how long `g`, which becomes runnable, waits until it runs. Returns when the next is due. */
  private sample(g: G): number {
    const { latencies } = this;
    if (latencies === null) return neverSample;
    latencies.start(g, this.clock.now(), latencies.period);
    return latencies.next();
  }

  private sampleSoon(): void {
    this.yieldsLeft = shortPeriod;
    if (this.countdown > 0) this.countdown = shortPeriod;
    else this.sampleLeft = shortPeriod;
  }

  /** Lets ready take its short path, or not. */
  private shortPath(on: boolean): void {
    if (on) {
      this.countdown = this.sampleLeft;
    } else {
      if (this.countdown > 0) this.sampleLeft = this.countdown;
      this.countdown = 0;
    }
  }

  addTimer(t: RuntimeTimer, when: number): void {
    this.timers.add(t, when);
    if (this.state !== idle) return;
    if (when <= this.clock.now()) this.wake();
    else this.armHostTimer();
  }

  delTimer(t: RuntimeTimer): void {
    this.timers.remove(t);
    if (this.state === idle) this.armHostTimer();
  }

  // ---- the loop ----

  protected wake(): void {
    if (this.state !== idle || this.program.closed) return;
    // First: the clock and the queue are the program's, and may start a goroutine themselves.
    this.state = scheduled;
    try {
      const age = this.clock.now() - this.lastTurn;
      // A clock that was set back must not make every turn a microtask.
      if (age >= 0 && age < forcePreemptMs) this.tasks.microtask(this.onMicrotask);
      else this.tasks.task(this.onTask);
    } catch (e) {
      // Nothing is queued: the next call must try again.
      if (this.state === scheduled) this.state = idle;
      throw e;
    }
    this.trace?.begin();
  }

  /** `turn`: this is a turn of the event loop of its own. */
  private runSlice(turn: boolean): void {
    if (this.state !== scheduled) return;
    if (this.program.closed) {
      this.state = idle;
      return;
    }
    const m = m0;
    const p = this.p;
    const outer = m.curg;
    const limit = Error.stackTraceLimit;
    if (limit < stackLines) setStackTraceLimit(stackLines);
    this.state = running;
    let more = false;
    try {
      this.beginSlice(turn);
      more = this["gort:run"](m, p);
    } catch (e) {
      // The clock, a timer, a hook, or what runs at the end of a goroutine has failed: no goroutine can answer for it.
      more = this.slipped(e);
    }
    m.curg = outer;
    this.shortPath(false);
    try {
      this.readCounters();
      this.onSwitch?.(outer);
    } catch (e) {
      more = this.slipped(e);
    }
    if (limit < stackLines) setStackTraceLimit(limit);
    if (more) {
      this.state = scheduled;
      this.tasks.task(this.onTask);
      return;
    }
    this.state = idle;
    // Nobody waits for a turn any more: the next chain begins with the next slice.
    this.fairness.endChain();
    try {
      this.settle();
    } catch (e) {
      this.slipped(e);
    }
  }

  private beginSlice(turn: boolean): void {
    if (!this.blockProfile) this.shortPath(true);
    const now = this.clock.now();
    if (turn) this.lastTurn = now;
    if (this.latencies?.relax(now)) this.sampleSoon();
    this.tickAt = now;
    this.sliceEnd = now + sliceMs;
    this.coarseSec = this.wholeSec(now);
    if (this.timers.nextWhen <= now) this.timers.run(now);
    if (this.batch > firstBatch) this.batch = firstBatch;
    // A safepoint that was asked for comes first, also when there is nothing to run.
    this.credit = this.safepointRequested ? 0 : this.batch;
    this.span = this.credit;
    // What runs now may take longer steps than what ran in the slice before.
    this.pollEvery = 1;
    this.pollsLeft = 0;
    this.polledAt = now;
  }

  /** Ends the program with a fault that left the run loop. Returns whether goroutines are left that can go on. */
  private slipped(e: unknown): boolean {
    const alone = this.program.main === null;
    try {
      this.program.fault(e);
    } catch (again) {
      // `stderr` or the clock fails again while the end is reported. The first fault is on its way to the host.
      if (again !== e)
        this.tasks.task(() => {
          throw again;
        });
    }
    // Without a program, only a clock that fails again and again would keep the loop busy.
    return !(alone && this.p.runqLength === 0 && this.p.runnext === null && this.globq.size === 0);
  }

  /** What remains to be done when nothing can run. */
  private settle(): void {
    this.armHostTimer();
    this.program.checkdead();
  }

  private armHostTimer(): void {
    const { timers } = this;
    if (!this.program.closed) this.hostTimer.arm(timers.nextWhen, timers.nuser > 0);
  }

  /** Runs goroutines until the slice is over (true) or none can run (false). */
  private "gort:run"(m: M, p: P): boolean {
    for (;;) {
      if (--this.credit < 0 && this.tick()) return true;
      let g: G | null;
      if (this.globq.size > 0 && p.schedtick % globalTick === 0) {
        g = this.globq.pop()!;
        p.schedtick = (p.schedtick + 1) | 0;
      } else if ((g = p.runnext) !== null) {
        p.runnext = null;
      } else {
        g = p.runqget();
        if (g === null) {
          g = this.globrunqget();
          if (g === null) {
            // A timer that is due costs no turn of the event loop.
            if (!this.fireDue(p)) return false;
            continue;
          }
        }
        p.schedtick = (p.schedtick + 1) | 0;
      }
      m.curg = g;
      g.atomicstatus = Grunning;
      if (g.tracking !== 0) this.latencies!.ran(g, this.clock.now());
      if (this.onSwitch !== null) this.onSwitch(g);
      let r: IteratorResult<unknown, unknown>;
      try {
        const gen = g.gen;
        r = gen !== null ? resume.call(gen) : start(g);
      } catch (e) {
        this.ends.gopanic(g, e);
        continue;
      }
      // Suspended in an op, which is the result itself. It is not asked: as many kinds of ops, as many kinds of objects.
      if ((r as unknown) === g.waitOp) continue;
      if (r.done === true) this.ends.goexit0(g, r.value, false);
      else if (g.waitOp === null) this.ends.badYield(g);
    }
  }

  /** Takes the head of the global queue, and moves up to half a ring more of it to the ring. */
  private globrunqget(): G | null {
    const q = this.globq;
    if (q.size === 0) return null;
    const g = q.pop();
    // As large a share as one of gomaxprocs Ps may take; here no other P takes any.
    for (let n = Math.min(q.size, 127); n > 0; n--) this.p.runqput(q.pop()!, false, q);
    return g;
  }

  /** Fires the timers that are due now; returns whether that made a goroutine runnable. */
  private fireDue(p: P): boolean {
    if (this.timers.nextWhen === Infinity) return false;
    const now = this.clock.now();
    if (this.timers.nextWhen > now) return false;
    this.timers.run(now);
    return p.runnext !== null || p.runqLength > 0 || this.globq.size > 0;
  }

  /** Reads the clock and sees to all that waits for it. Returns whether the slice is over. */
  private tick(): boolean {
    // It was a goroutine that closed it, and may have yielded since.
    if (this.program.closed) return true;
    const now = this.clock.now();
    const dt = now - this.tickAt;
    this.tickAt = now;
    this.coarseSec = this.wholeSec(now);
    if (dt >= forcePreemptMs && this.batch === 1) this.long.note(dt);
    if (dt > readMs) this.pollsLeft = 0;
    if (dt > readMs) this.batch = Math.max(1, Math.floor((this.batch * readMs) / dt));
    else if (this.batch < maxBatch) this.batch++;
    this.credit = this.batch - 1;
    if (this.latencies !== null) {
      this.yieldsLeft -= this.span;
      this.span = this.batch;
      if (this.yieldsLeft < this.batch) this.sampleYield(this.latencies, now);
    }
    this.sites.refill(now);
    if (this.safepointRequested) {
      this.safepointRequested = false;
      m0.curg = null;
      try {
        this.hooks.safepoint?.();
      } catch (e) {
        // The collector has found the heap broken: no goroutine may go on.
        if (!isFatalError(e)) throw e;
        this.program.dying = e;
      }
    }
    if (this.program.dying !== null) this.program.fault(this.program.dying);
    this.fairness.check(now);
    // Last: what a timer wakes is not what the chain above has kept waiting.
    if (this.timers.nextWhen <= now) this.timers.run(now);
    // A clock that was set back ends the slice: its end would be too far away.
    return now >= this.sliceEnd || dt < 0;
  }

  /** Samples the goroutine that ran last if it has yielded and its turn has come. Sees that the clock is read at the next turn. */
  private sampleYield(latencies: LatencySampler, now: number): void {
    if (this.yieldsLeft <= 0) {
      const g = this.globq.tail;
      if (g !== null && g === m0.curg) latencies.start(g, now, latencies.period);
      this.yieldsLeft = latencies.next();
    }
    if (this.yieldsLeft < this.span) {
      this.span = this.yieldsLeft;
      this.credit = this.span - 1;
    }
  }

  /** Whether the running goroutine has used up its time slice: `if (shouldYield()) yield* gosched()`. */
  shouldYield(): boolean {
    // A call costs about a nanosecond where calls are frequent: then the clock is read on every 16th.
    if (--this.pollsLeft > 0 && !this.safepointRequested) return false;
    return this.poll();
  }

  /** Reads the clock, and adapts the number of calls until it is read again: one where steps between calls take long. */
  private poll(): boolean {
    const now = this.clock.now();
    const dt = now - this.polledAt;
    this.polledAt = now;
    if (dt > readMs) this.pollEvery = 1;
    else if (this.pollEvery < maxBatch) this.pollEvery *= 2;
    this.pollsLeft = this.pollEvery;
    return this.safepointRequested || now >= this.sliceEnd || now < this.tickAt;
  }
  private pollEvery = 1;
  private pollsLeft = 0;
  private polledAt = 0;

  /** Ends all goroutines and drops all timers; the scheduler cannot be used again. */
  close(): void {
    this.closed = true;
    this.trace?.stop();
    this.hostTimer.clear();
    // The run loop, should it be running, looks here before it takes another goroutine.
    this.credit = 0;
    this.program.close();
  }

  /**
   * A fault that no goroutine may survive: throws it, and ends the program even if something on the way catches it.
   */
  fatal(error: FatalError): never {
    if (this.state === running) {
      this.program.dying = error;
      this.credit = 0;
    }
    throw error;
  }

  // ---- for profiles, metrics and the collector ----

  get blockProfileEnabled(): boolean {
    return this.blockProfile;
  }

  set blockProfileEnabled(on: boolean) {
    this.blockProfile = on;
    if (this.state === running) this.shortPath(!on);
  }

  /** Has `hooks.safepoint` called as soon as the running goroutine suspends. */
  requestSafepoint(): void {
    this.safepointRequested = true;
    this.credit = 0;
    if (this.state === idle) this.wake();
  }

  /**
   * Gives the event loop a turn before any goroutine runs again. For `hooks.safepoint`, at whose end it takes effect;
   * there is a slice after that turn even if nothing can run in it.
   */
  yieldToHost(): void {
    this.sliceEnd = Number.NEGATIVE_INFINITY;
  }

  /** Whether nothing can run now: no goroutine is running or runnable. */
  get isIdle(): boolean {
    return this.state === idle;
  }

  /** The counters, brought up to date: see counters.ts. */
  readCounters(): Float64Array {
    return fillCounters(this.counters, this, this.pool.created);
  }

  // ---- of the scheduler as a whole ----

  abstract readonly mainSite: StackHolder | null;
  abstract readonly gfreeCount: number;
  abstract newg(
    f: (...args: never[]) => unknown,
    n: number,
    arg: unknown,
    below: unknown,
    onExit: (() => void) | null,
  ): G;
  abstract goHost<T>(op: AnyOp<T>, resolve: (v: T) => void, reject: (e: unknown) => void): void;
  abstract gs(): G[];
}
