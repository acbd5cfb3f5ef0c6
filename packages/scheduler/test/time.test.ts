import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { createScheduler, defaultCase, goexit, recvCase, sleep } from "../src/index.ts";
import { createTestScheduler } from "../src/testing.ts";
import { untyped } from "./kit.ts";

describe("sleep", () => {
  it("returns at once for durations that are not positive, and refuses values that are no numbers", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      yield* s.sleep(0);
      yield* s.sleep(-5);
      expect(s.clock.now()).toBe(0);
      yield* s.sleep(2.5);
      expect(s.clock.now()).toBe(2.5);
      expect(() => s.sleep(Number.NaN)).toThrow("duration must be a number of milliseconds (got NaN)");
      const refused: [string, () => unknown][] = [
        ["sleep", () => s.sleep("5" as never)],
        ["newTimer", () => s.newTimer(null as never)],
        ["newTicker", () => s.newTicker("5" as never)],
        ["afterFunc", () => s.afterFunc(undefined as never, () => {})],
        ["Timer.reset", () => s.newTimer(1).reset("5" as never)],
        ["Ticker.reset", () => s.newTicker(1).reset("5" as never)],
      ];
      for (const [what, f] of refused) {
        expect(f, what).toThrow(TypeError);
        expect(f).toThrow(`scheduler: ${what}: duration must be a number of milliseconds (got `);
      }
    });
  });

  it("of a system goroutine does not prevent a deadlock, and that of a program's goroutine does", () => {
    const s = createTestScheduler();
    s.goSystem(function* () {
      for (;;) yield* s.sleep(10);
    });
    s.run();
    expect([s.timers.size, s.timers.nuser]).toEqual([1, 0]);
    expect(() =>
      s.runMain(function* () {
        yield* s.makeChan().recv();
      }),
    ).toThrow("all goroutines are asleep - deadlock!");
    const t = createTestScheduler();
    const value = t.runMain(function* () {
      const c = t.makeChan<number>();
      t.go(function* () {
        yield* t.sleep(10);
        expect([t.timers.size, t.timers.nuser]).toEqual([0, 0]);
        yield* c.send(3);
      });
      yield* t.gosched();
      expect([t.timers.size, t.timers.nuser]).toEqual([1, 1]);
      return yield* c.recv();
    });
    expect(value).toBe(3);
  });

  it("takes the given time on the host's clock", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const s = createScheduler();
      let awake = false;
      const ended = s.main(function* () {
        yield* s.sleep(12);
        awake = true;
      });
      await vi.advanceTimersByTimeAsync(11);
      expect(awake).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      await ended;
      expect(awake).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it("needs one host timer at a time for ten thousand sleepers", () => {
    const s = createTestScheduler();
    let set = 0;
    const real = s.clock.setTimer.bind(s.clock);
    s.clock.setTimer = (f, ms, ref) => {
      set++;
      return real(f, ms, ref);
    };
    let woke = 0;
    s.runMain(function* () {
      for (let i = 0; i < 10_000; i++) {
        s.go(function* () {
          yield* s.sleep(1 + (i % 10));
          woke++;
        });
      }
      yield* s.sleep(20);
    });
    expect(woke).toBe(10_000);
    expect(set).toBeLessThan(30);
  });
});

