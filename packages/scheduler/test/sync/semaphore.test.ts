import { describe, expect, it } from "vitest";
import { Weighted } from "../../src/sync/index.ts";
import { run } from "../kit.ts";

describe("Weighted", () => {
  it("serves waiters in order, also one that asks for many units", () => {
    run(function* (s) {
      const sem = new Weighted(3);
      const log: string[] = [];
      yield* sem.acquire(2);
      s.go(function* () {
        yield* sem.acquire(3);
        log.push("three");
        sem.release(3);
      });
      yield* s.gosched();
      expect(sem.tryAcquire(1)).toBe(false);
      s.go(function* () {
        yield* sem.acquire();
        log.push("one");
        sem.release();
      });
      yield* s.gosched();
      expect(log).toEqual([]);
      sem.release(2);
      yield* s.sleep(1);
      expect(log).toEqual(["three", "one"]);
      expect(() => sem.release()).toThrow("semaphore: released more than held");
    });
  });

  it("gives exactly as many units as it has", () => {
    run(function* (s) {
      const sem = new Weighted(3);
      expect([sem.tryAcquire(4), sem.tryAcquire(3), sem.tryAcquire(0), sem.tryAcquire()]).toEqual([
        false,
        true,
        true,
        false,
      ]);
      const log: string[] = [];
      for (const n of [1, 2, 1]) {
        s.go(function* () {
          yield* sem.acquire(n);
          log.push(`${n}`);
        });
        yield* s.gosched();
      }
      sem.release(2);
      yield* s.gosched();
      // One unit is free and the next waiter asks for two. The third, which asks for one, does not overtake it.
      expect(log).toEqual(["1"]);
      expect(sem.tryAcquire(0)).toBe(false);
      sem.release();
      yield* s.gosched();
      expect(log).toEqual(["1", "2"]);
      sem.release(2);
      yield* s.gosched();
      expect(log).toEqual(["1", "2", "1"]);
      expect([sem.tryAcquire(2), sem.tryAcquire(1)]).toEqual([false, true]);
      sem.release(3);
      expect(() => sem.release()).toThrow("semaphore: released more than held");
    });
  });

  it("refuses sizes and units that are no whole numbers from 0", () => {
    for (const bad of [-1, 0.5, Number.NaN, "1", null]) {
      const got = `must be an integer of at least 0 (got ${typeof bad === "string" ? `"${bad}"` : bad})`;
      const kind = typeof bad === "number" ? RangeError : TypeError;
      expect(() => new Weighted(bad as never)).toThrow(kind);
      expect(() => new Weighted(bad as never)).toThrow(`scheduler: semaphore size ${got}`);
      const sem = new Weighted(2);
      for (const f of [sem.acquire, sem.tryAcquire, sem.release]) {
        expect(() => f.call(sem, bad as never)).toThrow(kind);
        expect(() => f.call(sem, bad as never)).toThrow(`scheduler: semaphore units ${got}`);
      }
      expect(sem.tryAcquire(2)).toBe(true);
    }
    expect(new Weighted(0).tryAcquire(0)).toBe(true);
  });
});
