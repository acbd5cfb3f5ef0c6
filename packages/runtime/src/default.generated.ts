// Derived by scripts/functions.mjs: do not edit.

/** Methods of the running goroutine's runtime, in host code of the default runtime, as functions. */
import { currentRuntime, defaultRuntime } from "./default.ts";
import type { Root } from "./roots.ts";
import { type NotTask, type Task, taskOf } from "./task.ts";
import { goTask } from "./tasks.ts";
import type { WeakRefTo } from "./weak.ts";
import type { Cleanup } from "@gort/gc";
import type { Ptr } from "@gort/memory";
import type { MemStats } from "@gort/memstats";
import type { BlockProfileRecord, Frames, Func, MemProfileRecord, StackRecord } from "@gort/profiling";
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
import type { Init, Ref, RefMembers, Slice, Type, uint8 } from "@gort/types";

/** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
export function go<A extends readonly unknown[], R = unknown>(f: Task<A, R>, ...args: Args<A>): Goroutine;
export function go<A extends readonly unknown[], R = unknown>(
  f: ((...args: A) => NotAsync<R>) & NotTask,
  ...args: A
): Goroutine;
export function go(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
  const entry = taskOf(f);
  return entry === null
    ? currentRuntime().scheduler.newproc(f, args, go)
    : goTask(currentRuntime().scheduler, entry, args, go);
}

/** Lets other goroutines run: `runtime.Gosched`. */
export function gosched(): Operation<void> {
  return currentRuntime().scheduler.gosched();
}

/**
 * Runs `f` as the main goroutine. Resolves with its result when `f` has returned and every other goroutine has ended
 * with it. Rejects with a FatalError (deadlock, out of memory), or with the panic of any goroutine (a PanicError if
 * its value is no object).
 */
export function main<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): Promise<T> {
  return defaultRuntime().scheduler.mainBelow<T>(f, main);
}

/** Counts the goroutines that exist, on all threads, without those of the runtime itself. */
export function numGoroutine(): number {
  return currentRuntime().scheduler.numGoroutine();
}

/**
 * Sets the number of Ps, that is of threads that run goroutines at the same time, and returns the number before. If
 * `n` < 1 it changes nothing. If the host has fewer threads, the number is lower, and a line on standard error says
 * so once. With several threads, a change stops the world and is a safepoint.
 */
export function gomaxprocs(n = 0): number {
  return currentRuntime().scheduler.gomaxprocs(n);
}

/**
 * Ties the goroutine to its thread, which from then on takes no tasks of other threads. Calls nest. The end of the
 * goroutine undoes them all.
 */
export function lockOSThread(): void {
  currentRuntime().scheduler.lockOSThread();
}

/** Undoes one call of `lockOSThread`. */
export function unlockOSThread(): void {
  currentRuntime().scheduler.unlockOSThread();
}

/**
 * Waits for a promise, or for the result of an async function. Other goroutines run meanwhile. A function is called
 * in the host's context.
 */
export function syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
  return currentRuntime().scheduler.syscall<T>(work);
}

/** Calls into native code or WebAssembly, and counts it. */
export function cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
  return currentRuntime().scheduler.cgocall<A, R>(f, ...args);
}

/** Counts the calls of `cgocall` on all threads. On others, those of the slice that runs may be missing. */
export function numCgoCall(): number {
  return currentRuntime().scheduler.numCgoCall();
}

/**
 * `runtime.Stack`: writes the dump of the calling goroutine, or of all, and returns the bytes written. With several
 * threads, the dump of all is a safepoint.
 */
export function stack(buf: Uint8Array | null, all: boolean): number {
  return stackBelow(currentRuntime().scheduler, buf, all, stack);
}

/** Waits until one of the cases can proceed, and performs it. */
export function select<const C extends readonly SelectCase[]>(cases: C): Operation<SelectResultOf<C>> {
  return currentRuntime().scheduler.select<C>(cases);
}

/** Waits `ms` milliseconds. */
export function sleep(ms: number): Operation<void> {
  return currentRuntime().scheduler.sleep(ms);
}

/** Returns a channel that receives the time, in ms since 1970, after `ms`. */
export function after(ms: number): RecvChan<number> {
  return currentRuntime().scheduler.after(ms);
}

/** Makes a timer whose channel `C` receives the time, in ms since 1970, after `ms`. */
export function newTimer(ms: number): Timer & { readonly C: RecvChan<number> } {
  return currentRuntime().scheduler.newTimer(ms);
}

/** Makes a ticker whose channel `C` receives the time, in ms since 1970, every `ms`. */
export function newTicker(ms: number): Ticker {
  return currentRuntime().scheduler.newTicker(ms);
}

/** Calls `f` in a goroutine of its own after `ms`. */
export function afterFunc<R>(ms: number, f: () => NotAsync<R>): Timer {
  return currentRuntime().scheduler.afterFunc<R>(ms, f);
}

/** `new(T)`, or `&T{...}`: a zero value with `init` assigned to it, and a reference that keeps it alive. */
export function newObject<T extends Type>(type: T, init?: Init<T>): Ref<T> {
  return currentRuntime().types.newObject<T>(type, init);
}

/** `make([]T, len, cap)`: zero elements. */
export function makeSlice<E extends Type>(elem: E, len: number, cap = len): Slice<E> {
  return currentRuntime().types.makeSlice<E>(elem, len, cap);
}

