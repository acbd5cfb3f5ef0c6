/**
 * The scheduler.
 *
 * Three records, as in Go: G is a goroutine, M a thread, P the right to run goroutines. A scheduler belongs to the M
 * that has loaded this module, and its goroutines never leave that thread. Schedulers can live side by side. If a
 * program has several threads, their schedulers are connected by links (thread-link.ts). Alone, a scheduler has one P
 * for itself.
 *
 * The order in which goroutines run, exactly as Go's on one P:
 *   1. `go` puts the new goroutine in `runnext`, and `ready` does the same with a waiting one. The previous `runnext`
 *      moves to the tail of the P's ring of 256. If the ring is full, half of it moves to the global queue.
 *   2. gosched puts the goroutine at the tail of the global queue.
 *   3. The loop takes the head of the global queue at each 61st tick. Otherwise it takes `runnext`, which inherits the
 *      time slice and so does not count as a tick; else the head of the ring; else a batch from the global queue.
 *   4. Two goroutines that ready each other through `runnext` would starve all others. If the tick has not moved for 10
 *      ms, the goroutine in `runnext` goes to the global queue, as a goroutine does that sysmon preempts in Go.
 *   5. If steps take long, 61 ticks are seconds. A head of the global queue that has waited there for 10 ms moves to
 *      the ring.
 * Goroutines that host code or another thread starts or readies go to the tail of the ring: no goroutine runs whose
 * time slice they could inherit.
 *
 * The host loop:
 *   1. If a goroutine becomes runnable while the scheduler is idle, the scheduler queues a slice. If the last turn of
 *      the event loop began less than 10 ms ago, the slice is a microtask, otherwise a task. So promises and goroutines
 *      together cannot starve the host.
 *   2. A slice runs goroutines for `SLICE_MS`. Then the others wait for the next task: timers, I/O and rendering come
 *      first. The loop reads the clock every few switches; the number adapts to their length, down to one.
 *   3. If no goroutine can run, one timer of the host is set for the earliest timer of the heap, and the scheduler
 *      costs nothing. If nothing can wake a goroutine, the process ends.
 *
 * Deadlock. While `main` has not returned and no goroutine is runnable, a callback of the host may still wake one. By
 * default the program ends as deadlocked only when the event loop would end; deadlock.ts has the rules and the modes.
 *
 * main() is the program. When its goroutine returns, the others end with it. A panic in any goroutine ends the program
 * with that panic. Goroutines that end so do not run their deferred calls, as in Go.
 *
 * Safepoints: between two goroutines no JavaScript frame holds a raw heap pointer of this thread. So `hooks.safepoint`
 * runs there on request.
 *
 * This file has the run loop and its slices. The other parts:
 *
 *     runtime2.ts     G, M, P, sudogs and queues       scheduler.ts   what programs call, and new goroutines
 *     run-queues.ts   how goroutines become runnable   linked.ts      one of several threads: Ps, tasks, sleep
 *     sched-state.ts  the state that all parts share   fairness.ts    points 4 and 5 above
 *     goroutine.ts    from a function to its body      gpool.ts       Gs in use and for reuse
 *     op.ts           blocking, and its stack probe    sites.ts       where goroutines are started
 *     syscall.ts      waiting for promises             yield.ts       gosched, checkpoint
 *     deadlock.ts     whether a wake-up is possible    host-timer.ts  the host's timer of an idle scheduler
 *     long-runs.ts    goroutines that keep the thread  leak.ts        goroutines that nothing can wake
 *     goexit.ts       returns and panics               counters.ts    counts by state, latencies
 *     program.ts      main, and how it ends
 *
 * Rejected: a microtask per switch (49 ns, and no say in the order); setTimeout per sleeper (no virtual time, one timer
 * of the host each).
 *
 * Sources: Go's runtime/proc.go and its scheduler design document; measurements in the project's performance notes.
 */

