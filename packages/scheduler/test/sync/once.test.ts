import { describe, expect, it } from "vitest";
import { collectHostUntil } from "../../../../vitest.hostgc.ts";
import { Once, onceFunc, onceValue, WaitGroup } from "../../src/sync/index.ts";
import { run } from "../kit.ts";

describe("Once", () => {
  it("makes later callers wait for the first call", () => {
    run(function* (s) {
      const once = new Once();
      let n = 0;
      const wg = new WaitGroup();
      for (let i = 0; i < 5; i++) {
        wg.go(function* () {
          yield* once.do(function* () {
            yield* s.sleep(10);
            n++;
          });
          expect(n).toBe(1);
        });
      }
      yield* wg.wait();
    });
  });

  it("counts a function that threw as done, and lets the next caller continue", () => {
    run(function* (s) {
      const once = new Once();
      let n = 0;
      const fail = function* () {
        n++;
        yield* s.sleep(1);
        throw new Error("once");
      };
      let later = false;
      s.go(function* () {
        yield* s.gosched();
        yield* once.do(fail);
        later = true;
      });
      let error: unknown;
      try {
        yield* once.do(fail);
      } catch (e) {
        error = e;
      }
      expect(error).toEqual(new Error("once"));
      yield* s.sleep(1);
      yield* once.do(fail);
      expect([n, later]).toEqual([1, true]);
    });
  });

  it("repeats a panic in onceValue and onceFunc, and repeats the value of a generator", () => {
    run(function* (s) {
      let n = 0;
      const value = onceValue(function* () {
        yield* s.sleep(1);
        return ++n;
      });
      expect([yield* value(), yield* value(), n]).toEqual([1, 1, 1]);
      const error = new Error("again");
      for (const f of [onceValue, onceFunc]) {
        let calls = 0;
        const g = f(() => {
          calls++;
          throw error;
        });
        for (let i = 0; i < 2; i++) {
          let caught: unknown;
          try {
            yield* g();
          } catch (e) {
            caught = e;
          }
          expect(caught).toBe(error);
        }
        expect(calls).toBe(1);
      }
      expect(yield* onceFunc(() => void n++)()).toBe(undefined);
      expect(n).toBe(2);
    });
  });
});

describe("onceFunc and onceValue", () => {
  it("drop the reference to their function once it has run", async () => {
    const make = () => {
      const big = { size: 1 << 20 };
      const value = onceValue(() => big.size);
      const func = onceFunc(() => void big.size);
      return { value, func, ref: new WeakRef(big) };
    };
    const { value, func, ref } = make();
    run(function* () {
      expect(yield* value()).toBe(1 << 20);
      yield* func();
    });
    await collectHostUntil(() => ref.deref() === undefined);
    run(function* () {
      expect(yield* value()).toBe(1 << 20);
      yield* func();
    });
  });
});
