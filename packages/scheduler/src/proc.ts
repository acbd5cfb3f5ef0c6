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

import { FatalError, isFatalError, writeStderr, wrongNumber } from "@gort/base";
import { type Chan, makechan, type RecvChan } from "./chan.ts";
import { fillCounters, LatencySampler, schedCounters, schedCountersLength, shortPeriod } from "./counters.ts";
import { checkDeadlockMode } from "./deadlock.ts";
import { Ends } from "./ends.ts";
import { usedAfterClose } from "./errors.ts";
import { capture, type StackHolder, type Symbolize, setStackTraceLimit, stackLines } from "./frames.ts";
import type { NotAsync } from "./functions.ts";
import { checkGoroutineFunction, Goroutine, genFlag, hostBody, resume, start } from "./goroutine.ts";
import { GPool } from "./gpool.ts";
import { type Clock, hostClock, hostTasks, type TaskQueue } from "./host.ts";
import { HostTimer } from "./hosttimer.ts";
import { LeakDetector } from "./leak.ts";
import { LeakSearch } from "./leak-search.ts";
import { LockWaits, longLockMs } from "./lock-waits.ts";
import { LongRuns } from "./longrun.ts";
import type { Operation } from "./op.ts";
import { bindClock, checkProcs, checkSeed, parseGodebug, type SchedulerOptions } from "./options.ts";
import { Program } from "./program.ts";
import {
  type AnyOp,
  type G,
  Gdead,
  GQueue,
  Grunnable,
  Grunning,
  gHost,
  gSystem,
  type Leak,
  type LongRun,
  type M,
  m0,
  P,
  type Schedt,
  type SchedulerHooks,
  type Sudog,
} from "./runtime2.ts";
import { SchedTrace } from "./schedtrace.ts";
import { type SelectCase, type SelectResultOf, selectgo } from "./select.ts";
import { CreationSites, siteText } from "./sites.ts";
import { GStacks } from "./stack-tree.ts";
import { syscallOp } from "./syscall.ts";
import {
  checkDuration,
  type Ticker,
  type Timer,
  timeAfterFunc,
  timeNewTicker,
  timeNewTimer,
  timeSleep,
} from "./time.ts";
import { type RuntimeTimer, TimerHeap } from "./timer-heap.ts";
import { creationSite, nameSystemFunc, stack } from "./traceback.ts";
import { yieldIfDue, yieldNow } from "./yield.ts";

/**
 * Time that goroutines run before the event loop gets its turn. The clock is read every `maxBatch` switches at worst, which, if
 * each takes half a millisecond for once, end 8 ms later: within the 10 ms of the promise. (Steps that grow to more than that in
 * the middle of a slice can miss it, once.) A turn of the event loop costs
 * microseconds, so a longer slice would gain little, a shorter one lose some tenths of a percent.
 */
const sliceMs = 2;
/** A goroutine that runs longer is worth a mark, and a `runnext` chain that lasts longer is broken. */
const forcePreemptMs = 10;
/** The same, counted in readings of the clock, for a clock that stands still. */
const chainReadsMax = 8192;
/** Aim of the adaptive clock reading, and bounds of the number of switches between readings. */
const readMs = 0.25;
const maxBatch = 16;
/** With so few a slice begins at most: what runs now may take longer steps than what ran in the slice before. */
const firstBatch = 2;
/** Every so many ticks the global queue comes first. A prime, so that it does not beat with anything. */
const globalTick = 61;
/** Go's int32. */
const maxProcs = 2 ** 31 - 1;
/** A countdown that does not end, while nobody wants latencies. */
const neverSample = 2 ** 30 - 1;
const idle = 0;
const scheduled = 1;
const running = 2;

export class Scheduler implements Schedt {
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
  /** Called with the goroutine that runs from now on, or null for host code. For profilers, while they sample. */
  onSwitch: ((g: G | null) => void) | null = null;
  /** Waits are timed and reported to `hooks.blockEvent`. */
  private blockProfile = false;

  readonly p: P;
  /** GOMAXPROCS. One thread uses one P; of the others only the number exists. */
  nprocs = 1;
  readonly globq = new GQueue();
  private readonly pool: GPool;
  private readonly leak: LeakDetector | null;
  private readonly leakSearch: LeakSearch;
  /** Goroutines found to be leaked: with `leakDetection`, and by searches. */
  readonly leaks: Leak[] = [];
  readonly timers = new TimerHeap();

