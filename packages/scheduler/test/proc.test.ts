import { describe, expect, it, vi } from "vitest";
import type { HChan } from "../src/chan.ts";
import {
  type Chan,
  crashReport,
  createScheduler,
  defer,
  FatalError,
  go,
  gosched,
  isFatalError,
  main,
  makeChan,
  type Operation,
  PanicError,
  panic,
  sleep,
  TypeAssertionError,
} from "../src/index.ts";
import { dumpOthers, Note, waitReasonFinalizerWait } from "../src/internal.ts";
import {
  createTestScheduler,
  expectNoLeakedGoroutines,
  type TestScheduler,
  verifyScheduler,
} from "../src/testing.ts";

describe("main", () => {
  it("resolves with what the main goroutine returns", async () => {
    expect(
      await main(function* () {
        const c = makeChan<number>();
        go(function* () {
          for (let i = 1; i <= 3; i++) yield* c.send(i);
          c.close();
        });
        let sum = 0;
        yield* c.forEach((v) => {
          sum += v;
        });
        yield* gosched();
        yield* sleep(1);
        return sum;
      }),
    ).toBe(6);
  });

  it("takes an ordinary function too", async () => {
    expect(await createScheduler().main(() => 3)).toBe(3);
  });

  it("rejects with a FatalError when all goroutines are asleep", async () => {
    const s = createScheduler({ deadlock: "eager" });
    const e = await s
      .main(function* () {
        s.go(function* worker() {
          yield* s.makeChan().send(1);
        });
        yield* s.makeChan().recv();
      })
      .catch((e: unknown) => e);
    expect(e).toBeInstanceOf(FatalError);
    expect((e as FatalError).message).toBe("all goroutines are asleep - deadlock!");
    const { text, exitCode } = crashReport(e)!;
    expect(exitCode).toBe(2);
    expect(text).toMatch(
      /^fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 \[chan receive\]:\nmain\.main\(/,
    );
    expect(text).toMatch(
      /goroutine \d+ \[chan send\]:\nmain\.worker\(\.\.\.\)\n\t.*proc\.test\.ts:\d+\ncreated by main\.main in goroutine 1\n\t.*proc\.test\.ts:\d+\n/,
    );
    // The process of this test lives on, so the verdict is early, and the report says what to do about that.
    expect(text).toMatch(/\n\ngort: this verdict is early .* use deadlock: "certain"\.\n$/);
  });

  it("does not take a host callback that may still come for a deadlock", async () => {
    const s = createScheduler();
    const c = s.makeChan<string>();
    expect(
      await s.main(function* () {
        setTimeout(() => c.trySend("from the host"), 30);
        return yield* c.recv();
      }),
    ).toBe("from the host");
  });

  it("does not take one for lost that was armed before main", async () => {
    const s = createScheduler();
    const c = s.makeChan<string>();
    setTimeout(() => c.trySend("from the host"), 30);
    expect(await s.main(() => c.recv())).toBe("from the host");
  });

  it("refuses a mode of deadlock detection that there is not", () => {
    for (const deadlock of ["host", "", "EAGER"]) {
      expect(() => createScheduler({ deadlock: deadlock as never })).toThrow(
        /^scheduler: deadlock must be one of "certain", "eager", "warn", "off" \(got /,
      );
    }
    expect(() => createScheduler({ deadlock: 1 as never })).toThrow(TypeError);
  });

  it("prints a dump once with deadlock: warn when all goroutines wait for each other, and goes on", async () => {
    let printed = "";
    const timers: { fn: () => void; ms: number }[] = [];
    const s = createScheduler({
      deadlock: "warn",
      stderr: (text) => {
        printed += text;
      },
      clock: {
        now: () => performance.now(),
        setTimer: (fn, ms) => timers[timers.push({ fn, ms }) - 1],
        clearTimer: (t) => void timers.splice(timers.indexOf(t as never), 1),
      },
    });
    const c = s.makeChan<number>();
    const turn = () => new Promise((r) => setImmediate(r));
    const end = s.main(function* asleep() {
      return (yield* c.recv())! + (yield* c.recv())!;
    });
    await turn();
    expect(timers.map((t) => t.ms)).toEqual([5000]);
    expect(printed).toBe("");
    timers.pop()!.fn();
    expect(printed).toMatch(
      /^scheduler: all goroutines have been asleep for 5 s: .*\n\ngoroutine 1 \[chan receive\]:\nmain\.asleep\(/,
    );
    const once = printed;
    c.trySend(1);
    await turn();
    expect(timers).toEqual([]);
    c.trySend(2);
    expect(await end).toBe(3);
    expect(printed).toBe(once);
  });

  it("does not take an announced host source for a deadlock", async () => {
    const s = createScheduler({ deadlock: "eager" });
    const c = s.makeChan<string>();
    expect(
      await s.main(function* () {
        const release = s.hostSource();
        setTimeout(() => {
          c.trySend("late");
          release();
        }, 10);
        return yield* c.recv();
      }),
    ).toBe("late");
  });

  it("ends the other goroutines with it, without their deferred calls", () => {
    const s = createTestScheduler();
    let cleaned = false;
    const c = s.makeChan();
    s.runMain(function* () {
      s.go(function* () {
        try {
          yield* c.recv();
        } finally {
          cleaned = true;
        }
      });
      yield* s.sleep(1);
    });
    expect(cleaned).toBe(false);
    expect(s.numGoroutine()).toBe(0);
    // Nobody waits there any more: a value would be lost in the hands of the dead.
    expect(c.trySend(1)).toBe(false);
    verifyScheduler(s);
  });

  it("ends goroutines that have not begun, and calls none of what they were given", () => {
    const s = createTestScheduler();
    let calls = 0;
    const call = () => {
      calls++;
    };
    s.runMain(() => {
      s.go(call);
      s.go((f: () => void) => f(), call);
      s.go((...fs: (() => void)[]) => fs[0](), call, call, call, call);
    });
    s.run();
    expect([calls, s.numGoroutine()]).toEqual([0, 0]);
    verifyScheduler(s);
  });

  it("rejects with the panic of another goroutine", async () => {
    const s = createScheduler();
    const e = new TypeError("x is not a function");
    const got = await s
      .main(function* () {
        s.go(function* faulty() {
          yield* s.gosched();
          throw e;
        });
        yield* s.makeChan().recv();
      })
      .catch((e: unknown) => e);
    expect(got).toBe(e);
    expect(crashReport(e)!.text).toMatch(
      /^panic: TypeError: x is not a function\n\ngoroutine \d+ \[running\]:\n/,
    );
  });

  it("wraps a panic that is no Error, so that the promise rejects with one", async () => {
    const thrown = await createScheduler()
      .main(() => {
        throw 3;
      })
      .catch((e: unknown) => e);
    expect(thrown).toBeInstanceOf(PanicError);
    expect((thrown as PanicError).value).toBe(3);
    const panicked = await createScheduler()
      .main(() => panic("boom"))
      .catch((e: unknown) => e);
    expect((panicked as PanicError).value).toBe("boom");
    expect(crashReport(panicked)!.text).toMatch(
      /^panic: boom\n\ngoroutine 1 \[running\]:\nmain\..*\n\t.*proc\.test/,
    );
  });

  it("cannot run twice at a time, but again afterwards", async () => {
    const s = createScheduler();
    const first = s.main(() => s.sleep(1));
    await expect(s.main(() => 1)).rejects.toThrow("main is already running");
    await first;
    expect(await s.main(() => s.getg()!.goid)).toBe(1);
  });

  it("is refused after close", async () => {
    const s = createScheduler();
    s.close();
    await expect(s.main(() => 1)).rejects.toThrow("scheduler: main after close");
  });

  it.each([null, undefined])("wraps a thrown %s", async (value) => {
    const e: unknown = await createScheduler()
      .main(() => {
        throw value;
      })
      .catch((e: unknown) => e);
    expect(e).toBeInstanceOf(PanicError);
    expect((e as PanicError).value).toBe(value);
  });

  it("leaves a goroutine of the runtime that it has just readied to run on", () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>();
    const got: unknown[] = [];
    s.goSystem(function* () {
      got.push(yield* c.recv());
    });
    s.run();
    s.runMain(() => {
      c.trySend(5);
    });
    s.run();
    expect(got).toEqual([5]);
  });

  it("ends with a fatal error even if the program catches it", () => {
    const s = createTestScheduler();
    let after = false;
    expect(() =>
      s.runMain(function* () {
        try {
          s.fatal(new FatalError("fatal", "TEST", "enough"));
        } catch {
          yield* s.gosched();
        }
        after = true;
      }),
    ).toThrow("enough");
    expect(after).toBe(false);
  });
});

describe("go", () => {
  it("refuses what cannot be a goroutine", () => {
    const s = createTestScheduler();
    // @ts-expect-error an async function
    expect(() => s.go(async () => {})).toThrow(/needs a generator function, not an async one/);
    // @ts-expect-error an async generator function
    expect(() => s.go(async function* () {})).toThrow(TypeError);
    expect(() => s.go(3 as never)).toThrow("scheduler: go needs a function (got number)");
    expect(() => s.go(null as never)).toThrow(FatalError);
    expect(() => s.runMain(() => Promise.resolve(1) as never)).toThrow(/returned a promise/);
  });

  it("passes any number of arguments", () => {
    const s = createTestScheduler();
    const got: unknown[][] = [];
    s.runMain(function* () {
      const f = function* (...args: number[]) {
        got.push(args);
      };
      s.go(f);
      s.go(f, 1);
      s.go(f, 1, 2);
      s.go(f, 1, 2, 3, 4, 5, 6);
      yield* s.gosched();
    });
    expect(got.sort((a, b) => a.length - b.length)).toEqual([[], [1], [1, 2], [1, 2, 3, 4, 5, 6]]);
  });

  it("gives a handle that outlives the goroutine", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const first = s.go(() => {});
      yield* first.done();
      const c = s.makeChan();
      // Takes over the record of the first.
      const second = s.go(() => c.recv());
      yield* s.gosched();
      expect(second.id).not.toBe(first.id);
      yield* first.done();
      c.close();
      yield* second.done();
    });
  });

  it("runs goroutines that host code starts in the order of their start", () => {
    const s = createTestScheduler();
    const log: number[] = [];
    for (let i = 0; i < 5; i++) s.go(() => void log.push(i));
    s.run();
    expect(log).toEqual([0, 1, 2, 3, 4]);
  });

  it("throws into a goroutine that yields something other than an op", () => {
    const s = createTestScheduler();
    expect(() =>
      s.runMain(function* () {
        yield 3 as never;
      }),
    ).toThrow("goroutine 1 yielded a value that is no op");
  });
});

