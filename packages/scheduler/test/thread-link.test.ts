/** The run loop of one of several threads, against a double of the others (thread-kit.ts). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { schedCounters } from "../src/counters.ts";
import { createScheduler, FatalError, type G, type LongRun, recvCase } from "../src/index.ts";
import { verifyScheduler } from "../src/testing.ts";
import { dumpOthers } from "../src/traceback.ts";
import { type FakeThread, World } from "./thread-kit.ts";

/** Runs `f` as a goroutine of `t` to its end, and returns what the scheduler called meanwhile. */
function calls(t: FakeThread, f: () => unknown): string[] {
  t.s.go(f);
  t.log = [];
  t.world.run();
  const { log } = t;
  t.log = null;
  return log;
}

describe("a slice", () => {
  it("takes a P, looks for a task before the thread sleeps, and gives the P away", () => {
    const t = new World(1).thread();
    expect(calls(t, () => {})).toEqual(["acquireP(true)", "nextTask(true)", "releaseP(1)", "sleep"]);
    expect(t.hasP).toBe(false);
  });

  it("goes on if the link spins and finds something, with the tasks of others unless the thread is locked", () => {
    const t = new World(1).thread();
    const spins: boolean[] = [];
    const ran: string[] = [];
    t.spin = (tasks) => {
      spins.push(tasks);
      if (spins.length > 1) return false;
      t.world.tasks.push({ f: () => ran.push("task"), args: [], goid: 1e6, parentGoid: 0, site: null });
      return true;
    };
    expect(calls(t, () => {})).toEqual([
      "acquireP(true)",
      "nextTask(true)",
      "nextTask(true)",
      "nextTask(true)",
      "releaseP(2)",
      "sleep",
    ]);
    expect([spins, ran]).toEqual([[true, true], ["task"]]);
    calls(t, function* () {
      t.s.lockOSThread();
      yield* t.s.sleep(1);
    });
    expect(spins.at(-1)).toBe(false);
  });

  it("gives the P away also if goroutines can still run, and takes one again after the event loop's turn", () => {
    const t = new World(1).thread();
    let n = 0;
    const log = calls(t, function* () {
      for (const end = t.s.clock.now() + 3; t.s.clock.now() < end; n++) yield* t.s.gosched();
    });
    const turns = log.filter((x) => !x.startsWith("nextTask(false)"));
    expect(turns.map((x) => x.replace(/\d+/, "N"))).toEqual([
      "acquireP(true)",
      "releaseP(N)",
      "acquireP(true)",
      "nextTask(true)",
      "releaseP(N)",
      "sleep",
    ]);
    // Each switch counts for the P that it has used.
    expect(t.ticks).toBe(n + 1);
  });

  it("does not run while no P is free, and runs when one is", () => {
    const world = new World(1);
    const [a, b] = [world.thread(), world.thread()];
    const ran: string[] = [];
    b.log = [];
    a.s.go(() => {
      b.s.go(() => ran.push("b"));
      world.run();
      expect([b.s.isIdle, b.waiting, ran]).toEqual([false, true, []]);
      // A goroutine that becomes runnable meanwhile needs no second wake-up.
      b.s.go(() => ran.push("b2"));
      expect(b.loop.length).toBe(0);
      ran.push("a");
    });
    world.run();
    expect(ran).toEqual(["a", "b", "b2"]);
    expect(b.log.slice(0, 3)).toEqual(["acquireP(false)", "sleep", "acquireP(true)"]);
    expect(b.s.isIdle).toBe(true);
  });

  it("asks for a P again every 10 ms", () => {
    const world = new World(1);
    const [a, b] = [world.thread(), world.thread()];
    a.hasP = true; // as if it computed for long
    let ran = 0;
    b.s.go(() => ran++);
    world.run();
    b.log = [];
    for (const _ of [1, 2]) {
      const [timer] = [...b.timers];
      expect(Math.round(timer.when - world.now)).toBe(10);
      expect(world.fireNext()).toBe(true);
    }
    expect(b.log).toEqual(["acquireP(false)", "sleep", "acquireP(false)", "sleep"]);
    world.gomaxprocs = 2; // as if the link let it run in the place of the other thread
    world.fireNext();
    world.run();
    expect([ran, b.timers.size, b.s.isIdle]).toEqual([1, 0, true]);
    // A closed scheduler asks no more.
    world.gomaxprocs = 1;
    b.s.go(() => ran++);
    world.run();
    b.s.close();
    expect(b.timers.size).toBe(0);
    b.call();
    world.run();
    expect([ran, b.timers.size, b.s.isIdle]).toEqual([1, 0, true]);
  });

  it("runs a requested safepoint without a P, and gives the event loop its turn if the hook asks for it", () => {
    const world = new World(1);
    const a = world.thread();
    let asked = 0;
    const b = world.thread({
      hooks: {
        safepoint: () => {
          expect(b.s.getg()).toBe(null);
          if (++asked < 3) b.s.requestSafepoint();
          if (asked === 3) b.s.yieldToHost();
        },
      },
    });
    const ran: string[] = [];
    a.s.go(() => {
      b.s.go(() => ran.push("b"));
      world.run();
      b.s.requestSafepoint();
      world.run();
      expect([asked, b.hasP, ran]).toEqual([3, false, []]);
    });
    world.run();
    expect([asked, ran]).toEqual([3, ["b"]]);
  });
});

