import { describe, expect, it } from "vitest";
import type { Goroutine } from "../../src/index.ts";
import { Singleflight, WaitGroup } from "../../src/sync/index.ts";
import { run } from "../kit.ts";

describe("Singleflight", () => {
  it("shares one run among callers of the same key", () => {
    run(function* (s) {
      const g = new Singleflight<string, number>();
      let calls = 0;
      const work = function* () {
        calls++;
        yield* s.sleep(5);
        return 42;
      };
      const results: unknown[] = [];
      const wg = new WaitGroup();
      for (let i = 0; i < 3; i++) {
        wg.go(function* () {
          results.push(yield* g.do("k", work));
        });
      }
      yield* wg.wait();
      expect(calls).toBe(1);
      expect(results).toEqual(Array(3).fill({ value: 42, shared: true }));
      expect(yield* g.doChan("k", () => 1).recv()).toEqual({ value: 1, shared: false });
    });
  });

  it("gives a panic to all callers", () => {
    run(function* (s) {
      const g = new Singleflight<string, number>();
      let failures = 0;
      const wg = new WaitGroup();
      for (let i = 0; i < 2; i++) {
        wg.go(function* () {
          try {
            yield* g.do("k", function* () {
              yield* s.sleep(1);
              throw new Error("no");
            });
          } catch {
            failures++;
          }
        });
      }
      yield* wg.wait();
      expect(failures).toBe(2);
    });
  });

  it("shares a run with callers that came during it, and runs again for a later call", () => {
    run(function* (s) {
      const g = new Singleflight<string, number>();
      let runs = 0;
      const work = function* () {
        yield* s.sleep(5);
        return ++runs;
      };
      expect(yield* g.do("k", work)).toEqual({ value: 1, shared: false });
      expect(yield* g.do("k", work)).toEqual({ value: 2, shared: false });
      const first = g.doChan("k", work);
      const other = g.doChan("other", work);
      yield* s.sleep(1);
      const second = g.doChan("k", work);
      expect(yield* second.recv()).toEqual({ value: 3, shared: true });
      expect(yield* first.recv()).toEqual({ value: 3, shared: true });
      expect(yield* other.recv()).toEqual({ value: 4, shared: false });
      expect(() => g.doChan("k", 3 as never)).toThrow("scheduler: Singleflight.doChan needs a function");
    });
  });

  it("runs again after forget; the end of the first run leaves the second one's key alone", () => {
    run(function* (s) {
      const flight = new Singleflight<string, number>();
      let runs = 0;
      const call = function* () {
        return (yield* flight.do("k", function* () {
          const n = ++runs;
          yield* s.sleep(n === 1 ? 10 : 20);
          return n;
        })).value;
      };
      const results: number[] = [];
      const start = (): Goroutine =>
        s.go(function* () {
          results.push(yield* call());
        });
      start();
      yield* s.sleep(1);
      flight.forget("k");
      start();
      yield* s.sleep(12);
      // The first run has ended. The key belongs to the second.
      start();
      yield* s.sleep(30);
      expect(runs).toBe(2);
      expect(results).toEqual([1, 2, 2]);
    });
  });
});