describe("a yield of what is no op", () => {
  const bad = 3 as never;

  it("may be caught, and the goroutine returns or waits for something else", () => {
    const s = createTestScheduler();
    const caught: string[] = [];
    function* careless(): Generator<undefined, void, unknown> {
      try {
        yield bad;
      } catch (e) {
        caught.push((e as Error).message);
      }
    }
    const ends = s.runMain(function* () {
      yield* careless();
      return "returned";
    });
    const waits = s.runMain(function* () {
      yield* careless();
      yield* s.sleep(1);
      return "waited";
    });
    expect([ends, waits]).toEqual(["returned", "waited"]);
    const fault = "scheduler: goroutine 1 yielded a value that is no op; suspend with yield* on an op";
    expect(caught).toEqual([fault, fault]);
  });

  it("ends the program if the goroutine does it again, or its generator can't be thrown into", () => {
    const s = createTestScheduler();
    expect(() =>
      s.runMain(function* () {
        try {
          yield bad;
        } catch {
          yield bad;
        }
      }),
    ).toThrow("goroutine 1 yielded a value that is no op");
    const iterator = { next: () => ({ done: false, value: 3 }), [Symbol.iterator]: () => iterator };
    expect(() => s.runMain(() => iterator as never)).toThrow(TypeError);
  });
});