describe("a poll", () => {
  it("wakes a sleeping thread, which runs what became runnable", () => {
    const t = new World(1).thread();
    const c = t.s.makeChan<number>();
    let got: number | undefined;
    t.s.go(function* () {
      got = yield* c.recv();
    });
    t.world.run();
    expect(t.sleeping).toBe(true);
    t.log = [];
    t.post(() => c.trySend(7));
    t.world.run();
    expect(got).toBe(7);
    expect(t.log).toEqual(["poll", "acquireP(true)", "nextTask(true)", "releaseP(1)", "sleep"]);
  });

  it("follows each reading of the clock, between two goroutines", () => {
    const t = new World(1).thread();
    const seen: unknown[] = [];
    let polled = false;
    t.log = [];
    t.s.go(function* () {
      for (let i = 0; i < 20; i++) yield* t.s.gosched();
      t.post(() => {
        polled = true;
        seen.push(t.s.getg());
      });
      // The scheduler reads the clock at least every 16 switches.
      for (let i = 0; i < 17; i++) yield* t.s.gosched();
      seen.push(polled);
    });
    t.world.run();
    expect(seen).toEqual([null, true]);
    // The slice goes on after it.
    expect(t.log.filter((x) => x !== "nextTask(true)")).toEqual([
      "acquireP(true)",
      "poll",
      "acquireP(true)",
      "releaseP(38)",
      "sleep",
    ]);
  });

  it("is left to a slice that is queued", () => {
    const t = new World(1).thread();
    t.s.go(() => {});
    t.world.run();
    t.world.now += 20; // the last turn of the event loop is long ago, so the slice will be a task
    t.post(() => {});
    t.s.go(() => {});
    t.log = [];
    t.step();
    expect(t.log).toEqual([]);
    t.step();
    expect(t.log[0]).toBe("poll");
  });

  it("is a turn of the event loop, so that slices may follow in microtasks", () => {
    const t = new World(1).thread();
    t.s.go(() => {});
    t.world.run();
    for (const [ms, microtask] of [
      [20, false],
      [0, true],
    ] as const) {
      t.world.now += ms;
      if (microtask) t.post(() => {});
      t.world.run();
      const other = () => {};
      t.loop.push(other);
      t.s.go(() => {});
      expect(t.loop.indexOf(other)).toBe(microtask ? 1 : 0);
      t.world.now += 20;
    }
  });

  it("changes nothing in which latencies are sampled", () => {
    const sampled = (polls: boolean) => {
      const counts: number[] = [];
      const t = new World(1).thread({ latencies: { record: (_ns, count) => counts.push(count) } });
      const { s } = t;
      const [a, b] = [s.makeChan<void>(), s.makeChan<void>()];
      s.go(function* () {
        for (let i = 0; i < 1000; i++) {
          yield* a.send();
          if (polls) t.post(() => {});
          yield* b.recv();
        }
      });
      s.go(function* () {
        for (let i = 0; i < 1000; i++) {
          yield* a.recv();
          yield* b.send();
        }
      });
      t.world.run();
      return counts;
    };
    expect(sampled(true).length).toBeGreaterThan(3);
    expect(sampled(true)).toEqual(sampled(false));
  });

  it("puts the goroutines that it readies behind the others of the ring", () => {
    const t = new World(1).thread();
    const { s } = t;
    const order: string[] = [];
    const c = s.makeChan<void>();
    s.go(function* () {
      yield* c.recv();
      order.push("readied by a node");
    });
    t.world.run();
    s.go(function* () {
      s.go(() => order.push("first in the ring"));
      s.go(() => order.push("runnext"));
      t.post(() => void c.trySend());
      s.requestSafepoint(); // the clock is read at the next switch
      yield* s.gosched();
    });
    t.world.run();
    expect(order).toEqual(["runnext", "first in the ring", "readied by a node"]);
  });

  it("is not charged to the goroutine that ran before it or runs after it", () => {
    const t = new World(1).thread();
    t.s.go(function* () {
      for (let i = 0; i < 40; i++) {
        // The world stands still for a second.
        t.post(() => (t.world.now += 1000));
        yield* t.s.gosched();
      }
    });
    t.world.run();
    expect(t.s.longRuns).toEqual([]);
  });

  it("makes a long loop yield", () => {
    const t = new World(1).thread();
    let n = 0;
    t.s.go(function* () {
      // Short calls: only each 16th reads the clock.
      while (n < 32 && !t.s.shouldYield()) n++;
      expect(n).toBe(32);
      t.post(() => {});
      while (!t.s.shouldYield()) n++;
      yield* t.s.gosched();
    });
    t.world.run();
    expect(n).toBeLessThan(32 + 16);
  });

  it.each(["between two goroutines", "before a slice", "when nothing can run"])(
    "ends the program with a fatal error that it throws %s",
    async (when) => {
      const t = new World(1).thread();
      const { s } = t;
      const died = () =>
        t.post(() => {
          throw new FatalError("throw", "TEST", "thread 3 has died");
        });
      let after = 0;
      const ended = s.main(function* () {
        if (when === "between two goroutines") {
          died();
          for (let i = 0; i < 100; i++) yield* s.gosched();
          after++;
        }
        if (when === "when nothing can run") died();
        yield* s.makeChan().recv();
      });
      t.world.run();
      if (when === "before a slice") died();
      t.world.run();
      await expect(ended).rejects.toThrow("thread 3 has died");
      expect(after).toBe(0);
      expect(await Promise.race([run(t), "hangs"])).toBe(1);
    },
  );

  /** The scheduler works after the end of a program. */
  function run(t: FakeThread): Promise<number> {
    const value = t.s.main(() => 1);
    t.world.run();
    return value;
  }

  it("may close the scheduler", () => {
    for (const when of ["in a slice", "before a slice"]) {
      const t = new World(1).thread();
      const ran: string[] = [];
      t.s.go(function* () {
        if (when === "in a slice") t.post(() => t.s.close());
        for (let i = 0; i < 100; i++) yield* t.s.gosched();
        ran.push("goroutine");
      });
      if (when === "before a slice") t.post(() => t.s.close());
      t.log = [];
      t.world.run();
      if (when === "before a slice") expect(t.log).toEqual(["poll"]);
      expect([ran, t.hasP, t.sleeping, t.s.isIdle]).toEqual([[], false, false, true]);
    }
  });
});

