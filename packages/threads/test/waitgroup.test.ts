import { createBumpHeap, createTypes } from "@gort/types";
import { describe, expect, it } from "vitest";
import { waitGroup } from "../src/lock-types.ts";
import { run } from "./locks-kit.ts";

describe("WaitGroup", () => {
  it("waits for goroutines that it starts, with every kind of end", () => {
    run(function* (s, types) {
      const wg = types.newObject(waitGroup);
      let n = 0;
      wg.go(function* (by: number) {
        yield* s.sleep(3);
        n += by;
      }, 5);
      wg.go(() => {
        n += 1;
      });
      yield* wg.wait();
      expect([n, s.clock.now()]).toEqual([6, 3]);
      yield* wg.wait();
    });
  });

  it("panics if the counter becomes negative at the end of a goroutine", () => {
    expect(() =>
      run(function* (s, types) {
        const wg = types.newObject(waitGroup);
        wg.go(() => wg.done());
        yield* s.sleep(1);
      }),
    ).toThrow("sync: negative WaitGroup counter");
  });

  it("refuses a fraction", () => {
    const wg = createTypes(createBumpHeap()).newObject(waitGroup);
    expect(() => wg.add(0.5)).toThrow("threads: WaitGroup.add: delta must be an integer (got 0.5)");
    expect(() => wg.add(2 ** 31)).toThrow("threads: WaitGroup.add: delta must fit 32 bits (got 2147483648)");
  });

  it("wakes all waiters at 0, and not before", () => {
    run(function* (s, types) {
      const wg = types.newObject(waitGroup);
      let woken = 0;
      wg.add(2);
      for (let i = 0; i < 3; i++) {
        s.go(function* () {
          yield* wg.wait();
          woken++;
        });
      }
      yield* s.sleep(1);
      wg.done();
      wg.add(0);
      yield* s.sleep(1);
      expect(woken).toBe(0);
      wg.add(-1);
      yield* s.sleep(1);
      expect(woken).toBe(3);
      expect(() => wg.done()).toThrow("sync: negative WaitGroup counter");
    });
  });

  it("panics in a waiter if a goroutine waits for the next round already", () => {
    expect(() =>
      run(function* (s, types) {
        const wg = types.newObject(waitGroup);
        wg.add(1);
        s.go(function* () {
          wg.done();
          wg.add(1);
          s.go(function* () {
            yield* wg.wait();
          });
          yield* s.gosched();
          wg.add(-1);
          yield* s.sleep(1);
        });
        yield* wg.wait();
      }),
    ).toThrow("sync: WaitGroup is reused before previous Wait has returned");
  });
});

describe("WaitGroup that is used again", () => {
  it("panics, as Go's does, in a waiter that has not returned yet", () => {
    const reuse = "sync: WaitGroup is reused before previous Wait has returned";
    expect(() =>
      run(function* (s, types) {
        const wg = types.newObject(waitGroup);
        wg.add(1);
        s.go(function* () {
          wg.done();
          wg.add(1);
          yield* s.sleep(1);
          wg.done();
        });
        yield* wg.wait();
      }),
    ).toThrow(reuse);
  });

  it("works again once all waiters have returned, also while another group has waiters", () => {
    run(function* (s, types) {
      const a = types.newObject(waitGroup);
      const b = types.newObject(waitGroup);
      b.add(1);
      const log: string[] = [];
      for (let round = 0; round < 3; round++) {
        a.add(2);
        s.go(function* () {
          yield* a.wait();
          log.push(`waiter ${round}`);
        });
        s.go(function* () {
          yield* b.wait();
        });
        a.go(() => a.done());
        a.done();
        yield* a.wait();
        yield* s.sleep(1);
      }
      b.done();
      expect(log).toEqual(["waiter 0", "waiter 1", "waiter 2"]);
    });
  });

  it("does not count a function that go refuses", () => {
    run(function* (_s, types) {
      const wg = types.newObject(waitGroup);
      const asynchronous: unknown = async () => {};
      expect(() => wg.go(asynchronous as () => void)).toThrow("scheduler: WaitGroup.go needs");
      expect(() => wg.go(null as never)).toThrow("go of nil func value");
      yield* wg.wait();
    });
  });
});
