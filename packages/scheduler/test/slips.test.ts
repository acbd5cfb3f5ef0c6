import { describe, expect, it } from "vitest";
import { background, type Context, withCancel, withDeadline, withTimeout } from "../src/context.ts";
import { goName, isCut, stackLines } from "../src/frames.ts";
import { createScheduler, type Goroutine, goexit } from "../src/index.ts";
import type { HChan } from "../src/internal.ts";
import { Group, Mutex, Pool, Singleflight } from "../src/sync/index.ts";
import { createTestScheduler, FakeClock, type TestScheduler, verifyScheduler } from "../src/testing.ts";
import { RuntimeTimer, TimerHeap } from "../src/time.ts";

/** What stays behind: counters that are reset, lists that are unlinked, resources that are closed, branches that only a rare order of events takes. */

function run<T>(f: (s: TestScheduler) => Generator<undefined, T, unknown>): T {
  const s = createTestScheduler();
  return s.runMain(() => f(s));
}

describe("a large channel", () => {
  it("keeps its order when the ring grows while its oldest value is in the middle", () => {
    run(function* (s) {
      const c = s.makeChan<number>(4096);
      let next = 0;
      let taken = 0;
      for (let i = 0; i < 1024; i++) yield* c.send(next++);
      for (let i = 0; i < 512; i++) expect(yield* c.recv()).toBe(taken++);
      for (let i = 0; i < 513; i++) yield* c.send(next++);
      expect(c.length).toBe(1025);
      while (c.length > 0) expect(yield* c.recv()).toBe(taken++);
      expect(taken).toBe(next);
    });
  });

  it("holds no value that was received, in the ring or beside it", () => {
    run(function* (s) {
      const c = s.makeChan<object | undefined>(2);
      const buf = () => (c as unknown as HChan<object>).buf.filter((v) => v !== undefined);
      yield* c.send({});
      yield* c.send({});
      // A sender that waits hands its value to the ring when one is taken.
      s.go(function* () {
        yield* c.send({});
      });
      yield* s.gosched();
      yield* c.recv();
      expect(buf()).toHaveLength(2);
      yield* c.recv();
      yield* c.recv();
      expect(c.length).toBe(0);
      expect(buf()).toHaveLength(0);
    });
  });
});

describe("the timer heap", () => {
  it("keeps its order when the timer that fills a gap belongs above it", () => {
    const heap = new TimerHeap();
    const fired: number[] = [];
    const timers = new Map<number, RuntimeTimer>();
    // The last timer, 5, takes the place of 11, whose parent is 10.
    for (const when of [1, 10, 2, 3, 4, 11, 12, 13, 14, 5]) {
      const t = new RuntimeTimer(() => void fired.push(when));
      timers.set(when, t);
      heap.add(t, when);
    }
    heap.remove(timers.get(11)!);
    heap.run(5);
    expect(fired).toEqual([1, 2, 3, 4, 5]);
    heap.run(20);
    expect(fired).toEqual([1, 2, 3, 4, 5, 10, 12, 13, 14]);
    expect([heap.size, heap.nextWhen, heap.nuser]).toEqual([0, Infinity, 0]);
  });

  it("counts the timers of programs, not those of the runtime", () => {
    const heap = new TimerHeap();
    const [mine, own] = [new RuntimeTimer(() => {}), new RuntimeTimer(() => {})];
    own.system = true;
    heap.add(mine, 1);
    heap.add(own, 2);
    expect(heap.nuser).toBe(1);
    heap.remove(own);
    expect([heap.nuser, heap.nextWhen]).toEqual([1, 1]);
    heap.remove(mine);
    expect([heap.nuser, heap.nextWhen]).toEqual([0, Infinity]);
  });

  it("takes a negative duration at time 0 for now", () => {
    run(function* (s) {
      expect(s.clock.now()).toBe(0);
      const t = s.newTimer(-5);
      expect(yield* t.C.recv()).toBeDefined();
      expect(s.clock.now()).toBe(0);
      const u = s.newTimer(10);
      expect([u.reset(-1), yield* u.C.recv2()]).toEqual([true, { value: expect.anything(), ok: true }]);
      expect(s.clock.now()).toBe(0);
    });
  });
});