import { type FatalError, isFatalError } from "@gort/base";
import { fillCounters, type LatencySampler, SCHED_COUNTERS_LENGTH } from "./counters.ts";
import { Fairness, FORCE_PREEMPT_MS } from "./fairness.ts";
import { STACK_LINES, type StackHolder, setStackTraceLimit } from "./frames.ts";
import { Ends } from "./goexit.ts";
import { resume, start } from "./goroutine.ts";
import { GPool } from "./gpool.ts";
import { hostTasks, type TaskQueue } from "./host.ts";
import { HostTimer } from "./host-timer.ts";
import { LeakDetector } from "./leak.ts";
import { LeakSearch } from "./leak-search.ts";
import { GLOBAL_TICK, Linked } from "./linked.ts";
import { LongRuns } from "./long-runs.ts";
import { parseGodebug, type SchedulerOptions } from "./options.ts";
import { Program } from "./program.ts";
import { IDLE, RUNNING, SCHEDULED, WAITING_FOR_P } from "./run-queues.ts";
import { type AnyOp, type G, Grunning, type Leak, type M, m0, type P, type Schedt } from "./runtime2.ts";
import { SchedTrace } from "./schedtrace.ts";
import { CreationSites } from "./sites.ts";
import type { RuntimeTimer } from "./timer-heap.ts";

/**
 * Time that goroutines run before the event loop gets its turn, in ms. We read the clock at least every `MAX_BATCH`
 * switches. Even if each takes 0.5 ms, that adds 8 ms and stays under the promised 10. Steps that grow beyond 0.5 ms in
 * the middle of a slice can miss it once. A turn of the event loop costs microseconds: a longer slice would gain
 * little, a shorter one would lose some tenths of a percent.
 */
const SLICE_MS = 2;
/** Time between two readings of the clock that the adaptive batch aims at, in ms. */
const READ_MS = 0.25;
/** Switches between two readings of the clock at most. */
const MAX_BATCH = 16;
/** The same at the start of a slice: its goroutines may take longer steps than those of the slice before. */
const FIRST_BATCH = 2;

/** The run loop: Scheduler is its only subclass. */
export abstract class RunLoop extends Linked implements Schedt {
  protected readonly pool: GPool;
  protected readonly leak: LeakDetector | null;
  protected readonly leakSearch: LeakSearch;
  /** The leaked goroutines that `leakDetection` and searches have found. */
  readonly leaks: Leak[] = [];

