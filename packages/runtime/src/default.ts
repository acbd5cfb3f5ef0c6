/**
 * The runtime behind the functions of the module. In a goroutine it is the goroutine's own, elsewhere the default
 * runtime, which is made from the environment on first use. Functions that are methods of `Runtime` too are in
 * default.generated.ts; here are those that differ from their method.
 */

import type { CallerInfo, PCs } from "@gort/profiling";
import type { Chan } from "@gort/scheduler";
import { getg, setDefaultScheduler, setDefaultSchedulerMaker } from "@gort/scheduler/internal";
import type { HeapChan } from "@gort/threads";
import type { Type } from "@gort/types";
import { useAfterClose } from "./closed.ts";
import { createRuntime, type Runtime } from "./runtime.ts";
import type { RuntimeHooks } from "./wiring.ts";

let instance: Runtime | null = null;

// Host code may use a channel, a WaitGroup or a context before it uses a function of this module. A scheduler without a
// heap would start goroutines whose roots no collection visits.
setDefaultSchedulerMaker(() => defaultRuntime().scheduler);

/** The default runtime. */
export function defaultRuntime(): Runtime {
  if (instance?.closed === true) throw useAfterClose("the default runtime");
  return instance ?? install(createRuntime());
}

/** The functions of @gort/scheduler use the scheduler of the same runtime. */
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
 * Makes `rt` the default runtime, and returns the previous one, or null if there was none. For programs that configure
 * their runtime in code; call it before any other function.
 */
export function setDefaultRuntime(rt: Runtime): Runtime | null {
  if (rt.closed) throw useAfterClose("setDefaultRuntime");
  const old = instance;
  install(rt);
  return old;
}

/** Makes a channel in the heap with room for `n` values of a heap type. Goroutines of every thread can use it. */
// `T & Type` and not `T extends Type`: see Runtime.makeChan.
export function makeChan<T>(type: T & Type, n?: number): HeapChan<T & Type>;
/** Makes a channel of JavaScript values with room for `n` of them, for the goroutines of this thread. */
export function makeChan<T>(n?: number): Chan<T>;
export function makeChan(typeOrSize: Type | number = 0, n = 0): Chan<unknown> | HeapChan {
  const rt = currentRuntime();
  return typeof typeOrSize === "object" ? rt.makeChan(typeOrSize, n) : rt.makeChan(typeOrSize);
}

/**
 * `memProfileRate()` returns the mean number of bytes between two samples of the memory profile, 512 KiB by default.
 * `memProfileRate(n)` sets it and returns the previous one: 1 samples all allocations, 0 none.
 */
export function memProfileRate(rate?: number): number {
  const rt = currentRuntime();
  const old = rt.memProfileRate;
  if (rate !== undefined) rt.memProfileRate = rate;
  return old;
}

/** The place of the `skip`-th caller: 0 is the function that calls `caller`. */
export function caller(skip = 0): CallerInfo {
  // This function is one frame more than the profiler counts.
  return Number.isInteger(skip) && skip >= 0
    ? currentRuntime().caller(skip + 1)
    : currentRuntime().caller(skip);
}

/**
 * Fills `pcs` with the calling stack's return addresses: 0 is `runtime.Callers`, 1 the function that calls
 * `callers`.
 */
export function callers(skip: number, pcs: PCs): number {
  if (skip <= 0) return callersFromHere(pcs);
  return currentRuntime().callers(Number.isInteger(skip) ? skip + 1 : skip, pcs);
}

/** For a skip of 0: `runtime.Callers`, then the frames above this module. */
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
