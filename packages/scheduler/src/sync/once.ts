/** Once, onceFunc, onceValue: work that is done at most once. */

import { checkFunction, checkResult, type NotAsync } from "../functions.ts";
import { isBody, type Yieldable } from "../op.ts";
import { Mutex } from "./mutex.ts";

export class Once {
  private finished = false;
  private readonly m = new Mutex();

  /**
   * The first call of `do` calls `f`; every call returns when this call of `f` has ended. A panic of `f` counts as an
   * end. `f` may be a generator function: `yield* once.do(function* () { ... })`.
   */
  do<R>(f: () => NotAsync<R>): Yieldable<void> {
    checkFunction("Once.do", f);
    return this.finished ? nothing : this.doSlow(f);
  }

  private *doSlow(f: () => unknown): Generator<undefined, void, unknown> {
    yield* this.m.lock();
    try {
      if (this.finished) return;
      try {
        const r = f();
        if (isBody(r)) yield* r;
        else checkResult("Once.do", f, r);
      } finally {
        this.finished = true;
      }
    } finally {
      this.m.unlock();
    }
  }
}

/** For `yield*`: completes without waiting. */
export const nothing: Yieldable<void> = {
  [Symbol.iterator]: () => ({ next: () => ({ done: true, value: undefined }) }),
};

/** A function that calls `f` once and gives its value at every call. It repeats a panic of `f`, too. */
export function onceValue<T>(f: () => Generator<undefined, T, unknown> | NotAsync<T>): () => Yieldable<T> {
  return onceCall("onceValue", f as () => Generator<undefined, T, unknown> | T);
}

function onceCall<T>(what: string, f: () => Generator<undefined, T, unknown> | T): () => Yieldable<T> {
  checkFunction(what, f);
  const once = new Once();
  // Dropped after the call, so that the objects that `f` refers to can be collected.
  let call: typeof f | null = f;
  let value: T;
  let error: unknown;
  let failed = false;
  function* first(): Generator<undefined, void, unknown> {
    try {
      const r = call!();
      if (isBody(r)) {
        value = yield* r;
      } else {
        checkResult(what, call!, r);
        value = r;
      }
    } catch (e) {
      failed = true;
      error = e;
    } finally {
      call = null;
    }
  }
  return function* () {
    yield* once.do(first);
    if (failed) throw error;
    return value;
  };
}

/** As onceValue, for a function without a result. */
export function onceFunc<R>(f: () => NotAsync<R>): () => Yieldable<void> {
  const v = onceCall<unknown>("onceFunc", f);
  return function* () {
    yield* v();
  };
}
