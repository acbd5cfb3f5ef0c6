/**
 * Deadlock detection: decides when no goroutine can ever run again while `main` still waits.
 *
 * Goroutines wait for callbacks of the host (timers, sockets, signals, promises) without announcing it. These callbacks
 * are to us what the network poller is to Go. So the scheduler alone cannot tell a deadlock from a program that waits
 * for a request. The mode says which evidence is enough:
 *
 *     certain   The event loop is about to end while no goroutine is runnable (Node's "beforeExit"). No callback is
 *               left that could wake one.
 *     eager     No goroutine is runnable or sleeps, no system call or host source is open, and no host code awaits an
 *               op. This is right at once for a program that uses no callbacks of the host, and wrong for all others.
 *     warn      As certain. Also, a program that looks dead in the sense of "eager" for `WARN_MS` gets one dump of all
 *               goroutines.
 *     off       No verdict.
 *
 * A page of a browser never ends its event loop, so there "certain" never ends a program.
 *
 * The end of the event loop, in steps:
 *   1. At the first "beforeExit" without a runnable goroutine, the detector forces one more turn of the loop. Another
 *      listener of that event may have begun work that wakes a goroutine.
 *   2. At the next "beforeExit", if no goroutine has run in between, the verdict is final.
 *
 * With several threads, M 0 decides for all:
 *
 *   - "eager" also wants that no other thread runs or has hopes: no timer, system call, host source or awaited op.
 *   - "certain" also wants that no other thread runs, and that no other event loop holds a handle of the host. M 0
 *     stays alive as long as that is not so: a thread that works keeps the process alive, not only a program's.
 *   - M 0 sleeps meanwhile. Its link wakes it when another thread stops running or loses its hopes or handles, and then
 *     it looks again. Before the verdict it looks exactly.
 *
 * A source that holds no handle of the host, such as a signal's listener, would let the loop end although it can
 * deliver. `hold` keeps the loop alive for it while `main` runs.
 */

import { FatalError } from "@gort/base";
import { type NodeProcess, nodeProcess, type TaskQueue } from "./host.ts";
import type { Schedt } from "./runtime2.ts";
import { THREADS_HANDLES, THREADS_HOPE, THREADS_RUN } from "./thread-link.ts";
import { dumpOthers } from "./traceback.ts";

/** The running program. */
export interface Main {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Its goroutine has ended by goexit. The program goes on until the others have ended. */
  exited: boolean;
}

/** Which evidence ends a program as deadlocked: see the head of deadlock.ts. */
export type DeadlockMode = "certain" | "eager" | "warn" | "off";

const modes: readonly DeadlockMode[] = ["certain", "eager", "warn", "off"];

/**
 * Time that a program looks dead before the warning, in ms: longer than most waits at a start, short enough to be seen.
 */
const WARN_MS = 5000;
/** The longest delay of the host's timers, in ms. */
const LONGEST_MS = 0x7fffffff;

const eagerHint =
  'gort: this verdict is early (deadlock: "eager"). ' +
  'If a callback of the host can wake a goroutine, use deadlock: "certain".';

/** Checks the option `deadlock` of `owner`. */
export function checkDeadlockMode(mode: unknown, owner = "scheduler"): DeadlockMode {
  if (mode === undefined) return "certain";
  if (modes.includes(mode as DeadlockMode)) return mode as DeadlockMode;
  const fault = `${owner}: deadlock must be one of ${modes.map((m) => `"${m}"`).join(", ")} (got ${String(mode)})`;
  throw typeof mode === "string" ? new RangeError(fault) : new TypeError(fault);
}

export class DeadlockDetector {
  readonly mode: DeadlockMode;
  private readonly sched: Schedt;
  private readonly tasks: TaskQueue;
  /** The program, while it runs. */
  private readonly main: () => Main | null;
  /** Ends the program. */
  private readonly crash: (e: FatalError) => void;
  /** Whether time is the host's: under virtual time a source does not keep the process alive. */
  private readonly realTime: boolean;
  /** The process whose end is watched, while the program runs. */
  private watched: NodeProcess | null = null;
  /** Ticks of the scheduler at the last "beforeExit". -1: no "beforeExit" since the program began. */
  private endTick = -1;
  /** Open sources without a handle of the host. */
  private holders = 0;
  /** A timer that keeps the event loop alive for them. */
  private handle: ReturnType<typeof setInterval> | null = null;
  private warnTimer: unknown = null;
  private warned = false;

