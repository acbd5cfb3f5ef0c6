/**
 * Checks of functions that a program passes: generator functions, or ordinary functions that do not block. An async
 * function would run beside its goroutine, and its errors would be lost. So the types and these checks refuse it.
 */

import type { Yieldable } from "./op.ts";

/** `T`, or never if `T` is the result of an async function. An op has a `then` too, but a goroutine can run it. */
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
  // This is a few loads. For getPrototypeOf the engine leaves optimised code.
  return f instanceof AsyncFunction || f instanceof AsyncGeneratorFunction;
}

/**
 * Throws if `f` is no function, or an async one. `what` names the function of the API that takes `f`, `pkg` its
 * package.
 */
export function checkFunction(what: string, f: unknown, pkg = "scheduler"): void {
  if (typeof f !== "function") {
    throw new TypeError(`${pkg}: ${what} needs a function (got ${f === null ? "null" : typeof f})`);
  }
  if (isAsyncFunction(f)) {
    throw new TypeError(
      `${pkg}: ${what} needs a generator function, not an async one (got ${f.name || "an async function"}; ` +
        "wait for promises with yield* syscall(promise))",
    );
  }
}

/** Throws if `r`, the result of `f`, is a promise: the goroutine would not wait for it. */
export function checkResult(what: string, f: { readonly name: string }, r: unknown, pkg = "scheduler"): void {
  if (typeof r !== "object" || r === null || !("then" in r) || typeof r.then !== "function") return;
  // The error below reports it. A rejection must not end the process as well.
  if (r instanceof Promise) r.catch(ignore);
  throw new TypeError(
    `${pkg}: ${what} needs a generator function or a function that does not block ` +
      `(${f.name || "it"} returned a promise; wait for one with yield* syscall(promise))`,
  );
}

function ignore(): void {}
