/** Singleflight: callers that ask for the same work share one run of it. */

import type { Chan } from "../chan-types.ts";
import { currentScheduler } from "../default.ts";
import { checkFunction, checkResult, type NotAsync } from "../functions.ts";
import { isBody } from "../op.ts";
import { WaitGroup } from "./waitgroup.ts";

export interface FlightResult<T> {
  value: T;
  /** Whether other callers got the same value. */
  shared: boolean;
}

interface Call<T> {
  wg: WaitGroup;
  value: T | undefined;
  error: unknown;
  failed: boolean;
  dups: number;
}

export class Singleflight<K, T> {
  private readonly m = new Map<K, Call<T>>();

  /** Runs `f`, or waits for the run under the same key. A panic of `f` reaches all callers. */
  do(
    key: K,
    f: () => Generator<undefined, T, unknown> | NotAsync<T>,
  ): Generator<undefined, FlightResult<T>, unknown> {
    return this.run("Singleflight.do", key, f);
  }

  private *run(
    what: string,
    key: K,
    f: () => Generator<undefined, T, unknown> | T,
  ): Generator<undefined, FlightResult<T>, unknown> {
    checkFunction(what, f);
    let c = this.m.get(key);
    if (c !== undefined) {
      c.dups++;
      yield* c.wg.wait();
    } else {
      c = { wg: new WaitGroup(), value: undefined, error: undefined, failed: false, dups: 0 };
      c.wg.add(1);
      this.m.set(key, c);
      try {
        const r = f();
        if (isBody(r)) {
          c.value = yield* r;
        } else {
          checkResult(what, f, r);
          c.value = r;
        }
      } catch (e) {
        c.failed = true;
        c.error = e;
      }
      if (this.m.get(key) === c) this.m.delete(key);
      c.wg.done();
    }
    if (c.failed) throw c.error;
    return { value: c.value as T, shared: c.dups > 0 };
  }

  /** As do, but in a new goroutine. The returned channel gives the result. */
  doChan(key: K, f: () => Generator<undefined, T, unknown> | NotAsync<T>): Chan<FlightResult<T>> {
    const what = "Singleflight.doChan";
    checkFunction(what, f);
    const s = currentScheduler();
    const c = s.makeChan<FlightResult<T>>(1);
    const self = this;
    s.newproc(
      function* () {
        yield* c.send(yield* self.run(what, key, f));
      },
      [],
      this.doChan,
    );
    return c;
  }

  /** Makes the next call under `key` run its function, even while a run is under way. */
  forget(key: K): void {
    this.m.delete(key);
  }
}
