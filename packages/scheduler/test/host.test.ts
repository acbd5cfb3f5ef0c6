/** What a scheduler does to the process around it: the end of the event loop, signals, standard error, switches and stops. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { hostClock } from "../src/host.ts";
import { crashReport, createScheduler, dumpOnSigquit, RuntimeError, type Scheduler } from "../src/index.ts";
import { Mutex, RWMutex } from "../src/sync/index.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";
import { goroutineHeader } from "../src/traceback.ts";

afterEach(() => vi.restoreAllMocks());

const turn = () => new Promise((resolve) => setTimeout(resolve, 1));
/** Until nothing of the scheduler can run: on a busy machine a timer may fire before its first slice. */
async function settled(s: Scheduler): Promise<void> {
  do await turn();
  while (!s.isIdle);
}
/** The end of the event loop, as far as listeners can tell. */
const beforeExit = () => process.emit("beforeExit", 0);

describe("the end of the event loop", () => {
  function* waitsForever(s: Scheduler) {
    yield* s.makeChan().recv();
  }

  it("is a deadlock at the second time if nothing ran in between", async () => {
    const before = process.listenerCount("beforeExit");
    const s = createScheduler();
    const c = s.makeChan<number>();
    let error: unknown;
    const ended = s
      .main(function* () {
        yield* c.recv();
        yield* waitsForever(s);
      })
      .catch((e) => {
        error = e;
      });
    expect(process.listenerCount("beforeExit")).toBe(before + 1);
    await settled(s);
    beforeExit();
    expect(c.trySend(1)).toBe(true);
    await settled(s);
    beforeExit();
    await settled(s);
    expect(error).toBe(undefined);
    beforeExit();
    await ended;
    expect(error).toMatchObject({
      message: "all goroutines are asleep - deadlock!",
      code: "ERR_GORT_DEADLOCK",
    });
    // Only the mode that guesses says that it may be wrong.
    expect(crashReport(error)?.text).not.toContain("this verdict is early");
    expect(process.listenerCount("beforeExit")).toBe(before);
  });

  it("is no matter of a program that has ended, or of one that wants no verdict", async () => {
    const before = process.listenerCount("beforeExit");
    const s = createScheduler();
    await s.main(() => {});
    expect(process.listenerCount("beforeExit")).toBe(before);
    const off = createScheduler({ deadlock: "off" });
    const c = off.makeChan<number>();
    const value = off.main(function* () {
      return yield* c.recv();
    });
    await settled(off);
    expect(process.listenerCount("beforeExit")).toBe(before);
    beforeExit();
    beforeExit();
    expect(c.trySend(5)).toBe(true);
    expect(await value).toBe(5);
  });

  it("is guessed with deadlock: eager, which says so", async () => {
    const s = createScheduler({ deadlock: "eager" });
    const error: unknown = await s.main(() => waitsForever(s)).catch((e) => e);
    expect(crashReport(error)?.text).toContain('\ngort: this verdict is early (deadlock: "eager").');
    expect(crashReport(error)?.exitCode).toBe(2);
  });
});

describe("a source that holds no handle of the host", () => {
  const handles = () => {
    const set = vi.spyOn(globalThis, "setInterval");
    const clear = vi.spyOn(globalThis, "clearInterval");
    return () => set.mock.calls.length - clear.mock.calls.length;
  };

  it("keeps the process alive while main runs, together with others by one handle", async () => {
    const held = handles();
    const s = createScheduler();
    const c = s.makeChan<number>();
    const first = s.hostSource();
    expect(held()).toBe(0);
    const ended = s.main(() => c.recv());
    expect(held()).toBe(1);
    const second = s.hostSource();
    expect(held()).toBe(1);
    first();
    first();
    expect(held()).toBe(1);
    second();
    expect(held()).toBe(0);
    s.hostSource();
    expect(held()).toBe(1);
    await settled(s);
    expect(c.trySend(1)).toBe(true);
    await ended;
    expect(held()).toBe(0);
  });

  it("holds nothing if it is told not to, without verdicts, or under virtual time", async () => {
    const held = handles();
    const cases: [s: Scheduler, hold: boolean][] = [
      [createScheduler(), false],
      [createScheduler({ deadlock: "off" }), true],
      [createTestScheduler(), true],
    ];
    for (const [s, hold] of cases) {
      const release = s.hostSource({ hold });
      s.startMain(
        () => s.makeChan().recv(),
        () => {},
        () => {},
      );
      expect(held()).toBe(0);
      release();
      s.close();
    }
  });
});

