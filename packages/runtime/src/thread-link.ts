/**
 * Implements the scheduler's `ThreadLink` over the threads of the runtime. The scheduler says when it calls what
 * (thread-link.ts there); here is what the threads do then.
 *
 * Can the host wake a goroutine of a sleeping worker? A worker's event loop never ends, because M 0 may send it a task.
 * So while a worker sleeps, its port does not hold the loop. If nothing else does, Node emits "beforeExit": no callback
 * is left that could wake a goroutine. The worker then clears HOST_HANDLES, calls M 0, and its port holds the loop
 * again. M 0 gives the verdict on a deadlock when the bit is clear on all Ms and no M is busy.
 */
import type { Scheduler } from "@gort/scheduler";
import {
  dumpTask,
  type GoroutineDump,
  type MFigures,
  type SchedFigures,
  THREADS_HANDLES,
  THREADS_HOPE,
  THREADS_RUN,
  type ThreadLink,
} from "@gort/scheduler/internal";
import type { Threads } from "@gort/threads";
import { COMMAND, type Commands } from "./commands.ts";
import type { SchedStats } from "./sched-stats.ts";
import { CALL_HOST, HOST_HANDLES, HOST_HOPES, type SharedBlock } from "./shared-block.ts";
import type { Tasks } from "./tasks.ts";

/** The event loop of a worker, as its port and Node tell it. */
export interface WorkerLoop {
  /** From now on the loop may end; `ended` is called when it would. */
  release(ended: () => void): void;
}

export interface LinkParts {
  readonly threads: Threads;
  readonly block: SharedBlock;
  readonly scheduler: Scheduler;
  readonly schedStats: SchedStats;
  readonly tasks: Tasks;
  readonly commands: Commands;
  /** Null on M 0. */
  readonly loop: WorkerLoop | null;
}

export class RuntimeLink implements ThreadLink {
  readonly m: number;
  readonly #threads: Threads;
  readonly #block: SharedBlock;
  readonly #scheduler: Scheduler;
  readonly #parts: LinkParts;
  #ticks = 0;
  #asleep = false;
  #hopes = false;
  readonly #loopEnded = (): void => {
    if (!this.#asleep) return;
    this.#block.clearHost(this.m, HOST_HANDLES);
    this.#quiet();
  };

  constructor(parts: LinkParts) {
    const { threads, block, scheduler } = parts;
    this.m = threads.m;
    this.#threads = threads;
    this.#block = block;
    this.#scheduler = scheduler;
    this.#parts = parts;
  }

  get threads(): number {
    return this.#threads.count;
  }

  get pending(): boolean {
    return this.#threads.pending;
  }

  poll(): void {
    this.#threads.poll();
  }

  stopTheWorld(reason: string): void {
    this.#threads.stopTheWorld(reason);
  }

  startTheWorld(): void {
    this.#threads.startTheWorld();
  }

  get gomaxprocs(): number {
    return this.#threads.gomaxprocs;
  }