describe("timers and tickers", () => {
  it("can be stopped and reset while they are due but have not fired, also with a waiting goroutine", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      for (const change of ["stop", "reset"] as const) {
        const t = s.newTimer(10);
        const got: unknown[] = [];
        s.go(function* () {
          got.push(yield* t.C.recv());
        });
        yield* s.gosched();
        s.fakeClock.set(s.fakeClock.now() + 20);
        expect(change === "stop" ? t.stop() : t.reset(1000)).toBe(true);
        yield* s.gosched();
        expect(got).toEqual([]);
      }
    });
    s.close();
  });

  it("that are due fire once for a goroutine that receives, in the queue or not", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const t = s.newTimer(10);
      let got: number | undefined;
      s.go(function* () {
        got = yield* t.C.recv();
      });
      yield* s.gosched();
      expect([t.C.length, t.C.capacity, s.timers.size]).toEqual([0, 0, 1]);
      s.fakeClock.set(15);
      // The due timer fires for the waiting goroutine.
      expect(t.C.tryRecv().received).toBe(false);
      yield* s.gosched();
      yield* s.gosched();
      expect(got).toBe(s.clock.wall() - 5);
      expect([t.C.tryRecv().received, t.stop(), s.timers.size]).toEqual([false, false, 0]);
      // A stopped timer does not fire, and neither does one that is due later.
      expect(t.reset(10)).toBe(false);
      s.fakeClock.set(24);
      expect(t.C.tryRecv().received).toBe(false);
      expect([t.stop(), t.stop()]).toEqual([true, false]);
      s.fakeClock.set(100);
      expect(t.C.tryRecv().received).toBe(false);
      t.reset(5);
      s.fakeClock.set(105);
      expect(t.C.tryRecv()).toEqual({ value: s.clock.wall(), ok: true, received: true });
    });
  });

  it("accept huge, tiny and negative durations; a ticker ticks at most once a nanosecond", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const t = s.newTimer(-1000);
      expect(t.C.tryRecv().value).toBe(s.clock.wall());
      const k = s.newTicker(1e-9);
      s.fakeClock.set(1);
      expect(k.C.tryRecv().received).toBe(true);
      expect(k.C.tryRecv().received).toBe(false);
      s.fakeClock.set(1 + 2e-6);
      expect(k.C.tryRecv().received).toBe(true);
      k.stop();
      const far = s.newTimer(Infinity);
      expect(far.C.tryRecv().received).toBe(false);
      expect(far.stop()).toBe(true);
    });
  });

  it("that are reset or stopped while goroutines wait for them fire at the new time, or never", () => {
    const s = createTestScheduler();
    const got: [number, number][] = [];
    s.runMain(function* () {
      const t = s.newTimer(10);
      for (let i = 0; i < 2; i++) {
        s.go(function* () {
          got.push([i, (yield* t.C.recv())! - s.clock.wall() + s.clock.now()]);
        });
      }
      yield* s.gosched();
      // For any number of waiters it is one timer.
      expect(s.timers.size).toBe(1);
      expect([t.reset(50), s.timers.size]).toEqual([true, 1]);
      yield* s.sleep(30);
      expect(got).toEqual([]);
      yield* s.sleep(30);
      expect(got).toEqual([[1, 50]]);
      expect([t.reset(5), s.timers.size, t.stop(), s.timers.size]).toEqual([false, 1, true, 0]);
      yield* s.sleep(100);
      expect(got).toHaveLength(1);
      t.reset(1);
      yield* s.sleep(10);
      expect(got.map(([i]) => i)).toEqual([1, 0]);
    });
  });

  it("send the time at which they fired", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const start = s.clock.wall();
      expect(yield* s.after(30).recv()).toBe(start + 30);
      const t = s.newTimer(10);
      yield* s.sleep(100);
      // It fired while no goroutine received, and the value is the time of that.
      expect(yield* t.C.recv()).toBe(start + 40);
    });
  });

  it("keep only one tick for a slow receiver, and keep their period", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const k = s.newTicker(10);
      yield* s.sleep(35);
      yield* k.C.recv();
      expect(s.clock.now()).toBe(35);
      yield* k.C.recv();
      expect(s.clock.now()).toBe(40);
      k.reset(3);
      yield* k.C.recv();
      expect(s.clock.now()).toBe(43);
      k.stop();
      yield* s.sleep(20);
      expect(k.C.tryRecv().received).toBe(false);
    });
  });

  it("drop a tick that comes due beside one that was not received", () => {
    const s = createTestScheduler({ seed: 1 });
    const seen = s.runMain(function* () {
      const start = s.clock.wall() - s.clock.now();
      const t = s.newTicker(3);
      const look = function* () {
        const r = yield* s.select([recvCase(t.C), defaultCase]);
        return r.ok ? r.value - start : null;
      };
      // The tick and the deadline come at once, and with this seed the select takes the deadline.
      const first = yield* s.select([recvCase(t.C), recvCase(s.after(3))]);
      yield* s.sleep(3);
      return [first.index, yield* look(), yield* look()];
    });
    expect(seen).toEqual([1, 3, null]);
  });

  it("are in the heap only while a goroutine waits for them", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const t = s.newTimer(50);
      const k = s.newTicker(5);
      expect(s.timers.size).toBe(0);
      s.go(function* () {
        yield* s.select([recvCase(t.C), recvCase(k.C)]);
      });
      yield* s.gosched();
      expect(s.timers.size).toBe(2);
      yield* s.sleep(6);
      expect(s.timers.size).toBe(0);
    });
  });

  it("do not prevent a deadlock if no goroutine waits for them", () => {
    const s = createTestScheduler();
    expect(() =>
      s.runMain(function* () {
        s.newTicker(10);
        yield* s.makeChan().recv();
      }),
    ).toThrow("deadlock");
  });

  it("refuse intervals that are not positive", () => {
    const s = createTestScheduler();
    expect(() => s.newTicker(0)).toThrow("non-positive interval for NewTicker");
    const k = s.newTicker(1);
    expect(() => k.reset(-1)).toThrow("non-positive interval for Ticker.Reset");
    expect(() => s.afterFunc(1, null as never)).toThrow("afterFunc needs a function (got null)");
  });

  it("never deliver a value from before stop or reset", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.record({ op: fc.constant("reset" as const), ms: fc.integer({ min: 0, max: 20 }) }),
            fc.record({ op: fc.constant("stop" as const), ms: fc.constant(0) }),
            fc.record({ op: fc.constant("sleep" as const), ms: fc.integer({ min: 1, max: 20 }) }),
            fc.record({ op: fc.constant("look" as const), ms: fc.constant(0) }),
          ),
          { maxLength: 30 },
        ),
        (ops) => {
          const s = createTestScheduler();
          s.runMain(function* () {
            const t = s.newTimer(10);
            let due: number | null = s.clock.now() + 10;
            for (const { op, ms } of ops) {
              if (op === "sleep") yield* s.sleep(ms);
              else if (op === "look") {
                const r = yield* s.select([recvCase(t.C), defaultCase]);
                const want = due !== null && due <= s.clock.now();
                expect(r.index === 0).toBe(want);
                if (want) due = null;
              } else {
                expect(op === "stop" ? t.stop() : t.reset(ms)).toBe(due !== null);
                due = op === "stop" ? null : s.clock.now() + ms;
              }
            }
          });
        },
      ),
    );
  });
});

