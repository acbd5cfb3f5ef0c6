/** What the collector needs from the program around it, and the program's options. */
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