describe("a task", () => {
  it("runs on a thread that sleeps, as a goroutine of that thread", () => {
    const world = new World(2);
    const [a, b] = [world.thread(), world.thread()];
    a.s.go(() => {});
    b.s.go(() => {});
    world.run();
    let seen: unknown[] = [];
    let goid = 0;
    a.s.go(function* () {
      goid = world.go(
        a,
        function* (x: number, y: number) {
          const g = b.s.getg()!;
          seen = [g.sched === b.s, g.goid, g.parentGoid, x + y];
          yield* b.s.gosched();
          seen.push("resumed");
        },
        3,
        4,
      );
      world.threads[1].step();
      yield* a.s.gosched();
    });
    const parent = [...a.s.gs()].at(-1)!.goid;
    world.run();
    expect(seen).toEqual([true, goid, parent, 7, "resumed"]);
    verifyScheduler(b.s);
  });

  it("that a woken thread was to take is for all as soon as a timer or a safepoint gives it a goroutine", () => {
    const world = new World(1);
    const t = world.thread({ hooks: { safepoint: () => void t.s.go(() => t.log!.push("of a safepoint")) } });
    t.s.go(function* () {
      yield* t.s.sleep(5);
      t.log!.push("due at the begin of a slice");
      yield* t.s.sleep(5);
      t.log!.push("due when nothing else can run");
      t.s.go(function* () {
        world.now += 5;
        yield* t.s.gosched();
      });
      yield* t.s.sleep(5);
      t.log!.push("due at a reading of the clock");
    });
    world.run();
    t.log = [];
    t.spin = () => {
      world.now += 10;
      t.spin = () => false;
      return true;
    };
    world.now += 5;
    t.call();
    world.run();
    const log = t.log.filter((x) => x === "handOver" || x.startsWith("due"));
    expect(log).toEqual([
      "handOver",
      "due at the begin of a slice",
      "handOver",
      "due when nothing else can run",
      "handOver",
      "due at a reading of the clock",
    ]);
    t.log = [];
    t.s.requestSafepoint();
    world.run();
    expect(t.log.filter((x) => x === "handOver" || x.startsWith("of"))).toEqual([
      "handOver",
      "of a safepoint",
    ]);
  });

  it("counts its labels, its end and its creation site like any goroutine", () => {
    const t = new World(1).thread();
    const labels = new Map([["k", "v"]]);
    let ended = 0;
    let g: G | null = null;
    const site = { func: "main.serve", file: "serve.ts", line: 12 };
    t.s.startTask(
      function* worker() {
        g = t.s.getg();
        yield* t.s.makeChan().recv();
      },
      [],
      { goid: 99, parentGoid: 5, site, labels, onExit: () => ended++ },
    );
    t.s.startTask(() => {}, [], { goid: 98, parentGoid: 5, site, onExit: () => ended++ });
    expect(t.s.numGoroutine()).toBe(2);
    t.world.run();
    expect([t.s.numGoroutine(), ended, g!.labels]).toEqual([1, 1, labels]);
    const dump = dumpOthers(t.s, null);
    expect(dump).toMatch(/goroutine 99 \[chan receive] {k: v}:/);
    expect(dump).toMatch(/created by main\.serve in goroutine 5\n\tserve\.ts:12\n/);
    verifyScheduler(t.s);
  });

  it("is taken each 61 ticks while the thread has goroutines of its own, and goes to the tail of the ring", () => {
    const t = new World(1).thread();
    const { s } = t;
    let ticks = 0;
    let ranAt = -1;
    s.go(function* () {
      for (; ranAt < 0 && ticks < 1000; ticks++) yield* s.gosched();
    });
    t.log = [];
    t.world.tasks.push({ f: () => (ranAt = ticks), args: [], goid: 1e6, parentGoid: 0, site: null });
    t.world.run();
    // The clock is read every 16 switches at least.
    expect(ranAt).toBeGreaterThanOrEqual(60);
    expect(ranAt).toBeLessThanOrEqual(61 + 17);
    expect(t.log.filter((x) => x === "nextTask(false)").length).toBe(1);
  });

  it("is asked for at each 61st tick exactly if the clock is read at each switch", () => {
    const t = new World(1).thread();
    const { s } = t;
    const asked: number[] = [];
    let ticks = 0;
    t.nextTask = (idle) => {
      if (!idle) asked.push(ticks);
      return false;
    };
    s.go(function* () {
      for (; ticks < 200; ticks++) {
        t.world.now += 0.3; // more than the time between two readings of the clock
        yield* s.gosched();
      }
    });
    t.world.run();
    expect(asked.map((x, i) => x - (asked[i - 1] ?? 0))).toEqual([60, 61, 61]);
  });

  it("is not taken by a thread that a goroutine has locked, until the last lock is undone", () => {
    const world = new World(1);
    const t = world.thread();
    const { s } = t;
    const ran: string[] = [];
    const task = () =>
      world.tasks.push({ f: () => ran.push("task"), args: [], goid: 1e6, parentGoid: 0, site: null });
    t.log = [];
    s.go(function* () {
      s.lockOSThread();
      s.lockOSThread();
      task();
      for (let i = 0; i < 200; i++) yield* s.gosched();
      s.unlockOSThread();
      yield* s.sleep(10);
      ran.push("locked");
      s.unlockOSThread();
      s.unlockOSThread(); // does nothing
    });
    world.run();
    expect(t.sleeping).toBe(true);
    expect(t.log.filter((x) => x.startsWith("nextTask"))).toEqual([]);
    world.fireNext();
    world.run();
    expect(ran).toEqual(["locked", "task"]);
    expect(t.log.filter((x) => x.startsWith("setLocked"))).toEqual(["setLocked(true)", "setLocked(false)"]);
  });

  it("is taken again when a goroutine that has locked the thread ends", () => {
    const t = new World(1).thread();
    t.log = [];
    for (let i = 0; i < 2; i++) t.s.go(() => t.s.lockOSThread());
    t.world.run();
    const once = ["setLocked(true)", "setLocked(false)"];
    expect(t.log.filter((x) => /setLocked|nextTask/.test(x))).toEqual([...once, ...once, "nextTask(true)"]);
    expect(t.locked).toBe(false);
  });

  it("is not taken while any goroutine has locked the thread", () => {
    const t = new World(1).thread();
    t.log = [];
    for (const turns of [3, 6]) {
      t.s.go(function* () {
        t.s.lockOSThread();
        for (let i = 0; i < turns; i++) yield* t.s.gosched();
        t.s.unlockOSThread();
        t.log!.push(`unlocked after ${turns}`);
      });
    }
    t.world.run();
    expect(t.log.filter((x) => /ocked/.test(x))).toEqual([
      "setLocked(true)",
      "unlocked after 3",
      "setLocked(false)",
      "unlocked after 6",
    ]);
  });
});