describe("afterFunc", () => {
  it("runs in a goroutine of its own and keeps the program from a deadlock", () => {
    const s = createTestScheduler();
    const ran = s.runMain(function* () {
      const c = s.makeChan<number>();
      s.afterFunc(10, function* () {
        yield* s.sleep(5);
        yield* c.send(s.getg()!.goid);
      });
      return yield* c.recv();
    });
    expect(ran).toBeGreaterThan(1);
    expect(s.clock.now()).toBe(15);
  });

  it("refuses an async function at the call", () => {
    const s = createTestScheduler();
    expect(() =>
      s.afterFunc(
        1,
        untyped(async () => {}),
      ),
    ).toThrow("scheduler: afterFunc needs a generator function, not an async one");
    expect(() =>
      s.afterFunc(
        1,
        untyped(async function* () {}),
      ),
    ).toThrow("not an async one");
  });

  it("ends the program with the error of its function, of any kind", async () => {
    const kinds: [() => unknown, string][] = [
      [
        () => {
          throw new Error("plain");
        },
        "plain",
      ],
      [
        function* () {
          yield* sleep(1);
          throw new Error("later");
        },
        "later",
      ],
      [() => Promise.resolve(), "returned a promise"],
    ];
    for (const [f, text] of kinds) {
      const s = createScheduler({ stderr: () => {} });
      const ran = s.main(function* () {
        s.afterFunc(1, f);
        yield* s.sleep(1000);
      });
      await expect(ran).rejects.toThrow(text);
      s.close();
    }
  });

  it("may call goexit in its function", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      s.afterFunc(1, () => goexit());
      yield* s.sleep(2);
    });
    expect(s.numGoroutine()).toBe(0);
  });

  it("fires due timers without the host's timer", async () => {
    let set = 0;
    const s = createScheduler({
      clock: {
        now: () => performance.now(),
        setTimer(f, ms) {
          set++;
          return setTimeout(f, ms);
        },
        clearTimer: (h) => clearTimeout(h as never),
      },
    });
    await s.main(function* () {
      const c = s.makeChan<number>();
      for (let i = 0; i < 300; i++) {
        s.afterFunc(0, () => void c.trySend(i));
        expect(yield* c.recv()).toBe(i);
      }
    });
    // A slice that ends costs a task and no timer.
    expect(set).toBeLessThan(10);
    s.close();
  });

  it("of 0 ms from host code needs no timer", async () => {
    const s = createScheduler({
      clock: {
        now: () => performance.now(),
        setTimer() {
          throw new Error("a timer was set");
        },
      },
    });
    await new Promise<void>((resolve) => s.afterFunc(0, resolve));
    s.close();
  });
});

describe("a ticker of a tiny period", () => {
  it("may be reset to such a period, but not to 0", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const ticker = s.newTicker(1000);
      expect(() => ticker.reset(0)).toThrow("non-positive interval for Ticker.Reset");
      expect(() => ticker.reset(-1)).toThrow("non-positive interval for Ticker.Reset");
      expect(ticker.C.tryRecv().received).toBe(false);
      // The shortest period is a nanosecond, for which the clock of this test does not move.
      ticker.reset(1e-9);
      expect(ticker.C.tryRecv().received).toBe(false);
      s.fakeClock.set(1);
      expect([ticker.C.tryRecv().received, ticker.C.tryRecv().received]).toEqual([true, false]);
      ticker.reset(5);
      const start = s.fakeClock.now();
      for (let i = 1; i <= 3; i++) {
        yield* ticker.C.recv();
        expect(s.fakeClock.now() - start).toBe(5 * i);
      }
      ticker.stop();
    });
  });

  it.each([5e-324, 1e-9, 1e-6])("ticks at %s ms, also beside huge times", (period) => {
    for (const start of [0, 1e6, 1e15]) {
      const s = createTestScheduler();
      let t = start;
      Object.assign(s.clock, { now: () => t });
      const ticker = s.newTicker(period);
      for (let i = 0; i < 5; i++) {
        t += 2;
        expect(ticker.C.tryRecv().received).toBe(true);
      }
      ticker.stop();
      s.close();
    }
  });

  it("lets other goroutines run", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const ticker = s.newTicker(5e-324);
      let n = 0;
      s.go(function* () {
        for (;;) {
          yield* ticker.C.recv();
          n++;
        }
      });
      for (let i = 0; i < 100; i++) yield* s.gosched();
      ticker.stop();
      expect(n).toBe(0);
    });
    s.close();
  });
});
