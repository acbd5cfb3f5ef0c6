/**
 * The functions of the module, bound to a runtime: inside a goroutine to the runtime that the goroutine runs on, elsewhere
 * to the default runtime, which is made from the environment on first use.
 */

import type { Cleanup } from "@gort/gc";
import type { Ptr } from "@gort/memory";
import type { MemStats } from "@gort/memstats";
import type {
  BlockProfileRecord,
  CallerInfo,
  Frames,
  Func,
  MemProfileRecord,
  PCs,
  StackRecord,
} from "@gort/profiling";
import type {
  Chan,
  Goroutine,
  NotAsync,
  Operation,
  RecvChan,
  SelectCase,
  SelectResultOf,
  Ticker,
  Timer,
} from "@gort/scheduler";
import { getg, setDefaultScheduler } from "@gort/scheduler";
import { setDefaultSchedulerMaker, stack as stackBelow } from "@gort/scheduler/internal";
import type { Init, Ref, RefMembers, Slice, Type, uint8 } from "@gort/types";
import { useAfterClose } from "./closed.ts";
import type { Root } from "./roots.ts";
import { createRuntime, type Runtime, type RuntimeHooks, type WeakRefTo } from "./runtime.ts";

let instance: Runtime | null = null;

// Host code may use a channel, a WaitGroup or a context before it uses a function of this module. A scheduler without a
// heap would start goroutines whose roots no collection visits.
setDefaultSchedulerMaker(() => defaultRuntime().scheduler);

/** The default runtime. */
export function defaultRuntime(): Runtime {
  if (instance?.closed === true) throw useAfterClose("the default runtime");
  return instance ?? install(createRuntime());
}

/** The packages below have default functions too; they are to mean the same scheduler. */
function install(rt: Runtime): Runtime {
  instance = rt;
  setDefaultScheduler(rt.scheduler);
  return rt;
}

/** The runtime of the running goroutine, or the default one. */
export function currentRuntime(): Runtime {
  const g = getg();
  if (g !== null) {
    const owner = (g.sched.hooks as RuntimeHooks).runtime;
    if (owner?.closed === true) throw useAfterClose("the goroutine's runtime");
    if (owner !== undefined) return owner;
  }
  return defaultRuntime();
}

/**
 * Makes `rt` the runtime behind the functions of this module, and returns the one before, if there was one. For
 * programs that configure their runtime in code; call it before anything else.
 */
export function setDefaultRuntime(rt: Runtime): Runtime | null {
  if (rt.closed) throw useAfterClose("setDefaultRuntime");
  const old = instance;
  install(rt);
  return old;
}

/** See Runtime.main. */
export function main<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): Promise<T> {
  return defaultRuntime().scheduler.mainBelow(f, main);
}

/** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
export function go<A extends readonly unknown[], R = unknown>(
  f: (...args: A) => NotAsync<R>,
  ...args: A
): Goroutine {
  return currentRuntime().scheduler.newproc(f, args, go);
}

/** Lets other goroutines run. */
export function gosched(): Operation<void> {
  return currentRuntime().scheduler.gosched();
}

/** Goroutines that exist, those of the runtime itself not counted. */
export function numGoroutine(): number {
  return currentRuntime().numGoroutine();
}

/** Sets the number of Ps if `n` >= 1; returns the number before. */
export function gomaxprocs(n = 0): number {
  return currentRuntime().gomaxprocs(n);
}

export function lockOSThread(): void {
  currentRuntime().lockOSThread();
}

export function unlockOSThread(): void {
  currentRuntime().unlockOSThread();
}

/** Waits for a promise, or for what an async function returns; other goroutines run meanwhile. */
export function syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
  return currentRuntime().syscall(work);
}

/** Calls into native code or WebAssembly, and counts it. */
export function cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
  return currentRuntime().cgocall(f, ...args);
}

export function numCgoCall(): number {
  return currentRuntime().numCgoCall();
}

/** Writes the dump of the calling goroutine, or of all, into `buf`; returns the bytes written. */
export function stack(buf: Uint8Array, all: boolean): number {
  return stackBelow(currentRuntime().scheduler, buf, all, stack);
}

/** Makes a channel of JavaScript values with room for `n` of them. */
export function makeChan<T>(n = 0): Chan<T> {
  return currentRuntime().makeChan<T>(n);
}

/** Waits until one of the cases can proceed, and does it. */
export function select<const C extends readonly SelectCase[]>(cases: C): Operation<SelectResultOf<C>> {
  return currentRuntime().scheduler.select(cases);
}

/** Waits `ms` milliseconds. */
export function sleep(ms: number): Operation<void> {
  return currentRuntime().sleep(ms);
}

/** A channel that gets the time, in ms since 1970, after `ms`. */
export function after(ms: number): RecvChan<number> {
  return currentRuntime().after(ms);
}

export function newTimer(ms: number): Timer & { readonly C: RecvChan<number> } {
  return currentRuntime().newTimer(ms);
}

export function newTicker(ms: number): Ticker {
  return currentRuntime().newTicker(ms);
}

/** Calls `f` in a goroutine of its own after `ms`. */
export function afterFunc<R>(ms: number, f: () => NotAsync<R>): Timer {
  return currentRuntime().afterFunc<R>(ms, f);
}

/** `new(T)`: a zero value in the heap, with `init` assigned to it, and a reference that keeps it alive. */
export function newObject<T extends Type>(type: T, init?: Init<T>): Ref<T> {
  return currentRuntime().newObject(type, init);
}