describe("numbers of goroutines", () => {
  it("are unique over the threads, and counted by the thread that has made them", () => {
    const world = new World(4);
    const a = world.thread({}, { attach: false });
    const seen: number[] = [];
    const start = (t: FakeThread, n: number) => {
      for (let i = 0; i < n; i++) seen.push(t.s.go(() => {}).id);
    };
    start(a, 40);
    a.s.attachLink(a);
    const threads = [a, world.thread(), world.thread()];
    for (let round = 0; round < 5; round++) for (const t of threads) start(t, 7 + t.m);
    seen.push(a.s.newGoid());
    expect(new Set(seen).size).toBe(seen.length);
    expect(Math.min(...seen)).toBe(2);
    for (const t of threads) t.s.readCounters();
    expect(threads.map((t) => t.counters[schedCounters.goroutinesCreated])).toEqual([40 + 35 + 1, 40, 45]);
    world.run();
  });

  it("leave number 1 to main", () => {
    const t = new World(1).thread();
    for (let i = 0; i < 20; i++) {
      let goid = 0;
      void t.s.main(() => (goid = t.s.getg()!.goid));
      t.world.run();
      expect(goid).toBe(1);
      expect(t.s.go(() => {}).id).toBeGreaterThan(1);
      t.world.run();
    }
    expect(t.s.readCounters()[schedCounters.goroutinesCreated]).toBe(40);
  });
});

