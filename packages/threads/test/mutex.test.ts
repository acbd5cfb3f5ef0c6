import { FatalError } from "@gort/base";
import type { Addr } from "@gort/memory";
import { setDefaultScheduler } from "@gort/scheduler";
import { createTestScheduler, type TestScheduler } from "@gort/scheduler/testing";
import { createBumpHeap, createTypes, type TypedHeap } from "@gort/types";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cond, mutex, rwMutex, waitGroup } from "../src/lock-types.ts";
import { fatalOf, run } from "./locks-kit.ts";

describe("Mutex", () => {
  it("excludes all but one goroutine under every schedule", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 6 }), { maxLength: 6 }),
        (plans) => {
          run(function* (s, types) {
            const m = types.newObject(mutex);
            const wg = types.newObject(waitGroup);
            let inside = 0;
            let entries = 0;
            for (const plan of plans) {
              wg.go(function* () {
                for (const wait of plan) {
                  yield* m.lock();
                  entries++;
                  expect(++inside).toBe(1);
                  if (wait > 0) yield* s.sleep(wait);
                  else yield* s.gosched();
                  inside--;
                  m.unlock();
                }
              });
            }
            yield* wg.wait();
            expect(entries).toBe(plans.flat().length);
            expect(m.tryLock()).toBe(true);
            expect(m.tryLock()).toBe(false);
          });
        },
      ),
    );
  });

  it("goes directly to a waiter that has starved for over a millisecond", () => {
    const log: string[] = [];
    run(function* (s, types) {
      const m = types.newObject(mutex);
      yield* m.lock();
      s.go(function* () {
        yield* m.lock();
        log.push("waiter");
        m.unlock();
      });
      yield* s.sleep(5);
      // The waiter wakes and loses against a running goroutine: from then on the mutex starves.
      m.unlock();
      yield* m.lock();
      yield* s.gosched();
      m.unlock();
      expect(m.tryLock()).toBe(false);
      yield* m.lock();
      log.push("main");
      m.unlock();
    });
    expect(log).toEqual(["waiter", "main"]);
  });

  it("may be unlocked by another goroutine, and is fatal to unlock when it is free", () => {
    run(function* (s, types) {
      const m = types.newObject(mutex);
      yield* m.lock();
      s.go(() => m.unlock());
      yield* m.lock();
    });
    const free = createTypes(createBumpHeap()).newObject(mutex);
    expect(fatalOf(() => free.unlock())).toBe("sync: unlock of unlocked mutex");
  });

  /** A mutex that is locked, with waiters that log when they get it and hold it for `hold` ms. */
  function* contended(s: TestScheduler, types: TypedHeap, log: string[], holds: number[]) {
    const m = types.newObject(mutex);
    yield* m.lock();
    for (const [i, hold] of holds.entries()) {
      s.go(function* () {
        yield* m.lock();
        log.push(`waiter ${i} at ${s.clock.now()}`);
        if (hold > 0) yield* s.sleep(hold);
        m.unlock();
      });
      yield* s.gosched();
    }
    return m;
  }

  it("lets a running goroutine overtake a waiter of up to 1 ms", () => {
    const log: string[] = [];
    run(function* (s, types) {
      const m = yield* contended(s, types, log, [0, 0]);
      yield* s.sleep(1);
      m.unlock();
      expect(m.tryLock()).toBe(true);
      yield* s.gosched();
      // The waiter was woken at exactly 1 ms, and lost.
      m.unlock();
      expect(m.tryLock()).toBe(true);
      log.push("main");
      m.unlock();
      yield* s.sleep(1);
    });
    expect(log).toEqual(["main", "waiter 0 at 1", "waiter 1 at 1"]);
  });

  it("puts a waiter that has lost at the head of the queue", () => {
    const log: string[] = [];
    run(function* (s, types) {
      const m = yield* contended(s, types, log, [0, 0, 0]);
      m.unlock();
      expect(m.tryLock()).toBe(true);
      yield* s.gosched();
      expect(log).toEqual([]);
      m.unlock();
      yield* s.sleep(1);
    });
    expect(log).toEqual(["waiter 0 at 0", "waiter 1 at 0", "waiter 2 at 0"]);
  });

  it("wakes only one waiter for several unlocks in a row", () => {
    run(function* (s, types) {
      const m = yield* contended(s, types, [], [0, 0]);
      const woken = () => s.gs().filter((g) => g.waitreason === 22 && g.atomicstatus === 1).length;
      m.unlock();
      expect(woken()).toBe(1);
      for (let i = 0; i < 3; i++) {
        expect(m.tryLock()).toBe(true);
        m.unlock();
        expect(woken()).toBe(1);
      }
      yield* s.sleep(1);
      expect(m.tryLock()).toBe(true);
    });
  });

  it("refuses newcomers while it starves, until a waiter that is last or has waited 1 ms at most gets it", () => {
    const log: string[] = [];
    run(function* (s, types) {
      const m = yield* contended(s, types, log, [1, 0, 0]);
      yield* s.sleep(2);
      m.unlock();
      expect(m.tryLock()).toBe(true);
      yield* s.gosched();
      // Waiter 0 has lost after more than 1 ms, so each unlock hands the mutex to the next waiter.
      m.unlock();
      expect(m.tryLock()).toBe(false);
      s.go(function* () {
        yield* m.lock();
        log.push(`newcomer at ${s.clock.now()}`);
        m.unlock();
      });
      yield* s.sleep(5);
      expect(m.tryLock()).toBe(true);
    });
    expect(log).toEqual(["waiter 0 at 2", "waiter 1 at 3", "waiter 2 at 3", "newcomer at 3"]);
  });

  it("ends starvation with a waiter of up to 1 ms, though others wait", () => {
    run(function* (s, types) {
      const log: string[] = [];
      const m = yield* contended(s, types, log, [0]);
      yield* s.sleep(2);
      m.unlock();
      expect(m.tryLock()).toBe(true);
      yield* s.gosched();
      for (let i = 1; i <= 2; i++) {
        s.go(function* () {
          yield* m.lock();
          log.push(`late ${i}`);
          yield* s.sleep(1);
          m.unlock();
          // late 1 has waited for less than 1 ms. So it wakes late 2, but does not hand the mutex over.
          if (i === 1 && m.tryLock()) {
            log.push("late 1 again");
            m.unlock();
          }
        });
        yield* s.gosched();
      }
      m.unlock();
      yield* s.gosched();
      expect(log).toEqual(["waiter 0 at 2", "late 1"]);
      yield* s.sleep(5);
      expect(log).toEqual(["waiter 0 at 2", "late 1", "late 1 again", "late 2"]);
      expect(m.tryLock()).toBe(true);
    });
  });
});

