/** The default scheduler, made on first use, and the package's functions bound to it. */

import {
  type Chan,
  close as closeChan,
  type RecvChan,
  type RecvResult,
  recv2From,
  recvFrom,
  type SendChan,
  sendTo,
} from "./chan.ts";
import type { NotAsync } from "./functions.ts";
import { Goroutine } from "./goroutine.ts";
import type { Operation } from "./op.ts";
import { createScheduler, type Scheduler } from "./proc.ts";
import { type G, getg, m0 } from "./runtime2.ts";
import type { SelectCase, SelectResultOf } from "./select.ts";
import type { Ticker, Timer } from "./time.ts";
import { stack as stackBelow } from "./traceback.ts";

let instance: Scheduler | null = null;
let make = (): Scheduler => createScheduler();

/** The default scheduler. */
export function defaultScheduler(): Scheduler {
  return (instance ??= make());
}

/** Sets the function that makes the default scheduler on first use. For a facade, whose scheduler has a heap. */
export function setDefaultSchedulerMaker(f: () => Scheduler): void {
  make = f;
}

/** Makes `s` the scheduler behind the package's functions, and returns the one before. For a facade. */
export function setDefaultScheduler(s: Scheduler): Scheduler | null {
  const old = instance;
  instance = s;
  return old;
}

/** The scheduler of the running goroutine, or the default one. */
export function currentScheduler(): Scheduler {
  const g = m0.curg;
  return g !== null ? g.sched : (instance ??= make());
}

/** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
export function go<A extends readonly unknown[], R = unknown>(
  f: (...args: A) => NotAsync<R>,
  ...args: A
): Goroutine;
export function go(f: (...args: never[]) => unknown, arg?: unknown): Goroutine {
  // As in Scheduler.go: no array for the arguments.
  // biome-ignore lint/complexity/noArguments: see above
  const n = arguments.length - 1;
  if (n <= 1) return new Goroutine(currentScheduler().newg(f, n, arg, go, null));
  // biome-ignore lint/complexity/noArguments: see above
  return goMany.apply(null, arguments as unknown as [never, ...unknown[]]);
}

function goMany(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
  return currentScheduler().newproc(f, args, goMany);
}

/** Runs `f` as the main goroutine: see Scheduler.main. */
export function main<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): Promise<T> {
  return defaultScheduler().mainBelow(f, main);
}

/** Lets other goroutines run. */
export function gosched(): Operation<void> {
  return currentScheduler().gosched();
}

/** Lets other goroutines run if this one has had its time slice; for long loops. */
export function checkpoint(): Operation<void> {
  return currentScheduler().checkpoint();
}

/** Whether the running goroutine has used up its time slice. */
export function shouldYield(): boolean {
  return currentScheduler().shouldYield();
}

/** Waits `ms` milliseconds. */
export function sleep(ms: number): Operation<void> {
  return currentScheduler().sleep(ms);
}

/** A channel that gets the time, in ms since 1970, after `ms`. */
export function after(ms: number): RecvChan<number> {
  return currentScheduler().after(ms);
}

export function newTimer(ms: number): Timer & { readonly C: RecvChan<number> } {
  return currentScheduler().newTimer(ms);
}

export function newTicker(ms: number): Ticker {
  return currentScheduler().newTicker(ms);
}

/** Calls `f` in a goroutine of its own after `ms`. */
export function afterFunc<R>(ms: number, f: () => NotAsync<R>): Timer {
  return currentScheduler().afterFunc<R>(ms, f);
}

/** Makes a channel with room for `n` values. */
export function makeChan<T>(n = 0): Chan<T> {
  return currentScheduler().makeChan<T>(n);
}

/** Waits until one of the cases can proceed, and does it. */
export function select<const C extends readonly SelectCase[]>(cases: C): Operation<SelectResultOf<C>> {
  return currentScheduler().select(cases);
}

/** `c <- value`, also for a null channel, which blocks for ever. */
export function send<T>(c: SendChan<T> | null, value: T): Operation<void> {
  return sendTo(currentScheduler, c, value);
}

/** `<-c`, also for a null channel, which blocks for ever. */
export function recv<T>(c: RecvChan<T> | null): Operation<T | undefined> {
  return recvFrom(currentScheduler, c);
}

/** `v, ok := <-c`, also for a null channel, which blocks for ever. */
export function recv2<T>(c: RecvChan<T> | null): Operation<RecvResult<T>> {
  return recv2From(currentScheduler, c);
}

/** `close(c)`, also for a null channel, which panics. */
export const close: (c: SendChan<never> | null) => void = closeChan;

/** Waits for a promise, or for what an async function returns; other goroutines run meanwhile. */
export function syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
  return currentScheduler().syscall(work);
}

/** Calls into native code or WebAssembly, and counts it. */
export function cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
  return currentScheduler().cgocall(f, ...args);
}

export function numCgoCall(): number {
  return currentScheduler().numCgoCall();
}

/** Goroutines that exist. */
export function numGoroutine(): number {
  return currentScheduler().numGoroutine();
}

/** Sets the number of Ps if `n` >= 1, and returns the number before. */
export function gomaxprocs(n = 0): number {
  return currentScheduler().gomaxprocs(n);
}

export function lockOSThread(): void {
  currentScheduler().lockOSThread();
}

export function unlockOSThread(): void {
  currentScheduler().unlockOSThread();
}

/** Writes the dump of the calling goroutine, or of all, and returns the bytes written. */
export function stack(buf: Uint8Array | null, all: boolean): number {
  return stackBelow(currentScheduler(), buf, all, stack);
}

/** Number of the running goroutine; 0 in host code. */
export function goid(): number {
  const g: G | null = getg();
  return g === null ? 0 : g.goid;
}
