/**
 * What a scheduler needs of the other threads, if the program has several. The facade implements it.
 *
 * Each thread has a scheduler of its own: closures and generators cannot leave their thread. The schedulers share three
 * things. A *P* is the right to run goroutines: a thread runs a slice only while it holds one. A *task* is a goroutine
 * that has not started, which any thread may take. A *node* is a message of one thread to another, such as "your
 * goroutine may run again". `scheduler.link` is null on one thread.
 *
 * A thread, from one turn of its event loop to the next:
 *
 *     wake-up, host code or timer
 *       |
 *       v      awake   poll   acquireP    no P is free
 *     begin ------------------------------------------> sleep, until a P is free
 *       |                                                 ^
 *       v                       nothing to run            |
 *     run  <-- poll, nextTask --------------- releaseP ---+
 *       |
 *       |  the slice is over
 *       +------------------- releaseP ---> the event loop's turn, then begin
 *
 * 1. Each slice ends with `releaseP`, so a thread that is back in its event loop holds no P. Go's sysmon retakes the P
 *    of a thread in a long system call; here no P is held across host code. Unlike Go, a goroutine that computes cannot
 *    be preempted. It keeps its P, and after 10 ms a thread that waits for one may run in its place.
 * 2. `poll` runs only where no JavaScript frame holds a raw pointer: at the begin of a slice, between two goroutines
 *    when the clock is read, and when nothing can run. There the thread also stops with the world.
 * 3. A task starts as a goroutine of this thread (`Scheduler.startTask`) at the tail of the ring. The loop asks for one
 *    when nothing else can run, and each 61 ticks. It asks for none while a goroutine has locked the thread.
 */

import type { Frame } from "./frames.ts";

/** Numbers of goroutines that a thread takes at once. */
export const GOID_BLOCK = 16;

/** In `activityOfOthers`: a goroutine of another thread can run, or a task or a node waits. */
export const THREADS_RUN = 1;
/** A goroutine of another thread sleeps, or waits for a promise; or host code there awaits an op (`setHopes`). */
export const THREADS_HOPE = 2;
/** The event loop of another thread holds a handle of the host, so that it would not end. */
export const THREADS_HANDLES = 4;

/** Where a task comes from: the thread that has created it passes it on with the function and the arguments. */
export interface TaskOrigin {
  /** `Scheduler.newGoid` of the thread that has created it. */
  readonly goid: number;
  /** The goroutine that has created it; 0: host code. */
  readonly parentGoid: number;
  /** Place of the `go` call, if that was recorded. */
  readonly site: Frame | null;
  /** Profiler labels. */
  readonly labels?: ReadonlyMap<string, string> | null;
  /** Called when the goroutine has ended. */
  readonly onExit?: (() => void) | null;
}

/** A goroutine as a dump shows it. */
export interface GoroutineDump {
  readonly goid: number;
  /** Text with a final newline. */
  readonly text: string;
}

/** A P as schedtrace shows it. */
export interface PFigures {
  /** The M that holds it, or -1. */
  readonly m: number;
  /** Tasks in its ring. */
  readonly tasks: number;
  /** Sum of the `ticks` of `releaseP`. */
  readonly schedtick: number;
}

/** A thread as schedtrace shows it: see `threadFigures`. */
export interface MFigures {
  readonly m: number;
  /** No goroutine of the thread is running or runnable. */
  readonly idle: boolean;
  /** The goroutine that runs; 0: host code. */
  readonly curg: number;
  /** The running goroutine has locked the thread. */
  readonly locked: boolean;
  /** Goroutines in the ring and in the global queue of its scheduler. */
  readonly runq: number;
  readonly globq: number;
  readonly gfree: number;
  readonly timers: number;
  readonly gs: readonly GFigures[];
}

export interface GFigures {
  readonly goid: number;
  readonly status: number;
  readonly waitreason: number;
  readonly locked: boolean;
}

export interface SchedFigures {
  /** The Ps, by number. */
  readonly ps: readonly PFigures[];
  /** The other threads. */
  readonly ms: readonly MFigures[];
  /** Tasks in the global queue. */
  readonly tasks: number;
  /** Threads that hold a P and look for a task. */
  readonly spinning: number;
}