  /** Goroutines of the user that exist. */
  ngoroutines = 0;
  /** Goroutines in a system call, and host sources kept open. */
  nsyscall = 0;
  /** Goroutines of the user in a system call. */
  nnotInGo = 0;
  /** Host code that awaits an op. */
  nhost = 0;
  /** Calls into native code. Go counts them on each M; here schedulers share one. */
  private ncgocall = 0;
  /** Where main was called last. */
  mainSite: StackHolder | null = null;
  /** Whether `close` was called. */
  closed = false;
  /** Seconds of the clock when it was last read. */
  coarseSec = 0;

  private readonly tasks: TaskQueue;
  private readonly program: Program;
  private readonly ends: Ends;
  private readonly trace: SchedTrace | null;
  private readonly startMs: number;
  private rng: number;
  private state = idle;
  private readonly counters: Float64Array;
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
  readonly lockWaits = new LockWaits();
  /** Switches until the clock is read. */
  private credit = 0;
  /** Switches between two readings of the clock: 1 where steps take long. */
  batch = 1;
  private tickAt = 0;
  private sliceEnd = 0;
  private lastTurn = Number.NEGATIVE_INFINITY;
  private chainTick = -1;
  private chainStart = 0;
  private chainReads = 0;
  /** The head of the global queue, and since when it has been that. */
  private globHead: G | null = null;
  private globSince = 0;
  private safepointRequested = false;
  private worldStopped = false;
  private readonly hostTimer: HostTimer;
  private readonly sites = new CreationSites();
  private readonly long: LongRuns;
  private readonly onTask = () => this.runSlice(true);
  private readonly onMicrotask = () => this.runSlice(false);

  constructor(options: SchedulerOptions = {}) {
    this.clock = { ...hostClock, ...bindClock(options.clock) };
    this.tasks = options.tasks ?? hostTasks;
    this.hooks = options.hooks ?? {};
    this.symbolize = options.symbolize;
    this.stacks = new GStacks(options.symbolize);
    this.stderr = options.stderr ?? writeStderr;
    const debug = parseGodebug(options.godebug);
    this.trace = debug.schedtrace > 0 ? new SchedTrace(this, debug.schedtrace, debug.scheddetail > 0) : null;
    this.long = new LongRuns(this, debug.sysmon > 0);
    this.seed = checkSeed(options.seed) >>> 0;
    // A xorshift generator must not start at 0, and small seeds give poor first values.
    this.rng = Math.imul(this.seed ^ 0x9e3779b9, 0x85ebca6b) | 1;
    this.startMs = this.clock.now();
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
    this.p = new P(0);
    this.counters = options.counters ?? new Float64Array(schedCountersLength);
    if (this.counters.length < schedCountersLength) {
      throw new RangeError(
        `scheduler: counters must have ${schedCountersLength} elements (got ${this.counters.length})`,
      );
    }
    this.latencies = options.latencies === undefined ? null : new LatencySampler(options.latencies);
    if (this.latencies === null) this.sampleLeft = neverSample;
    const mode = checkDeadlockMode(options.deadlock);
    const realTime = options.clock === undefined;
    this.program = new Program(this, this.pool, this.latencies, this.tasks, mode, realTime);
    this.ends = new Ends(this, this.pool, this.program, this.long);
    this.gomaxprocs(checkProcs(options.gomaxprocs));
  }

  // ---- goroutines ----

  /** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
  go<A extends readonly unknown[], R = unknown>(f: (...args: A) => NotAsync<R>, ...args: A): Goroutine;
  go(f: (...args: never[]) => unknown, arg?: unknown): Goroutine {
    // A rest parameter would be allocated for every goroutine; forwarded like this, the arguments are not.
    // biome-ignore lint/complexity/noArguments: see above
    const n = arguments.length - 1;
    if (n <= 1) return new Goroutine(this.newg(f, n, arg, this.go, null));
    // biome-ignore lint/complexity/noArguments: see above
    return this.goMany.apply(this, arguments as unknown as [never, ...unknown[]]);
  }

  private goMany(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
    return this.newproc(f, args, this.goMany);
  }

  /** As go; the creation site is the caller of `below`. `onExit` is called when the goroutine has ended. */
  newproc(
    f: (...args: never[]) => unknown,
    args: readonly unknown[],
    below: unknown,
    onExit: (() => void) | null = null,
  ): Goroutine {
    const n = args.length;
    return new Goroutine(this.newg(f, n, n === 1 ? args[0] : args, below, onExit));
  }