describe("host timers", () => {
  /** A clock of the host that tells which timers are set and hold the process. */
  function countingClock(): { clock: FakeClock; held: () => number } {
    const clock = new FakeClock();
    const refs = new Map<unknown, boolean>();
    const { setTimer, clearTimer } = clock;
    clock.setTimer = (fn, ms, ref) => {
      const handle = setTimer.call(clock, fn, ms, ref);
      refs.set(handle, ref);
      return handle;
    };
    clock.clearTimer = (handle) => {
      refs.delete(handle);
      clearTimer.call(clock, handle);
    };
    return { clock, held: () => [...refs.values()].filter(Boolean).length };
  }
  const turns = async (n = 3) => {
    for (let i = 0; i < n; i++) await new Promise((r) => setImmediate(r));
  };

  it("hold no process after a scheduler's close", async () => {
    const { clock, held } = countingClock();
    const s = createScheduler({ clock, deadlock: "off" });
    s.go(function* () {
      yield* s.sleep(60_000);
    });
    await turns();
    expect(held()).toBe(1);
    s.close();
    await turns();
    expect(held()).toBe(0);
  });

  it("hold no process for a context that was cancelled before its deadline", async () => {
    const { clock, held } = countingClock();
    const s = createScheduler({ clock, deadlock: "off" });
    let live = 0;
    s.go(function* () {
      const { cancel } = withTimeout(background(), 60_000);
      const { cancel: second } = withDeadline(background(), clock.wall() + 60_000);
      yield* s.gosched();
      live = s.timers.nuser;
      cancel();
      second();
    });
    await turns();
    expect(live).toBe(2);
    expect([s.timers.nuser, held()]).toEqual([0, 0]);
    s.close();
  });
});

describe("a context", () => {
  interface Inner {
    children: Set<unknown>;
  }

  it("holds no child that was cancelled, by itself or with it", () => {
    run(function* (s) {
      const { ctx, cancel } = withCancel(background());
      const inner = ctx as unknown as Inner;
      const goroutines = s.numGoroutine();
      for (let i = 0; i < 10; i++) {
        const child = withCancel(ctx);
        const timed = withTimeout(child.ctx, 1000);
        expect(inner.children.size).toBe(1);
        child.cancel();
        expect(timed.ctx.err()).not.toBe(null);
        expect(inner.children.size).toBe(0);
      }
      withCancel(ctx);
      cancel();
      expect(inner.children.size).toBe(0);
      yield* s.gosched();
      expect(s.numGoroutine()).toBe(goroutines);
    });
  });

  it("of a program's own is watched by no goroutine once the child is cancelled", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const done = s.makeChan<never>();
      const own: Context = {
        deadline: () => null,
        done: () => done,
        err: () => null,
        value: () => undefined,
      };
      const before = s.gs().filter((g) => g.atomicstatus !== 6).length;
      for (let i = 0; i < 20; i++) withCancel(own).cancel();
      yield* s.gosched();
      yield* s.gosched();
      const live = s.gs().filter((g) => g.gen !== null || g.fn !== null).length;
      expect(live).toBeLessThanOrEqual(before);
    });
  });
});

describe("Group", () => {
  it("cancels its context when wait returns, also without a failure", () => {
    run(function* (s) {
      const { group, ctx } = Group.withContext(background());
      yield* group.go(function* () {
        yield* s.sleep(1);
      });
      expect(ctx.err()).toBe(null);
      expect(yield* group.wait()).toBe(null);
      expect(ctx.err()?.message).toBe("context canceled");
    });
  });

  it("takes goexit for an end, not for a failure", () => {
    run(function* (s) {
      const { group, ctx } = Group.withContext(background());
      yield* group.go(function* () {
        yield* s.gosched();
        goexit();
      });
      yield* s.sleep(1);
      expect(ctx.err()).toBe(null);
      expect(yield* group.wait()).toBe(null);
    });
  });
});

