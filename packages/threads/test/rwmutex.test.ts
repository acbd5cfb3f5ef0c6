import { createBumpHeap, createTypes } from "@gort/types";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rwMutex, waitGroup } from "../src/lock-types.ts";
import { fatalOf, run } from "./locks-kit.ts";

describe("RWMutex", () => {
  it("excludes all others from a writer, and serves all waiters", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(4), fc.nat(3)), { maxLength: 20 }), (plan) => {
        run(function* (s, types) {
          const rw = types.newObject(rwMutex);
          const wg = types.newObject(waitGroup);
          let readers = 0;
          let writers = 0;
          for (const [write, at, hold] of plan) {
            wg.go(function* () {
              yield* s.sleep(at);
              if (write) {
                yield* rw.lock();
                writers++;
                expect([readers, writers]).toEqual([0, 1]);
                yield* s.sleep(hold);
                writers--;
                rw.unlock();
              } else {
                yield* rw.rLock();
                readers++;
                expect(writers).toBe(0);
                yield* s.sleep(hold);
                readers--;
                rw.rUnlock();
              }
            });
          }
          yield* wg.wait();
          expect(rw.tryLock()).toBe(true);
        });
      }),
    );
  });

  it("lets readers share; tryLock fails beside any holder, tryRLock beside a writer", () => {
    run(function* (_s, types) {
      const rw = types.newObject(rwMutex);
      expect([rw.tryRLock(), rw.tryRLock(), rw.tryLock()]).toEqual([true, true, false]);
      rw.rUnlock();
      expect(rw.tryLock()).toBe(false);
      rw.rUnlock();
      expect([rw.tryLock(), rw.tryLock(), rw.tryRLock()]).toEqual([true, false, false]);
      rw.unlock();
      yield* rw.lock();
      expect([rw.tryLock(), rw.tryRLock()]).toEqual([false, false]);
      rw.unlock();
      yield* rw.rLock();
      expect([rw.tryRLock(), rw.tryLock()]).toEqual([true, false]);
      rw.rUnlock();
      rw.rUnlock();
    });
  });

  it("queues new readers behind a waiting writer, and lets all of them in before the next writer", () => {
    const log: string[] = [];
    run(function* (s, types) {
      const rw = types.newObject(rwMutex);
      const start = (name: string, write: boolean) =>
        s.go(function* () {
          yield* write ? rw.lock() : rw.rLock();
          log.push(`${name} at ${s.clock.now()}`);
          yield* s.sleep(2);
          if (write) rw.unlock();
          else rw.rUnlock();
        });
      yield* rw.rLock();
      yield* rw.rLock();
      start("writer 1", true);
      yield* s.gosched();
      start("writer 2", true);
      yield* s.gosched();
      start("reader 1", false);
      start("reader 2", false);
      yield* s.sleep(1);
      rw.rUnlock();
      yield* s.sleep(1);
      expect([log, rw.tryRLock()]).toEqual([[], false]);
      rw.rUnlock();
      yield* s.sleep(1);
      expect([rw.tryRLock(), rw.tryLock()]).toEqual([false, false]);
      yield* s.sleep(10);
      expect(rw.tryLock()).toBe(true);
    });
    expect(log[0]).toBe("writer 1 at 2");
    expect(log.slice(1, 3).sort()).toEqual(["reader 1 at 4", "reader 2 at 4"]);
    expect(log.slice(3)).toEqual(["writer 2 at 6"]);
  });

  it("goes from writer to writer, one at a time", () => {
    const log: string[] = [];
    run(function* (s, types) {
      const rw = types.newObject(rwMutex);
      yield* rw.lock();
      for (let i = 0; i < 3; i++) {
        s.go(function* () {
          yield* rw.lock();
          log.push(`${i} at ${s.clock.now()}`);
          yield* s.sleep(1);
          rw.unlock();
        });
        yield* s.gosched();
      }
      yield* s.sleep(1);
      rw.unlock();
      // The next writer has its place before it runs.
      expect([rw.tryLock(), rw.tryRLock()]).toEqual([false, false]);
      yield* s.sleep(5);
      expect(rw.tryLock()).toBe(true);
    });
    expect(log).toEqual(["0 at 1", "1 at 2", "2 at 3"]);
  });

  it("is a Locker for readers", () => {
    run(function* (_s, types) {
      const rw = types.newObject(rwMutex);
      const l = rw.rLocker();
      yield* l.lock();
      yield* l.lock();
      expect([rw.tryRLock(), rw.tryLock()]).toEqual([true, false]);
      rw.rUnlock();
      l.unlock();
      expect(rw.tryLock()).toBe(false);
      l.unlock();
      expect(rw.tryLock()).toBe(true);
    });
  });

  it("is fatal to unlock in a mode in which it is not locked", () => {
    const failure = fatalOf;
    const rw = createTypes(createBumpHeap()).newObject(rwMutex);
    const [noWriter, noReader] = [
      "sync: Unlock of unlocked RWMutex",
      "sync: RUnlock of unlocked RWMutex",
    ].map((text) => expect.stringContaining(text));
    expect(failure(() => rw.unlock())).toEqual(noWriter);
    expect(failure(() => rw.rUnlock())).toEqual(noReader);
    expect(rw.tryRLock()).toBe(true);
    expect(failure(() => rw.unlock())).toEqual(noWriter);
    rw.rUnlock();
    expect(failure(() => rw.rUnlock())).toEqual(noReader);
    expect(rw.tryLock()).toBe(true);
    expect(failure(() => rw.rUnlock())).toEqual(noReader);
    rw.unlock();
    expect(failure(() => rw.unlock())).toEqual(noWriter);
  });

  it("shows Go's wait reasons: behind a writer, for readers, to read", () => {
    run(function* (s, types) {
      const reasons = () =>
        s
          .gs()
          .filter((g) => g.atomicstatus === 4)
          .map((g) => g.waitreason)
          .sort();
      const rw = types.newObject(rwMutex);
      yield* rw.rLock();
      s.go(function* () {
        yield* rw.lock();
        rw.unlock();
      });
      yield* s.gosched();
      expect(reasons()).toEqual([24]);
      s.go(function* () {
        yield* rw.lock();
        rw.unlock();
      });
      s.go(function* () {
        yield* rw.rLock();
        rw.rUnlock();
      });
      yield* s.gosched();
      expect(reasons()).toEqual([22, 23, 24]);
      rw.rUnlock();
      yield* s.sleep(1);
      expect(reasons()).toEqual([]);
    });
  });
});