describe("threads attached at run time", () => {
  it("give the running goroutine a P, which its slice returns", () => {
    const t = new World(1).thread({}, { attach: false });
    let inside: unknown[] = [];
    t.s.go(function* () {
      t.s.lockOSThread();
      t.s.attachLink(t);
      inside = [t.hasP, t.locked, t.goid, t.s.getg()!.goid];
      yield* t.s.gosched();
    });
    t.world.run();
    expect(inside).toEqual([true, true, 2, 2]);
    expect([t.hasP, t.locked, t.sleeping, t.goid]).toEqual([false, false, true, 0]);
    expect(() => t.s.attachLink(t)).toThrow("scheduler: the threads are already attached");
  });

  it("may be attached in the hook of a safepoint, and before a slice that is queued", () => {
    const t: FakeThread = new World(1).thread(
      { hooks: { safepoint: () => t.s.attachLink(t) } },
      { attach: false },
    );
    t.s.requestSafepoint();
    t.s.go(() => {});
    t.world.run();
    expect([t.goid, t.hasP, t.sleeping]).toEqual([0, false, true]);
    const u = new World(1).thread({}, { attach: false });
    u.s.go(() => {});
    u.s.attachLink(u);
    expect(u.sleeping).toBe(false);
    u.world.run();
    expect(u.sleeping).toBe(true);
  });

  it("let an idle thread sleep at once", () => {
    const t = new World(1).thread({}, { attach: false });
    t.s.go(() => t.s.sleep(5));
    t.world.run();
    t.s.attachLink(t);
    expect([t.sleeping, t.hopes]).toEqual([true, true]);
  });
});