describe("Singleflight", () => {
  it("runs again after forget, whose key the first run's end leaves alone", () => {
    run(function* (s) {
      const flight = new Singleflight<string, number>();
      let runs = 0;
      const call = function* () {
        return (yield* flight.do("k", function* () {
          const n = ++runs;
          yield* s.sleep(n === 1 ? 10 : 20);
          return n;
        })).value;
      };
      const results: number[] = [];
      const start = (): Goroutine =>
        s.go(function* () {
          results.push(yield* call());
        });
      start();
      yield* s.sleep(1);
      flight.forget("k");
      start();
      yield* s.sleep(12);
      // The first run has ended; the second one is still the key's.
      start();
      yield* s.sleep(30);
      expect(runs).toBe(2);
      expect(results).toEqual([1, 2, 2]);
    });
  });
});

describe("the run queues", () => {
  it("give a goroutine that has yielded its turn among others that start new ones without end", () => {
    const s = createTestScheduler();
    let spawned = 0;
    let turn = -1;
    s.runMain(function* () {
      s.go(function* () {
        yield* s.gosched();
        turn = spawned;
      });
      const nothing = function* (): Generator<undefined, void, unknown> {};
      // The second start moves the first one into the ring, which is so never empty.
      const spawn = function* (): Generator<undefined, void, unknown> {
        if (++spawned >= 10_000 || turn >= 0) return;
        s.go(spawn);
        s.go(nothing);
      };
      s.go(spawn);
      while (turn < 0) yield* s.sleep(1);
    });
    // Every 61st tick looks at the global queue first.
    expect(turn).toBeGreaterThanOrEqual(0);
    expect(turn).toBeLessThanOrEqual(122);
  });

  it.each([
    [100, 0.5],
    [50, 0.1],
    [11, 1],
    [5, 0.2],
  ])(
    "let one that has yielded run beside steps of %d ms with sleeps of %d ms and two that play ping-pong",
    (step, nap) => {
      const s = createTestScheduler();
      const clock = s.fakeClock;
      const late: number[] = [];
      const work = (ms: number): void => clock.set(clock.now() + ms);
      s.runMain(function* () {
        const ping = s.makeChan<number>();
        const pong = s.makeChan<number>();
        s.go(function* () {
          for (;;) {
            work(0.001);
            yield* ping.send(1);
            yield* pong.recv();
          }
        });
        s.go(function* () {
          for (;;) {
            yield* ping.recv();
            yield* pong.send(1);
          }
        });
        s.go(function* () {
          for (;;) {
            work(step);
            yield* s.sleep(nap);
          }
        });
        for (let i = 0; i < 10; i++) {
          yield* s.sleep(20 * step);
          const yielded = clock.now();
          yield* s.gosched();
          late.push(clock.now() - yielded);
        }
      });
      // 10 ms in the global queue, the same for those that hand to each other, and the steps that begin before.
      expect(Math.max(...late)).toBeLessThanOrEqual(3 * step + 25);
    },
  );

  it("give the labels of a goroutine that has ended to no other", () => {
    run(function* (s) {
      const labels = { key: "value" };
      const first = s.go(function* () {
        s.getg()!.labels = labels as never;
        yield* s.gosched();
      });
      yield* first.done();
      let seen: unknown = "unset";
      const second = s.go(function* () {
        seen = s.getg()!.labels;
        yield* s.gosched();
      });
      yield* second.done();
      expect(seen).toBe(null);
    });
  });
});