export interface ThreadLink {
  /** Index of this thread's M. 0 is the thread that made the runtime. */
  readonly m: number;
  /** Threads that have started and have not ended, this one included. */
  readonly threads: number;

  // ---- safepoints

  /** Whether `poll` has something to do. The loop reads it at every reading of the clock. */
  readonly pending: boolean;
  /**
   * Delivers the nodes of this thread, and stops with the world. It may call any method of the scheduler. An error that
   * it throws ends the program.
   */
  poll(): void;
  stopTheWorld(reason: string): void;
  startTheWorld(): void;

  // ---- Ps

  /**
   * Takes a P, or keeps the one that this thread holds. False if none is free: the callback of `sleep` is then called
   * when one is. A thread that waits already keeps its place in the queue. It asks again every 10 ms: if a goroutine of
   * another thread computes for so long, the link may let this thread run in its place.
   */
  acquireP(): boolean;
  /** Number of Ps. */
  readonly gomaxprocs: number;
  /**
   * Stops the world and changes the number of Ps. A thread that loses its P meanwhile gets another one with the next
   * `acquireP`. The number is at most `SchedulerOptions.procs.max`.
   */
  setGomaxprocs(n: number): void;
  /** Gives the P away, if this thread holds one. Since `acquireP` it has switched goroutines `ticks` times. */
  releaseP(ticks: number): void;

  // ---- tasks

  /**
   * Takes a task and passes it to `Scheduler.startTask`. Returns whether there was one. With `idle` this thread has
   * nothing else to run, so it may steal one from another P. Without, it leaves tasks to a thread that is about to look
   * for one.
   */
  nextTask(idle: boolean): boolean;
  /**
   * This thread has nothing to run: waits for some microseconds whether `poll` gets something to do or, with `tasks`,
   * whether `nextTask` finds a task. Returns whether that is so.
   */
  spin(tasks: boolean): boolean;
  /**
   * Timers, or the hook of a safepoint, have made goroutines of this thread runnable. If another thread has woken this
   * one for a task, which `nextTask` would take next, any thread may take it from now on.
   */
  handOver(): void;
  /** Whether goroutines have locked this thread. Then the tasks of its P are for other threads. */
  setLocked(locked: boolean): void;

  // ---- sleeping

  /**
   * No goroutine of this thread can run, or no P is free. From now on, a node for this thread, a stop of the world, a
   * task or a free P calls `wake` in a task of the event loop. On M 0, so does a bit of `activityOfOthers` that goes
   * off. A thread that sleeps already may call it again.
   */
  sleep(wake: () => void): void;
  /** The thread works again. Does nothing if it does not sleep. */
  awake(): void;
  /** Whether something that the scheduler knows of can wake a goroutine of this thread: see THREADS_HOPE. */
  setHopes(on: boolean): void;
  /**
   * What may still run a goroutine on another thread: THREADS_RUN, THREADS_HOPE, THREADS_HANDLES. Without `exact` a few
   * loads, and M 0 is woken if a bit goes off later. With `exact` 0 is the truth: for instance, the world stops.
   */
  activityOfOthers(exact: boolean): number;

  // ---- goroutines

  /** Goroutine `goid` runs from now on; 0: host code. Called at each switch. */
  running(goid: number): void;
  /** Reserves `GOID_BLOCK` numbers that no thread has had. All are greater than `after`. Returns the first. */
  nextGoids(after: number): number;

  // ---- dumps and statistics

  /** Goroutines of the user on the other threads, and the tasks that have not started. */
  readonly goroutines: number;
  /** Calls of `cgocall` on the other threads. */
  readonly cgoCalls: number;
  /**
   * Adds the counters of the other threads to `sum`, in the order of schedCounters, except `gomaxprocs`. A task that
   * has not started is a runnable goroutine.
   */
  addCounters(sum: Float64Array): void;
  /**
   * Dumps of the goroutines of the other threads, each by `dumpHere`, and of the tasks that have not started, by
   * `dumpTask`. Stops the world, unless this thread has stopped it.
   */
  dumps(all: boolean): readonly GoroutineDump[];
  /**
   * The Ps and the other threads. With `detail`, `gs` and `gfree`, `timers`, `globq` of threads must be right, so the
   * world may stop. Without it `gs` is empty, and the other figures may be those of the last slice.
   */
  figures(detail: boolean): SchedFigures;
}
