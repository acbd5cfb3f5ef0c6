import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { createScheduler, type Operation, recvCase, sendCase } from "../src/index.ts";
import { Mutex } from "../src/sync/index.ts";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "../src/testing.ts";
import { settled } from "./kit.ts";

function* failure(op: Operation<unknown>): Generator<undefined, unknown> {
  try {
    yield* op;
  } catch (e) {
    return e;
  }
  return undefined;
}

describe("an op with a signal", () => {
  const waits: Record<string, (s: TestScheduler) => Operation<unknown>> = {
    recv: (s) => s.makeChan().recv(),
    recv2: (s) => s.makeChan().recv2(),
    send: (s) => s.makeChan<number>().send(1),
    select: (s) => s.select([recvCase(s.makeChan()), sendCase(s.makeChan<number>(), 1)]),
    sleep: (s) => s.sleep(1e6),
    timer: (s) => s.after(1e6).recv(),
    done: (s) =>
      s
        .go(function* () {
          yield* s.sleep(5);
        })
        .done(),
    syscall: (s) => s.syscall(new Promise(() => {})),
  };

  it.each(Object.keys(waits))("ends a wait in %s", (name) => {
    const s = createTestScheduler();
    const ac = new AbortController();
    s.runMain(function* () {
      const op = waits[name](s);
      s.afterFunc(1, () => ac.abort("enough"));
      expect(yield* failure(op.withSignal(ac.signal))).toBe("enough");
      expect([s.nsyscall, s.nnotInGo]).toEqual([0, 0]);
      expect(getEventListeners(ac.signal, "abort")).toEqual([]);
      expect(yield* failure(waits[name](s).withSignal(ac.signal))).toBe("enough");
    });
    verifyScheduler(s);
  });

  it.each(Object.keys(waits))("waits no longer in %s if the signal refuses a listener", (name) => {
    const s = createTestScheduler();
    const refusing = {
      aborted: false,
      addEventListener() {
        throw new Error("no listener");
      },
    };
    s.runMain(function* () {
      const op = waits[name](s).withSignal(refusing as unknown as AbortSignal);
      expect(String(yield* failure(op))).toBe("Error: no listener");
      expect([s.nsyscall, s.nnotInGo]).toEqual([0, 0]);
      // The goroutine goes on as ever.
      yield* s.sleep(10);
    });
    verifyScheduler(s);
  });

  it("leaves the value for the next receiver after an abort", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>();
      const ac = new AbortController();
      let error: unknown;
      s.go(function* () {
        error = yield* failure(c.recv().withSignal(ac.signal));
      });
      yield* s.gosched();
      ac.abort("late");
      s.go(function* () {
        yield* c.send(7);
      });
      expect(yield* c.recv()).toBe(7);
      yield* s.sleep(1);
      expect(error).toBe("late");
    });
  });

  it("keeps a value that it got before the abort", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>();
      const ac = new AbortController();
      const got: unknown[] = [];
      s.go(function* () {
        got.push(yield* c.recv().withSignal(ac.signal));
      });
      yield* s.gosched();
      expect(c.trySend(3)).toBe(true);
      ac.abort();
      yield* s.gosched();
      expect(got).toEqual([3]);
      expect(getEventListeners(ac.signal, "abort")).toEqual([]);
    });
  });

  it("does not start, and takes no value, if the signal is aborted already", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>(1);
      c.trySend(1);
      expect(yield* failure(c.recv().withSignal(AbortSignal.abort("no")))).toBe("no");
      expect(c.length).toBe(1);
      expect(yield* c.recv().withSignal(new AbortController().signal)).toBe(1);
    });
  });

  it("leaves no listener behind when the program ends", () => {
    const s = createTestScheduler();
    const ac = new AbortController();
    s.runMain(function* () {
      s.go(function* () {
        yield* s.makeChan().recv().withSignal(ac.signal);
      });
      yield* s.gosched();
      expect(getEventListeners(ac.signal, "abort").length).toBe(1);
    });
    expect(getEventListeners(ac.signal, "abort")).toEqual([]);
  });

  it("loses no value when it loses a race of promises", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>();
    const ac = new AbortController();
    const timeout = new Promise((r) => setTimeout(r, 5, "timeout"));
    expect(await Promise.race([c.recv().withSignal(ac.signal), timeout])).toBe("timeout");
    ac.abort();
    s.go(function* () {
      yield* c.send(42);
    });
    expect(await c.recv()).toBe(42);
    s.close();
  });

  it("refuses a value that is no signal, an op that no signal can end, and a used op", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>(1);
      for (const bad of [undefined, null, {}, 5]) {
        expect(() => c.recv().withSignal(bad as never)).toThrow(
          "scheduler: withSignal: signal must be an AbortSignal (got ",
        );
      }
      const { signal } = new AbortController();
      const mu = new Mutex();
      expect(() => mu.lock().withSignal(signal)).toThrow(TypeError);
      expect(() => s.gosched().withSignal(signal)).toThrow(
        new TypeError("scheduler: withSignal: a gosched cannot be given up"),
      );
      const op = c.send(1);
      yield* op;
      expect(() => op.withSignal(signal)).toThrow("chan send op used twice");
    });
  });

  it("gives its result if the signal is not aborted, and leaves no listener", () => {
    const s = createTestScheduler();
    const { signal } = new AbortController();
    s.runMain(function* () {
      const c = s.makeChan<number>();
      s.go(function* () {
        yield* s.sleep(1);
        yield* c.send(5);
      });
      expect(yield* c.recv().withSignal(signal)).toBe(5);
      expect(getEventListeners(signal, "abort")).toEqual([]);
    });
  });

  it("removes an aborted sleep from the timers, also if it is the only one", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const controller = new AbortController();
      let reason: unknown;
      s.go(function* () {
        try {
          yield* s.sleep(1000).withSignal(controller.signal);
        } catch (e) {
          reason = e;
        }
      });
      yield* s.gosched();
      expect(s.timers.size).toBe(1);
      controller.abort("enough");
      expect(s.timers.size).toBe(0);
      yield* s.gosched();
      expect(reason).toBe("enough");
    });
  });
});

describe("an operation whose signal was aborted", () => {
  it("does not wake a later wait of its goroutine when its promise settles", async () => {
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

  it("may be an operation on a nil channel", () => {
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