  setGomaxprocs(n: number): void {
    this.#parts.commands.stopped("GOMAXPROCS", () => {
      this.#threads.setGomaxprocs(n);
      this.#parts.schedStats.setGomaxprocs(n);
    });
  }

  acquireP(): boolean {
    return this.#threads.acquireP();
  }

  releaseP(ticks: number): void {
    this.#ticks += ticks;
    this.noteCount(0);
    this.#threads.releaseP(ticks);
  }

  nextTask(idle: boolean): boolean {
    const { tasks } = this.#parts;
    if (!tasks.ready || (!idle && this.#threads.leavesTasks())) return false;
    const task = this.#threads.takeTask(idle);
    if (task === 0) return false;
    tasks.run(task);
    // Its goroutine is among those of this thread before it is no longer among the tasks: readers count it always.
    this.noteCount(0);
    this.#block.addQueued(-1);
    return true;
  }

  spin(tasks: boolean): boolean {
    return this.#threads.spin(tasks && this.#parts.tasks.ready);
  }

  handOver(): void {
    this.#threads.handOver();
  }

  /** Notes how many goroutines this thread has, plus `change`, for other threads. */
  noteCount(change: number): void {
    this.#parts.schedStats.setCgoCalls(this.#scheduler.ncgocall);
    this.#threads.setCounts(this.#scheduler.ngoroutines + change, this.#ticks);
  }

  setLocked(locked: boolean): void {
    this.#threads.setLocked(locked);
  }

  sleep(wake: () => void): void {
    const { loop } = this.#parts;
    if (loop !== null && !this.#asleep) {
      this.#asleep = true;
      this.#block.setHost(this.m, HOST_HANDLES);
      loop.release(this.#loopEnded);
    }
    this.#threads.sleep(wake);
  }

  awake(): void {
    this.#threads.awake();
    if (!this.#asleep) return;
    this.#asleep = false;
    // It is busy, which counts more.
    this.#block.clearHost(this.m, HOST_HANDLES);
  }

  setHopes(on: boolean): void {
    if (on === this.#hopes) return;
    this.#hopes = on;
    if (on) {
      this.#block.setHost(this.m, HOST_HOPES);
    } else {
      this.#block.clearHost(this.m, HOST_HOPES);
      this.#quiet();
    }
  }

  /** A bit of this M has gone off. If no M is busy, M 0 looks again. */
  #quiet(): void {
    if (this.m !== 0 && this.#threads.othersBusy === 0) this.#block.call(this.#threads, 0, CALL_HOST);
  }

  activityOfOthers(exact: boolean): number {
    let found = this.#look();
    if (!exact || found !== 0) return found;
    // If another thread has run anything between two looks, its ticks have changed, or it has posted something.
    for (;;) {
      const ticks = this.#threads.sum("schedtick");
      found = this.#look();
      if (found !== 0) return found;
      if (this.#threads.pending) return THREADS_RUN;
      if (this.#threads.sum("schedtick") === ticks) return 0;
    }
  }

  #look(): number {
    const { queued, late } = this.#block;
    // A goroutine of an ended program that does not come to a safepoint is no reason to wait.
    const busy = this.#threads.othersBusy > late || queued > 0 ? THREADS_RUN : 0;
    const host = this.#block.hostOfOthers(this.m);
    return (
      busy |
      ((host & HOST_HOPES) !== 0 ? THREADS_HOPE : 0) |
      ((host & HOST_HANDLES) !== 0 ? THREADS_HANDLES : 0)
    );
  }

  running(goid: number): void {
    this.#threads.setGoid(goid);
  }

  /** Before there were threads, M 0 numbered its goroutines alone: all later numbers are above the base. */
  nextGoids(after: number): number {
    const block = this.#block;
    let first = block.goidBase + this.#threads.nextGoids();
    if (first <= after) {
      block.goidBase += after - first + 1;
      first = after + 1;
    }
    return first;
  }

  // ---- dumps and statistics

  get goroutines(): number {
    let n = this.#block.queued;
    this.#block.forEachCurrent((m) => {
      if (m !== this.m) n += this.#threads.figure(m, "goroutines");
    });
    return n;
  }

  get cgoCalls(): number {
    return this.#parts.schedStats.cgoCallsOfOthers();
  }

  addCounters(sum: Float64Array): void {
    this.#parts.schedStats.addOthers(sum);
    this.#parts.schedStats.addQueued(sum, this.#block.queued);
  }

  dumps(all: boolean): readonly GoroutineDump[] {
    return this.#parts.commands.stopped("stack trace", () => {
      const dumps = this.#parts.commands.ask<GoroutineDump[]>(COMMAND.dump, all ? 1 : 0).flat();
      this.#threads.forEachTask((task) => {
        const { origin, name } = this.#parts.tasks.describe(task);
        dumps.push(dumpTask(origin, name));
      });
      return dumps;
    });
  }

  figures(detail: boolean): SchedFigures {
    return this.#parts.commands.stopped("schedtrace", () => {
      const ms = this.#parts.commands.ask<MFigures>(COMMAND.figures, detail ? 1 : 0);
      return { ...this.#threads.procs(), ms };
    });
  }
}
