/**
 * The program: main, and how it ends. When main's goroutine returns, all others end with it. The same happens at a
 * panic or a fatal error in any goroutine.
 *
 * With several threads, main is on M 0. Another thread has the option `onCrash`, and its program ends as follows:
 *
 *     main returns, or M 0 crashes        hooks.programEnd   the facade calls `endProgram` on the other threads
 *     a goroutine crashes there           onCrash            the facade calls `crashFrom` on M 0: as above
 */

import { type FatalError, isFatalError } from "@gort/base";
import type { LatencySampler } from "./counters.ts";
import { checkDeadlockMode, DeadlockDetector, type Main } from "./deadlock.ts";
import { usedAfterClose } from "./errors.ts";
import { checkGoroutineFunction, GEN_FLAG, type HostArgs } from "./goroutine.ts";
import type { GPool } from "./gpool.ts";
import type { TaskQueue } from "./host.ts";
import { cancelWait } from "./op.ts";
import type { SchedulerOptions } from "./options.ts";
import { panicError, printpanicval } from "./panic.ts";
import { type G, G_HOST, G_MAIN, G_SYSTEM, Gdead, Grunning, type Schedt } from "./runtime2.ts";
import { fatalReport, setCrashReport } from "./traceback.ts";
import { reportUnhandled } from "./unhandled.ts";

/** Codes of the errors that say that a thread has ended without leaving, or that what threads share is broken. */
const LOSSES = new Set(["ERR_GORT_LOCK", "ERR_GORT_THREAD_ENDED", "ERR_GORT_WORKER_LOST", "ERR_GORT_THROW"]);

export class Program {
  /** The program, while it runs. */
  main: Main | null = null;
  /** The error that ends the program as soon as the running goroutine suspends. */
  dying: FatalError | null = null;
  /**
   * One of several threads has ended without leaving, or the shared memory is broken. Until the next program, errors of
   * that kind and those of broken internals follow from it, and are not reported again. An error of a goroutine's own,
   * such as the unlock of an unlocked mutex, does not follow from it.
   */
  private lost = false;
  /** Whether the scheduler is closed, so that no program can begin. */
  closed = false;
  private readonly sched: Schedt;
  private readonly pool: GPool;
  private readonly latencies: LatencySampler | null;
  private readonly tasks: TaskQueue;
  /** Passes a crash on to M 0; null on M 0. */
  private readonly onCrash: NonNullable<SchedulerOptions["onCrash"]> | null;
  readonly deadlock: DeadlockDetector;

  constructor(
    sched: Schedt,
    pool: GPool,
    latencies: LatencySampler | null,
    tasks: TaskQueue,
    options: SchedulerOptions,
  ) {
    this.sched = sched;
    this.pool = pool;
    this.latencies = latencies;
    this.tasks = tasks;
    this.onCrash = options.onCrash ?? null;
    const realTime = options.clock === undefined;
    this.deadlock = new DeadlockDetector(
      sched,
      checkDeadlockMode(options.deadlock),
      tasks,
      () => this.main,
      (e) => this.fault(e),
      realTime,
    );
  }

  /**
   * Begins a program. Returns the goroutine of `f`, to be made runnable. Exactly one of the callbacks will be called.
   */
  begin(
    f: (...args: never[]) => unknown,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ): G {
    const isGen = checkGoroutineFunction(f);
    if (this.main !== null) throw new Error("scheduler: main is already running");
    if (this.closed) throw new Error("scheduler: main after close");
    if (this.onCrash !== null) throw new Error("scheduler: main on a thread that has onCrash");
    this.sched.hooks.programBegin?.();
    // The hook refuses a program if a thread was lost.
    this.lost = false;
    this.main = { resolve, reject, exited: false };
    this.deadlock.begin();
    const g = this.pool.getMain();
    g.fn = f;
    g.nargs = isGen ? GEN_FLAG : 0;
    g.flags = G_MAIN;
    this.sched.gstarted(g);
    return g;
  }

  /** Main's goroutine has ended by goexit. The program goes on until the others have ended. */
  exited(): void {
    this.main!.exited = true;
  }

  /** Main's goroutine has returned: ends the program. */
  returned(value: unknown): void {
    const main = this.main!;
    this.end();
    this.killAll();
    try {
      this.sched.hooks.programEnd?.();
    } catch (e) {
      main.reject(e);
      return;
    }
    main.resolve(value);
  }