describe("the running goroutine", () => {
  it("that runs long is reported with its thread", () => {
    const world = new World(2);
    const runs: LongRun[] = [];
    world.thread();
    const t = world.thread({ godebug: "sysmon=1", hooks: { longRun: (run) => runs.push(run) } });
    t.s.go(function* () {
      for (let k = 0; k < 40; k++) yield* t.s.gosched();
    });
    t.s.go(function* () {
      for (let k = 0; k < 3; k++) {
        world.now += 25;
        yield* t.s.gosched();
      }
    });
    t.world.run();
    expect(runs).toEqual([
      { goid: expect.any(Number), ms: expect.any(Number), site: expect.any(String), m: 1 },
    ]);
    expect(t.errors).toEqual([expect.stringMatching(/^goroutine \d+ ran 25 ms without yielding on M 1\n/)]);
  });

  it("is known to the other threads, also while a profiler watches the switches", () => {
    const t = new World(1).thread();
    const seen: unknown[] = [];
    const profiler = (g: G | null) => seen.push(g?.goid ?? 0);
    const look = function* () {
      seen.push(`thread ${t.goid}`);
      yield* t.s.gosched();
      seen.push(`thread ${t.goid}`);
    };
    t.s.onSwitch = profiler;
    expect(t.s.onSwitch).toBe(profiler);
    const id = t.s.go(look).id;
    t.world.run();
    expect(seen.splice(0)).toEqual([id, `thread ${id}`, id, `thread ${id}`, 0]);
    expect(t.goid).toBe(0);
    t.s.onSwitch = null;
    const next = t.s.go(look).id;
    t.world.run();
    expect(seen).toEqual([`thread ${next}`, `thread ${next}`]);
  });
});

describe("the hopes of a sleeping thread", () => {
  it("follow timers, host sources and promises, also when host code changes them", async () => {
    const t = new World(1).thread();
    const { s } = t;
    const hopes = () => {
      t.world.run();
      return t.hopes;
    };
    s.go(() => s.makeChan().recv());
    expect(hopes()).toBe(false);
    const timer = s.newTimer(1000);
    s.go(() => timer.C.recv());
    expect(hopes()).toBe(true);
    timer.stop();
    expect(hopes()).toBe(false);
    const release = s.hostSource({ hold: false });
    expect(t.hopes).toBe(true);
    release();
    expect(hopes()).toBe(false);
    s.go(() => s.syscall(Promise.resolve(1)));
    expect(hopes()).toBe(true);
    await new Promise((r) => setTimeout(r, 1));
    expect(hopes()).toBe(false);
  });
});