describe("SIGQUIT", () => {
  it("prints all goroutines while it is asked to, unless the program listens too", () => {
    const s = createTestScheduler();
    s.go(function* waiter() {
      yield* s.makeChan().recv();
    });
    s.run();
    const before = process.listenerCount("SIGQUIT");
    const undo = dumpOnSigquit(s, false);
    expect(process.listenerCount("SIGQUIT")).toBe(before + 1);
    process.emit("SIGQUIT");
    expect(s.errors).toHaveLength(1);
    expect(s.errors[0]).toMatch(/^SIGQUIT: quit\n\ngoroutine 2 \[chan receive\]:\nmain\.waiter\(/);
    const own = () => {};
    process.on("SIGQUIT", own);
    process.emit("SIGQUIT");
    process.off("SIGQUIT", own);
    expect(s.errors).toHaveLength(1);
    undo();
    expect(process.listenerCount("SIGQUIT")).toBe(before);
  });

  it("is told briefly by a program without goroutines", () => {
    const s = createTestScheduler();
    const undo = dumpOnSigquit(s, false);
    process.emit("SIGQUIT");
    undo();
    expect(s.errors).toEqual(["SIGQUIT: quit\n"]);
  });
});

describe("the host's timer", () => {
  it.each([
    [0, 0],
    [-5, 0],
    [0.2, 1],
    [3.7, 4],
    [0x7fffffff, 0x7fffffff],
    [1e12, 0x7fffffff],
    [Infinity, 0x7fffffff],
  ])("of %d ms is set to whole milliseconds that it takes: %d", (ms, set) => {
    const handle = { unref: vi.fn() };
    const timeout = vi.spyOn(globalThis, "setTimeout").mockReturnValue(handle as never);
    const fn = () => {};
    expect(hostClock.setTimer(fn, ms, true)).toBe(handle);
    expect(timeout.mock.calls).toEqual([[fn, set]]);
    expect(handle.unref).not.toHaveBeenCalled();
    hostClock.setTimer(fn, ms, false);
    expect(handle.unref).toHaveBeenCalledOnce();
  });

  it("may have a handle that can't be let go of, as in a browser", () => {
    vi.spyOn(globalThis, "setTimeout").mockReturnValue(5 as never);
    expect(hostClock.setTimer(() => {}, 1, false)).toBe(5);
  });
});

describe("a task of the host", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    // The module of this test must serve no other file that runs in the process.
    vi.resetModules();
  });

  it.each([
    ["by setImmediate", []],
    ["by messages", ["setImmediate"]],
    ["by setTimeout", ["setImmediate", "MessageChannel"]],
  ])("runs after microtasks, in order, %s", async (_, missing) => {
    // Unlike the host's, this channel does not keep the process of the test alive.
    const { setImmediate } = globalThis;
    class Channel {
      port1: { onmessage?: () => void } = {};
      port2 = { postMessage: () => setImmediate(() => this.port1.onmessage!()) };
    }
    vi.stubGlobal("MessageChannel", Channel);
    for (const name of missing) vi.stubGlobal(name, undefined);
    vi.resetModules();
    const { hostTasks } = await import("../src/host.ts");
    const log: string[] = [];
    await new Promise<void>((resolve) => {
      hostTasks.task(() => log.push("first task"));
      hostTasks.task(() => {
        log.push("second task");
        resolve();
      });
      hostTasks.microtask(() => log.push("microtask"));
    });
    expect(log).toEqual(["microtask", "first task", "second task"]);
  });
});

describe("a profiler's hook", () => {
  it("hears of each goroutine that runs, and of the host between slices", () => {
    const s = createTestScheduler();
    const seen: (number | null)[] = [];
    s.onSwitch = (g) => seen.push(g === null ? null : g.goid);
    s.runMain(function* () {
      s.go(() => {});
      yield* s.gosched();
      yield* s.sleep(1);
    });
    expect(seen).toEqual([1, 2, 1, null, 1, null]);
  });
});

describe("a stop of the world", () => {
  it("is refused while another one lasts", () => {
    const s = createTestScheduler();
    s.stopTheWorld("first");
    expect(() => s.stopTheWorld("second")).toThrow("stopTheWorld: world is already stopped");
    s.startTheWorld();
    s.stopTheWorld("third");
    s.startTheWorld();
  });
});

