/** Once, OnceFunc, OnceValue: work that is done at most once. */

import { isGenerator } from "../chan.ts";
import type { Yieldable } from "../op.ts";
import { Mutex } from "./mutex.ts";

export class Once {
  private finished = false;
  private readonly m = new Mutex();

  /**
   * Calls `f`, if no call of `do` has yet; returns when that one call is over. A panic of `f` counts as a
   * return. `f` may be a generator function: `yield* once.do(function* () { ... })`.
   */
  do(f: () => unknown): Yieldable<void> {
    return this.finished ? nothing : this.doSlow(f);
  }

  private *doSlow(f: () => unknown): Generator<undefined, void, unknown> {
    yield* this.m.lock();
    try {
      if (this.finished) return;
      try {
        const r = f();
        if (isGenerator(r)) yield* r;
      } finally {
        this.finished = true;
      }
    } finally {
      this.m.unlock();
    }
  }
}

/** Completes at once. */
const nothing: Yieldable<void> = {
  [Symbol.iterator]: () => ({ next: () => ({ done: true, value: undefined }) }),
};

/** A function that calls `f` once and gives its value again and again; a panic of `f` is repeated too. */
export function onceValue<T>(f: () => Generator<undefined, T, unknown> | T): () => Yieldable<T> {
  const once = new Once();
  let value: T;
  let error: unknown;
  let failed = false;
  function* first(): Generator<undefined, void, unknown> {
    try {
      const r = f();
      value = isGenerator(r) ? ((yield* r) as T) : r;
    } catch (e) {
      failed = true;
      error = e;
    }
  }
  return function* () {
    yield* once.do(first);
    if (failed) throw error;
    return value;
  };
}

/** As onceValue, for a function without a result. */
export function onceFunc(f: () => unknown): () => Yieldable<void> {
  const v = onceValue(f);
  return function* () {
    yield* v();
  };
}
