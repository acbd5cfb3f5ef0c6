import { describe, expect, it, vi } from "vitest";
import type { HChan } from "../src/chan.ts";
import { type Chan, createScheduler, type Operation } from "../src/index.ts";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "../src/testing.ts";
import { run } from "./kit.ts";

describe("the run queue", () => {
  it("moves half of a full ring to the global queue, and runs every goroutine once", () => {
    const s = createTestScheduler();
    const log: number[] = [];
    s.runMain(function* () {
      for (let i = 0; i < 1000; i++) s.go(() => void log.push(i));
      while (log.length < 1000) yield* s.gosched();
    });
    expect(log.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    // The last goroutine to start was in runnext, and the ring keeps its order.
    expect(log[0]).toBe(999);
    verifyScheduler(s);
  });

  it("runs others while two goroutines only pass values to each other", () => {
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

  it("runs others after 10 ms while two goroutines with long steps only pass values to each other", () => {
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
  it("is first at every 61st tick, as in Go, and last otherwise", () => {
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
    // schedtick includes the tick that takes the goroutine.
    expect(ticks.map((t) => t % 61)).toEqual([1, 1, 1, 1, 1]);
    expect(ticks.map((t) => t - ticks[0])).toEqual([0, 61, 122, 183, 244]);
  });

  it("gives its head, and up to half a ring more, to an idle P", () => {
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
  it.each(["ring", "global queue"])("of the %s leaves the others there, in their order", (queue) => {
    const s = createTestScheduler();
    const ran: string[] = [];
    const ids = ["a", "b", "c", "d"].map((name) => s.go(() => void ran.push(name)).id);
    if (queue !== "ring") for (let g = s.p.runqget(); g !== null; g = s.p.runqget()) s.globq.pushBack(g);
    s.unqueue(s.gs().find((g) => g.goid === ids[1])!);
    s.run();
    expect(ran).toEqual(["a", "c", "d"]);
  });

  it("of runnext leaves runnext empty", () => {
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

describe("a scheduler", () => {
  it.each([10, 50, 200])(
    "keeps Error.stackTraceLimit at %d for host code, and raises it to at least 50 in goroutines",
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
    // A call of the host's timer is a turn, too.
    s.go(() => s.sleep(80));
    queue.shift()![1]();
    t = 100;
    timers.pop()!();
    expect([109.9, 110].map(wokenAt)).toEqual(["microtask", "task"]);
    // A clock that was set back must not make every turn a microtask.
    expect(wokenAt(50)).toBe("task");
    s.close();
  });

  it("draws numbers from 0 to n - 1 uniformly, and the same ones for the same seed", () => {
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

  it("counts the locks of a goroutine to its thread, as its header shows", () => {
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
  /** A scheduler whose clock the test moves, and whose event loop turns it runs. */
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

  it("yields to the event loop at least every 10 ms while goroutines can run", () => {
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

  it("reads the clock seldom if checkpoints are frequent", () => {
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
    // At each 16th call, except for the first calls.
    expect(reads).toBeGreaterThan(990);
    expect(reads).toBeLessThan(1010);
  });

  it("doubles the distance between reads up to 16 calls, and reads at every call if steps are long", () => {
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
      // The rest of the last distance, and from then on each call.
      long = calls(20, 0.3);
      again = calls(10, 0);
    });
    host.turns.shift()!();
    expect(short).toEqual([1, 3, 7, 15, 31, 47, 63]);
    expect(long).toEqual([9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    expect(again).toEqual([1, 3, 7]);
  });

  it("makes shouldYield true from the end of the slice on, and when the clock was set back", () => {
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

  it("yields in time when goroutines with short steps suddenly take half a millisecond each", () => {
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

  it("yields in time when goroutines with steps of 1 ms follow goroutines with short steps", () => {
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

  it("does not starve the host while promises and goroutines wake each other", async () => {
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
    "does not resume the goroutine that closes the scheduler %s, in any kind of wait",
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

  it("reports goroutines that run for long, once a creation site", () => {
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

  it("has a checkpoint that yields only after the end of the slice", () => {
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
    // A loop of 100 ms, in slices of 2 ms.
    expect(others).toBeGreaterThan(30);
    expect(others).toBeLessThan(80);
  });
});

describe("system goroutines", () => {
  it("do not count, outlive main and do not prevent a deadlock", () => {
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

describe("the run queues", () => {
  it("run a goroutine that has yielded among others that endlessly start new ones", () => {
    const s = createTestScheduler();
    let spawned = 0;
    let turn = -1;
    s.runMain(function* () {
      s.go(function* () {
        yield* s.gosched();
        turn = spawned;
      });
      const nothing = function* (): Generator<undefined, void, unknown> {};
      // The second start moves the first goroutine into the ring, so the ring is never empty.
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
    "run a goroutine that has yielded beside steps of %d ms with sleeps of %d ms and a ping-pong of two",
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
      // 10 ms in the global queue, 10 ms of the ping-pong, and the steps that begin before.
      expect(Math.max(...late)).toBeLessThanOrEqual(3 * step + 25);
    },
  );

  it("do not give the labels of an ended goroutine to another", () => {
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
