/** How a program of several threads ends: by main, by a crash on any thread, by a deadlock of all. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { crashReport, FatalError, PanicError, panic, type SchedulerHooks } from "../src/index.ts";
import { verifyScheduler } from "../src/testing.ts";
import { THREADS_HANDLES, THREADS_HOPE, THREADS_RUN } from "../src/thread-link.ts";
import { type FakeThread, World } from "./thread-kit.ts";

afterEach(() => vi.restoreAllMocks());

/** Starts one goroutine of each kind that can be when a program ends. */
function startAll(t: FakeThread): void {
  const { s } = t;
  s.go(() => s.makeChan().recv());
  s.go(() => s.sleep(1000));
  s.go(() => s.syscall(new Promise(() => {})));
  t.world.run();
  s.go(() => s.gosched());
}

describe("a thread with onCrash", () => {
  function worker() {
    const crashes: [unknown, string][] = [];
    const t = new World(1).thread({ onCrash: (error, report) => crashes.push([error, report]) });
    return { t, s: t.s, crashes };
  }

  it("passes a panic on, with Go's report, after it has ended its goroutines", () => {
    const { t, s, crashes } = worker();
    startAll(t);
    let system = 0;
    s.goSystem(function* () {
      yield* s.sleep(5);
      system++;
    });
    let error: unknown;
    s.go(function* worker() {
      yield* s.gosched();
      error = new Error("broken");
      panic(error);
    });
    t.world.run();
    expect(crashes).toHaveLength(1);
    expect(crashes[0][0]).toBe(error);
    expect(crashes[0][1]).toMatch(/^panic: broken\n\ngoroutine \d+ \[running]:\nmain\.worker\d?\(\.\.\.\)\n/);
    expect(crashReport(error)?.text).toBe(crashes[0][1]);
    expect([s.numGoroutine(), t.errors, t.sleeping]).toEqual([0, [], true]);
    while (t.world.fireNext()) t.world.run();
    expect(system).toBe(1);
    verifyScheduler(s);
  });

  it("passes a fatal error on, also one that a catch stops, and a value that is no object", () => {
    const { t, s, crashes } = worker();
    const fatal = new FatalError("throw", "TEST", "found pointer to free object");
    s.go(function* () {
      try {
        s.fatal(fatal);
      } catch {}
      yield* s.gosched();
    });
    t.world.run();
    s.go(() => {
      throw 7;
    });
    t.world.run();
    expect(crashes.map(([e]) => e)).toEqual([fatal, expect.any(PanicError)]);
    expect(crashes[0][1]).toMatch(/^fatal error: found pointer to free object\n/);
    expect(crashes[1][1]).toMatch(/^panic: 7\n/);
  });

  it("passes fatal errors of goroutines on in each program, and what follows from a lost thread once", () => {
    const { t, s, crashes } = worker();
    const texts = (): string[] => crashes.splice(0).map(([e]) => (e as Error).message);
    const fails = (code: string, text: string): void => {
      s.go(() => s.fatal(new FatalError("fatal", code, text)));
      t.world.run();
    };
    for (const text of ["unlock of unlocked mutex", "out of memory", "unlock of unlocked mutex"]) {
      fails("TEST", text);
      expect(texts()).toEqual([text]);
      s.endProgram(() => {});
    }
    fails("ERR_GORT_LOCK", "held by thread 3, which has ended");
    fails("ERR_GORT_LOCK", "another lock is held by thread 3, which has ended");
    fails("TEST", "unlock of unlocked mutex");
    expect(texts()).toEqual(["held by thread 3, which has ended", "unlock of unlocked mutex"]);
    s.endProgram(() => {});
    fails("ERR_GORT_LOCK", "held by thread 4, which has ended");
    expect(texts()).toEqual(["held by thread 4, which has ended"]);
  });

  it("passes a fatal error on although its end finds locks of a dead thread", () => {
    const { t, s, crashes } = worker();
    s.go(() => {
      s.lockOSThread();
      t.setLocked = () => {
        throw new FatalError("fatal", "ERR_GORT_LOCK", "held by thread 3, which has ended");
      };
      s.fatal(new FatalError("throw", "TEST", "the first error"));
    });
    t.world.run();
    expect(crashes.map(([e]) => (e as Error).message)).toEqual(["the first error"]);
  });

  it("has no main", async () => {
    await expect(worker().s.main(() => {})).rejects.toThrow("scheduler: main on a thread that has onCrash");
  });

  it("ends its goroutines with the program, and can run those of the next one", () => {
    const { t, s } = worker();
    startAll(t);
    let system = 0;
    s.goSystem(function* () {
      yield* s.gosched();
      system++;
    });
    expect(s.numGoroutine()).toBe(4);
    const left: number[] = [];
    t.post(() => s.endProgram(() => left.push(s.numGoroutine())));
    t.world.run();
    expect([left, s.numGoroutine(), system, t.hopes]).toEqual([[0], 0, 1, false]);
    let ran = 0;
    s.go(() => ran++);
    t.world.run();
    expect(ran).toBe(1);
    verifyScheduler(s);
  });

  it("lets the running goroutine go on to its next suspension", () => {
    const { t, s } = worker();
    const log: string[] = [];
    s.go(function* () {
      s.go(() => log.push("other"));
      s.endProgram(() => log.push(`${s.numGoroutine()} left`));
      log.push("goes on");
      yield* s.gosched();
      log.push("resumed");
    });
    t.world.run();
    expect(log).toEqual(["goes on", "0 left"]);
    verifyScheduler(s);
  });

  it("runs what waits for that suspension although a part of it fails, and passes each failure on", () => {
    const { t, s, crashes } = worker();
    const log: string[] = [];
    s.go(function* () {
      s.endProgram(() => {
        throw new Error("first");
      });
      s.endProgram(() => log.push("ended"));
      s.endProgram(() => {
        throw new Error("third");
      });
      s.endProgram(() => log.push("ended again"));
      yield* s.gosched();
    });
    t.world.run();
    expect(log).toEqual(["ended", "ended again"]);
    expect(crashes.map(([e]) => (e as Error).message)).toEqual(["first", "third"]);
    verifyScheduler(s);
  });

  it("forgets the end of a program that has ended elsewhere", () => {
    const { t, s, crashes } = worker();
    s.go(function* () {
      s.endProgram(() => {});
      try {
        s.fatal(new FatalError("throw", "TEST", "too late"));
      } catch {}
      yield* s.gosched();
    });
    t.world.run();
    expect([crashes, s.numGoroutine()]).toEqual([[], 0]);
  });
});