describe("a function that returns one of the engine's iterators", () => {
  const results: Record<string, () => unknown> = {
    "a Map's": () => new Map([[1, 2]]).values(),
    "a Set's": () => new Set([1]).values(),
    "an array's": () => [1].values(),
    "a string's": () => "abc"[Symbol.iterator](),
    "a search's": () => "abc".matchAll(/b/g),
  };

  it.each(Object.entries(results))("is an ordinary function: %s", (_, f) => {
    const s = createTestScheduler();
    s.runMain(function* () {
      s.go(f);
      defer(f);
      yield* s.gosched();
      expect(s.numGoroutine()).toBe(1);
    });
  });
});

describe("the end of a goroutine", () => {
  it("is counted also if it has run deferred calls", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      let called = false;
      s.go(() => {
        defer(() => {
          called = true;
        });
      });
      yield* s.gosched();
      expect([called, s.numGoroutine()]).toEqual([true, 1]);
      verifyScheduler(s);
    });
  });

  it("needs no hook that takes its stack slots back", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      s.go(() => {
        s.getg()!.rootLo = 8;
      });
      yield* s.gosched();
      expect(s.numGoroutine()).toBe(1);
    });
  });

  it("by a panic is reported on standard error where there is neither a main nor a process of Node", () => {
    const s = createTestScheduler();
    s.go(function* worker() {
      throw new Error("x");
    });
    vi.stubGlobal("process", { versions: {} });
    try {
      expect(() => s.run()).toThrow("x");
    } finally {
      vi.unstubAllGlobals();
    }
    expect(s.errors).toEqual([
      expect.stringMatching(/^panic: x\n\ngoroutine 2 \[running\]:\nmain\.worker\(/),
    ]);
  });
});