describe("a search for leaks", () => {
  it("keeps every goroutine that can be woken", () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>();
    const got: number[] = [];
    for (let i = 0; i < 3; i++) {
      s.go(function* () {
        got.push((yield* c.recv())!);
      });
    }
    s.run();
    s.beginLeakSearch();
    // What ends and begins meanwhile counts as usual.
    c.trySend(1);
    s.run();
    s.go(() => {});
    s.run();
    s.endLeakSearch();
    expect([s.leaks, s.numGoroutine()]).toEqual([[], 2]);
    verifyScheduler(s);
    let listed = 0;
    s.forEachG(() => listed++);
    expect(listed).toBe(2);
    c.trySend(2);
    c.trySend(3);
    s.run();
    expect(got).toEqual([1, 2, 3]);
    expect(s.numGoroutine()).toBe(0);
  });
});

describe("the line of a goroutine in a dump", () => {
  it("tells the whole minutes of a wait or a system call, and of nothing else", () => {
    const s = createTestScheduler();
    s.advance(5000);
    s.go(function* () {
      yield* s.makeChan().recv();
    });
    s.go(function* () {
      yield* s.syscall(new Promise(() => {}));
    });
    s.run();
    const headers = (nowSec: number) => {
      const out: string[] = [];
      s.forEachG((g) => out.push(goroutineHeader(g, nowSec)));
      return out;
    };
    const both = (time: string) => [`goroutine 2 [chan receive${time}]:`, `goroutine 3 [syscall${time}]:`];
    expect(headers(64)).toEqual(both(""));
    expect(headers(65)).toEqual(both(", 1 minutes"));
    expect(headers(124)).toEqual(both(", 1 minutes"));
    expect(headers(125)).toEqual(both(", 2 minutes"));
    s.go(() => {});
    expect(headers(1e6)[2]).toBe("goroutine 4 [runnable]:");
  });
});

describe("an operation that was given up", () => {
  it("wakes no later wait of its goroutine when its promise is settled", async () => {
    const s = createScheduler();
    for (const settle of ["resolve", "reject"] as const) {
      let end: { resolve(v: number): void; reject(e: unknown): void } = null as never;
      const promise = new Promise<number>((resolve, reject) => {
        end = { resolve, reject };
      });
      const controller = new AbortController();
      const c = s.makeChan<string>();
      let state = "waits";
      const done = s.main(function* () {
        try {
          yield* s.syscall(promise).withSignal(controller.signal);
        } catch {
          state = "given up";
        }
        expect(s.nsyscall).toBe(0);
        state = `got ${yield* c.recv()}`;
      });
      await settled(s);
      controller.abort();
      await settled(s);
      expect(state).toBe("given up");
      end[settle](1);
      await settled(s);
      expect([state, s.nsyscall]).toEqual(["given up", 0]);
      expect(c.trySend("value")).toBe(true);
      await done;
      expect(state).toBe("got value");
    }
  });

  it("may be one on a nil channel", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      for (const wait of [
        () => s.select([]),
        () => s.makeChan().recv(),
        () => s.makeChan<number>().send(1),
      ]) {
        const controller = new AbortController();
        let error: unknown;
        s.go(function* () {
          try {
            yield* wait().withSignal(controller.signal);
          } catch (e) {
            error = e;
          }
        });
        yield* s.sleep(1);
        controller.abort("enough");
        yield* s.sleep(1);
        expect(error).toBe("enough");
      }
    });
  });
});

describe("the mutex profile", () => {
  it("leaves out waits that began before it was on", () => {
    const s = createTestScheduler({ hooks: { mutexEvent: () => events++ } });
    let events = 0;
    s.runMain(function* () {
      const m = new Mutex();
      const rw = new RWMutex();
      const read = new RWMutex();
      yield* m.lock();
      yield* rw.rLock();
      yield* read.lock();
      const waiting = [
        s.go(function* () {
          yield* m.lock();
        }),
        s.go(function* () {
          yield* rw.lock();
        }),
        s.go(function* () {
          yield* read.rLock();
        }),
      ];
      yield* s.sleep(5);
      s.mutexProfileEnabled = true;
      m.unlock();
      rw.rUnlock();
      read.unlock();
      for (const g of waiting) yield* g.done();
      expect(events).toBe(0);
      s.go(function* () {
        yield* m.lock();
      });
      yield* s.sleep(5);
      m.unlock();
      yield* s.sleep(1);
      expect(events).toBe(1);
    });
  });
});

describe("errors", () => {
  it("without a scheduler have no report", () => {
    for (const e of [null, undefined, 1, "x", {}, new Error("x"), RuntimeError])
      expect(crashReport(e)).toBe(undefined);
  });
});