/** `make([]T, len, cap)`. */
export function makeSlice<E extends Type>(elem: E, len: number, cap = len): Slice<E> {
  return currentRuntime().makeSlice(elem, len, cap);
}

/** `[]T{...}`. */
export function sliceOf<E extends Type>(elem: E, values: readonly Init<E>[]): Slice<E> {
  return currentRuntime().sliceOf(elem, values);
}

/** `[]byte(text)`. */
export function toBytes(text: string): Slice<typeof uint8> {
  return currentRuntime().toBytes(text);
}

/** A full collection, sweep included; a safepoint. */
export function gc(): void {
  currentRuntime().gc();
}

/** A place where a collection that is due may run: no raw pointer survives it unrooted. */
export function safepoint(): void {
  currentRuntime().safepoint();
}

/** Keeps the object at `p` alive across safepoints, in the running goroutine until its frame ends. */
export function root<T>(p: Ptr<T>): Root<T> {
  return currentRuntime().root(p);
}

/** See Runtime.setFinalizer. */
export function setFinalizer<T extends Type, R = unknown>(
  x: RefMembers<T>,
  f: ((x: Ref<T>) => NotAsync<R>) | null,
): void {
  currentRuntime().setFinalizer(x, f);
}

/** See Runtime.addCleanup. */
export function addCleanup<T extends Type, A, R = unknown>(
  x: RefMembers<T>,
  f: (arg: A) => NotAsync<R>,
  arg: A,
): Cleanup {
  return currentRuntime().addCleanup(x, f, arg);
}

/** See Runtime.weak. */
export function weak<T extends Type>(x: RefMembers<T> | null): WeakRefTo<T> {
  return currentRuntime().weak(x);
}

/** Makes sure that `x` is not collected before this call. */
export function keepAlive(x: unknown): void {
  currentRuntime().keepAlive(x);
}

/** Fills `m`, or a new record, with a consistent snapshot. */
export function readMemStats(m?: MemStats): MemStats {
  return currentRuntime().readMemStats(m);
}

/**
 * `memProfileRate()` gives the mean number of bytes between two samples of the memory profile, `memProfileRate(n)` sets
 * it and gives the old one: 512 KiB by default, 1 samples all, 0 none.
 */
export function memProfileRate(rate?: number): number {
  const rt = currentRuntime();
  const old = rt.memProfileRate;
  if (rate !== undefined) rt.memProfileRate = rate;
  return old;
}

/** The memory profile as of the last completed collection; filled if `p` has room for all records. */
export function memProfile(
  p: (MemProfileRecord | null | undefined)[] | null,
  inuseZero: boolean,
): { n: number; ok: boolean } {
  return currentRuntime().memProfile(p, inuseZero);
}

/** See Runtime.setBlockProfileRate. */
export function setBlockProfileRate(rate: number): void {
  currentRuntime().setBlockProfileRate(rate);
}

/** See Runtime.blockProfile. */
export function blockProfile(p: (BlockProfileRecord | null | undefined)[] | null): {
  n: number;
  ok: boolean;
} {
  return currentRuntime().blockProfile(p);
}

/** See Runtime.setMutexProfileFraction. */
export function setMutexProfileFraction(fraction: number): number {
  return currentRuntime().setMutexProfileFraction(fraction);
}

/** See Runtime.mutexProfile. */
export function mutexProfile(p: (BlockProfileRecord | null | undefined)[] | null): {
  n: number;
  ok: boolean;
} {
  return currentRuntime().mutexProfile(p);
}

/** See Runtime.goroutineProfile. */
export function goroutineProfile(p: (StackRecord | null | undefined)[] | null): { n: number; ok: boolean } {
  return currentRuntime().goroutineProfile(p);
}

export function threadCreateProfile(p: (StackRecord | null | undefined)[] | null): {
  n: number;
  ok: boolean;
} {
  return currentRuntime().threadCreateProfile(p);
}

/** See Runtime.setCPUProfileRate. */
export function setCPUProfileRate(hz: number): void {
  currentRuntime().setCPUProfileRate(hz);
}

/** The place of the `skip`-th caller: 0 is the function that calls `caller`. */
export function caller(skip = 0): CallerInfo {
  // This function is a frame of its own: without it the count would be the profiler's.
  return Number.isInteger(skip) && skip >= 0
    ? currentRuntime().caller(skip + 1)
    : currentRuntime().caller(skip);
}

/** Fills `pcs` with the calling stack's return addresses: 0 is `runtime.Callers`, 1 the function that calls `callers`. */
export function callers(skip: number, pcs: PCs): number {
  if (skip <= 0) return callersFromHere(pcs);
  return currentRuntime().callers(Number.isInteger(skip) ? skip + 1 : skip, pcs);
}

/** Skip 0: `runtime.Callers`, then what is above this module. */
function callersFromHere(pcs: PCs): number {
  const rt = currentRuntime();
  const n = rt.callers(0, pcs);
  if (n <= 1) return n;
  const rest: number[] = new Array<number>(pcs.length - 1).fill(0);
  // Frames: callersFromHere, callers, then the caller.
  const m = rt.callers(3, rest);
  for (let i = 0; i < m; i++) pcs[i + 1] = rest[i]!;
  return m + 1;
}

/** The frames of PCs that `callers` recorded. */
export function callersFrames(pcs: Iterable<number>): Frames {
  return currentRuntime().callersFrames(pcs);
}

/** The function that has the instruction at `pc`, or null. */
export function funcForPC(pc: number): Func | null {
  return currentRuntime().funcForPC(pc);
}