describe("the run queue", () => {
  it("moves half of a full ring to the global queue, and runs everybody once", () => {
    const s = createTestScheduler();
    const log: number[] = [];
    s.runMain(function* () {
      for (let i = 0; i < 1000; i++) s.go(() => void log.push(i));
      while (log.length < 1000) yield* s.gosched();
    });
    expect(log.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    // The last one started was in runnext, and the ring keeps its order.
    expect(log[0]).toBe(999);
    verifyScheduler(s);
  });

  it("lets others in when two goroutines only hand to each other", () => {
    const s = createTestScheduler();
    let other = false;
    s.runMain(function* () {
      const a = s.makeChan<number>();
      const b = s.makeChan<number>();
      s.go(function* () {
        for (;;) yield* b.send((yield* a.recv())!);
      });
      s.go(function* () {
        for (;;) {
          yield* a.send(1);
          yield* b.recv();
        }
      });
      s.go(() => {
        other = true;
      });
      yield* s.gosched();
    });
    expect(other).toBe(true);
  });

  it("lets others in after 10 ms when two goroutines that only hand to each other take their time", () => {
    const s = createTestScheduler();
    let waited = -1;
    s.runMain(function* () {
      const a = s.makeChan<number>();
      const b = s.makeChan<number>();
      const work = (c: Chan<number>, d: Chan<number>) => {
        s.go(function* () {
          for (;;) {
            s.fakeClock.set(s.fakeClock.now() + 0.5);
            yield* d.send((yield* c.recv())!);
          }
        });
      };
      work(a, b);
      work(b, a);
      const other = s.go(function* () {
        yield* s.gosched();
        waited = s.fakeClock.now();
      });
      yield* a.send(1);
      yield* other.done();
    });
    expect(waited).toBeGreaterThan(5);
    expect(waited).toBeLessThan(20);
  });

  it("keeps no more ended goroutines than the pool holds", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan();
      for (let i = 0; i < 40_000; i++) s.go(() => c.recv());
      yield* s.sleep(1);
      expect(s.numGoroutine()).toBe(40_001);
      c.close();
      yield* s.sleep(1);
    });
    expect(s.gs().length).toBeLessThan(20_000);
    verifyScheduler(s);
  });
});

describe("the global queue", () => {
  it("comes first at every 61st tick, as in Go, and last otherwise", () => {
    const s = createTestScheduler();
    const ticks: number[] = [];
    s.runMain(function* () {
      let left = 5;
      s.go(function* () {
        while (left > 0) {
          yield* s.gosched();
          ticks.push(s.p.schedtick);
          left--;
        }
      });
      const nothing = () => {};
      const spawn = () => {
        if (left === 0) return;
        s.go(spawn);
        s.go(nothing);
      };
      s.go(spawn);
      while (left > 0) yield* s.sleep(1);
    });
    // The tick that takes it is counted already.
    expect(ticks.map((t) => t % 61)).toEqual([1, 1, 1, 1, 1]);
    expect(ticks.map((t) => t - ticks[0])).toEqual([0, 61, 122, 183, 244]);
  });

  it("gives its head, and up to half a ring more, to a P that has nothing to do", () => {
    const s = createTestScheduler();
    const order: number[] = [];
    const sizes: number[][] = [];
    for (let i = 0; i < 200; i++) {
      s.go(() => {
        order.push(i);
        if (order.length <= 2) sizes.push([s.p.runqLength, s.globq.size]);
      });
    }
    for (let g = s.p.runqget(); g !== null; g = s.p.runqget()) s.globq.pushBack(g);
    s.run();
    // Tick 0 takes the head alone. The next one finds the ring empty.
    expect(sizes).toEqual([
      [0, 199],
      [127, 71],
    ]);
    expect(order.slice(0, 60)).toEqual(Array.from({ length: 60 }, (_, i) => i));
    expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });
});

describe("a goroutine that is taken out of the queues", () => {
  it.each(["ring", "global queue"])("of the %s leaves the others there in their order", (queue) => {
    const s = createTestScheduler();
    const ran: string[] = [];
    const ids = ["a", "b", "c", "d"].map((name) => s.go(() => void ran.push(name)).id);
    if (queue !== "ring") for (let g = s.p.runqget(); g !== null; g = s.p.runqget()) s.globq.pushBack(g);
    s.unqueue(s.gs().find((g) => g.goid === ids[1])!);
    s.run();
    expect(ran).toEqual(["a", "c", "d"]);
  });

  it("of runnext leaves none there", () => {
    const s = createTestScheduler();
    const ran: string[] = [];
    s.runMain(function* () {
      s.go(() => void ran.push("ring"));
      s.go(() => void ran.push("runnext"));
      const { runnext } = s.p;
      s.unqueue(s.getg()!);
      expect(s.p.runnext).toBe(runnext);
      s.unqueue(runnext!);
      yield* s.gosched();
    });
    expect(ran).toEqual(["ring"]);
  });
});

