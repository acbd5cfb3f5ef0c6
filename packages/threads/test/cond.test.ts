import { struct } from "@gort/types";
import { describe, expect, it } from "vitest";
import { cond, mutex } from "../src/lock-types.ts";
import { run } from "./locks-kit.ts";

describe("Cond", () => {
  it("wakes the goroutine that has waited longest, or all", () => {
    run(function* (s, types) {
      const c = types.newObject(cond);
      const l = types.newObject(mutex);
      const log: number[] = [];
      for (let i = 0; i < 4; i++) {
        s.go(function* () {
          yield* l.lock();
          yield* c.wait(l);
          log.push(i);
          l.unlock();
        });
        yield* s.gosched();
      }
      c.signal();
      yield* s.sleep(1);
      expect(log).toEqual([0]);
      c.broadcast();
      yield* s.sleep(1);
      expect(log.sort()).toEqual([0, 1, 2, 3]);
    });
  });

  it("misses no signal that comes right after wait has unlocked L", () => {
    run(function* (s, types) {
      const m = types.newObject(mutex);
      let signals = 0;
      const c = types.newObject(cond);
      const l = {
        lock: () => m.lock(),
        unlock() {
          m.unlock();
          if (signals++ === 0) c.signal();
        },
      };
      yield* l.lock();
      yield* c.wait(l);
      expect([signals, m.tryLock()]).toEqual([1, false]);
      l.unlock();
      yield* s.gosched();
    });
  });

  it.each([false, true])(
    "fails if L cannot be unlocked, and waits no longer; signalled before: %s",
    (signals) => {
      run(function* (s, types) {
        const m = types.newObject(mutex);
        const c = types.newObject(cond);
        const l = {
          lock: () => m.lock(),
          unlock() {
            if (signals) c.signal();
            throw new Error("no unlock");
          },
        };
        let error: unknown;
        try {
          yield* c.wait(l);
        } catch (e) {
          error = e;
        }
        expect(String(error)).toBe("Error: no unlock");
        // The goroutine goes on as ever, and no signal is for it.
        yield* s.sleep(1);
        const log: string[] = [];
        const w = s.go(function* () {
          yield* m.lock();
          log.push("waits");
          yield* c.wait(m);
          log.push("woken");
          m.unlock();
        });
        yield* s.gosched();
        c.signal();
        yield* w.done();
        expect(log).toEqual(["waits", "woken"]);
      });
    },
  );

  it("ignores a signal without a waiter, and does not keep it for a later waiter", () => {
    run(function* (s, types) {
      const c = types.newObject(cond);
      const l = types.newObject(mutex);
      c.signal();
      c.broadcast();
      let woken = 0;
      for (let i = 0; i < 2; i++) {
        s.go(function* () {
          yield* l.lock();
          yield* c.wait(l);
          woken++;
          l.unlock();
        });
      }
      yield* s.sleep(1);
      expect(woken).toBe(0);
      c.signal();
      c.signal();
      yield* s.sleep(1);
      expect(woken).toBe(2);
    });
  });

  it("panics in a copy that was made after its first use", () => {
    const T = struct("T", { c: cond });
    run(function* (_s, types) {
      const a = types.newObject(T);
      const copy = () => types.newObject(T, a);
      // Before the first use a copy is a Cond of its own.
      copy().c.signal();
      a.c.signal();
      expect(() => copy().c.signal()).toThrow("sync.Cond is copied");
      expect(() => copy().c.broadcast()).toThrow("sync.Cond is copied");
      const m = types.newObject(mutex);
      yield* m.lock();
      let error: unknown;
      try {
        yield* copy().c.wait(m);
      } catch (e) {
        error = e;
      }
      expect(String(error)).toContain("sync.Cond is copied");
      a.c.broadcast();
    });
  });

  it("needs the lock that it releases", () => {
    run(function* (_s, types) {
      const c = types.newObject(cond);
      let error: unknown;
      try {
        yield* c.wait(undefined as never);
      } catch (e) {
        error = e;
      }
      expect(error).toEqual(
        new TypeError("threads: Cond.wait needs the lock that it releases (got undefined)"),
      );
    });
  });
});
