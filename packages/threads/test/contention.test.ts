import { createTestScheduler, type TestScheduler } from "@gort/scheduler/testing";
import type { TypedHeap } from "@gort/types";
import { describe, expect, it } from "vitest";
import { type HeapWaitGroup, mutex, rwMutex, waitGroup } from "../src/lock-types.ts";
import { run } from "./locks-kit.ts";

/** Events of the mutex profile: the time that goroutines waited, at each release that wakes one. */

interface Event {
  ms: number;
  unlock: string;
  above: unknown;
}

function profiled(
  f: (s: TestScheduler, wg: HeapWaitGroup, types: TypedHeap) => Generator<undefined, void, unknown>,
  on = true,
): Event[] {
  const events: Event[] = [];
  const s = createTestScheduler({
    hooks: { mutexEvent: (ns, unlock, above) => events.push({ ms: ns / 1e6, unlock, above }) },
  });
  s.mutexProfileEnabled = on;
  run(function* (_s, types) {
    const wg = types.newObject(waitGroup);
    yield* f(s, wg, types);
    yield* wg.wait();
  }, s);
  return events;
}

describe("the mutex profile", () => {
  const unlock = "sync.(*Mutex).Unlock";

  it("charges an unlock with the time of all waiters since they queued or since the last charge", () => {
    const left: number[] = [];
    const events = profiled(function* (s, wg, types) {
      const m = types.newObject(mutex);
      yield* m.lock();
      for (const [from, hold] of [
        [0, 2],
        [2, 1],
        [3, 0],
      ]) {
        wg.go(function* () {
          yield* s.sleep(from);
          yield* m.lock();
          left.push(s.clock.now());
          yield* s.sleep(hold);
          m.unlock();
        });
      }
      yield* s.sleep(5);
      m.unlock();
    });
    expect(left).toEqual([5, 7, 8]);
    const { above } = events[0];
    expect(above).toHaveProperty("name", "unlock");
    expect(events).toEqual([
      { ms: 5 + 3 + 2, unlock, above },
      { ms: 2 * 2, unlock, above },
      { ms: 1, unlock, above },
    ]);
    // All charges are all waits: from 0 to 5, from 2 to 7, from 3 to 8.
    expect(events.reduce((sum, e) => sum + e.ms, 0)).toBe(15);
  });

  it("counts the time of later waiters of a lock from their own start", () => {
    const events = profiled(function* (s, wg, types) {
      const m = types.newObject(mutex);
      for (let round = 1; round <= 3; round++) {
        yield* m.lock();
        wg.go(function* () {
          yield* m.lock();
          m.unlock();
        });
        yield* s.sleep(round);
        m.unlock();
        yield* wg.wait();
        yield* s.sleep(10);
      }
    });
    expect(events.map((e) => e.ms)).toEqual([1, 2, 3]);
  });

  it("has no event for a lock without waiters, and none while the profile is off", () => {
    const uncontended = profiled(function* (_s, _wg, types) {
      const m = types.newObject(mutex);
      const rw = types.newObject(rwMutex);
      yield* m.lock();
      m.unlock();
      yield* rw.lock();
      rw.unlock();
      yield* rw.rLock();
      rw.rUnlock();
    });
    expect(uncontended).toEqual([]);
    const contend = function* (s: TestScheduler, wg: HeapWaitGroup, types: TypedHeap) {
      const m = types.newObject(mutex);
      const rw = types.newObject(rwMutex);
      yield* m.lock();
      yield* rw.lock();
      wg.go(function* () {
        yield* m.lock();
        m.unlock();
        yield* rw.rLock();
        rw.rUnlock();
      });
      wg.go(function* () {
        yield* rw.lock();
        rw.unlock();
      });
      yield* s.sleep(1);
      m.unlock();
      yield* s.sleep(1);
      rw.unlock();
    };
    expect(profiled(contend, false)).toEqual([]);
    expect(profiled(contend)).not.toEqual([]);
  });

  it("omits waits that began before it was on, and has no event once it is off", () => {
    const events = profiled(function* (s, wg, types) {
      const m = types.newObject(mutex);
      const waitFor = () =>
        wg.go(function* () {
          yield* m.lock();
          m.unlock();
        });
      yield* m.lock();
      waitFor();
      yield* s.sleep(10);
      s.mutexProfileEnabled = true;
      waitFor();
      yield* s.sleep(2);
      // The first waiter does not count. Its turn before the second changes nothing for the second.
      m.unlock();
      yield* wg.wait();

      yield* m.lock();
      waitFor();
      yield* s.sleep(3);
      s.mutexProfileEnabled = false;
      m.unlock();
      yield* wg.wait();

      s.mutexProfileEnabled = true;
      yield* m.lock();
      waitFor();
      yield* s.sleep(4);
      m.unlock();
    }, false);
    expect(events.map((e) => e.ms)).toEqual([2, 0, 4]);
  });

  it("charges a writer with the waits for it, and a reader with the writer that waits for readers", () => {
    const writer = { unlock: "sync.(*RWMutex).Unlock", above: expect.objectContaining({ name: "unlock" }) };
    const reader = { unlock: "sync.(*RWMutex).RUnlock", above: expect.objectContaining({ name: "rUnlock" }) };
    const events = profiled(function* (s, wg, types) {
      const rw = types.newObject(rwMutex);
      yield* rw.lock();
      for (let i = 0; i < 2; i++) {
        wg.go(function* () {
          yield* rw.rLock();
          yield* s.sleep(4 + i);
          rw.rUnlock();
        });
      }
      wg.go(function* () {
        yield* s.sleep(1);
        yield* rw.lock();
        yield* s.sleep(3);
        rw.unlock();
      });
      wg.go(function* () {
        yield* s.sleep(2);
        yield* rw.lock();
        rw.unlock();
      });
      yield* s.sleep(6);
      rw.unlock();
    });
    expect(events).toEqual([
      // Two readers waited for 6 ms, two writers for 5 and 4 ms. The readers leave after 4 and 5 ms.
      { ms: 6 + 6 + 5 + 4, ...writer },
      { ms: 5, ...reader },
      // The second writer has waited on, through the 5 ms of the readers and the 3 ms of the first writer.
      { ms: 5 + 3, ...writer },
    ]);
  });

  it("may be on without a hook for its events", () => {
    run(function* (s, types) {
      s.mutexProfileEnabled = true;
      const m = types.newObject(mutex);
      yield* m.lock();
      const waiting = s.go(function* () {
        yield* m.lock();
        m.unlock();
      });
      yield* s.sleep(1);
      m.unlock();
      yield* waiting.done();
      expect(m.tryLock()).toBe(true);
    });
  });

  it("omits waits for both kinds of locks that began before it was on", () => {
    const s = createTestScheduler({ hooks: { mutexEvent: () => events++ } });
    let events = 0;
    run(function* (_s, types) {
      const m = types.newObject(mutex);
      const rw = types.newObject(rwMutex);
      const read = types.newObject(rwMutex);
      yield* m.lock();
      yield* rw.rLock();
      yield* read.lock();
      const waiting = [
        s.go(function* () {
          yield* m.lock();
        }),
        s.go(function* () {
          yield* rw.lock();
        }),
        s.go(function* () {
          yield* read.rLock();
        }),
      ];
      yield* s.sleep(5);
      s.mutexProfileEnabled = true;
      m.unlock();
      rw.rUnlock();
      read.unlock();
      for (const g of waiting) yield* g.done();
      expect(events).toBe(0);
      s.go(function* () {
        yield* m.lock();
      });
      yield* s.sleep(5);
      m.unlock();
      yield* s.sleep(1);
      expect(events).toBe(1);
    }, s);
  });
});