  private readonly tasks: TaskQueue;
  protected readonly program: Program;
  private readonly ends: Ends;
  private readonly trace: SchedTrace | null;
  /** Switches between the last reading of the clock and the next one. */
  private span = 1;
  /** Switches between two readings of the clock; 1 if steps take long. */
  batch = 1;
  private sliceEnd = 0;
  /** When the last slice began that had a turn of the event loop of its own, in ms. */
  private lastTurn = Number.NEGATIVE_INFINITY;
  private readonly fairness: Fairness;
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
    this.hostTimer = new HostTimer(this.clock, this.onWake);
    const onLeak = (leak: Leak) => {
      this.leaks.push(leak);
      // A leaked goroutine is the user's.
      this.ngoroutines--;
      this.hooks.leak?.(leak);
      if (this.state === IDLE) this.settle();
    };
    this.leak = options.leakDetection ? new LeakDetector(onLeak) : null;
    this.pool = new GPool(this, this.leak);
    this.leakSearch = new LeakSearch(this.pool, onLeak);
    this.program = new Program(this, this.pool, this.latencies, this.tasks, options);
    this.ends = new Ends(this, this.pool, this.program, this.long);
  }

  // ---- timers ----

  addTimer(t: RuntimeTimer, when: number): void {
    this.timers.add(t, when);
    if (this.state !== IDLE) return;
    if (when <= this.clock.now()) this.wake();
    else this.armHostTimer();
  }

  delTimer(t: RuntimeTimer): void {
    this.timers.remove(t);
    if (this.state === IDLE) this.armHostTimer();
  }

  // ---- the loop ----

  /** Queues a slice if the scheduler is idle. */
  protected wake(): void {
    if (this.state !== IDLE || this.program.closed) return;
    // Set the state first: the clock and the queue may be the program's and may start a goroutine.
    this.state = SCHEDULED;
    try {
      const age = this.clock.now() - this.lastTurn;
      // If the clock was set back, `age` is negative: then use tasks, or each slice would be a microtask.
      if (age >= 0 && age < FORCE_PREEMPT_MS) this.tasks.microtask(this.onMicrotask);
      else this.tasks.task(this.onTask);
    } catch (e) {
      // No slice is queued, so the next call must try again.
      if (this.state === SCHEDULED) this.state = IDLE;
      throw e;
    }
    this.trace?.begin();
  }

  /** Runs a slice. `turn`: it is a task, that is a turn of the event loop of its own. */
  protected runSlice(turn: boolean): void {
    if (this.state !== SCHEDULED) return;
    if (this.program.closed) {
      this.state = IDLE;
      return;
    }
    const m = m0;
    const p = this.p;
    const outer = m.curg;
    const limit = Error.stackTraceLimit;
    if (limit < STACK_LINES) setStackTraceLimit(STACK_LINES);
    const { link } = this;
    let more = false;
    try {
      if (link === null) this.state = RUNNING;
      else this.enter(link);
      if (this.state === RUNNING) {
        this.beginSlice(turn);
        more = this["gort:run"](m, p);
      } else if (this.safepointRequested) {
        more = this.safepointWithoutP();
      }
    } catch (e) {
      // The clock, a timer, a hook or an `onExit` has failed. This is no goroutine's panic.
      more = this.slipped(e);
    }
    m.curg = outer;
    this.shortPath(false);
    try {
      this.fillCounters();
      this.switched?.(outer);
      if (this.link !== null && this.hasP) this.leave(this.link);
    } catch (e) {
      more = this.slipped(e);
    }
    if (limit < STACK_LINES) setStackTraceLimit(limit);
    if (more) {
      this.state = SCHEDULED;
      this.tasks.task(this.onTask);
      return;
    }
    if (this.state !== WAITING_FOR_P) {
      this.state = IDLE;
      this.fairness.endChain();
    }
    try {
      this.settle();
    } catch (e) {
      this.slipped(e);
    }
  }

  private beginSlice(turn: boolean): void {
    this.shortPath(true);
    const now = this.clock.now();
    if (turn) this.lastTurn = now;
    if (this.latencies?.relax(now)) this.sampleSoon();
    this.tickAt = now;
    this.sliceEnd = now + SLICE_MS;
    this.coarseSec = this.wholeSec(now);
    if (this.timers.nextWhen <= now) this.runTimers(now);
    if (this.batch > FIRST_BATCH) this.batch = FIRST_BATCH;
    // A requested safepoint comes first, also if no goroutine can run.
    this.credit = this.safepointRequested ? 0 : this.batch;
    this.span = this.credit;
    // The goroutines of this slice may take longer steps than those of the last one.
    this.pollEvery = 1;
    this.pollsLeft = 0;
    this.polledAt = now;
  }

  /** Ends the program with an exception that has left the run loop. Returns whether the loop can go on. */
  protected slipped(e: unknown): boolean {
    const alone = this.program.main === null;
    try {
      this.program.fault(e);
    } catch (again) {
      // `stderr` or the clock has failed again while `fault` reported the end. `e` is already on its way to the host.
      if (again !== e)
        this.tasks.task(() => {
          throw again;
        });
    }
    // Without a program and runnable goroutines, a clock that fails each time would keep the loop busy.
    return !alone || this.hasRunnable;
  }

  /** Called when no goroutine can run, or no P is free. */
  private settle(): void {
    if (this.state === IDLE) this.armHostTimer();
    // Ask again after the time for which a thread may keep its P: see `acquireP`.
    else if (!this.program.closed) this.hostTimer.arm(this.clock.now() + FORCE_PREEMPT_MS, false);
    if (this.link !== null && !this.program.closed) this.link.sleep(this.onWake);
    this.program.checkdead();
  }

  private armHostTimer(): void {
    const { timers } = this;
    if (this.program.closed) return;
    this.hostTimer.arm(timers.nextWhen, timers.nuser > 0);
    this.hopesChanged();
  }

  /** Runs goroutines until the slice is over (true) or none can run (false). */
  private "gort:run"(m: M, p: P): boolean {
    for (;;) {
      if (--this.credit < 0 && this.tick()) return true;
      let g: G | null;
      if (this.globq.size > 0 && p.schedtick % GLOBAL_TICK === 0) {
        g = this.globq.pop()!;
        p.schedtick = (p.schedtick + 1) | 0;
      } else if ((g = p.runnext) !== null) {
        p.runnext = null;
      } else {
        g = p.runqget();
        if (g === null) {
          g = this.globrunqget();
          if (g === null) {
            // Fire due timers here: a turn of the event loop would cost more.
            if (!this.fireDue() && (this.link === null || !this.findWork(this.link))) return false;
            continue;
          }
        }
        p.schedtick = (p.schedtick + 1) | 0;
      }
      m.curg = g;
      g.atomicstatus = Grunning;
      if (g.tracking !== 0) this.latencies!.ran(g, this.clock.now());
      if (this.switched !== null) this.switched(g);
      let r: IteratorResult<unknown, unknown>;
      try {
        const gen = g.gen;
        r = gen !== null ? resume.call(gen) : start(g);
      } catch (e) {
        this.ends.gopanic(g, e);
        continue;
      }
      // The result is the op in which `g` is suspended. Do not read its `done`: ops are of many classes, and the load
      // would be megamorphic.
      if ((r as unknown) === g.waitOp) continue;
      if (r.done === true) this.ends.goexit0(g, r.value, false);
      else if (g.waitOp === null) this.ends.badYield(g);
    }
  }

  /** Takes the head of the global queue, and moves up to half a ring of its other Gs to the ring. */
  private globrunqget(): G | null {
    const q = this.globq;
    if (q.size === 0) return null;
    const g = q.pop();
    // 127: half a ring, with the head. In Go a P also takes at most its share; here no other P takes any.
    for (let n = Math.min(q.size, 127); n > 0; n--) this.p.runqput(q.pop()!, false, q);
    return g;
  }

  /** Fires the timers that are due. Returns whether a goroutine is runnable. */
  private fireDue(): boolean {
    if (this.timers.nextWhen === Infinity) return false;
    const now = this.clock.now();
    if (this.timers.nextWhen > now) return false;
    this.runTimers(now);
    return this.hasRunnable;
  }

  private runTimers(now: number): void {
    this.timers.run(now);
    this.handOver();
  }

  /** Goroutines may have become runnable that compute for long: no task of other threads waits for them. */
  private handOver(): void {
    if (this.link !== null && this.hasRunnable) this.link.handOver();
  }

  /** Reads the clock and does all that depends on time. Returns whether the slice is over. */
  private tick(): boolean {
    // The goroutine that ran last has closed the scheduler.
    if (this.program.closed) return true;
    let now = this.clock.now();
    const dt = now - this.tickAt;
    this.tickAt = now;
    this.coarseSec = this.wholeSec(now);
    if (dt >= FORCE_PREEMPT_MS && this.batch === 1) this.long.note(dt);
    if (dt > READ_MS) this.pollsLeft = 0;
    if (dt > READ_MS) this.batch = Math.max(1, Math.floor((this.batch * READ_MS) / dt));
    else if (this.batch < MAX_BATCH) this.batch++;
    this.credit = this.batch - 1;
    if (this.latencies !== null) {
      this.yieldsLeft -= this.span;
      this.span = this.batch;
      if (this.yieldsLeft < this.batch) this.sampleYield(this.latencies, now);
    }
    this.sites.refill(now);
    if (this.link !== null) {
      now = this.crossings(this.link, now);
      if (this.program.closed) return true;
    }
    if (this.safepointRequested) this.safepoint();
    if (this.program.dying !== null) this.program.fault(this.program.dying);
    this.fairness.check(now);
    // Fire timers after the check: a chain has not kept these goroutines waiting.
    if (this.timers.nextWhen <= now) this.runTimers(now);
    // If the clock was set back, end the slice: `sliceEnd` is too far away.
    return now >= this.sliceEnd || dt < 0 || !this.hasP;
  }

  private safepoint(): void {
    this.safepointRequested = false;
    m0.curg = null;
    try {
      this.hooks.safepoint?.();
    } catch (e) {
      // The collector has found the heap corrupt, so no goroutine may go on.
      if (!isFatalError(e)) throw e;
      this.program.dying = e;
    }
    this.handOver();
  }

  /**
   * Runs the requested safepoint while the thread waits for a P: a thread that holds one may wait for the collector.
   * Returns whether a slice must follow.
   */
  private safepointWithoutP(): boolean {
    this.sliceEnd = Infinity;
    this.safepoint();
    if (this.program.dying !== null) this.program.fault(this.program.dying);
    return this.safepointRequested || this.sliceEnd < 0;
  }

  /**
   * Samples the goroutine that ran last, if it has yielded and a sample is due. Shortens the batch so that the clock is
   * read when the next sample is due.
   */
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
    // If calls are frequent, only each 16th reads the clock, and a call costs about 1 ns.
    if (--this.pollsLeft > 0 && !this.safepointRequested) return false;
    return this.poll();
  }

  /** Reads the clock. If calls come rarely, the next call reads it too; otherwise their number until then doubles. */
  private poll(): boolean {
    const now = this.clock.now();
    const dt = now - this.polledAt;
    this.polledAt = now;
    if (dt > READ_MS) this.pollEvery = 1;
    else if (this.pollEvery < MAX_BATCH) this.pollEvery *= 2;
    this.pollsLeft = this.pollEvery;
    if (this.link?.pending) return true;
    return this.safepointRequested || now >= this.sliceEnd || now < this.tickAt;
  }
  private pollEvery = 1;
  private pollsLeft = 0;
  private polledAt = 0;

  /** Ends all goroutines and drops all timers. The scheduler cannot be used again. */
  close(): void {
    this.closed = true;
    this.trace?.stop();
    this.hostTimer.clear();
    // The run loop, if it runs, calls `tick` before it takes another goroutine.
    this.credit = 0;
    this.program.close();
  }

  /** Throws `error`, and ends the program with it even if a `catch` stops it. */
  fatal(error: FatalError): never {
    if (this.state === RUNNING) {
      this.program.dying = error;
      this.credit = 0;
    }
    throw error;
  }

  // ---- for profiles, metrics and the collector ----

  /** Requests a call of `hooks.safepoint` as soon as the running goroutine suspends. */
  requestSafepoint(): void {
    this.safepointRequested = true;
    this.credit = 0;
    if (this.state === WAITING_FOR_P) this.state = IDLE;
    if (this.state === IDLE) this.wake();
  }

  /**
   * Gives the event loop a turn before a goroutine runs again. Call it in `hooks.safepoint`; it takes effect at the
   * hook's end. A slice follows that turn even if no goroutine can run.
   */
  yieldToHost(): void {
    this.sliceEnd = Number.NEGATIVE_INFINITY;
  }

  /** Brings this thread's block of counters up to date: see counters.ts. */
  private fillCounters(): Float64Array {
    return fillCounters(this.counters, this, this.pool.created);
  }

  /**
   * Brings the block of counters up to date and returns it: see counters.ts. With several threads, returns the sums of
   * their blocks, in an array that the next call overwrites.
   */
  readCounters(): Float64Array {
    const own = this.fillCounters();
    if (this.link === null) return own;
    this.sums ??= new Float64Array(SCHED_COUNTERS_LENGTH);
    this.sums.set(own.subarray(0, SCHED_COUNTERS_LENGTH));
    this.link.addCounters(this.sums);
    return this.sums;
  }
  private sums: Float64Array | null = null;

  // ---- in Scheduler ----

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