describe("the first thread", () => {
  function first(hooks: SchedulerHooks = {}) {
    const log: string[] = [];
    const t = new World(1).thread({
      hooks: {
        programBegin: () => log.push("begin"),
        programEnd: () => log.push(`end, ${t.s.numGoroutine()} goroutines`),
        ...hooks,
      },
    });
    return { t, s: t.s, log };
  }

  it("says when a program begins, and that it has ended before main settles", async () => {
    const { t, s, log } = first();
    const value = s.main(function* () {
      startAll(t);
      log.push("main");
      yield* s.gosched();
      return 3;
    });
    void value.then(() => log.push("settled"));
    t.world.run();
    expect(await value).toBe(3);
    const failed = s
      .main(() => panic("x"))
      .catch((e) => {
        log.push("settled");
        return e;
      });
    t.world.run();
    expect(await failed).toBeInstanceOf(PanicError);
    const part = ["begin", "main", "end, 0 goroutines", "settled"];
    expect(log).toEqual([...part, "begin", "end, 0 goroutines", "settled"]);
  });

  it("ends all goroutines although another thread has died under the locks that this takes", async () => {
    const { t, s } = first();
    const dead = new FatalError("throw", "TEST", "held by thread 3, which has ended");
    const done = s.main(function* () {
      s.lockOSThread();
      startAll(t);
      yield* s.gosched();
      t.setLocked = () => {
        throw dead;
      };
      s.fatal(new FatalError("throw", "TEST", "the first error"));
    });
    t.world.run();
    await expect(done).rejects.toThrow("the first error");
    expect([s.numGoroutine(), t.errors]).toEqual([0, []]);
    // What follows from the loss is not reported again.
    t.post(() => {
      throw dead;
    });
    t.world.run();
    expect(t.errors).toEqual([]);
  });

  it("reports an error that comes after a deadlock, which loses nothing", async () => {
    const { t, s } = first();
    const done = s.main(() => s.fatal(new FatalError("fatal", "ERR_GORT_DEADLOCK", "deadlock")));
    t.world.run();
    await expect(done).rejects.toThrow("deadlock");
    const error = new FatalError("fatal", "TEST", "sync: unlock of unlocked mutex");
    s.go(() => {
      throw error;
    });
    expect(() => t.world.run()).toThrow(error);
  });

  it("reports each fatal error of a goroutine outside of a program, but what follows from a lost thread once", () => {
    const { t, s } = first();
    const fails = (code: string, text: string): FatalError => {
      const error = new FatalError("fatal", code, text);
      s.go(() => {
        throw error;
      });
      return error;
    };
    for (const text of ["sync: unlock of unlocked mutex", "all threads are lost", "out of memory"]) {
      const error = fails("TEST", text);
      expect(() => t.world.run()).toThrow(error);
    }
    const lost = fails("ERR_GORT_WORKER_LOST", "worker 3 has ended");
    expect(() => t.world.run()).toThrow(lost);
    fails("ERR_GORT_LOCK", "held by thread 3, which has ended");
    t.world.run();
    const other = fails("TEST", "sync: unlock of unlocked mutex");
    expect(() => t.world.run()).toThrow(other);
  });

  it("rejects main if the other threads cannot be ended", async () => {
    const error = new FatalError("throw", "TEST", "thread 3 has died");
    const { t, s } = first({
      programEnd() {
        throw error;
      },
    });
    const returned = s.main(() => 1);
    t.world.run();
    await expect(returned).rejects.toBe(error);
    const panicked = s.main(() => panic("mine"));
    t.world.run();
    await expect(panicked).rejects.toThrow("mine");
  });

  it("ends its program with the crash of another thread", async () => {
    const { t, s, log } = first();
    const error = new Error("broken");
    const ended = s.main(function* () {
      startAll(t);
      yield* s.makeChan().recv();
    });
    t.world.run();
    t.post(() => s.crashFrom(error, "panic: broken\n\ngoroutine 99 [running]:\n"));
    t.world.run();
    await expect(ended).rejects.toBe(error);
    expect(crashReport(error)).toEqual({
      text: "panic: broken\n\ngoroutine 99 [running]:\n",
      exitCode: 2,
    });
    // The caller of main has handled it.
    expect([t.errors, log, s.numGoroutine()]).toEqual([[], ["begin", "end, 0 goroutines"], 0]);
    verifyScheduler(s);
  });

  it("lets its running goroutine go on to its next suspension before it ends so", async () => {
    const { t, s } = first();
    const seen: string[] = [];
    const ended = s.main(function* () {
      s.crashFrom(new Error("broken"), "panic: broken\n");
      seen.push("goes on");
      yield* s.gosched();
      seen.push("resumed");
    });
    t.world.run();
    await expect(ended).rejects.toThrow("broken");
    expect(seen).toEqual(["goes on"]);
    verifyScheduler(s);
  });

  it("gives the crash of another thread to the host if no program runs", () => {
    const { t, s, log } = first();
    s.go(() => s.makeChan().recv());
    t.world.run();
    const error = new Error("broken");
    s.crashFrom(error, "panic: broken\n");
    expect([log, s.numGoroutine()]).toEqual([["end, 0 goroutines"], 0]);
    expect(() => t.world.run()).toThrow(error);
  });
});

