// Derived by scripts/functions.mjs: do not edit.

/** Methods of a runtime that are its parts' own. */
import { type NotTask, type Task, taskOf } from "./task.ts";
import { goTask } from "./tasks.ts";
import type { Profiler } from "@gort/profiling";
import type { BlockProfileRecord, Frames, Func, MemProfileRecord, StackRecord } from "@gort/profiling";
import type { Scheduler } from "@gort/scheduler";
import type {
  Goroutine,
  NotAsync,
  Operation,
  RecvChan,
  SelectCase,
  SelectResultOf,
  Ticker,
  Timer,
} from "@gort/scheduler";
import { stack as stackBelow } from "@gort/scheduler/internal";
import type { Args } from "@gort/threads";
import type { TypedHeap } from "@gort/types";
import type { Init, Ref, Slice, Type, uint8 } from "@gort/types";

export abstract class RuntimeMethods {
  abstract readonly scheduler: Scheduler;
  abstract readonly types: TypedHeap;
  abstract readonly profiler: Profiler;

  /** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
  go<A extends readonly unknown[], R = unknown>(f: Task<A, R>, ...args: Args<A>): Goroutine;
  go<A extends readonly unknown[], R = unknown>(
    f: ((...args: A) => NotAsync<R>) & NotTask,
    ...args: A
  ): Goroutine;
  go(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
    const entry = taskOf(f);
    return entry === null
      ? this.scheduler.newproc(f, args, this.go)
      : goTask(this.scheduler, entry, args, this.go);
  }

  /** Lets other goroutines run: `runtime.Gosched`. */
  gosched(): Operation<void> {
    return this.scheduler.gosched();
  }

  /**
   * Runs `f` as the main goroutine. Resolves with its result when `f` has returned and every other goroutine has ended
   * with it. Rejects with a FatalError (deadlock, out of memory), or with the panic of any goroutine (a PanicError if
   * its value is no object).
   */
  main<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): Promise<T> {
    return this.scheduler.mainBelow<T>(f, this.main);
  }

  /** Counts the goroutines that exist, on all threads, without those of the runtime itself. */
  numGoroutine(): number {
    return this.scheduler.numGoroutine();
  }

  /**
   * Sets the number of Ps, that is of threads that run goroutines at the same time, and returns the number before. If
   * `n` < 1 it changes nothing. If the host has fewer threads, the number is lower, and a line on standard error says
   * so once. With several threads, a change stops the world and is a safepoint.
   */
  gomaxprocs(n = 0): number {
    return this.scheduler.gomaxprocs(n);
  }

  /**
   * Ties the goroutine to its thread, which from then on takes no tasks of other threads. Calls nest. The end of the
   * goroutine undoes them all.
   */
  lockOSThread(): void {
    this.scheduler.lockOSThread();
  }

  /** Undoes one call of `lockOSThread`. */
  unlockOSThread(): void {
    this.scheduler.unlockOSThread();
  }

  /**
   * Waits for a promise, or for the result of an async function. Other goroutines run meanwhile. A function is called
   * in the host's context.
   */
  syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
    return this.scheduler.syscall<T>(work);
  }

  /** Calls into native code or WebAssembly, and counts it. */
  cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
    return this.scheduler.cgocall<A, R>(f, ...args);
  }

  /** Counts the calls of `cgocall` on all threads. On others, those of the slice that runs may be missing. */
  numCgoCall(): number {
    return this.scheduler.numCgoCall();
  }

  /**
   * `runtime.Stack`: writes the dump of the calling goroutine, or of all, and returns the bytes written. With several
   * threads, the dump of all is a safepoint.
   */
  stack(buf: Uint8Array | null, all: boolean): number {
    return stackBelow(this.scheduler, buf, all, this.stack);
  }

  /** Waits until one of the cases can proceed, and performs it. */
  select<const C extends readonly SelectCase[]>(cases: C): Operation<SelectResultOf<C>> {
    return this.scheduler.select<C>(cases);
  }

  /** Waits `ms` milliseconds. */
  sleep(ms: number): Operation<void> {
    return this.scheduler.sleep(ms);
  }

  /** Returns a channel that receives the time, in ms since 1970, after `ms`. */
  after(ms: number): RecvChan<number> {
    return this.scheduler.after(ms);
  }

  /** Makes a timer whose channel `C` receives the time, in ms since 1970, after `ms`. */
  newTimer(ms: number): Timer & { readonly C: RecvChan<number> } {
    return this.scheduler.newTimer(ms);
  }

  /** Makes a ticker whose channel `C` receives the time, in ms since 1970, every `ms`. */
  newTicker(ms: number): Ticker {
    return this.scheduler.newTicker(ms);
  }

  /** Calls `f` in a goroutine of its own after `ms`. */
  afterFunc<R>(ms: number, f: () => NotAsync<R>): Timer {
    return this.scheduler.afterFunc<R>(ms, f);
  }

  /** `new(T)`, or `&T{...}`: a zero value with `init` assigned to it, and a reference that keeps it alive. */
  newObject<T extends Type>(type: T, init?: Init<T>): Ref<T> {
    return this.types.newObject<T>(type, init);
  }

  /** `make([]T, len, cap)`: zero elements. */
  makeSlice<E extends Type>(elem: E, len: number, cap = len): Slice<E> {
    return this.types.makeSlice<E>(elem, len, cap);
  }

  /** `[]T{...}`: length and capacity are the list's. */
  sliceOf<E extends Type>(elem: E, values: readonly Init<E>[]): Slice<E> {
    return this.types.sliceOf<E>(elem, values);
  }

  /** `[]byte(text)`: its UTF-8 form. */
  toBytes(text: string): Slice<typeof uint8> {
    return this.types.toBytes(text);
  }

  /**
   * The memory profile, not scaled. `n` is the number of records. If `p` has room for all of them, they are put in
   * its first `n` elements and `ok` is true, else `p` is left as it is. With `inuseZero`, the profile includes records
   * whose objects are all freed.
   */
  memProfile(
    p: (MemProfileRecord | null | undefined)[] | null,
    inuseZero: boolean,
  ): { n: number; ok: boolean } {
    return this.profiler.memProfile(p, inuseZero);
  }

  /** The block profile; protocol as that of `memProfile`. */
  blockProfile(p: (BlockProfileRecord | null | undefined)[] | null): { n: number; ok: boolean } {
    return this.profiler.blockProfile(p);
  }

  /** The mutex profile; protocol as that of `memProfile`. */
  mutexProfile(p: (BlockProfileRecord | null | undefined)[] | null): { n: number; ok: boolean } {
    return this.profiler.mutexProfile(p);
  }

  /** The stacks of all goroutines; protocol as that of `memProfile`. */
  goroutineProfile(p: (StackRecord | null | undefined)[] | null): { n: number; ok: boolean } {
    return this.profiler.goroutineProfile(p);
  }

  /** The stacks that started threads; protocol as that of `memProfile`. */
  threadCreateProfile(p: (StackRecord | null | undefined)[] | null): { n: number; ok: boolean } {
    return this.profiler.threadCreateProfile(p);
  }

  /** Sets the samples per second of later CPU profiles; 0 means the default, 100. */
  setCPUProfileRate(hz: number): void {
    this.profiler.setCPUProfileRate(hz);
  }

  /** The frames of PCs that `callers` recorded. */
  callersFrames(pcs: Iterable<number>): Frames {
    return this.profiler.callersFrames(pcs);
  }

  /** The function that has the instruction at `pc`, or null. */
  funcForPC(pc: number): Func | null {
    return this.profiler.funcForPC(pc);
  }
}
