/**
 * The program: main, and how it ends. With its goroutine all others end, and so they do with a panic or a fatal error in any
 * goroutine; the essay of proc.ts says what counts as one.
 */

import { type FatalError, isFatalError } from "@gort/base";
import type { LatencySampler } from "./counters.ts";
import { DeadlockDetector, type DeadlockMode, type Main } from "./deadlock.ts";
import { usedAfterClose } from "./errors.ts";
import { checkGoroutineFunction, genFlag, type HostArgs } from "./goroutine.ts";
import type { GPool } from "./gpool.ts";
import type { TaskQueue } from "./host.ts";
import { cancelWait } from "./op.ts";
import { panicError, printpanicval } from "./panic.ts";
import { type G, Gdead, Grunning, gHost, gMain, gSystem, type Schedt } from "./runtime2.ts";
import { fatalReport, setCrashReport } from "./traceback.ts";
import { reportUnhandled } from "./unhandled.ts";

export class Program {
  /** While it runs. */
  main: Main | null = null;
  /** The fault that ends it as soon as the running goroutine suspends. */
  dying: FatalError | null = null;
  /** No other can begin. */
  closed = false;
  private readonly sched: Schedt;
  private readonly pool: GPool;
  private readonly latencies: LatencySampler | null;
  private readonly tasks: TaskQueue;
  readonly deadlock: DeadlockDetector;

  constructor(
    sched: Schedt,
    pool: GPool,
    latencies: LatencySampler | null,
    tasks: TaskQueue,
    mode: DeadlockMode,
    realTime: boolean,
  ) {
    this.sched = sched;
    this.pool = pool;
    this.latencies = latencies;
    this.tasks = tasks;
    this.deadlock = new DeadlockDetector(
      sched,
      mode,
      tasks,
      () => this.main,
      (e) => this.fault(e),
      realTime,
    );
  }

  /** Returns the goroutine of `f`, which is to be made runnable. Exactly one of the callbacks will be called. */
  begin(
    f: (...args: never[]) => unknown,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ): G {
    const isGen = checkGoroutineFunction(f);
    if (this.main !== null) throw new Error("scheduler: main is already running");
    if (this.closed) throw new Error("scheduler: main after close");
    this.main = { resolve, reject, exited: false };
    this.deadlock.begin();
    const g = this.pool.getMain();
    g.fn = f;
    g.nargs = isGen ? genFlag : 0;
    g.flags = gMain;
    this.sched.gstarted(g);
    return g;
  }

  /** Its goroutine has ended by goexit: the program goes on until the others have ended. */
  exited(): void {
    this.main!.exited = true;
  }

  /** Its goroutine has returned. */
  returned(value: unknown): void {
    const main = this.main!;
    this.end();
    this.killAll();
    main.resolve(value);
  }

  /** Ends it, and all other goroutines, those of the runtime too. */
  close(): void {
    this.closed = true;
    const { main } = this;
    this.end();
    this.killAll(gSystem | gHost);
    main?.reject(new Error("scheduler: closed"));
  }

  /** Ends it with `error`, a panic or a fatal error; `text` is the report. */
  crash(error: unknown, text: string): void {
    const e = typeof error === "object" && error !== null ? error : panicError(error);
    setCrashReport(e, text);
    const { main } = this;
    this.end();
    this.killAll();
    this.dying = null;
    const reported = reportUnhandled(e, text, this.sched.stderr, main === null);
    if (main !== null) {
      main.reject(e);
      return;
    }
    // No main to tell: the host's handler of uncaught errors decides, also if `stderr` fails.
    this.tasks.task(() => {
      throw e;
    });
    if (!reported) this.sched.stderr(text);
  }

  /** Ends it with a fault that is no goroutine's. */
  fault(e: unknown): void {
    this.crash(e, isFatalError(e) ? fatalReport(this.sched, null, e, true) : `panic: ${printpanicval(e)}\n`);
  }

  /** Called when nothing can run. */
  checkdead(): void {
    if (this.main !== null) this.deadlock.checkdead();
  }

  private end(): void {
    this.main = null;
    this.deadlock.end();
  }

  /** Ends the goroutines of the user and of `kinds`, as the end of the process does: nothing of them runs any more. */
  private killAll(kinds = 0): void {
    const { sched } = this;
    const { p, globq } = sched;
    const keep: G[] = [];
    if (p.runnext !== null) keep.push(p.runnext);
    p.runnext = null;
    for (let g = p.runqget(); g !== null; g = p.runqget()) keep.push(g);
    for (let g = globq.pop(); g !== null; g = globq.pop()) keep.push(g);
    const spared = (gSystem | gHost) & ~kinds;
    for (const g of this.pool.list()) {
      if (g.atomicstatus !== Gdead && (g.flags & spared) === 0) this.kill(g);
    }
    for (const g of keep) if (g.atomicstatus !== Gdead) p.runqput(g, false, globq);
  }

  private kill(g: G): void {
    const { sched } = this;
    const { gen } = g;
    const host = (g.flags & gHost) !== 0 && g.atomicstatus !== Grunning;
    const reject = host && gen === null ? (g.arg as HostArgs | undefined)?.[2] : undefined;
    cancelWait(g);
    if (g.rootLo !== 0) sched.hooks.gExit?.(g);
    sched.gended(g);
    if (g.tracking !== 0) this.latencies!.drop(g);
    this.pool.put(g, true);
    // Host code learns that its wait is over: hostBody rejects its promise.
    if (reject !== undefined) reject(usedAfterClose("await"));
    else if (host && gen !== null) gen.return?.(undefined);
  }
}