describe("the record of a goroutine", () => {
  it("has the labels of its parent and its number, or none if host code started it", () => {
    const s = createTestScheduler();
    const labels = new Map([["key", "value"]]);
    const seen: unknown[] = [];
    const child = () => {
      const g = s.getg()!;
      seen.push([g.parentGoid, g.labels]);
    };
    s.runMain(function* () {
      s.go(child);
      yield* s.gosched();
      s.getg()!.labels = labels;
      s.go(child);
      yield* s.gosched();
    });
    s.go(child);
    s.run();
    expect(seen).toEqual([
      [1, null],
      [1, labels],
      [0, null],
    ]);
  });

  it("serves again once it has ended", () => {
    const s = createTestScheduler();
    for (let i = 0; i < 5; i++) s.go(() => {});
    s.run();
    expect([s.gs().length, s.gfreeCount]).toEqual([5, 5]);
    for (let i = 0; i < 2; i++) s.go(() => s.makeChan().recv());
    s.run();
    expect([s.gs().length, s.gfreeCount]).toEqual([5, 3]);
  });
});

describe("a scheduler", () => {
  it.each([10, 50, 200])(
    "leaves Error.stackTraceLimit at %d, and has 50 lines at least in goroutines",
    (limit) => {
      const s = createTestScheduler();
      const before = Error.stackTraceLimit;
      let inside = 0;
      let outside = 0;
      Error.stackTraceLimit = limit;
      try {
        s.go(() => {
          inside = Error.stackTraceLimit;
        });
        s.run();
        outside = Error.stackTraceLimit;
      } finally {
        Error.stackTraceLimit = before;
      }
      expect([inside, outside]).toEqual([Math.max(50, limit), limit]);
    },
  );

  it("is woken by a microtask until 10 ms after the last turn of the event loop, and then by a task", () => {
    const queue: [kind: string, f: () => void][] = [];
    const timers: (() => void)[] = [];
    let t = 0;
    const s = createScheduler({
      clock: { now: () => t, setTimer: (f) => timers.push(f), clearTimer: () => {} },
      tasks: { task: (f) => queue.push(["task", f]), microtask: (f) => queue.push(["microtask", f]) },
    });
    const wokenAt = (at: number) => {
      t = at;
      s.go(() => {});
      const [kind, f] = queue.shift()!;
      f();
      return kind;
    };
    expect([0, 0, 5, 9.9].map(wokenAt)).toEqual(["task", "microtask", "microtask", "microtask"]);
    expect([10, 19.9, 20].map(wokenAt)).toEqual(["task", "microtask", "task"]);
    // The host's timer is a turn too.
    s.go(() => s.sleep(80));
    queue.shift()![1]();
    t = 100;
    timers.pop()!();
    expect([109.9, 110].map(wokenAt)).toEqual(["microtask", "task"]);
    // A clock that was set back must not make every turn a microtask.
    expect(wokenAt(50)).toBe("task");
    s.close();
  });

  it("draws numbers from 0 to n - 1 alike, and the same ones for one seed", () => {
    const draw = (seed: number, n: number, count: number) => {
      const s = createTestScheduler({ seed });
      return Array.from({ length: count }, () => s.randn(n));
    };
    for (const seed of [0, 1, 2, 0x9e3779b9, 2 ** 32 - 1]) {
      for (const n of [1, 2, 7, 1000]) {
        const buckets = new Array<number>(n).fill(0);
        const draws = draw(seed, n, 20_000);
        for (const x of draws) buckets[x]++;
        const want = draws.length / n;
        // Six standard deviations.
        for (const got of buckets) expect(Math.abs(got - want)).toBeLessThan(6 * Math.sqrt(want));
        expect(buckets).toHaveLength(n);
      }
    }
    expect(draw(5, 1000, 20)).toEqual(draw(5, 1000, 20));
    expect(draw(5, 1000, 20)).not.toEqual(draw(6, 1000, 20));
  });

  it("counts whole seconds from its start", () => {
    const s = createTestScheduler();
    s.advance(2999);
    expect(s.nowSec()).toBe(2);
    s.advance(1);
    expect(s.nowSec()).toBe(3);
    let t = 5500;
    const late = createScheduler({ clock: { now: () => t } });
    t = 7499;
    expect(late.nowSec()).toBe(1);
    late.close();
  });

  it("ties a goroutine to its thread as often as it was asked to, as its header says", () => {
    const s = createTestScheduler();
    const headers: string[] = [];
    s.lockOSThread();
    s.unlockOSThread();
    s.runMain(function* () {
      const buf = new Uint8Array(1 << 12);
      const header = () => new TextDecoder().decode(buf.subarray(0, s.stack(buf, false))).split("\n", 1)[0];
      const steps = ["unlock", "lock", "lock", "unlock", "unlock", "unlock", "lock"];
      for (const step of steps) {
        if (step === "lock") s.lockOSThread();
        else s.unlockOSThread();
        headers.push(header());
      }
      yield* s.gosched();
    });
    const [free, tied] = ["goroutine 1 [running]:", "goroutine 1 [running, locked to thread]:"];
    expect(headers).toEqual([free, tied, tied, tied, free, free, tied]);
  });
});

