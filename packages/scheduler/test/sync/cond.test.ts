import { describe, expect, it } from "vitest";
import { Cond, Mutex } from "../../src/sync/index.ts";
import { run } from "../kit.ts";

describe("Cond", () => {
  it("wakes the goroutine that has waited longest, or all", () => {
    run(function* (s) {
      const c = new Cond(new Mutex());
      const log: number[] = [];
      for (let i = 0; i < 4; i++) {
        s.go(function* () {
          yield* c.L.lock();
          yield* c.wait();
          log.push(i);
          c.L.unlock();
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
    run(function* (s) {
      const m = new Mutex();
      let signals = 0;
      const c: Cond = new Cond({
        lock: () => m.lock(),
        unlock() {
          m.unlock();
          if (signals++ === 0) c.signal();
        },
      });
      yield* c.L.lock();
      yield* c.wait();
      expect([signals, m.tryLock()]).toEqual([1, false]);
      c.L.unlock();
      yield* s.gosched();
    });
  });

  it.each([false, true])(
    "fails if L cannot be unlocked, and waits no longer; signalled before: %s",
    (signals) => {
      run(function* (s) {
        const m = new Mutex();
        let fails = true;
        const c: Cond = new Cond({
          lock: () => m.lock(),
          unlock() {
            if (!fails) return m.unlock();
            fails = false;
            if (signals) c.signal();
            throw new Error("no unlock");
          },
        });
        let error: unknown;
        try {
          yield* c.wait();
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
          yield* c.wait();
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
    run(function* (s) {
      const c = new Cond(new Mutex());
      c.signal();
      c.broadcast();
      let woken = 0;
      for (let i = 0; i < 2; i++) {
        s.go(function* () {
          yield* c.L.lock();
          yield* c.wait();
          woken++;
          c.L.unlock();
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
    const copy = (c: Cond): Cond => Object.assign(Object.create(Cond.prototype) as Cond, c);
    const c = new Cond(new Mutex());
    // Before the first use a copy is a Cond of its own.
    copy(c).signal();
    c.signal();
    expect(() => copy(c).signal()).toThrow("sync.Cond is copied");
    expect(() => copy(c).broadcast()).toThrow("sync.Cond is copied");
    expect(() =>
      run(function* () {
        yield* copy(c).wait();
      }),
    ).toThrow("sync.Cond is copied");
    c.broadcast();
  });
});