describe("gomaxprocs", () => {
  const procs = { max: 4, why: "" };

  it("is the number of Ps of all threads", () => {
    const world = new World(2);
    const [a, b] = [world.thread({ procs }), world.thread({ procs })];
    expect([a.s.gomaxprocs(3), b.s.gomaxprocs(), b.s.gomaxprocs(9), a.s.gomaxprocs(4)]).toEqual([2, 3, 3, 4]);
    expect(a.s.readCounters()[schedCounters.gomaxprocs]).toBe(4);
    // An equal number stops no world.
    expect(world.stops).toEqual(["GOMAXPROCS 3", "GOMAXPROCS 4"]);
  });

  it("takes the P of a running thread, whose slice ends when it has polled", () => {
    const world = new World(2);
    const [a, b] = [world.thread({ procs }), world.thread({ procs })];
    let n = 0;
    b.s.go(function* () {
      a.hasP = true; // as if it ran meanwhile
      b.post(() => b.s.gomaxprocs(1));
      for (; n < 40; n++) yield* b.s.gosched();
    });
    world.run();
    expect([a.hasP, b.hasP, b.waiting, b.s.isIdle]).toEqual([true, false, true, false]);
    // The clock is read at least every 16 switches.
    expect(n).toBeLessThan(17);
    a.releaseP(0);
    world.run();
    expect([n, b.waiting, b.s.isIdle]).toEqual([40, false, true]);
  });
});

describe("a stop of the world", () => {
  it("stops the other threads", () => {
    const t = new World(1).thread();
    t.s.stopTheWorld("test");
    expect(() => t.s.stopTheWorld("again")).toThrow("world is already stopped");
    t.s.startTheWorld();
    expect(t.world.stops).toEqual(["test", ""]);
  });
});

describe("one thread", () => {
  it("has no link, and locks nothing", () => {
    const s = createScheduler();
    expect(s.link).toBe(null);
    s.lockOSThread();
    s.unlockOSThread();
    s.stopTheWorld("test");
    s.startTheWorld();
  });
});

describe("several threads in any interleaving", () => {
  const program = fc.record({
    threads: fc.integer({ min: 1, max: 4 }),
    procs: fc.integer({ min: 1, max: 4 }),
    choices: fc.array(fc.nat(), { minLength: 50, maxLength: 400 }),
  });

  it("run every goroutine and every task once, use at most gomaxprocs Ps, and lose no wake-up", () => {
    fc.assert(
      fc.property(program, ({ threads: n, procs, choices }) => {
        let at = 0;
        const choose = (k: number) => choices[at++ % choices.length] % k;
        const world = new World(procs);
        for (let i = 0; i < n; i++) world.thread();
        const of = (g: G) => world.threads.find((t) => t.s === g.sched)!;
        let depth = 0;
        world.interrupt = () => {
          expect(world.running).toBeLessThanOrEqual(procs);
          if (depth > 2 || choose(6) !== 0) return;
          const ready = world.threads.filter((t) => t.loop.length > 0);
          if (ready.length === 0) return;
          depth++;
          ready[choose(ready.length)].step();
          depth--;
        };
        let started = 0;
        let ended = 0;
        const spawn = (t: FakeThread, level: number, asTask: boolean) => {
          started++;
          const body = function* (): Generator<undefined, void> {
            const me = of(world.threads.map((x) => x.s.getg()).find((g) => g !== null)!);
            yield* act(me, level);
            ended++;
          };
          if (asTask) world.go(t, body);
          else t.s.go(body);
        };
        function* act(me: FakeThread, level: number): Generator<undefined, void> {
          const { s } = me;
          for (let i = choose(6); i > 0; i--) {
            const what = choose(6);
            if (what === 0) yield* s.gosched();
            else if (what === 1) yield* s.sleep(choose(3));
            else if (what < 4 && level < 4) spawn(me, level + 1, what === 2);
            else if (what === 4) {
              // Another thread wakes this goroutine.
              const c = s.makeChan<void>();
              me.post(() => c.close());
              yield* s.select([recvCase(c)]);
            } else if (what === 5) {
              s.lockOSThread();
              yield* s.gosched();
              if (choose(2) === 0) s.unlockOSThread();
            }
          }
        }
        for (const t of world.threads) for (let i = choose(4) + 1; i > 0; i--) spawn(t, 0, choose(2) === 0);
        do world.run(choose);
        while (world.fireNext());
        expect([started - ended, world.tasks.length, world.running]).toEqual([0, 0, 0]);
        for (const t of world.threads) {
          expect([t.s.numGoroutine(), t.s.isIdle, t.sleeping, t.errors]).toEqual([0, true, true, []]);
          verifyScheduler(t.s);
        }
      }),
      { numRuns: 300 },
    );
  });
});
