/**
 * The scheduler as programs and the facade know it: methods on top of the run loop (proc.ts). scripts/functions.mjs
 * derives the functions of the package (default.generated.ts) from them.
 */

import { FatalError, wrongNumber } from "@gort/base";
import { makechan } from "./chan.ts";
import type { Chan, RecvChan } from "./chan-types.ts";
import { usedAfterClose } from "./errors.ts";
import { capture, type Frame, type StackHolder } from "./frames.ts";
import type { NotAsync } from "./functions.ts";
import { checkGoroutineFunction, GEN_FLAG, Goroutine, hostBody } from "./goroutine.ts";
import type { Operation } from "./op.ts";
import { checkProcs, ONE_PROC, type SchedulerOptions } from "./options.ts";
import { RunLoop } from "./proc.ts";
import { type AnyOp, type G, G_HOST, G_SYSTEM, Gdead, type Leak, type LongRun, m0 } from "./runtime2.ts";
import { selectgo } from "./select.ts";
import type { SelectCase, SelectResultOf } from "./select-case.ts";
import { siteText } from "./sites.ts";
import { syscallOp } from "./syscall.ts";
import type { TaskOrigin } from "./thread-link.ts";
import {
  checkDuration,
  type Ticker,
  type Timer,
  timeAfterFunc,
  timeNewTicker,
  timeNewTimer,
  timeSleep,
} from "./time.ts";
import { creationSite, knownSite, nameSystemFunc, stack } from "./traceback.ts";
import { yieldIfDue, yieldNow } from "./yield.ts";

/** Largest GOMAXPROCS: Go's type is int32. */
const MAX_PROCS = 2 ** 31 - 1;

export class Scheduler extends RunLoop {
  /** Captured stack of the last call of main. */
  mainSite: StackHolder | null = null;
  private worldStopped = false;
  /** The limit of GOMAXPROCS, and whether the user was told. */
  private readonly procs: NonNullable<SchedulerOptions["procs"]>;
  private procsTold = false;

  constructor(options: SchedulerOptions = {}) {
    super(options);
    this.procs = options.procs ?? ONE_PROC;
    this.gomaxprocs(checkProcs(options.gomaxprocs));
  }

  // ---- goroutines ----

