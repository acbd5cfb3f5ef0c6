/**
 * The records of threads, and what a thread's own code may ask of the others. proc.ts has the essay.
 *
 *     M      a thread: its state, its inbox, where it sleeps
 *     P      the right to run goroutines: a ring of tasks
 *     task   a portable goroutine that has not started: a record that any thread may take and run
 *     node   a record in linear memory that one thread gives to another through its inbox
 */
import type { Addr, LinearMemory } from "@gort/memory";

/**
 * Kinds of nodes. The first word of a node links it in an inbox, the second is its kind; all else is the kind's own.
 *
 *     0  next     4  kind     8 ...
 */
export const NODE_NEXT = 0;
export const NODE_KIND = 4;
/** A goroutine of this thread that waits in the heap is to run again: a sudog (chan.ts, sema.ts). */
export const NODE_READY = 1;
/** A task that only this thread may run. */
export const NODE_TASK = 2;
/** Code of the facade is to run: see `Threads.onNode`. */
export const NODE_CALL = 3;

/** This thread's view of all threads of a memory: one object per thread and memory. */
export interface Threads {
  readonly mem: LinearMemory;
  /** Index of this thread's M. 0 is the thread that made the runtime. */
  readonly m: number;
  /** Threads that were started and have not ended, this one included. */
  readonly count: number;
  /** Processors that the threads of this process can use at once. On one, no thread waits in a loop for another one. */
  readonly cpus: number;

  // ---- Ms come and go

  /**
   * Registers an M whose thread the caller is going to start. Returns its index, for attachThreads on the new thread.
   * `startM` gets an index that is registered already. RangeError if there are 256 Ms.
   */
  registerM(): number;
  /** The memory's number for the thread of M m: the new thread's attachLinearMemory takes it. */
  threadOf(m: number): number;
  /**
   * A thread's event loop says that the thread of M m has ended. `thread` is its threadOf, read before it started: the
   * index may belong to another thread meanwhile. True if it had run and had not left: its goroutines are lost, and the
   * program cannot go on. False if it had left, or had never attached. It tells the memory, too (threadExited).
   */
  died(m: number, thread: number): boolean;
  /**
   * This thread ends: it delivers what is in its inbox, gives its P away and frees its M. A later post to the M throws
   * a FatalError. It may wait for a thread that is about to wake it.
   */
  leave(): void;
  /**
   * This thread is about to end without `leave`: stops of the world no longer wait for its M. The thread that hears of
   * its end calls `died`.
   */
  abandon(): void;

  // ---- inboxes

  /** Puts a node into the inbox of M m, and wakes that thread if it sleeps. From any thread; takes no lock. */
  post(m: number, node: Addr): void;
  /** Makes M m poll, and look at the condition of its `block`, without a node. */
  signal(m: number): void;
  /** Gets each node of this thread's inbox, in the order of the posts, when `poll` finds it. */
  onNode: (node: Addr) => void;

  // ---- safepoints

  /** Whether `poll` has something to do. One plain load: the run loop reads it at every reading of the clock. */
  readonly pending: boolean;
  /**
   * Call it at a safepoint: no JavaScript frame of this thread holds a raw pointer. Delivers the inbox. If the world is
   * to stop, it blocks until the world starts again, and runs the commands of the thread that has stopped it.
   */
  poll(): void;
  /**
   * Runs a command of another thread (`command`). The world is stopped. It must not block. If it throws, the call that
   * has stopped this thread throws the error when the world runs.
   */
  onCommand: (command: number, arg: number) => void;
  /**
   * Called each time before this thread counts as stopped: at a stop of the world, and before each wait of `block`. The
   * facade empties the mcache. It must not block. If it throws, it is as for `onCommand`.
   */
  onStop: () => void;

  // ---- sleeping. A thread without work returns to its event loop, from which a post calls it back.

  /** No goroutine of this thread can run: from now on a post calls `wake` as a task of the event loop. */
  sleep(wake: () => void): void;
  /** The thread works again. Does nothing if it did not sleep. */
  awake(): void;
  /**
   * Blocks at a safepoint until `done` returns true; it asks after each post, each `signal` and each stop. Stops and
   * commands are served. Another thread may use this thread's P meanwhile.
   */
  block(done: () => boolean): void;
  /**
   * Other Ms that are awake or starting, or that another thread has woken. It may be too high for a moment, but never
   * too low: if it is 0 and this thread posts nothing, no other thread has anything to run until the host calls it.
   */
  readonly othersBusy: number;
  /**
   * M 0 only: called in its event loop, while it sleeps, when no other M is busy any more. M 0 itself has to look at
   * `othersBusy` after each `sleep`.
   */
  onAllIdle: () => void;

