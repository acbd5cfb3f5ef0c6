import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { background, withCancel } from "../src/context.ts";
import { currentScheduler } from "../src/default.ts";
import { isFatalError, setDefaultScheduler } from "../src/index.ts";
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
  WaitGroup,
  Weighted,
} from "../src/sync/index.ts";
import { poolCleanup } from "../src/sync/pool.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";

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
      expect(() => wg.go((async () => {}) as never)).toThrow("scheduler: WaitGroup.go needs");
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
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    const p = new Pool<object>();
    p.put({});
    for (let i = 0; i < 20; i++) {
      gc();
      await new Promise((r) => setTimeout(r, 2));
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
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
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
    for (let i = 0; i < 20 && ref.deref() !== undefined; i++) {
      await new Promise((r) => setTimeout(r, 1));
      gc();
    }
    expect(ref.deref()).toBe(undefined);
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
