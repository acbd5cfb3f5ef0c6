/**
 * What the collector needs from the program around it, and the program's options.
 *
 * ## Wiring of several threads
 * One thread is the driver: it has made the collector with `createCollector`, and begins and ends every cycle. Before
 * another thread comes, the driver's thread calls `allocator.share()`, and `World.threads` of the driver is defined
 * from then on. The other thread calls `attachCollector` when the world counts it: a stop of the world waits for it. On
 * each thread the program around the heap
 *
 * 1. calls `collector.threads.prepareStop()` before the thread acknowledges a stop of the world, and before it blocks
 *    in a way that counts as stopped. After it the thread does nothing with the heap until it goes on;
 * 2. passes the commands of a stopped world on to `collector.threads.command(command, arg)`;
 * 3. calls `collector.threads.polled()` after each `poll` of the world, and once when the thread has attached: a cycle
 *    may run already. `notify` makes that thread poll soon;
 * 4. calls `pollSafepoint` and `idleWork` as on a single thread. `onRequest` asks for that, on each thread. Each thread
 *    has events of its own: gcStart comes in a command, markDone at the next safepoint, sweepDone on the driver only;
 * 5. makes `collector.id` the second word of the specials that sample the memory profile (SPECIAL_PROFILE): then the
 *    collector of that thread tells `freeProfile` of the free, whichever thread sweeps. If that thread has ended, the
 *    driver's does. Before a reader shows the memory profile, it stops the world and calls `threads.takeSamples()` on
 *    each thread;
 * 6. gives all threads clocks with one origin;
 * 7. calls `collector.threads.close()` before the thread ends, and closes the allocator. If a thread has ended without
 *    it, the driver's thread calls `allocator.threadExited` and `collector.threads.lost(id)`.
 *
 * A root slot that passes from thread to thread, as in a message, is made by `refs.allocShared`. The thread that takes
 * the message frees it.
 */
import type { Clock } from "./clock.ts";
import type { Godebug } from "./godebug.ts";
import type { Finalization } from "./mfinal.ts";

/** The program around the heap, as the collector needs it. A scheduler satisfies it. */
export interface World {
  /** Returns when no goroutine runs but the caller. */
  stopTheWorld(reason: string): void;
  startTheWorld(): void;
  gomaxprocs(): number;
  /**
   * The running goroutine's number, stack and creation site, as text in the form of a Go traceback. Default: V8's
   * stack.
   */
  currentStack?(): string;
  /**
   * Finalizers or cleanups are waiting. Must run fn, or drain `collector.finalizers` otherwise, soon but not within
   * this call.
   */
  ready(fn: () => void): void;
  /** The other threads. Without it, this thread is the only one. */
  readonly threads?: WorldThreads;
}

/** The threads of the world, as the collector of one of them needs them. See "Wiring of several threads". */
export interface WorldThreads {
  /** Number of this thread. 0 is the driver's. */
  readonly id: number;
  /** Whether another thread wants something of this one: a stop, or a notification. One plain load. */
  readonly pending: boolean;
  /** Whether this thread has stopped the world: then no other thread can do what it would wait for. Default: false. */
  readonly stopping?: boolean;
  /** Does what is pending. Called at safepoints, outside of operations of the allocator. */
  poll(): void;
  /** The driver only: runs `collector.threads.command(command, arg)` on each other thread of the stopped world. */
  command(command: number, arg: number): void;
  /** Makes that thread poll soon, and wakes it if it sleeps or blocks. It may be called anywhere. */
  notify(thread: number): void;
  /**
   * Blocks at a safepoint until done() is true. It looks again after each notification. Meanwhile the thread counts as
   * stopped.
   */
  block(done: () => boolean): void;
}

export interface CollectorOptions {
  /** Default: a world of one goroutine; finalizers run as microtasks. */
  world?: World;
  clock?: Clock;
  /** Gets the lines of gctrace and other reports, each with its line end. Default: console.error. */
  stderr?: (text: string) => void;
  /** The text of GODEBUG, or the switches themselves. */
  godebug?: string | Partial<Godebug>;
  /** GOGC; negative is off. Default 100. */
  gogc?: number;
  /** Bytes; default none. */
  memoryLimit?: number | bigint;
  /**
   * A collection is wanted, or has more to do: call `pollSafepoint` at the next safepoint. It is called often, so it
   * must be cheap.
   */
  onRequest?: () => void;
  /**
   * Gets the error of a finalizer or cleanup that the default consumer ran. Default: the error is thrown out of a
   * microtask.
   */
  onFinalizerPanic?: (err: unknown, f: Finalization) => void;
  /** An object that the memory profile has sampled is freed: the data of its special, and the bytes of its slot. */
  freeProfile?: (data: number, size: number) => void;
  /**
   * The program keeps no raw pointer over an allocation. Then allocations are safepoints too, and a full heap is
   * collected rather than reported.
   */
  allocationSafepoints?: boolean;
  /**
   * For `attachCollector`: this thread runs no goroutines, and works for the collector only. As long as such a thread
   * is attached, the driver does no marking or sweeping of its own in the background, and none in idle time. It begins
   * and ends the cycles. Allocations assist as ever if the heap grows faster than the thread marks. Default false.
   */
  dedicated?: boolean;
  /**
   * Which twin marks: a WebAssembly kernel, or TypeScript. Both mark the same. Default: the kernel, from the second
   * megabyte on; "js" if the host compiles no WebAssembly, if the memory is no WebAssembly.Memory, or if it was made
   * with `kernel: "js"`.
   */
  marker?: "wasm" | "js";
  /** Callbacks for a trace or a dashboard. */
  events?: CollectorEvents;
}

export interface CollectorEvents {
  /** Marking begins; the world is stopped. */
  gcStart?(n: number, forced: boolean): void;
  /** Marking has ended; the world is stopped. A heap profile's cycle ends here. */
  markDone?(n: number): void;
  /** All spans are swept. */
  sweepDone?(n: number): void;
}
