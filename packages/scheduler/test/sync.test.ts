import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { collectHost, collectHostUntil, hostTurn } from "../../../vitest.hostgc.ts";
import { background, cause, withCancel } from "../src/context.ts";
import { currentScheduler } from "../src/default.ts";
import { goexit, isFatalError, setDefaultScheduler } from "../src/index.ts";
import {
  Cond,
  Group,
  Mutex,
  Once,
  onceFunc,
  onceValue,
  Pool,
  RWMutex,
  Singleflight,
  SyncMap,
  WaitGroup,
  Weighted,
} from "../src/sync/index.ts";
import { poolCleanup } from "../src/sync/pool.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";

/** A value that the types refuse, as JavaScript callers may pass it. */
const untyped = (value: unknown): never => value as never;

function run<T>(f: (s: TestScheduler) => Generator<undefined, T, unknown>): T {
  const s = createTestScheduler();
  return s.runMain(() => f(s));
}

describe("Mutex", () => {
  it("lets one in at a time, whatever the schedule", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 6 }), { maxLength: 6 }),
        (plans) => {
          run(function* (s) {
            const m = new Mutex();
            const wg = new WaitGroup();
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

  it("is handed to a waiter that has starved for a millisecond", () => {
    const log: string[] = [];
    run(function* (s) {
      const m = new Mutex();
      yield* m.lock();
      s.go(function* () {
        yield* m.lock();
        log.push("waiter");
        m.unlock();
      });
      yield* s.sleep(5);
      // The waiter is woken and loses against one who is running: after that it starves.
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

  it("may be unlocked by another goroutine, but not when it is unlocked", () => {
    run(function* (s) {
      const m = new Mutex();
      yield* m.lock();
      s.go(() => m.unlock());
      yield* m.lock();
    });
    let error: unknown;
    try {
      new Mutex().unlock();
    } catch (e) {
      error = e;
    }
    expect(isFatalError(error)).toBe(true);
  });
});

describe("RWMutex", () => {
  it("keeps writers apart from all others and loses nobody", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(4), fc.nat(3)), { maxLength: 20 }), (plan) => {
        run(function* (s) {
          const rw = new RWMutex();
          const wg = new WaitGroup();
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
});

describe("WaitGroup", () => {
  it("waits for goroutines that it starts, however they end", () => {
    run(function* (s) {
      const wg = new WaitGroup();
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

  it("panics when one done too many comes at the end of a goroutine", () => {
    expect(() =>
      run(function* (s) {
        const wg = new WaitGroup();
        wg.go(() => wg.done());
        yield* s.sleep(1);
      }),
    ).toThrow("sync: negative WaitGroup counter");
  });

  it("refuses a fraction", () => {
    expect(() => new WaitGroup().add(0.5)).toThrow("delta must be an integer (got 0.5)");
  });
});

describe("Cond", () => {
  it("wakes one, oldest first, or all", () => {
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
});

describe("Once", () => {
  it("lets later callers wait for the first", () => {
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
});

describe("WaitGroup that is used again", () => {
  it("panics, as Go's does, in a waiter that has not returned yet", () => {
    const reuse = "sync: WaitGroup is reused before previous Wait has returned";
    expect(() =>
      run(function* (s) {
        const wg = new WaitGroup();
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

  it("is fine once all have returned, and tells each waiter's group apart", () => {
    run(function* (s) {
      const a = new WaitGroup();
      const b = new WaitGroup();
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

  it("has not counted a function that go refuses", () => {
    run(function* () {
      const wg = new WaitGroup();
      expect(() => wg.go(untyped(async () => {}))).toThrow("scheduler: WaitGroup.go needs");
      expect(() => wg.go(null as never)).toThrow("go of nil func value");
      yield* wg.wait();
    });
  });
});

describe("Pool", () => {
  it("gives back what was put, makes what is missing, and forgets at the second collection", () => {
    let made = 0;
    const p = new Pool(() => ({ id: ++made }));
    const a = p.get();
    p.put(a);
    expect(p.get()).toBe(a);
    p.put(a);
    poolCleanup(currentScheduler());
    expect(p.get()).toBe(a);
    p.put(a);
    poolCleanup(currentScheduler());
    poolCleanup(currentScheduler());
    expect(p.get().id).toBe(2);
    expect(new Pool<number>().get()).toBe(undefined);
  });

  it("notices the engine's collections by itself", async () => {
    const p = new Pool<object>();
    p.put({});
    for (let i = 0; i < 20; i++) {
      collectHost();
      await hostTurn();
    }
    expect(p.get()).toBe(undefined);
  });
});

describe("Pool", () => {
  function drain(p: Pool<string>): string {
    let out = "";
    for (let x = p.get(); x !== undefined; x = p.get()) out += x;
    return out;
  }
  function fill(p: Pool<string>, xs: string): void {
    for (const x of xs) p.put(x);
  }
  const collect = () => poolCleanup(currentScheduler());

  // Recorded from Go 1.27 with GOMAXPROCS=1.
  it("gives objects in Go's order: the first put, then the last, and victims from the oldest", () => {
    const p = new Pool<string>();
    fill(p, "abcd");
    expect(drain(p)).toBe("adcb");
    fill(p, "abcd");
    collect();
    expect(drain(p)).toBe("abcd");
    fill(p, "abcd");
    collect();
    fill(p, "xy");
    expect(drain(p)).toBe("xyabcd");
    fill(p, "abcd");
    collect();
    expect(p.get()).toBe("a");
    p.put("a");
    collect();
    expect(drain(p)).toBe("a");
    fill(p, "a");
    collect();
    collect();
    expect(drain(p)).toBe("");
  });

  it("ages with the collections of its own scheduler", () => {
    const a = createTestScheduler();
    const b = createTestScheduler();
    const p = a.runMain(() => {
      const pool = new Pool<string>();
      pool.put("x");
      return pool;
    });
    for (let i = 0; i < 3; i++) poolCleanup(b);
    poolCleanup(a);
    expect(p.get()).toBe("x");
  });

  it("refuses a New that is no function", () => {
    expect(() => new Pool(3 as never)).toThrow("scheduler: Pool: New must be a function (got 3)");
  });
});

describe("Weighted", () => {
  it("serves those who wait in order, also one that wants much", () => {
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
});

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
});

describe("Group", () => {
  it("gives the first error and cancels its context", () => {
    run(function* (s) {
      const { group, ctx } = Group.withContext(background());
      let cancelled = false;
      yield* group.go(function* () {
        yield* ctx.done()!.recv();
        cancelled = true;
      });
      yield* group.go(function* () {
        yield* s.sleep(2);
        throw new Error("first");
      });
      yield* group.go(function* () {
        yield* s.sleep(4);
        return new Error("second");
      });
      expect(yield* group.wait()).toEqual(new Error("first"));
      expect(cancelled).toBe(true);
    });
  });

  it("keeps to its limit", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(2);
      let now = 0;
      let most = 0;
      for (let i = 0; i < 6; i++) {
        yield* g.go(function* () {
          most = Math.max(most, ++now);
          yield* s.sleep(1);
          now--;
        });
      }
      expect(g.tryGo(() => {})).toBe(false);
      expect(yield* g.wait()).toBe(null);
      expect(most).toBe(2);
    });
  });
});

describe("Group without yield*", () => {
  it("starts its function at once", () => {
    run(function* (s) {
      const g = new Group();
      let ran = false;
      g.go(function* () {
        yield* s.sleep(1);
        ran = true;
      });
      expect(yield* g.wait()).toBe(null);
      expect(ran).toBe(true);
    });
  });

  it("loses no function behind the limit, and keeps to it", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(2);
      let now = 0;
      let most = 0;
      let ran = 0;
      for (let i = 0; i < 7; i++) {
        g.go(function* () {
          most = Math.max(most, ++now);
          yield* s.sleep(1);
          now--;
          ran++;
        });
      }
      expect(g.tryGo(() => {})).toBe(false);
      expect(yield* g.wait()).toBe(null);
      expect([most, ran]).toEqual([2, 7]);
    });
  });

  it("changes its limit only while nothing of it runs", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      g.go(function* () {
        yield* s.sleep(1);
      });
      expect(() => g.setLimit(3)).toThrow(
        "errgroup: modify limit while 1 goroutines in the group are still active",
      );
      yield* g.wait();
      g.setLimit(3);
      expect(() => g.setLimit(0.5)).toThrow("scheduler: Group.setLimit: n must be an integer (got 0.5)");
    });
  });
});

describe("onceFunc and onceValue", () => {
  it("let go of their function once it has run", async () => {
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

describe("locks in host code", () => {
  it("can be awaited", async () => {
    const s = createTestScheduler();
    const old = setDefaultScheduler(s);
    const m = new Mutex();
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

  it("cancel is an ordinary function", () => {
    const { ctx, cancel } = withCancel(background());
    cancel();
    expect(ctx.err()?.message).toBe("context canceled");
  });
});

describe("Mutex", () => {
  /** A mutex that is locked, with waiters that log when they get it and hold it for `hold` ms. */
  function* contended(s: TestScheduler, log: string[], holds: number[]) {
    const m = new Mutex();
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

  it("lets a goroutine that runs overtake a waiter of up to 1 ms", () => {
    const log: string[] = [];
    run(function* (s) {
      const m = yield* contended(s, log, [0, 0]);
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

  it("puts a waiter that has lost ahead of the others", () => {
    const log: string[] = [];
    run(function* (s) {
      const m = yield* contended(s, log, [0, 0, 0]);
      m.unlock();
      expect(m.tryLock()).toBe(true);
      yield* s.gosched();
      expect(log).toEqual([]);
      m.unlock();
      yield* s.sleep(1);
    });
    expect(log).toEqual(["waiter 0 at 0", "waiter 1 at 0", "waiter 2 at 0"]);
  });

  it("wakes one waiter for any number of unlocks", () => {
    run(function* (s) {
      const m = yield* contended(s, [], [0, 0]);
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

  it("that starves is refused to newcomers until a waiter that is the last, or came late, gets it", () => {
    const log: string[] = [];
    run(function* (s) {
      const m = yield* contended(s, log, [1, 0, 0]);
      yield* s.sleep(2);
      m.unlock();
      expect(m.tryLock()).toBe(true);
      yield* s.gosched();
      // Waiter 0 has lost after more than 1 ms: the mutex goes from hand to hand.
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
    run(function* (s) {
      const log: string[] = [];
      const m = yield* contended(s, log, [0]);
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

describe("RWMutex", () => {
  it("lets readers share, and refuses what does not fit", () => {
    run(function* () {
      const rw = new RWMutex();
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

  it("has new readers wait behind a writer that waits, and all of them go before the next writer", () => {
    const log: string[] = [];
    run(function* (s) {
      const rw = new RWMutex();
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

  it("hands itself from writer to writer, one at a time", () => {
    const log: string[] = [];
    run(function* (s) {
      const rw = new RWMutex();
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
    run(function* () {
      const rw = new RWMutex();
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

  it("is fatal to unlock when it is not locked so", () => {
    const failure = (f: () => void) => {
      try {
        f();
      } catch (e) {
        return isFatalError(e) ? e.message : e;
      }
      return null;
    };
    const rw = new RWMutex();
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
    run(function* (s) {
      const reasons = () =>
        s
          .gs()
          .filter((g) => g.atomicstatus === 4)
          .map((g) => g.waitreason)
          .sort();
      const rw = new RWMutex();
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

describe("Cond", () => {
  it("misses no signal that is given as its lock is freed", () => {
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

  it("wakes none that waits later, and bears a signal without a waiter", () => {
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

  it("that was copied after its first use panics", () => {
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

describe("SyncMap", () => {
  it("tells a key that is missing from one that holds undefined", () => {
    const m = new SyncMap<string, number | undefined>();
    expect(m.load("a")).toEqual({ value: undefined, ok: false });
    m.store("a", undefined);
    expect(m.load("a")).toEqual({ value: undefined, ok: true });
    expect(m.loadOrStore("a", 1)).toEqual({ value: undefined, ok: true });
    expect(m.load("a")).toEqual({ value: undefined, ok: true });
    expect(m.loadOrStore("b", 2)).toEqual({ value: 2, ok: false });
    expect(m.load("b")).toEqual({ value: 2, ok: true });
    expect(m.loadAndDelete("b")).toEqual({ value: 2, ok: true });
    expect(m.loadAndDelete("b")).toEqual({ value: undefined, ok: false });
    expect(m.swap("b", 3)).toEqual({ value: undefined, ok: false });
    expect(m.swap("b", 4)).toEqual({ value: 3, ok: true });
    m.delete("b");
    expect(m.load("b").ok).toBe(false);
  });

  it("compares before it swaps or deletes", () => {
    const m = new SyncMap<string, number | undefined>();
    expect(m.compareAndSwap("a", undefined, 1)).toBe(false);
    expect(m.compareAndDelete("a", undefined)).toBe(false);
    m.store("a", 1);
    expect(m.compareAndSwap("a", 2, 3)).toBe(false);
    expect(m.compareAndDelete("a", 2)).toBe(false);
    expect(m.load("a").value).toBe(1);
    expect(m.compareAndSwap("a", 1, 2)).toBe(true);
    expect(m.load("a").value).toBe(2);
    expect(m.compareAndDelete("a", 2)).toBe(true);
    expect(m.load("a").ok).toBe(false);
  });

  it("ranges until the function returns false, and is empty after clear", () => {
    const m = new SyncMap<string, number>();
    for (const [i, key] of ["a", "b", "c"].entries()) m.store(key, i);
    const seen: unknown[] = [];
    m.range((k, v) => {
      seen.push([k, v]);
      return v < 1;
    });
    m.range((k) => void seen.push(k));
    expect(seen).toEqual([["a", 0], ["b", 1], "a", "b", "c"]);
    m.clear();
    m.range(() => expect.unreachable());
    expect(m.load("a").ok).toBe(false);
  });
});

describe("Once", () => {
  it("takes a function that threw for done, and lets the next caller go on", () => {
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

  it("repeats the panic of onceValue and onceFunc, and gives the value of a generator again", () => {
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

describe("Weighted", () => {
  it("hands out all of its units, and no more", () => {
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
      // One unit is free, and the next waiter wants two: the third, who wants one, does not overtake it.
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

describe("Singleflight", () => {
  it("shares with those who came in time, and runs anew afterwards", () => {
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
});

describe("Group", () => {
  it("takes an Error that is returned for a failure, and other values for none", () => {
    run(function* () {
      const fine = Group.withContext(background());
      yield* fine.group.go(() => 3);
      yield* fine.group.go(function* () {
        return "x";
      });
      expect(yield* fine.group.wait()).toBe(null);
      const { group, ctx } = Group.withContext(background());
      const error = new Error("returned");
      yield* group.go(() => error);
      expect(yield* group.wait()).toBe(error);
      expect([ctx.err()?.message, cause(ctx)]).toEqual(["context canceled", error]);
    });
  });

  it("gives back its room when a function ends, however it does", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      expect(g.tryGo(() => {})).toBe(true);
      expect(g.tryGo(() => {})).toBe(false);
      yield* s.gosched();
      expect(
        g.tryGo(() => {
          throw new Error("first");
        }),
      ).toBe(true);
      yield* s.gosched();
      expect(g.tryGo(() => new Error("second"))).toBe(true);
      yield* s.gosched();
      expect(g.tryGo(() => goexit())).toBe(true);
      yield* s.gosched();
      g.setLimit(0);
      expect(g.tryGo(() => {})).toBe(false);
      g.setLimit(-1);
      for (let i = 0; i < 5; i++) expect(g.tryGo(() => {})).toBe(true);
      expect(yield* g.wait()).toEqual(new Error("first"));
    });
  });

  it("holds its caller back until there is room", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      for (let i = 0; i < 3; i++) {
        yield* g.go(function* () {
          yield* s.sleep(10);
        });
        expect(s.clock.now()).toBe(i * 10);
      }
      yield* g.wait();
      expect(s.clock.now()).toBe(30);
    });
  });

  it("waits for a function behind the limit before it may change the limit", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      for (let i = 0; i < 2; i++) {
        g.go(function* () {
          yield* s.sleep(1);
        });
      }
      yield* s.sleep(1);
      expect(() => g.setLimit(2)).toThrow("while 1 goroutines in the group are still active");
      yield* g.wait();
      g.setLimit(2);
    });
  });

  it("passes a panic without an Error on as the group's error", () => {
    run(function* () {
      const { group, ctx } = Group.withContext(background());
      yield* group.go(() => {
        throw "a string";
      });
      const error = yield* group.wait();
      expect(error).toBe("a string");
      expect(cause(ctx)).toBe(error);
    });
  });
});

describe("WaitGroup", () => {
  it("lets all waiters go at 0, and only then", () => {
    run(function* (s) {
      const wg = new WaitGroup();
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

  it("panics in a waiter that finds others waiting for the next round", () => {
    expect(() =>
      run(function* (s) {
        const wg = new WaitGroup();
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

describe("Pool", () => {
  it("keeps neither null nor undefined, but what else is false", () => {
    const p = new Pool<unknown>();
    p.put(null);
    p.put(undefined);
    p.put(0);
    p.put("");
    expect([p.get(), p.get(), p.get()]).toEqual([0, "", undefined]);
  });

  it("drops victims that were taken in part, and makes new ones only when all is gone", () => {
    run(function* (s) {
      let made = 0;
      const p = new Pool<string>(() => `new ${++made}`);
      for (const x of "abc") p.put(x);
      poolCleanup(s);
      p.put("x");
      expect([p.get(), p.get(), p.get()]).toEqual(["x", "a", "b"]);
      for (const x of "de") p.put(x);
      poolCleanup(s);
      expect([p.get(), p.get(), p.get(), p.get()]).toEqual(["d", "e", "new 1", "new 2"]);
      poolCleanup(s);
      poolCleanup(s);
      p.put("f");
      poolCleanup(s);
      expect([p.get(), p.get()]).toEqual(["f", "new 3"]);
    });
  });
});
