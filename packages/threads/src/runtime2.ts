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

  // ---- inboxes

  /** Puts a node into the inbox of M m, and wakes that thread if it sleeps. From any thread; takes no lock. */
  post(m: number, node: Addr): void;
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
  /** Runs a command of another thread (`command`). The world is stopped. It must not block and not throw. */
  onCommand: (command: number, arg: number) => void;

  // ---- sleeping. A thread without work returns to its event loop, from which a post calls it back.

  /** No goroutine of this thread can run: from now on a post calls `wake` as a task of the event loop. */
  sleep(wake: () => void): void;
  /** The thread works again. Does nothing if it did not sleep. */
  awake(): void;
  /** Blocks at a safepoint until `done` returns true; checks after each post. Stops and commands are served. */
  block(done: () => boolean): void;

  // ---- Ps

  /** Takes a P if this thread has none. False if all are in use: then `wake` is called when one is free. */
  acquireP(): boolean;
  /** Gives the P away: to a thread that waits for one, or to the idle Ps. */
  releaseP(): void;
  /** Whether another thread waits for a P: then this one gives its P away at the end of its slice. */
  readonly wanted: boolean;
  readonly gomaxprocs: number;
  /** The world is stopped. */
  setGomaxprocs(n: number): void;

  // ---- tasks

  /** Puts a task into this thread's ring, and wakes or starts a thread if a P is idle. */
  putTask(task: Addr): void;
  /** The next task for this thread: of its ring, of the global queue, or stolen; 0 if there is none. */
  takeTask(): Addr;
  /** Called when a P is idle and no thread is there to take it: the facade starts a worker as M m. */
  startM: (m: number) => void;

  // ---- stops

  /** Returns when every other thread is at a safepoint. Another thread that stops the world first is waited for. */
  stopTheWorld(reason: string): void;
  startTheWorld(): void;
  /** Runs `onCommand(command, arg)` on every other thread of the stopped world; returns when all have run it. */
  command(command: number, arg: number): void;
}
