import { describe, expect, it } from "vitest";
import { once as onceType, waitGroup } from "../src/lock-types.ts";
import { run } from "./locks-kit.ts";

describe("Once", () => {
  it("makes later callers wait for the first call", () => {
    run(function* (s, types) {
      const once = types.newObject(onceType);
      let n = 0;
      const wg = types.newObject(waitGroup);
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
    run(function* (s, types) {
      const once = types.newObject(onceType);
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
});
