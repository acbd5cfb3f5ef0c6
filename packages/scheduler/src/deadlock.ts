/**
 * Deadlock detection: is there anything left that could wake a goroutine? The essay of proc.ts says what counts.
 */

import { FatalError } from "./errors.ts";
import { hostResources, nodeProcess, type TaskQueue } from "./host.ts";
import type { Scheduler } from "./proc.ts";

/** The running program. */
export interface Main {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** What kept the event loop alive when main began. */
  baseline: Map<string, number> | null;
  exited: boolean;
  onBeforeExit: (() => void) | null;
}

/** When to believe in a deadlock that a callback of the host could still undo. */
export type DeadlockMode = "host" | "eager" | "off";

export class DeadlockDetector {
  readonly mode: DeadlockMode;
  private readonly sched: Scheduler;
  private readonly tasks: TaskQueue;
  /** The program, while it runs. */
  private readonly main: () => Main | null;
  /** Ends the program. */
  private readonly crash: (e: FatalError) => void;
  private retries = 0;
  /** The most that was seen of each kind of host resource since nothing can run. */
  private most = new Map<string, number>();

  constructor(
    sched: Scheduler,
    mode: DeadlockMode,
    tasks: TaskQueue,
    main: () => Main | null,
    crash: (e: FatalError) => void,
  ) {
    this.sched = sched;
    this.mode = mode;
    this.tasks = tasks;
    this.main = main;
    this.crash = crash;
  }

  private get hopeless(): boolean {
    const s = this.sched;
    return (
      s.isIdle &&
      this.main() !== null &&
      s.nsyscall === 0 &&
      s.nhost === 0 &&
      s.timers.nuser === 0 &&
      this.mode !== "off"
    );
  }

  /** Called when nothing can run. */
  checkdead(): void {
    this.retries = 0;
    if (!this.hopeless) return;
    if (this.main()!.baseline !== null) this.most = hostResources() ?? new Map();
    this.tasks.task(() => this.confirm(false));
  }

  /** Gives the verdict one event loop turn after checkdead, unless a host callback may still come. */
  private confirm(final: boolean): void {
    if (!this.hopeless) return;
    const main = this.main()!;
    if (!final && this.hostMayCall(main)) {
      const proc = nodeProcess();
      if (proc !== undefined && main.onBeforeExit === null) {
        main.onBeforeExit = () => this.confirm(true);
        proc.on("beforeExit", main.onBeforeExit);
      }
      // What is left of a write or a lookup goes away soon; after that, only the end of the process tells.
      if (this.retries < 8) {
        const delay = 1 << this.retries++;
        this.sched.clock.setTimer(() => this.confirm(false), delay, false);
      }
      return;
    }
    const message = main.exited
      ? this.sched.ngoroutines === 0
        ? "no goroutines (main called runtime.Goexit) - deadlock!"
        : "all goroutines are asleep - deadlock!"
      : "all goroutines are asleep - deadlock!";
    this.crash(new FatalError(message, "ERR_GORT_DEADLOCK"));
  }

  /** Whether the host has something left that may have been begun since main began. */
  private hostMayCall(main: Main): boolean {
    if (main.baseline === null) return false;
    const now = hostResources();
    if (now === null) return false;
    let may = false;
    for (const [kind, n] of now) {
      const most = Math.max(n, this.most.get(kind) ?? 0);
      this.most.set(kind, most);
      // They are numbers only: those that are over meanwhile may be the ones from before main, and the new ones still to come.
      const over = most - n;
      if (n > Math.max(0, (main.baseline.get(kind) ?? 0) - over)) may = true;
    }
    return may;
  }
}