describe("a deadlock of several threads", () => {
  /** M 0 with a main that waits for ever. */
  function waiting(deadlock: "eager" | "certain" | "warn" | "off", hostTime = false) {
    const world = new World(2);
    const t = world.thread({ deadlock }, { hostTime });
    const state = { error: undefined as unknown };
    t.activity = 0;
    t.s
      .main(() => t.s.makeChan().recv())
      .catch((e) => {
        state.error = e;
      });
    const settle = async () => {
      world.run();
      await Promise.resolve();
      await Promise.resolve();
    };
    return { world, t, state, settle };
  }
  const beforeExit = () => process.emit("beforeExit", 0);

  it.each([
    ["runs", THREADS_RUN],
    ["has hopes", THREADS_HOPE],
  ])("is none for the eager verdict while another thread %s, and is found when it stops", async (_, bit) => {
    const { t, state, settle } = waiting("eager");
    t.activity = bit | THREADS_HANDLES;
    await settle();
    expect(state.error).toBe(undefined);
    // A handle of an event loop is no evidence in this mode.
    t.activity = THREADS_HANDLES;
    t.call();
    await settle();
    expect(state.error).toMatchObject({ code: "ERR_GORT_DEADLOCK" });
  });

  it("is found only if the exact look finds nothing either", async () => {
    for (const mode of ["eager", "warn"] as const) {
      const { world, t, state, settle } = waiting(mode);
      const looks: boolean[] = [];
      t.activityOfOthers = (exact) => {
        looks.push(exact);
        return exact ? THREADS_RUN : 0;
      };
      await settle();
      world.fireNext();
      expect(looks).toContain(true);
      expect([state.error, t.errors]).toEqual([undefined, []]);
    }
  });

  it.each([
    ["runs", THREADS_RUN],
    ["holds a handle", THREADS_HANDLES],
  ])("is none at the end of the event loop while another thread %s", async (_, bit) => {
    const { t, state, settle } = waiting("certain");
    t.activity = bit;
    await settle();
    for (let i = 0; i < 3; i++) beforeExit();
    await settle();
    expect(state.error).toBe(undefined);
    // A goroutine that waits for a promise which no handle can settle waits for ever.
    t.activity = THREADS_HOPE;
    beforeExit();
    beforeExit();
    await settle();
    expect(state.error).toMatchObject({ message: "all goroutines are asleep - deadlock!" });
  });

  it.each(["certain", "off"] as const)("keeps the process alive for other threads (%s)", async (mode) => {
    const timers = new Set<unknown>();
    vi.spyOn(globalThis, "setInterval").mockImplementation((() => {
      const handle = {};
      timers.add(handle);
      return handle;
    }) as never);
    vi.spyOn(globalThis, "clearInterval").mockImplementation((h: unknown) => timers.delete(h));
    const { world, t, settle } = waiting(mode, true);
    const alive = async (bits: number, n: number) => {
      t.activity = bits;
      t.call();
      await settle();
      expect(timers.size).toBe(n);
    };
    await alive(THREADS_RUN, 1);
    await alive(THREADS_HANDLES, 1);
    await alive(THREADS_HOPE, 0);
    await alive(THREADS_RUN, 1);
    await alive(0, 0);
    // Another thread may have begun to work while the event loop of this one was about to end.
    if (mode === "certain") {
      t.activity = THREADS_RUN;
      beforeExit();
      expect(timers.size).toBe(1);
      await alive(0, 0);
    }
    // Without a main, tasks may run on other threads, too.
    world.threads.length = 0;
    const alone = new World(1).thread({}, { hostTime: true });
    alone.activity = THREADS_RUN;
    alone.s.go(() => {});
    alone.world.run();
    expect(timers.size).toBe(1);
    alone.s.close();
    alone.world.run();
    expect(timers.size).toBe(0);
    expect(t.s.isIdle).toBe(true);
  });

  it("is left to the first thread", () => {
    const world = new World(2);
    world.thread();
    const looks = vi.fn(() => 0);
    const other = world.thread({ onCrash: () => {}, deadlock: "eager" });
    other.activityOfOthers = looks;
    other.s.go(() => other.s.makeChan().recv());
    world.run();
    expect(looks).not.toHaveBeenCalled();
  });

  it("is none while a goroutine of another thread sleeps or can run", async () => {
    const world = new World(2);
    const [a, b] = [world.thread({ deadlock: "eager" }), world.thread({ onCrash: () => {} })];
    b.s.go(() => {});
    world.run();
    let error: unknown;
    let woken = 0;
    const ended = a.s
      .main(function* () {
        world.go(a, function* () {
          yield* b.s.sleep(50);
          woken++;
          // As the link does: another thread has lost its hopes.
          a.call();
        });
        b.loop.shift()?.();
        yield* a.s.makeChan().recv();
      })
      .catch((e) => {
        error = e;
      });
    world.run();
    await Promise.resolve();
    expect([error, b.hopes]).toEqual([undefined, true]);
    world.fireNext();
    world.run();
    await ended;
    expect([woken, (error as FatalError).code]).toEqual([1, "ERR_GORT_DEADLOCK"]);
  });
});