  /** Makes a goroutine and lets it run; `arg` is the argument, or for `n` > 1 all of them. */
  newg(
    f: (...args: never[]) => unknown,
    n: number,
    arg: unknown,
    below: unknown,
    onExit: (() => void) | null,
  ): G {
    const isGen = checkGoroutineFunction(f);
    if (this.closed) throw usedAfterClose("go");
    const g = this.leak === null ? this.pool.get() : this.pool.getWeak();
    g.fn = f;
    g.arg = n > 0 ? arg : undefined;
    g.nargs = isGen ? n | genFlag : n;
    g.onExit = onExit;
    if (this.leak !== null) {
      const site = capture(below, 4);
      g.site = site;
      // Known at once: until then a captured stack holds functions, and with them what they can reach.
      const createdBy = creationSite(g);
      this.leak.add(g, { goid: g.goid, func: f.name, site: siteText(createdBy), createdBy });
    }
    const parent = m0.curg;
    if (parent === null) {
      g.parentGoid = 0;
    } else {
      g.parentGoid = parent.goid;
      if (parent.labels !== null) g.labels = parent.labels;
    }
    if (this.leak === null) this.sites.record(g, f, below);
    this.gstarted(g);
    this.ready(g);
    return g;
  }

  /**
   * Starts a goroutine of the runtime itself: it is not counted, takes no part in a deadlock and outlives main. `name` is
   * its function's in dumps, such as `runtime.bgsweep`; the default is the function's own name as one of package main.
   */
  goSystem(f: () => unknown, name?: string): Goroutine {
    const isGen = checkGoroutineFunction(f);
    if (name !== undefined) nameSystemFunc(f, name);
    const g = this.pool.get();
    g.fn = f;
    g.nargs = isGen ? genFlag : 0;
    g.flags = gSystem;
    const h = new Goroutine(g);
    this.ready(g);
    return h;
  }

  /** Runs an op for host code. */
  goHost<T>(op: AnyOp<T>, resolve: (v: T) => void, reject: (e: unknown) => void): void {
    if (this.closed) {
      reject(usedAfterClose(`await of a ${op.what}`));
      return;
    }
    const g = this.pool.get();
    g.fn = hostBody;
    g.nargs = 3 | genFlag;
    g.arg = [op, resolve, reject];
    g.flags = gHost;
    this.gstarted(g);
    this.ready(g);
  }

  gstarted(g: G): void {
    if ((g.flags & (gSystem | gHost)) === 0) this.ngoroutines++;
    else if ((g.flags & gHost) !== 0) this.nhost++;
  }

  gended(g: G): void {
    if ((g.flags & (gSystem | gHost)) === 0) this.ngoroutines--;
    else if ((g.flags & gHost) !== 0) this.nhost--;
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

  /** Lets other goroutines run: `runtime.Gosched`. */
  gosched(): Operation<void> {
    return yieldNow(this);
  }

  /** Lets other goroutines run if this one has used up its time slice; for long loops: `yield* checkpoint()`. */
  checkpoint(): Operation<void> {
    return yieldIfDue(this);
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

  /** Counts the goroutines that exist, without those of the runtime itself. */
  numGoroutine(): number {
    return this.ngoroutines;
  }

  /** Sets the number of Ps if `n` >= 1, and returns the number before. One thread uses one of them. */
  gomaxprocs(n = 0): number {
    const old = this.nprocs;
    if (!Number.isInteger(n) || n > maxProcs) {
      throw wrongNumber("scheduler", n, `gomaxprocs must be an integer up to ${maxProcs}`);
    }
    if (n >= 1) this.nprocs = n;
    return old;
  }

  /** Ties the goroutine to its thread. There is one thread, so this shows in dumps only. Calls nest. */
  lockOSThread(): void {
    const g = m0.curg;
    if (g !== null) g.lockedCount++;
  }

  /** Undoes one call of `lockOSThread`. */
  unlockOSThread(): void {
    const g = m0.curg;
    if (g !== null && g.lockedCount > 0) g.lockedCount--;
  }

  /**
   * Waits for a promise, or for the result of an async function. Other goroutines run meanwhile. A function is called
   * in the host's context.
   */
  syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
    return syscallOp(this, work);
  }

  enterSyscall(g: G): void {
    this.nsyscall++;
    if ((g.flags & (gSystem | gHost)) === 0) this.nnotInGo++;
  }

  leaveSyscall(g: G): void {
    this.nsyscall--;
    if ((g.flags & (gSystem | gHost)) === 0) this.nnotInGo--;
  }

  /** Calls into native code or WebAssembly, and counts it. */
  cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
    this.ncgocall++;
    return f(...args);
  }