describe("the host loop", () => {
  /** A scheduler whose clock moves when the test says, and whose event loop turns are run by hand. */
  function byHand(godebug = "") {
    const host = { t: 0, turns: [] as (() => void)[], text: [] as string[] };
    const s = createScheduler({
      godebug,
      stderr: (text) => host.text.push(text),
      clock: { now: () => host.t },
      tasks: { task: (f) => host.turns.push(f), microtask: (f) => host.turns.push(f) },
    });
    return { s, host };
  }

  it("hands over to the event loop at least every 10 ms while goroutines want to run", () => {
    const { s, host } = byHand();
    for (let i = 0; i < 4; i++) {
      s.go(function* () {
        for (;;) {
          host.t += 0.05;
          yield* s.gosched();
        }
      });
    }
    for (let turn = 0; turn < 100; turn++) {
      const t = host.t;
      host.turns.shift()!();
      expect(host.t - t).toBeLessThanOrEqual(10);
      expect(host.t - t).toBeGreaterThanOrEqual(2);
      expect(host.turns.length).toBe(1);
    }
  });

  it.each([0.5, 3, 5, 20])(
    "lets a goroutine with steps of %s ms yield at its first checkpoint after the slice",
    (step) => {
      const { s, host } = byHand();
      let others = 0;
      s.go(function* () {
        for (;;) {
          yield* s.gosched();
          others++;
        }
      });
      s.go(function* () {
        for (;;) {
          host.t += step;
          yield* s.checkpoint();
        }
      });
      for (let turn = 0; turn < 50; turn++) {
        const t = host.t;
        host.turns.shift()!();
        expect(host.t - t).toBeLessThanOrEqual(2 + step);
      }
      expect(others).toBeGreaterThanOrEqual(25);
    },
  );

  it("reads the clock seldom where checkpoints are frequent", () => {
    let reads = 0;
    const s = createScheduler({
      clock: { now: () => 0 * ++reads },
      tasks: { task: (f) => f(), microtask: (f) => f() },
    });
    let inTime = true;
    s.go(() => {
      reads = 0;
      for (let i = 0; i < 16000; i++) inTime &&= !s.shouldYield();
    });
    expect(inTime).toBe(true);
    // On each 16th call, but for the first ones.
    expect(reads).toBeGreaterThan(990);
    expect(reads).toBeLessThan(1010);
  });

  it("reads it twice as seldom each time up to every 16th call, and on every one where steps are long", () => {
    const { s, host } = byHand();
    const now = vi.spyOn(s.clock, "now");
    const calls = (n: number, stepMs: number) =>
      Array.from({ length: n }, (_, i) => {
        const before = now.mock.calls.length;
        host.t += stepMs;
        s.shouldYield();
        return now.mock.calls.length > before ? i + 1 : 0;
      }).filter((i) => i > 0);
    let short: number[] = [];
    let long: number[] = [];
    let again: number[] = [];
    s.go(() => {
      short = calls(70, 0);
      // The rest of the last distance, and then each call.
      long = calls(20, 0.3);
      again = calls(10, 0);
    });
    host.turns.shift()!();
    expect(short).toEqual([1, 3, 7, 15, 31, 47, 63]);
    expect(long).toEqual([9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    expect(again).toEqual([1, 3, 7]);
  });

  it("asks a goroutine to yield from the end of its slice on, and when the clock was set back", () => {
    const { s, host } = byHand();
    const asked = [0, 1.999, 2, 3, -0.001].map((after) => {
      let yields = false;
      const start = host.t;
      s.go(() => {
        host.t = start + after;
        yields = s.shouldYield();
      });
      host.turns.shift()!();
      return yields;
    });
    expect(asked).toEqual([false, false, true, true, true]);
  });

  it("hands over in time when goroutines that took no time take half a millisecond each", () => {
    const { s, host } = byHand();
    for (let i = 0; i < 16; i++) {
      s.go(function* () {
        for (let k = 0; ; k++) {
          host.t += k % 997 === 0 ? 0.5 : 0.0005;
          yield* s.gosched();
        }
      });
    }
    let worst = 0;
    while (host.t < 500) {
      const t = host.t;
      host.turns.shift()!();
      worst = Math.max(worst, host.t - t);
    }
    expect(worst).toBeLessThanOrEqual(10);
  });

  it("hands over in time when goroutines of 1 ms a step follow on ones that took no time", () => {
    const { s, host } = byHand();
    let worst = 0;
    const turn = () => {
      const t = host.t;
      host.turns.shift()!();
      worst = Math.max(worst, host.t - t);
    };
    s.go(function* () {
      for (let i = 0; i < 1000; i++) yield* s.gosched();
    });
    while (host.turns.length > 0) turn();
    for (let i = 0; i < 16; i++) {
      s.go(function* () {
        for (;;) {
          host.t += 1;
          yield* s.gosched();
        }
      });
    }
    while (host.t < 200) turn();
    expect(worst).toBeLessThanOrEqual(10);
  });

  it("does not starve the host when promises and goroutines wake each other", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>();
    let timer = false;
    setTimeout(() => {
      timer = true;
    }, 1);
    s.go(function* () {
      for (let i = 0; ; i++) yield* c.send(i);
    });
    const end = performance.now() + 2000;
    while (!timer && performance.now() < end) await c.recv();
    expect(timer).toBe(true);
    s.close();
  });

  it.each(["at once", "later"])(
    "does not resume the goroutine that closes it %s, whatever it waits for",
    (when) => {
      const waits: Record<string, (s: TestScheduler, c: Chan<number>) => Operation<unknown>> = {
        recv: (_, c) => c.recv(),
        sleep: (s) => s.sleep(1),
        gosched: (s) => s.gosched(),
        timer: (s) => s.after(1).recv(),
      };
      const resumed: string[] = [];
      for (const [name, wait] of Object.entries(waits)) {
        const s = createTestScheduler();
        const c = s.makeChan<number>();
        s.go(function* () {
          if (when === "later") yield* s.gosched();
          s.close();
          yield* wait(s, c);
          resumed.push(name);
        });
        s.run();
        (c as HChan<number>).sendNow(1);
        s.advance(10);
      }
      expect(resumed).toEqual([]);
    },
  );

  it("marks goroutines that run for long, once a creation site", () => {
    const { s, host } = byHand("sysmon=1");
    s.go(function* spawner() {
      for (let i = 0; i < 3; i++) {
        yield* s
          .go(function* busy() {
            host.t += 25;
          })
          .done();
      }
    });
    while (host.turns.length > 0) host.turns.shift()!();
    expect(host.text.length).toBe(1);
    expect(host.text[0]).toMatch(
      /^goroutine \d+ ran 25 ms without yielding\n\tcreated by main\.spawner .*proc\.test\.ts:\d+\n$/,
    );
    expect(s.longRuns.length).toBe(1);
  });

  it("gives a long loop a place to yield that does nothing until the slice is over", () => {
    const { s, host } = byHand();
    let others = 0;
    let loops = 0;
    s.go(function* () {
      for (; loops < 10_000; loops++) {
        host.t += 0.01;
        yield* s.checkpoint();
      }
    });
    s.go(function* () {
      while (loops < 10_000) {
        others++;
        yield* s.gosched();
      }
    });
    while (host.turns.length > 0) host.turns.shift()!();
    // 100 ms of looping, in slices of 2.
    expect(others).toBeGreaterThan(30);
    expect(others).toBeLessThan(80);
  });
});

describe("syscall", () => {
  it("lets other goroutines run while a promise is pending, and shows the wait", async () => {
    const s = createScheduler();
    const dump = await s.main(function* () {
      s.go(function* reader() {
        yield* s.syscall(new Promise<void>(() => {}));
      });
      yield* s.gosched();
      const buf = new Uint8Array(1 << 16);
      return new TextDecoder().decode(buf.subarray(0, s.stack(buf, true)));
    });
    expect(dump).toMatch(/goroutine \d+ \[syscall\]:\nmain\.reader\(/);
  });

  it("gives the value or throws the reason", async () => {
    const s = createScheduler();
    expect(await s.main(() => s.syscall(async () => 5))).toBe(5);
    await expect(
      s.main(function* () {
        yield* s.syscall(Promise.reject(new Error("no such file")));
      }),
    ).rejects.toThrow("no such file");
    expect(await s.main(() => s.syscall(() => 7))).toBe(7);
  });

  it("counts cgo calls apart", () => {
    const s = createTestScheduler();
    const n = s.numCgoCall();
    expect(s.cgocall((a: number, b: number) => a + b, 2, 3)).toBe(5);
    expect(s.numCgoCall()).toBe(n + 1);
    expect(createScheduler().numCgoCall()).toBe(0);
  });
});

describe("system goroutines", () => {
  it("are not counted, outlive main and are no party to a deadlock", () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>();
    const got: number[] = [];
    s.goSystem(function* worker() {
      yield* c.forEach((v) => {
        got.push(v);
      });
    });
    s.runMain(function* () {
      expect(s.numGoroutine()).toBe(1);
      yield* c.send(1);
      yield* s.gosched();
    });
    c.trySend(2);
    s.run();
    expect(got).toEqual([1, 2]);
    expect(() => s.runMain(() => s.makeChan().recv())).toThrow("deadlock");
  });
});

describe("a note", () => {
  it("sleeps until it is woken, also in host code", async () => {
    const s = createScheduler();
    const note = new Note(s, waitReasonFinalizerWait);
    let woke = false;
    const slept = Promise.resolve(note.sleep()).then(() => {
      woke = true;
    });
    do await new Promise((r) => setImmediate(r));
    while (!s.isIdle);
    expect(woke).toBe(false);
    note.wakeup();
    await slept;
    expect(woke).toBe(true);
  });

  it("keeps a wakeup for the next sleep and shows its own wait reason", () => {
    const s = createTestScheduler();
    const note = new Note(s, waitReasonFinalizerWait);
    let woke = 0;
    s.goSystem(function* runFinalizers() {
      for (;;) {
        yield* note.sleep();
        woke++;
      }
    });
    note.wakeup();
    note.wakeup();
    s.run();
    expect(woke).toBe(1);
    note.wakeup();
    s.run();
    expect(woke).toBe(2);
    expect(dumpOthers(s, null, true)).toMatch(/\[finalizer wait\]:\nmain\.runFinalizers/);
  });
});

describe("hooks", () => {
  it("calls safepoint between goroutines, once asked", () => {
    let n = 0;
    const s = createTestScheduler({
      hooks: {
        safepoint: () => {
          n++;
          expect(s.getg()).toBe(null);
        },
      },
    });
    s.runMain(function* () {
      yield* s.gosched();
      expect(n).toBe(0);
      s.requestSafepoint();
      expect(n).toBe(0);
      yield* s.gosched();
      expect(n).toBe(1);
      yield* s.gosched();
      expect(n).toBe(1);
    });
  });

  it("may give the event loop a turn before any goroutine goes on, also when none can run", async () => {
    const log: string[] = [];
    let left = 2;
    const s = createScheduler({
      hooks: {
        safepoint() {
          log.push("safepoint");
          if (left-- === 0) return;
          setTimeout(() => log.push("timer"), 0);
          // Later than any timer that is due.
          for (const end = performance.now() + 2; performance.now() < end; );
          s.yieldToHost();
          s.requestSafepoint();
        },
      },
    });
    await s.main(function* () {
      s.requestSafepoint();
      yield* s.gosched();
      log.push("goroutine");
    });
    expect(log).toEqual(["safepoint", "timer", "safepoint", "timer", "safepoint", "goroutine"]);
    log.length = 0;
    left = 1;
    s.requestSafepoint();
    for (let i = 0; i < 100 && log.length < 3; i++) await new Promise((r) => setTimeout(r, 1));
    expect(log).toEqual(["safepoint", "timer", "safepoint"]);
  });

  it("ends the program when a hook fails", async () => {
    const s = createScheduler({
      hooks: {
        safepoint() {
          throw new FatalError("throw", "TEST", "found pointer to free object");
        },
      },
    });
    await expect(
      s.main(function* () {
        s.requestSafepoint();
        for (;;) yield* s.gosched();
      }),
    ).rejects.toThrow("found pointer to free object");
    expect(await s.main(() => 1)).toBe(1);
  });

  it("tells of the end of goroutines with stack slots, however they end", () => {
    const ended: number[] = [];
    const s = createTestScheduler({ hooks: { gExit: (g) => ended.push(g.rootLo) } });
    s.runMain(function* () {
      yield* s
        .go(() => {
          s.getg()!.rootLo = 100;
        })
        .done();
      s.go(function* () {
        s.getg()!.rootLo = 200;
        yield* s.makeChan().recv();
      });
      yield* s.gosched();
    });
    expect(ended).toEqual([100, 200]);
  });

  it("times waits while block profiling is on", () => {
    const events: [number, number][] = [];
    const s = createTestScheduler({ hooks: { blockEvent: (_g, ns, reason) => events.push([ns, reason]) } });
    s.runMain(function* () {
      s.blockProfileEnabled = true;
      const c = s.makeChan<number>();
      s.go(function* () {
        yield* s.sleep(5);
        yield* c.send(1);
      });
      yield* s.sleep(1);
      yield* c.recv();
      s.blockProfileEnabled = false;
    });
    expect(events).toContainEqual([4e6, 19]);
  });
});

describe("errors", () => {
  it("are recognised by brand", () => {
    expect(isFatalError(new FatalError("fatal", "TEST", "x"))).toBe(true);
    expect(new TypeAssertionError("a is b").message).toBe("interface conversion: a is b");
    expect(isFatalError(new Error("x"))).toBe(false);
  });
});

describe("expectNoLeakedGoroutines", () => {
  it("throws with a dump of those that are left", () => {
    const s = createTestScheduler();
    s.go(function* lost() {
      yield* s.makeChan().recv();
    });
    s.run();
    expect(() => expectNoLeakedGoroutines(s)).toThrow(
      /1 goroutines left\n\ngoroutine \d+ \[chan receive\]:\nmain\.lost/,
    );
    expect(() => expectNoLeakedGoroutines(s, 1)).not.toThrow();
  });
});
