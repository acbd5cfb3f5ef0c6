import { describe, expect, it } from "vitest";
import { type Chan, createScheduler } from "../src/index.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";
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
