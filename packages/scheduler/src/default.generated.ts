// Derived by scripts/functions.mjs: do not edit.

/** Methods of the running goroutine's scheduler, in host code of the default scheduler, as functions. */
import type { Chan, RecvChan } from "./chan-types.ts";
import { currentScheduler, defaultScheduler } from "./default.ts";
import type { NotAsync } from "./functions.ts";
import { Goroutine } from "./goroutine.ts";
import type { Operation } from "./op.ts";
import type { SelectCase, SelectResultOf } from "./select-case.ts";
import type { Ticker, Timer } from "./time.ts";
import { stack as stackBelow } from "./traceback.ts";

/** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
export function go<A extends readonly unknown[], R = unknown>(
  f: (...args: A) => NotAsync<R>,
  ...args: A
): Goroutine;
export function go(f: (...args: never[]) => unknown, arg?: unknown): Goroutine {
  // As in Scheduler.go: no array for the arguments.
  const n = arguments.length - 1;
  if (n <= 1) return new Goroutine(currentScheduler().newg(f, n, arg, go, null));
  return goMany.apply(null, arguments as unknown as [never, ...unknown[]]);
}

function goMany(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
  return currentScheduler().newproc(f, args, goMany);
}

/** Lets other goroutines run: `runtime.Gosched`. */
export function gosched(): Operation<void> {
  return currentScheduler().gosched();
}

/**
 * Runs `f` as the main goroutine. Resolves with its result when `f` has returned and every other goroutine has ended
 * with it. Rejects with a FatalError (deadlock, out of memory), or with the panic of any goroutine (a PanicError if
 * its value is no object).
 */
export function main<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): Promise<T> {
  return defaultScheduler().mainBelow<T>(f, main);
}

/** Counts the goroutines that exist, on all threads, without those of the runtime itself. */
export function numGoroutine(): number {
  return currentScheduler().numGoroutine();
}

/**
 * Sets the number of Ps, that is of threads that run goroutines at the same time, and returns the number before. If
 * `n` < 1 it changes nothing. If the host has fewer threads, the number is lower, and a line on standard error says
 * so once. With several threads, a change stops the world and is a safepoint.
 */
export function gomaxprocs(n = 0): number {
  return currentScheduler().gomaxprocs(n);
}

/**
 * Ties the goroutine to its thread, which from then on takes no tasks of other threads. Calls nest. The end of the
 * goroutine undoes them all.
 */
export function lockOSThread(): void {
  currentScheduler().lockOSThread();
}

/** Undoes one call of `lockOSThread`. */
export function unlockOSThread(): void {
  currentScheduler().unlockOSThread();
}

/**
 * Waits for a promise, or for the result of an async function. Other goroutines run meanwhile. A function is called
 * in the host's context.
 */
export function syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
  return currentScheduler().syscall<T>(work);
}

/** Calls into native code or WebAssembly, and counts it. */
export function cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
  return currentScheduler().cgocall<A, R>(f, ...args);
}

/** Counts the calls of `cgocall` on all threads. On others, those of the slice that runs may be missing. */
export function numCgoCall(): number {
  return currentScheduler().numCgoCall();
}

/**
 * `runtime.Stack`: writes the dump of the calling goroutine, or of all, and returns the bytes written. With several
 * threads, the dump of all is a safepoint.
 */
export function stack(buf: Uint8Array | null, all: boolean): number {
  return stackBelow(currentScheduler(), buf, all, stack);
}

/** Makes a channel of JavaScript values with room for `n` of them. */
export function makeChan<T>(n = 0): Chan<T> {
  return currentScheduler().makeChan<T>(n);
}

/** Waits until one of the cases can proceed, and performs it. */
export function select<const C extends readonly SelectCase[]>(cases: C): Operation<SelectResultOf<C>> {
  return currentScheduler().select<C>(cases);
}

/** Waits `ms` milliseconds. */
export function sleep(ms: number): Operation<void> {
  return currentScheduler().sleep(ms);
}

/** Returns a channel that receives the time, in ms since 1970, after `ms`. */
export function after(ms: number): RecvChan<number> {
  return currentScheduler().after(ms);
}

/** Makes a timer whose channel `C` receives the time, in ms since 1970, after `ms`. */
export function newTimer(ms: number): Timer & { readonly C: RecvChan<number> } {
  return currentScheduler().newTimer(ms);
}

/** Makes a ticker whose channel `C` receives the time, in ms since 1970, every `ms`. */
export function newTicker(ms: number): Ticker {
  return currentScheduler().newTicker(ms);
}

/** Calls `f` in a goroutine of its own after `ms`. */
export function afterFunc<R>(ms: number, f: () => NotAsync<R>): Timer {
  return currentScheduler().afterFunc<R>(ms, f);
}

/** Lets other goroutines run if this one has used up its time slice; for long loops: `yield* checkpoint()`. */
export function checkpoint(): Operation<void> {
  return currentScheduler().checkpoint();
}

/** Whether the running goroutine has used up its time slice: `if (shouldYield()) yield* gosched()`. */
export function shouldYield(): boolean {
  return currentScheduler().shouldYield();
}