describe("a program that runs after another", () => {
  it("knows each of its goroutines, whose Gs may be those of the other", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      for (let i = 0; i < 5; i++) s.go(() => {});
      yield* s.gosched();
      expect(s.gfreeCount).toBe(5);
      s.go(function* () {
        yield* s.makeChan().recv();
      });
    });
    expect(s.numGoroutine()).toBe(0);
    s.runMain(function* () {
      const c = s.makeChan<number>();
      const seen = new Set<number>();
      for (let i = 0; i < 8; i++) {
        s.go(function* () {
          seen.add((yield* c.recv())!);
        });
      }
      yield* s.gosched();
      verifyScheduler(s);
      let live = 0;
      s.forEachG(() => live++);
      expect([live, s.numGoroutine()]).toEqual([9, 9]);
      for (let i = 0; i < 8; i++) yield* c.send(i);
      yield* s.gosched();
      expect(seen.size).toBe(8);
    });
    verifyScheduler(s);
  });
});

describe("what is thrown into a goroutine", () => {
  const reasons = [null, undefined, 0, "text", new Error("own")];

  it("is the reason of a promise or of a signal, whatever it is", () => {
    const seen: unknown[] = [];
    const caught = function* (wait: () => Generator<undefined, unknown, unknown>) {
      try {
        yield* wait();
      } catch (e) {
        seen.push(e);
      }
    };
    run(function* (s) {
      for (const reason of reasons) {
        const c = s.makeChan<number>();
        const controller = new AbortController();
        s.go(function* () {
          yield* caught(function* () {
            yield* c.recv().withSignal(controller.signal);
          });
        });
        yield* s.gosched();
        controller.abort(reason);
        yield* s.gosched();
        yield* caught(function* () {
          yield* c.recv().withSignal(controller.signal);
        });
      }
    });
    // Without a reason the signal makes one.
    const told = reasons.map((r) => (r === undefined ? expect.objectContaining({ name: "AbortError" }) : r));
    expect(seen).toEqual(told.flatMap((r) => [r, r]));
  });

  it("is what a promise was rejected with", async () => {
    const s = createScheduler();
    for (const reason of reasons) {
      const seen = await s.main(function* () {
        try {
          yield* s.syscall(Promise.reject(reason));
        } catch (e) {
          return [e];
        }
        return [];
      });
      expect(seen).toEqual([reason]);
    }
  });
});

describe("the mutex profile", () => {
  it("may be on without a hook that takes its events", () => {
    run(function* (s) {
      s.mutexProfileEnabled = true;
      const m = new Mutex();
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
});

describe("a pool", () => {
  it("takes undefined for nothing also when it holds something", () => {
    run(function* (s) {
      let made = 0;
      const p = new Pool<number | undefined>(() => ++made);
      p.put(10);
      p.put(undefined);
      p.put(null as never);
      expect([p.get(), p.get()]).toEqual([10, 1]);
      yield* s.gosched();
    });
  });
});

describe("a stack", () => {
  it("may have been cut if it has as many lines as the run loop asks for", () => {
    const text = (lines: number) => `Error: x${"\n    at f (file.js:1:1)".repeat(lines)}`;
    expect([0, 1, stackLines - 1, stackLines, stackLines + 1].map((n) => isCut(text(n)))).toEqual([
      false,
      false,
      false,
      true,
      true,
    ]);
    expect(isCut("\n".repeat(stackLines))).toBe(true);
    expect(isCut("")).toBe(false);
  });
});

describe("Go's name of a function", () => {
  it.each([
    ["worker", "main.worker"],
    ["", "main.func1"],
    ["<anonymous>", "main.func1"],
    ["Server.serve", "main.(*Server).serve"],
    ["Server.<anonymous>", "main.(*Server).func1"],
    ["Object.<anonymous>", "main.func1"],
    ["Module.run", "main.run"],
    ["Function.make", "main.make"],
    ["new Server", "main.Server"],
    ["new Object.Server", "main.Server"],
    ["Server.serve [as handle]", "main.(*Server).serve"],
    ["a.b.c", "main.(*a.b).c"],
    [".hidden", "main..hidden"],
  ])("of %s is %s", (name, want) => {
    expect(goName(name)).toBe(want);
  });
});