describe("locks without memory for a wait", () => {
  /** Runs `f` while the heap gives no root, or the memory no sudogs. */
  function errorWithout(what: string, { heap }: TypedHeap, f: () => unknown): unknown {
    const { newRef } = heap;
    const { persistentAlloc } = heap.mem;
    if (what === "sudogs") heap.mem.persistentAlloc = () => 0 as Addr;
    else {
      heap.newRef = () => {
        throw new RangeError("no root");
      };
    }
    try {
      return f();
    } catch (e) {
      return e;
    } finally {
      heap.newRef = newRef;
      heap.mem.persistentAlloc = persistentAlloc;
    }
  }

  it.each(["roots", "sudogs"])("fail without %s, and their goroutine waits as ever later", (what) => {
    run(function* (s, types) {
      const m = types.newObject(mutex);
      const rw = types.newObject(rwMutex);
      const wg = types.newObject(waitGroup);
      const c = types.newObject(cond);
      yield* m.lock();
      yield* rw.lock();
      wg.add(1);
      const operations = [
        () => m.lock(),
        () => rw.lock(),
        () => rw.rLock(),
        () => wg.wait(),
        () => c.wait(m),
      ];
      for (const operation of operations) {
        const error = errorWithout(what, types, () => operation()[Symbol.iterator]().next());
        expect(error).toBeInstanceOf(what === "roots" ? RangeError : FatalError);
      }
      s.go(function* () {
        yield* s.sleep(1);
        c.signal();
        m.unlock();
      });
      yield* m.lock();
      rw.unlock();
      wg.done();
      yield* wg.wait();
      expect([m.tryLock(), rw.tryLock(), rw.tryRLock()]).toEqual([false, true, false]);
    });
  });
});

describe("locks in host code", () => {
  it("can be awaited", async () => {
    const s = createTestScheduler();
    const old = setDefaultScheduler(s);
    const m = createTypes(createBumpHeap()).newObject(mutex);
    const got = m.lock();
    const second = (async () => {
      await got;
      m.unlock();
      return "done";
    })();
    await Promise.resolve();
    s.run();
    await Promise.resolve();
    expect(await second).toBe("done");
    if (old !== null) setDefaultScheduler(old);
  });
});