  // ---- Ps

  /**
   * Takes a P if this thread has none. False if all are in use: then `wake` is called when one is free. If another
   * thread holds its P for 10 ms, a call after that time returns true without a P: until `releaseP`, this thread runs
   * goroutines in the place of the other one.
   */
  acquireP(): boolean;
  /**
   * Gives the P away: to a thread that waits for one, or to the idle Ps. Since it took the P, this thread has switched
   * goroutines `ticks` times (default 0).
   */
  releaseP(ticks?: number): void;
  /**
   * Whether another thread waits for a P: then this one gives its P away at the end of its slice. Also true if this
   * thread has no P, because setGomaxprocs took it: then the slice ends.
   */
  readonly wanted: boolean;
  readonly gomaxprocs: number;
  /** Between 1 and 256. The world is stopped by this thread, or there is no other. */
  setGomaxprocs(n: number): void;

  // ---- tasks

  /**
   * Puts a task into this thread's ring, or the global queue if it has no P, and wakes or starts a thread if a P is
   * idle. The first word of the task links it in a queue.
   */
  putTask(task: Addr): void;
  /**
   * The next task for this thread: of its ring, of the global queue, or stolen; 0 if there is none, or if this thread
   * has no P, or if `pending`. After 0 the thread runs something else and asks again, or calls `sleep` or `releaseP`.
   * `steal` false: it has something to run, so it takes none from another P. Default: true.
   */
  takeTask(steal?: boolean): Addr;
  /**
   * Of an M that has goroutines to run: whether it should leave the tasks to an M that is about to search, because a P
   * is idle or an M spins. A goroutine stays on the thread where it starts: with a task more, this M's goroutines would
   * share their thread while another one has none. It says so for at most 100 ms.
   */
  leavesTasks(): boolean;
  /**
   * This thread has nothing to run: looks for some microseconds whether `pending` becomes true or, with `tasks`,
   * whether there is a task. Returns whether that is so. Returns at once if no other thread is awake.
   */
  spin(tasks: boolean): boolean;
  /**
   * This thread has something to run before it calls takeTask. If another thread has woken it for a task, that is put
   * into a queue, and another thread may be woken for it. `poll` does the same.
   */
  handOver(): void;
  /** A task of any queue, to end it: needs no P. 0 if there is none. */
  takeAnyTask(): Addr;
  /** This thread takes no task for now, or may again: it is not woken for tasks meanwhile. */
  setBusy(busy: boolean): void;
  /** Goroutines have locked this thread, or no longer: it is not woken for tasks, and another thread may start. */
  setLocked(locked: boolean): void;
  /**
   * Called when a P is idle and no thread is there to take it: the facade starts a worker as M m, which is registered.
   * Called on any thread, in putTask, sleep, releaseP, poll and startTheWorld. null, the default: none is started.
   */
  startM: ((m: number) => void) | null;

  // ---- stops

  /**
   * Returns when every other thread is at a safepoint. Another thread that stops the world first is waited for; this
   * thread counts as stopped meanwhile. Stops nest: only the outermost does anything. `reason` is for the line that
   * names a thread that does not stop. FatalError if a thread has ended without leaving.
   */
  stopTheWorld(reason: string): void;
  startTheWorld(): void;
  /** Runs `onCommand(command, arg)` on every other thread of the stopped world; returns when all have run it. */
  command(command: number, arg: number): void;

  // ---- figures, in the records of the Ms, so that any thread can read them

  /** The first of 16 goids that no other thread gets. The first call of all gives 0. */
  nextGoids(): number;
  /** Notes the goroutine that this thread runs; 0: none. One store. */
  setGoid(goid: number): void;
  /** Notes this thread's number of goroutines and its schedtick. Two stores. */
  setCounts(goroutines: number, schedtick: number): void;
  /** A figure of M m, as its thread noted it last. */
  figure(m: number, name: "goid" | "goroutines" | "schedtick"): number;
  /** The sum over all Ms. */
  sum(name: "goroutines" | "schedtick"): number;
  /** The Ps in use and the queues of tasks. While the world runs, the figures are of different moments. */
  procs(): Procs;
  /** Calls `visit` with each task that no thread has taken. The world is stopped. */
  forEachTask(visit: (task: Addr) => void): void;
}

/** Figures of Ps and queues. */
export interface Procs {
  /** By number: the M that holds the P (-1: none), the tasks in its ring and in runnext, switches of goroutines. */
  readonly ps: readonly { readonly m: number; readonly tasks: number; readonly schedtick: number }[];
  /** Tasks in the global queue. */
  readonly tasks: number;
  /** Ms that look for a task. */
  readonly spinning: number;
}