  /** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
  go<A extends readonly unknown[], R = unknown>(f: (...args: A) => NotAsync<R>, ...args: A): Goroutine;
  go(f: (...args: never[]) => unknown, arg?: unknown): Goroutine {
    // A rest parameter would allocate an array for each goroutine. `arguments` does not if it is forwarded like this.
    // biome-ignore lint/complexity/noArguments: see above
    const n = arguments.length - 1;
    if (n <= 1) return new Goroutine(this.newg(f, n, arg, this.go, null));
    // biome-ignore lint/complexity/noArguments: see above
    return this.goMany.apply(this, arguments as unknown as [never, ...unknown[]]);
  }

  private goMany(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
    return this.newproc(f, args, this.goMany);
  }

  /** As `go`. The creation site is the caller of `below`. `onExit` is called when the goroutine has ended. */
  newproc(
    f: (...args: never[]) => unknown,
    args: readonly unknown[],
    below: unknown,
    onExit: (() => void) | null = null,
  ): Goroutine {
    const n = args.length;
    return new Goroutine(this.newg(f, n, n === 1 ? args[0] : args, below, onExit));
  }

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
    g.nargs = isGen ? n | GEN_FLAG : n;
    g.onExit = onExit;
    if (this.leak !== null) {
      const site = capture(below, 4);
      g.site = site;
      // Read the site at once: an unread capture holds functions, and so everything that they can reach.
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

  /** The place of the caller of `below`, which starts a task with the function `f`; null if captures cost too much. */
  taskSite(f: unknown, below: unknown): Frame | null {
    const g = { site: null, sched: this } as unknown as G;
    this.sites.record(g, f, below);
    return creationSite(g);
  }

  /** Reserves the number of a task: a goroutine that `startTask` starts on some thread. */
  newGoid(): number {
    return this.pool.newGoid();
  }

  /** Starts the goroutine of a task. It enters the ring at its tail, as one that host code starts. */
  startTask(f: (...args: never[]) => unknown, args: readonly unknown[], task: TaskOrigin): G {
    const isGen = checkGoroutineFunction(f);
    if (this.closed) throw usedAfterClose("go");
    const n = args.length;
    const g = this.pool.take();
    g.goid = task.goid;
    g.fn = f;
    g.arg = n === 1 ? args[0] : args;
    g.nargs = isGen ? n | GEN_FLAG : n;
    g.parentGoid = task.parentGoid;
    g.site = knownSite(task.site);
    g.labels = task.labels ?? null;
    g.onExit = task.onExit ?? null;
    this.gstarted(g);
    this.readySlow(g, false);
    return g;
  }

  /**
   * Starts a goroutine of the runtime itself: it is not counted, takes no part in a deadlock and outlives main. Dumps
   * show `name`, such as `runtime.bgsweep`. The default is the function's own name, as one of package main.
   */
  goSystem(f: () => unknown, name?: string): Goroutine {
    const isGen = checkGoroutineFunction(f);
    if (name !== undefined) nameSystemFunc(f, name);
    const g = this.pool.get();
    g.fn = f;
    g.nargs = isGen ? GEN_FLAG : 0;
    g.flags = G_SYSTEM;
    const h = new Goroutine(g);
    this.ready(g);
    return h;
  }

  goHost<T>(op: AnyOp<T>, resolve: (v: T) => void, reject: (e: unknown) => void): void {
    if (this.closed) {
      reject(usedAfterClose(`await of a ${op.what}`));
      return;
    }
    const g = this.pool.get();
    g.fn = hostBody;
    g.nargs = 3 | GEN_FLAG;
    g.arg = [op, resolve, reject];
    g.flags = G_HOST;
    this.gstarted(g);
    this.ready(g);
  }

  /** Counts the goroutines that exist, on all threads, without those of the runtime itself. */
  numGoroutine(): number {
    return this.link === null ? this.ngoroutines : this.ngoroutines + this.link.goroutines;
  }

  /**
   * Sets the number of Ps, that is of threads that run goroutines at the same time, and returns the number before. If
   * `n` < 1 it changes nothing. If the host has fewer threads, the number is lower, and a line on standard error says
   * so once. With several threads, a change stops the world and is a safepoint.
   */
  gomaxprocs(n = 0): number {
    const old = this.nprocs;
    if (!Number.isInteger(n) || n > MAX_PROCS) {
      throw wrongNumber("scheduler", n, `gomaxprocs must be an integer up to ${MAX_PROCS}`);
    }
    if (n < 1) return old;
    const { max, why } = this.procs;
    const procs = Math.min(n, max);
    if (n > max && !this.procsTold) {
      this.procsTold = true;
      this.stderr(`gort: gomaxprocs is ${max}, not ${n}: ${why}\n`);
    }
    if (procs !== old) {
      if (this.link === null) this.ownProcs = procs;
      else this.link.setGomaxprocs(procs);
    }
    return old;
  }

  /**
   * Ties the goroutine to its thread, which from then on takes no tasks of other threads. Calls nest. The end of the
   * goroutine undoes them all.
   */
  lockOSThread(): void {
    const g = m0.curg;
    if (g !== null && g.lockedCount++ === 0) this.countLocks(1);
  }

  /** Undoes one call of `lockOSThread`. */
  unlockOSThread(): void {
    const g = m0.curg;
    if (g !== null && g.lockedCount > 0 && --g.lockedCount === 0) this.unlock(g);
  }

  /** Lets other goroutines run: `runtime.Gosched`. */
  gosched(): Operation<void> {
    return yieldNow(this);
  }

  /** Lets other goroutines run if this one has used up its time slice; for long loops: `yield* checkpoint()`. */
  checkpoint(): Operation<void> {
    return yieldIfDue(this);
  }

  /**
   * Waits for a promise, or for the result of an async function. Other goroutines run meanwhile. A function is called
   * in the host's context.
   */
  syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
    return syscallOp(this, work);
  }

