/**
 * The run loop's part for one of several threads: how it polls, takes a P, finds tasks and sleeps. thread-link.ts has
 * the overview. On one thread `link` is null, and the loop calls nothing here.
 */

import type { GPool } from "./gpool.ts";
import type { Program } from "./program.ts";
import { IDLE, RUNNING, RunQueues, SCHEDULED, WAITING_FOR_P } from "./run-queues.ts";
import { type G, m0 } from "./runtime2.ts";
import type { ThreadLink } from "./thread-link.ts";

/** The loop asks for a task at each tick that this divides, as it looks at the global queue. */
export const GLOBAL_TICK = 61;

type OnSwitch = (g: G | null) => void;

export abstract class Linked extends RunQueues {
  protected abstract readonly program: Program;
  protected abstract readonly pool: GPool;
  /** Switches until the loop reads the clock. */
  protected credit = 0;
  protected safepointRequested = false;
  /**
   * The hook of the safepoint requests the next one, so there is one between any two goroutines. A thread without a
   * runnable goroutine sleeps all the same.
   */
  safepointsAlways = false;
  /** A slice without it ends when the clock is read. One thread alone always has its P. */
  protected hasP = true;
  /** Goroutines that have locked this thread (lockOSThread). */
  private nlocked = 0;
  /** Tick at which the loop last asked for a task, and the one at the end of the last slice. */
  private taskTick = 0;
  private sliceTick = 0;
  /** To be called before the next goroutine runs. */
  private readonly later: (() => void)[] = [];
  /** What the loop calls at each switch. */
  protected switched: OnSwitch | null = null;
  private profiler: OnSwitch | null = null;

  /** Runs a slice. `turn`: it is a task, that is a turn of the event loop of its own. */
  protected abstract runSlice(turn: boolean): void;
  /** Ends the program with an exception that is no goroutine's. Returns whether the loop can go on. */
  protected abstract slipped(e: unknown): boolean;

  /**
   * Connects the other threads. Call it at a safepoint: in host code, or in a goroutine, which then takes a P. A P must
   * be free in that case.
   */
  attachLink(link: ThreadLink): void {
    if (this.link !== null) throw new Error("scheduler: the threads are already attached");
    this.link = link;
    this.pool.nextBlock();
    this.onSwitch = this.profiler;
    this.sliceTick = this.p.schedtick;
    this.taskTick = this.p.schedtick;
    if (this.nlocked > 0) link.setLocked(true);
    this.hasP = this.state === RUNNING && link.acquireP();
    if (this.hasP) {
      link.running(m0.curg?.goid ?? 0);
    } else if (this.state === IDLE) {
      this.hopesChanged();
      link.sleep(this.onWake);
    }
  }

  /**
   * A profiler that samples sets it. The loop calls it at each switch with the next goroutine, or null for host code.
   */
  get onSwitch(): OnSwitch | null {
    return this.profiler;
  }

  set onSwitch(f: OnSwitch | null) {
    this.profiler = f;
    const { link } = this;
    if (link === null) {
      this.switched = f;
      return;
    }
    this.switched = (g) => {
      link.running(g === null ? 0 : g.goid);
      f?.(g);
    };
  }

  // ---- the loop ----

  /** Begins a slice: polls, and takes a P. The state is then RUNNING, WAITING_FOR_P, or IDLE after a close. */
  protected enter(link: ThreadLink): void {
    link.awake();
    this.pollLink(link);
    if (this.program.closed) {
      this.state = IDLE;
      return;
    }
    this.hasP = link.acquireP();
    this.state = this.hasP ? RUNNING : WAITING_FOR_P;
  }

  /** Ends a slice: gives the P away. */
  protected leave(link: ThreadLink): void {
    const { schedtick } = this.p;
    link.releaseP((schedtick - this.sliceTick) >>> 0);
    this.sliceTick = schedtick;
    this.hasP = false;
  }