  /** The program has ended on another thread: ends the goroutines of this one. */
  endHere(): void {
    this.dying = null;
    this.lost = false;
    this.killAll();
  }

  /** Ends the program and all goroutines, also the runtime's. */
  close(): void {
    this.closed = true;
    const { main } = this;
    this.end();
    this.killAll(G_SYSTEM | G_HOST);
    main?.reject(new Error("scheduler: closed"));
  }

  /** Ends the program with `error`, a panic or a fatal error. `text` is the report. */
  crash(error: unknown, text: string): void {
    const e = typeof error === "object" && error !== null ? error : panicError(error);
    setCrashReport(e, text);
    // The end of the goroutines below may find a loss, but not one that `e` follows from.
    const { main, lost } = this;
    this.end();
    this.killAll();
    this.dying = null;
    const loss = isFatalError(e) && LOSSES.has(e.code);
    const follows = lost && main === null && isFatalError(e) && (loss || e.kind === "throw");
    if (loss && this.sched.link !== null) this.lost = true;
    if (follows) return;
    if (this.onCrash !== null) {
      this.onCrash(e, text);
      return;
    }
    try {
      this.sched.hooks.programEnd?.();
    } catch {
      // The program ends with `e` in any case.
    }
    const reported = reportUnhandled(e, text, this.sched.stderr, main === null);
    if (main !== null) {
      main.reject(e);
      return;
    }
    // There is no main to reject: the host's handler of uncaught errors gets `e`, also if `stderr` throws below.
    this.tasks.task(() => {
      throw e;
    });
    if (!reported) this.sched.stderr(text);
  }

  /** Ends the program with an exception that is no goroutine's. */
  fault(e: unknown): void {
    this.crash(e, isFatalError(e) ? fatalReport(this.sched, null, e, true) : `panic: ${printpanicval(e)}\n`);
  }

  /** Called when no goroutine can run. */
  checkdead(): void {
    this.deadlock.checkdead();
  }

  private end(): void {
    this.main = null;
    this.deadlock.end();
  }

  /** Ends the goroutines of the user and of `kinds`. As at the end of a process, none of their code runs again. */
  private killAll(kinds = 0): void {
    const { p, globq } = this.sched;
    const keep: G[] = [];
    this.takeRunnable(keep);
    const spared = (G_SYSTEM | G_HOST) & ~kinds;
    for (const g of this.pool.list()) {
      if (g.atomicstatus !== Gdead && (g.flags & spared) === 0) this.kill(g);
    }
    // A goroutine that gave up its wait for a lock in shared memory may have passed the lock on.
    this.takeRunnable(keep);
    for (const g of keep) if (g.atomicstatus !== Gdead) p.runqput(g, false, globq);
  }

  /** Moves all goroutines from the run queues to the end of `list`. */
  private takeRunnable(list: G[]): void {
    const { p, globq } = this.sched;
    if (p.runnext !== null) list.push(p.runnext);
    p.runnext = null;
    for (let g = p.runqget(); g !== null; g = p.runqget()) list.push(g);
    for (let g = globq.pop(); g !== null; g = globq.pop()) list.push(g);
  }

  private kill(g: G): void {
    const { sched } = this;
    const { gen } = g;
    const host = (g.flags & G_HOST) !== 0 && g.atomicstatus !== Grunning;
    const reject = host && gen === null ? (g.arg as HostArgs | undefined)?.[2] : undefined;
    this.inSpiteOf(() => cancelWait(g));
    if (g.rootLo !== 0) this.inSpiteOf(() => sched.hooks.gExit?.(g));
    if (g.lockedCount !== 0) this.inSpiteOf(() => sched.unlock(g));
    sched.gended(g);
    if (g.tracking !== 0) this.latencies!.drop(g);
    this.pool.put(g, true);
    // hostBody rejects the promise of the host code.
    if (reject !== undefined) reject(usedAfterClose("await"));
    else if (host && gen !== null) gen.return?.(undefined);
  }

  /**
   * A step in the end of a goroutine. Another thread may have died with a lock that it takes: the others end all the
   * same.
   */
  private inSpiteOf(step: () => void): void {
    try {
      step();
    } catch (e) {
      if (!isFatalError(e)) throw e;
      this.lost = this.sched.link !== null;
    }
  }
}