  /** Calls into native code or WebAssembly, and counts it. */
  cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
    this.ncgocall++;
    return f(...args);
  }

  /** Counts the calls of `cgocall` on all threads. On others, those of the slice that runs may be missing. */
  numCgoCall(): number {
    return this.link === null ? this.ncgocall : this.ncgocall + this.link.cgoCalls;
  }

  /**
   * Announces a source: host code that will wake goroutines through callbacks. Until the returned function is called,
   * waiting goroutines are no deadlock. With `hold` the process also stays alive while `main` runs. Pass `hold: false`
   * if a handle of the source keeps the process alive, or if the source can deliver only while something else does.
   */
  hostSource({ hold = true }: { hold?: boolean } = {}): () => void {
    this.nsyscall++;
    this.hopesChanged();
    const { deadlock } = this.program;
    if (hold) deadlock.hold();
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.nsyscall--;
      if (hold) deadlock.release();
      this.wake();
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

  // ---- main ----

  /**
   * Runs `f` as the main goroutine. Resolves with its result when `f` has returned and every other goroutine has ended
   * with it. Rejects with a FatalError (deadlock, out of memory), or with the panic of any goroutine (a PanicError if
   * its value is no object).
   */
  main<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): Promise<T> {
    return this.mainBelow(f, this.main);
  }

  /** As `main`. Reports show the caller of `below`, which is on the stack, as the place of `f`. */
  mainBelow<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>, below: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => this.startMain(f, resolve, reject, below));
  }

  /** As `mainBelow`, with callbacks in place of the promise. The run loop calls exactly one. */
  startMain<T>(
    f: () => Generator<undefined, T, unknown> | T,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
    below: unknown = this.startMain,
  ): void {
    this.mainSite = capture(below, 4);
    this.ready(this.program.begin(f, resolve as (v: unknown) => void, reject));
  }

  // ---- for the facade ----

  /**
   * Stops the other threads at their next safepoint. Returns when all have stopped. On one thread it only checks that
   * calls alternate with startTheWorld.
   */
  stopTheWorld(reason: string): void {
    if (this.worldStopped)
      throw new FatalError("throw", "ERR_GORT_WORLD_STOPPED", "stopTheWorld: world is already stopped");
    this.link?.stopTheWorld(reason);
    this.worldStopped = true;
  }

  startTheWorld(): void {
    this.worldStopped = false;
    this.link?.startTheWorld();
  }

  /** A new list of all Gs of this thread. */
  gs(): G[] {
    return this.pool.list();
  }

  /** Calls `fn` with each G of this thread that is not dead. */
  forEachG(fn: (g: G) => void): void {
    for (const g of this.gs()) if (g.atomicstatus !== Gdead) fn(g);
  }

  /** Ended Gs that wait to be used again. */
  get gfreeCount(): number {
    return this.pool.freeCount;
  }

  /** Goroutines that ran for long, at most one for each creation site. */
  get longRuns(): readonly LongRun[] {
    return this.long.list;
  }

  /**
   * The leaked goroutines that the engine has collected so far, also those of which it has not called the finalizer
   * yet.
   */
  findLeaks(): readonly Leak[] {
    this.leak?.sweep();
    return this.leaks;
  }

  /**
   * Lets the engine's collector take the waiting goroutines that nothing can wake, until `endLeakSearch`. Call that in
   * a later turn of the event loop, once the collector has run. The collected goroutines are then in `leaks`.
   */
  beginLeakSearch(): void {
    if (this.leak !== null) return;
    this.sites.forget();
    this.leakSearch.begin();
  }

  endLeakSearch(): void {
    this.leakSearch.end();
  }

  getg(): G | null {
    return m0.curg;
  }

  /**
   * `runtime.Stack`: writes the dump of the calling goroutine, or of all, and returns the bytes written. With several
   * threads, the dump of all is a safepoint.
   */
  stack(buf: Uint8Array | null, all: boolean): number {
    return stack(this, buf, all, this.stack);
  }
}

export function createScheduler(options: SchedulerOptions = {}): Scheduler {
  return new Scheduler(options);
}