  /** Called by the link or the host's timer in a task of the event loop, while no slice is queued. */
  protected readonly onWake = (): void => {
    // If a slice is queued, that one polls.
    if (this.state !== IDLE && this.state !== WAITING_FOR_P) return;
    this.state = SCHEDULED;
    this.runSlice(true);
  };

  /**
   * Calls `link.poll` between two goroutines. What it readies goes to the tail of the ring. If it throws, because a
   * thread has died or the heap is corrupt, `runSlice` ends the program.
   */
  private pollLink(link: ThreadLink): void {
    if (!link.pending) return;
    const { state } = this;
    this.state = SCHEDULED;
    this.shortPath(false);
    m0.curg = null;
    try {
      link.poll();
    } finally {
      this.state = state;
    }
    if (state === RUNNING) this.shortPath(true);
    // The time of a stopped world is no goroutine's.
    this.tickAt = this.clock.now();
  }

  /** When the loop has read the clock at `now`: polls, and takes a task if it is the turn of one. Returns the time. */
  protected crossings(link: ThreadLink, now: number): number {
    if (link.pending) {
      this.pollLink(link);
      now = this.tickAt;
      // If fewer Ps exist now, this thread may have lost its own.
      if (!link.acquireP()) this.hasP = false;
    }
    if (this.later.length > 0) this.runLater();
    const { schedtick } = this.p;
    if ((schedtick - this.taskTick) >>> 0 >= GLOBAL_TICK && this.nlocked === 0) {
      this.taskTick = schedtick;
      link.nextTask(false);
    }
    return now;
  }

  /** Each call ends a program. If one fails, the others still have to. */
  private runLater(): void {
    for (const f of this.later.splice(0)) {
      try {
        f();
      } catch (e) {
        this.slipped(e);
      }
    }
  }

  /** No goroutine of this thread can run: looks for work of other threads. Returns whether the loop goes on. */
  protected findWork(link: ThreadLink): boolean {
    this.pollLink(link);
    // The loop runs a requested safepoint before it takes a goroutine.
    if (this.hasRunnable || (this.safepointRequested && !this.safepointsAlways)) return true;
    const takes = this.nlocked === 0 && !this.program.closed;
    if (takes && link.nextTask(true)) return true;
    // `nextTask` may have given up for what `poll` has to do. The loop then calls this again.
    return link.pending || link.spin(takes);
  }

  // ---- the end of a program of several threads ----

  /**
   * Ends the goroutines of this thread, as the end of a program does, but not the runtime's own. If a goroutine runs,
   * they end when it suspends. `ended` is called when they have ended.
   */
  endProgram(ended: () => void): void {
    this.betweenGoroutines(() => {
      this.program.endHere();
      ended();
    });
  }

  /** Ends the program of this thread with the crash of another one: see the option `onCrash`. */
  crashFrom(error: unknown, report: string): void {
    this.betweenGoroutines(() => this.program.crash(error, report));
  }

  /** Calls `f` at once, or if a goroutine of this scheduler runs, before the next one does. */
  private betweenGoroutines(f: () => void): void {
    const running: unknown = m0.curg?.sched;
    if (running !== this) {
      f();
      return;
    }
    this.later.push(f);
    this.credit = 0;
  }

  // ---- locked threads ----

  /** A goroutine has locked this thread (1), or holds its lock no longer (-1). */
  protected countLocks(change: 1 | -1): void {
    this.nlocked += change;
    // It is the first lock, or the last.
    if (this.nlocked === (change === 1 ? 1 : 0)) this.link?.setLocked(change === 1);
  }

  /** Undoes all calls of lockOSThread of a goroutine. */
  unlock(g: G): void {
    g.lockedCount = 0;
    this.countLocks(-1);
  }

  // ---- deadlocks ----

  /** `hopes` may have changed, and no slice may follow. */
  protected hopesChanged(): void {
    this.link?.setHopes(this.hopes);
  }
}
