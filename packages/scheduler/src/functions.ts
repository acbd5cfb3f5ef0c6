/**
 * Functions that a caller hands over: generator functions, or ordinary functions that do not block. An async function would
 * run beside its goroutine, and its failures would be lost, so the types and these checks refuse it.
 */

import type { Yieldable } from "./op.ts";

/** `T`, or never where it is the result of an async function. An op can be awaited too, but a goroutine can run it. */
export type NotAsync<T> =
  T extends Yieldable<unknown>
    ? T
    : T extends PromiseLike<unknown> | AsyncGenerator<unknown, unknown, never>
      ? never
      : T;

type Constructor = new () => unknown;
const AsyncFunction = (async () => {}).constructor as Constructor;
const AsyncGeneratorFunction = async function* () {}.constructor as Constructor;

/** Whether `f` is an async function or an async generator function. */
function isAsyncFunction(f: object): boolean {
  // Unlike getPrototypeOf, for which the engine leaves optimised code, this is a few loads.
  return f instanceof AsyncFunction || f instanceof AsyncGeneratorFunction;
}

/**
 * Throws unless `f` is a function, and not an async one. `what` names the function of the API that is given it, `pkg`
 * its package.
 */
export function checkFunction(what: string, f: unknown, pkg = "scheduler"): void {
  if (typeof f !== "function") {
    throw new TypeError(`${pkg}: ${what} needs a function (got ${f === null ? "null" : typeof f})`);
  }
  if (isAsyncFunction(f)) {
    throw new TypeError(
      `${pkg}: ${what} needs a generator function, not an async one (got ${f.name || "an async function"}; wait for promises with yield* syscall(promise))`,
    );
  }
}

/** Throws if `r`, which `f` returned, is a promise: its goroutine would not wait for it. */
export function checkResult(what: string, f: { readonly name: string }, r: unknown, pkg = "scheduler"): void {
  if (typeof r !== "object" || r === null || !("then" in r) || typeof r.then !== "function") return;
  // The error below is the report; a rejection must not end the process besides.
  if (r instanceof Promise) r.catch(ignore);
  throw new TypeError(
    `${pkg}: ${what} needs a generator function or a function that does not block (${f.name || "it"} returned a promise; wait for one with yield* syscall(promise))`,
  );
}

function ignore(): void {}