/** `[]T{...}`: length and capacity are the list's. */
export function sliceOf<E extends Type>(elem: E, values: readonly Init<E>[]): Slice<E> {
  return currentRuntime().types.sliceOf<E>(elem, values);
}

/** `[]byte(text)`: its UTF-8 form. */
export function toBytes(text: string): Slice<typeof uint8> {
  return currentRuntime().types.toBytes(text);
}

/**
 * The memory profile, not scaled. `n` is the number of records. If `p` has room for all of them, they are put in
 * its first `n` elements and `ok` is true, else `p` is left as it is. With `inuseZero`, the profile includes records
 * whose objects are all freed.
 */
export function memProfile(
  p: (MemProfileRecord | null | undefined)[] | null,
  inuseZero: boolean,
): { n: number; ok: boolean } {
  return currentRuntime().profiler.memProfile(p, inuseZero);
}

/** The block profile; protocol as that of `memProfile`. */
export function blockProfile(p: (BlockProfileRecord | null | undefined)[] | null): {
  n: number;
  ok: boolean;
} {
  return currentRuntime().profiler.blockProfile(p);
}

/** The mutex profile; protocol as that of `memProfile`. */
export function mutexProfile(p: (BlockProfileRecord | null | undefined)[] | null): {
  n: number;
  ok: boolean;
} {
  return currentRuntime().profiler.mutexProfile(p);
}

/** The stacks of all goroutines; protocol as that of `memProfile`. */
export function goroutineProfile(p: (StackRecord | null | undefined)[] | null): { n: number; ok: boolean } {
  return currentRuntime().profiler.goroutineProfile(p);
}

/** The stacks that started threads; protocol as that of `memProfile`. */
export function threadCreateProfile(p: (StackRecord | null | undefined)[] | null): {
  n: number;
  ok: boolean;
} {
  return currentRuntime().profiler.threadCreateProfile(p);
}

/** Sets the samples per second of later CPU profiles; 0 means the default, 100. */
export function setCPUProfileRate(hz: number): void {
  currentRuntime().profiler.setCPUProfileRate(hz);
}

/** The frames of PCs that `callers` recorded. */
export function callersFrames(pcs: Iterable<number>): Frames {
  return currentRuntime().profiler.callersFrames(pcs);
}

/** The function that has the instruction at `pc`, or null. */
export function funcForPC(pc: number): Func | null {
  return currentRuntime().profiler.funcForPC(pc);
}

/** Runs a full collection, sweep included. The call is a safepoint. */
export function gc(): void {
  currentRuntime().gc();
}

/**
 * Runs a collection if one is due, and stops here while another thread has stopped the world. A raw pointer that is
 * not rooted does not survive the call.
 */
export function safepoint(): void {
  currentRuntime().safepoint();
}

/** Keeps the object at `p` alive across safepoints, in the running goroutine until its frame ends. */
export function root<T>(p: Ptr<T>): Root<T> {
  return currentRuntime().root<T>(p);
}

/**
 * Sets the object's finalizer: `f` is called once with a new reference to the object, in the goroutine of finalizers,
 * some time after the last other reference is gone. `null` removes the finalizer. The finalizer of an
 * object that is in a cycle with another object never runs.
 *
 * @throws FatalError for a second finalizer on one object, which is fatal in Go too
 */
export function setFinalizer<T extends Type, R = unknown>(
  x: RefMembers<T>,
  f: ((x: Ref<T>) => NotAsync<R>) | null,
): void {
  currentRuntime().setFinalizer<T, R>(x, f);
}

/**
 * Adds a cleanup: `f(arg)` is called in the goroutine of cleanups some time after the object is gone. A cleanup does
 * not get the object, so an object may have several, and cleanups of objects in a cycle run too. `arg` must not
 * refer to the object, or the object is never collected. If `arg` is a Ref to the object or to a part of it, the
 * call panics as in Go.
 */
export function addCleanup<T extends Type, A, R = unknown>(
  x: RefMembers<T>,
  f: (arg: A) => NotAsync<R>,
  arg: A,
): Cleanup {
  return currentRuntime().addCleanup<T, A, R>(x, f, arg);
}

/**
 * Makes a pointer that does not keep its object alive. `value()` returns a new reference, or null after the object is
 * collected. Two pointers to one object with the same type are equal (`===`). The pointer of null has the value null.
 */
export function weak<T extends Type>(x: RefMembers<T> | null): WeakRefTo<T> {
  return currentRuntime().weak<T>(x);
}

/** Keeps `x` alive until this call. */
export function keepAlive(x: unknown): void {
  currentRuntime().keepAlive(x);
}

/** Fills `m`, or a new record, with a consistent snapshot, for which it stops the world. */
export function readMemStats(m?: MemStats): MemStats {
  return currentRuntime().readMemStats(m);
}

/** Records one wait of goroutines in about `rate` nanoseconds of waiting; 1 records all waits, 0 none. */
export function setBlockProfileRate(rate: number): void {
  currentRuntime().setBlockProfileRate(rate);
}

/**
 * Records one in `fraction` contentions of locks, at the place that releases the lock; 0 records none. Returns the
 * previous fraction. A negative fraction changes nothing.
 */
export function setMutexProfileFraction(fraction: number): number {
  return currentRuntime().setMutexProfileFraction(fraction);
}