  constructor(
    sched: Schedt,
    mode: DeadlockMode,
    tasks: TaskQueue,
    main: () => Main | null,
    crash: (e: FatalError) => void,
    realTime: boolean,
  ) {
    this.sched = sched;
    this.mode = mode;
    this.tasks = tasks;
    this.main = main;
    this.crash = crash;
    this.realTime = realTime;
  }

  /** The program begins. */
  begin(): void {
    this.warned = false;
    this.endTick = -1;
    if (this.mode === "off") return;
    this.watched = nodeProcess() ?? null;
    this.watched?.on("beforeExit", this.onBeforeExit);
    this.keepAlive();
  }

  /** The program has ended. */
  end(): void {
    this.watched?.off("beforeExit", this.onBeforeExit);
    this.watched = null;
    this.cancelWarning();
    this.keepAlive();
  }

  /** Opens a source that holds no handle of the host, until `release`. */
  hold(): void {
    this.holders++;
    this.keepAlive();
  }

  release(): void {
    this.holders--;
    this.keepAlive();
  }

  /** Keeps the process alive, or no longer. `others`: other threads may still run goroutines. */
  private keepAlive(others = this.othersAct(THREADS_RUN | THREADS_HANDLES, false)): void {
    const held = this.holders > 0 && this.watched !== null;
    const needed = this.realTime && !this.sched.closed && (held || others);
    if (needed === (this.handle !== null)) return;
    if (needed) {
      this.handle = setInterval(() => {}, LONGEST_MS);
    } else {
      clearInterval(this.handle!);
      this.handle = null;
    }
  }

  /** Whether another thread does something of `what`. */
  private othersAct(what: number, exact: boolean): boolean {
    const { link } = this.sched;
    return link !== null && link.m === 0 && (link.activityOfOthers(exact) & what) !== 0;
  }

  /** Whether no goroutine can run, and nothing that the schedulers know of can wake one. */
  private looksDead(exact: boolean): boolean {
    const s = this.sched;
    return s.isIdle && this.main() !== null && !s.hopes && !this.othersAct(THREADS_RUN | THREADS_HOPE, exact);
  }

  /** Called when no goroutine can run. */
  checkdead(): void {
    if (this.sched.link !== null) this.keepAlive();
    if (this.main() === null) return;
    if (this.mode === "eager") {
      if (this.looksDead(false)) {
        this.tasks.task(() => {
          if (this.looksDead(true)) this.dead();
        });
      }
    } else if (this.mode === "warn" && !this.warned) {
      this.cancelWarning();
      if (this.looksDead(false)) this.warnTimer = this.sched.clock.setTimer(this.warn, WARN_MS, false);
    }
  }

  private cancelWarning(): void {
    if (this.warnTimer !== null) this.sched.clock.clearTimer(this.warnTimer);
    this.warnTimer = null;
  }

  private readonly warn = (): void => {
    this.warnTimer = null;
    if (!this.looksDead(true)) return;
    this.warned = true;
    const seconds = WARN_MS / 1000;
    this.sched.stderr(
      `scheduler: all goroutines have been asleep for ${seconds} s: ` +
        "a deadlock, unless a callback of the host wakes one\n\n" +
        dumpOthers(this.sched, null),
    );
  };

  private readonly onBeforeExit = (): void => {
    const s = this.sched;
    if (!s.isIdle || this.main() === null) return;
    if (this.othersAct(THREADS_RUN | THREADS_HANDLES, true)) {
      this.keepAlive(true);
      return;
    }
    if (this.endTick !== s.p.schedtick) {
      this.endTick = s.p.schedtick;
      setImmediate(() => {});
      return;
    }
    this.dead();
  };

  private dead(): void {
    const { ngoroutines, link } = this.sched;
    const noGoroutines = this.main()!.exited && ngoroutines + (link?.goroutines ?? 0) === 0;
    const message = noGoroutines
      ? "no goroutines (main called runtime.Goexit) - deadlock!"
      : "all goroutines are asleep - deadlock!";
    const error = new FatalError("fatal", "ERR_GORT_DEADLOCK", message);
    // Under virtual time no callback of the host takes part, so the verdict is right.
    if (this.mode === "eager" && this.realTime) error.hint = eagerHint;
    this.crash(error);
  }
}