  /** Counts the calls of `cgocall`. */
  numCgoCall(): number {
    return this.ncgocall;
  }

  /**
   * Announces that host code will wake goroutines through callbacks. Until the function it returns has been called, waiting
   * goroutines are no deadlock, and the process stays alive while `main` runs. With `hold` false it does not: the source has a handle
   * of the host that keeps the process alive, or it can deliver only while something else does.
   */
  hostSource({ hold = true }: { hold?: boolean } = {}): () => void {
    this.nsyscall++;
    const { deadlock } = this.program;
    if (hold) deadlock.hold();
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.nsyscall--;
      if (hold) deadlock.release();
      if (this.state === idle) this.wake();
    };
  }

  // ---- channels, time ----

  /** Makes a channel of JavaScript values with room for `n` of them. */
  makeChan<T>(n = 0): Chan<T> {
    return makechan<T>(this, n);
  }

  /** Waits until one of the cases can proceed, and performs it. */
  select<const C extends readonly SelectCase[]>(cases: C): Operation<SelectResultOf<C>> {
    return selectgo(this, cases) as unknown as Operation<SelectResultOf<C>>;
  }

  /** Waits `ms` milliseconds. */
  sleep(ms: number): Operation<void> {
    return timeSleep(this, ms);
  }

  /** Returns a channel that receives the time, in ms since 1970, after `ms`. */
  after(ms: number): RecvChan<number> {
    return timeNewTimer(this, checkDuration("after", ms)).C!;
  }

  /** Makes a timer whose channel `C` receives the time, in ms since 1970, after `ms`. */
  newTimer(ms: number): Timer & { readonly C: RecvChan<number> } {
    return timeNewTimer(this, ms) as Timer & { readonly C: RecvChan<number> };
  }

  /** Makes a ticker whose channel `C` receives the time, in ms since 1970, every `ms`. */
  newTicker(ms: number): Ticker {
    return timeNewTicker(this, ms);
  }

  /** Calls `f` in a goroutine of its own after `ms`. */
  afterFunc<R>(ms: number, f: () => NotAsync<R>): Timer {
    return timeAfterFunc(this, ms, f);
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

  // ---- main ----

  /**
   * Runs `f` as the main goroutine. Resolves with its result when `f` has returned and every other goroutine has ended
   * with it. Rejects with a FatalError (deadlock, out of memory), or with the panic of any goroutine (a PanicError if
   * its value is no object).
   */
  main<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): Promise<T> {
    return this.mainBelow(f, this.main);
  }

  /** As main; reports show the caller of `below`, which is on the stack, as the place of `f`. */
  mainBelow<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>, below: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => this.startMain(f, resolve, reject, below));
  }

  /**
   * As mainBelow, with callbacks in place of the promise; exactly one is called, from the run loop.
   */
  startMain<T>(
    f: () => Generator<undefined, T, unknown> | T,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
    below: unknown = this.startMain,
  ): void {
    this.mainSite = capture(below, 4);
    this.ready(this.program.begin(f, resolve as (v: unknown) => void, reject));
  }

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

  // ---- for the facade ----

  get blockProfileEnabled(): boolean {
    return this.blockProfile;
  }

  set blockProfileEnabled(on: boolean) {
    this.blockProfile = on;
    if (this.state === running) this.shortPath(!on);
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

  /** The counters, brought up to date: see counters.ts. */
  readCounters(): Float64Array {
    return fillCounters(this.counters, this, this.pool.created);
  }

  /** A goroutine has left a lock's queue. Long waits all count, of the others those that were chosen to stand for more. */
  lockWaitOver(sg: Sudog, now?: number): void {
    const long = this.tickAt - sg.parkedAt > longLockMs;
    if (!long && sg.waits === 0) return;
    const ms = (now ?? this.clock.now()) - sg.parkedAt;
    this.counters[schedCounters.mutexWaitNs] += ms * (long ? 1 : sg.waits) * 1e6;
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

  /** Everything stands still already: one thread, and this is it. */
  stopTheWorld(_reason: string): void {
    if (this.worldStopped)
      throw new FatalError("throw", "ERR_GORT_WORLD_STOPPED", "stopTheWorld: world is already stopped");
    this.worldStopped = true;
  }

  startTheWorld(): void {
    this.worldStopped = false;
  }

  forEachG(fn: (g: G) => void): void {
    for (const g of this.gs()) if (g.atomicstatus !== Gdead) fn(g);
  }

  /** Marks of goroutines that ran for long, one a creation site. */
  get longRuns(): readonly LongRun[] {
    return this.long.list;
  }

  /** A new list of all Gs. */
  gs(): G[] {
    return this.pool.list();
  }

  /** The leaked goroutines that the engine has collected by now, without waiting for its finalizers. */
  findLeaks(): readonly Leak[] {
    this.leak?.sweep();
    return this.leaks;
  }

  /**
   * Lets the engine's collector take those of the goroutines waiting now that nothing can wake, until `endLeakSearch`. That has
   * to be called in a later turn of the event loop, once the collector has run; what it took is then in `leaks`.
   */
  beginLeakSearch(): void {
    if (this.leak !== null) return;
    this.sites.forget();
    this.leakSearch.begin();
  }

  endLeakSearch(): void {
    this.leakSearch.end();
  }

  /** Ended Gs that wait to be used again. */
  get gfreeCount(): number {
    return this.pool.freeCount;
  }

  /** When the clock was last read between two goroutines, in ms: where a safepoint that is asked for is run. */
  get lastSafepoint(): number {
    return this.tickAt;
  }

  getg(): G | null {
    return m0.curg;
  }

  /** `runtime.Stack`: writes the dump of the calling goroutine, or of all, and returns the bytes written. */
  stack(buf: Uint8Array | null, all: boolean): number {
    return stack(this, buf, all, this.stack);
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

  /** Whether nothing can run now: no goroutine is running or runnable. */
  get isIdle(): boolean {
    return this.state === idle;
  }

  // ---- the loop ----

  private wake(): void {
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
    this.chainTick = ~p.schedtick;
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

  /** Fires the timers that are due now; returns whether that made a goroutine runnable. */
  private fireDue(p: P): boolean {
    if (this.timers.nextWhen === Infinity) return false;
    const now = this.clock.now();
    if (this.timers.nextWhen > now) return false;
    this.timers.run(now);
    return p.runnext !== null || p.runqLength > 0 || this.globq.size > 0;
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

  /** Seconds since the start, of a clock that may go back: `waitsince` has no use for less than 0. */
  private wholeSec(now: number): number {
    return Math.max(0, Math.floor((now - this.startMs) / 1000));
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
    const p = this.p;
    if (p.schedtick !== this.chainTick) {
      this.chainTick = p.schedtick;
      this.chainStart = now;
      this.chainReads = 0;
    } else if (now - this.chainStart >= forcePreemptMs || ++this.chainReads >= chainReadsMax) {
      this.chainStart = now;
      this.chainReads = 0;
      if (p.runnext !== null) {
        this.globq.pushBack(p.runnext);
        p.runnext = null;
      }
    }
    const { head } = this.globq;
    if (head !== this.globHead) {
      this.globHead = head;
      this.globSince = now;
    } else if (head !== null && now - this.globSince >= forcePreemptMs) {
      this.globHead = null;
      p.runqput(this.globq.pop()!, false, this.globq);
    }
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

  private sampleSoon(): void {
    this.yieldsLeft = shortPeriod;
    if (this.countdown > 0) this.countdown = shortPeriod;
    else this.sampleLeft = shortPeriod;
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
}

export function createScheduler(options: SchedulerOptions = {}): Scheduler {
  return new Scheduler(options);
}
