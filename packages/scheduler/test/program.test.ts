import { describe, expect, it } from "vitest";
import {
  crashReport,
  createScheduler,
  FatalError,
  go,
  gosched,
  main,
  makeChan,
  PanicError,
  panic,
  sleep,
} from "../src/index.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";

describe("main", () => {
  it("resolves with the result of the main goroutine", async () => {
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

  it("accepts an ordinary function, too", async () => {
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
      new RegExp(
        String.raw`goroutine \d+ \[chan send\]:\nmain\.worker\(\.\.\.\)\n\t.*program\.test\.ts:\d+\n` +
          String.raw`created by main\.main in goroutine 1\n\t.*program\.test\.ts:\d+\n`,
      ),
    );
    // The process of this test lives on, so the verdict is early. The report names the option for that.
    expect(text).toMatch(/\n\ngort: this verdict is early .* use deadlock: "certain"\.\n$/);
  });

  it("has no deadlock while a callback of the host may come", async () => {
    const s = createScheduler();
    const c = s.makeChan<string>();
    expect(
      await s.main(function* () {
        setTimeout(() => c.trySend("from the host"), 30);
        return yield* c.recv();
      }),
    ).toBe("from the host");
  });

  it("has no deadlock while a callback may come that was armed before main", async () => {
    const s = createScheduler();
    const c = s.makeChan<string>();
    setTimeout(() => c.trySend("from the host"), 30);
    expect(await s.main(() => c.recv())).toBe("from the host");
  });

  it("refuses an unknown mode of deadlock detection", () => {
    for (const deadlock of ["host", "", "EAGER"]) {
      expect(() => createScheduler({ deadlock: deadlock as never })).toThrow(
        /^scheduler: deadlock must be one of "certain", "eager", "warn", "off" \(got /,
      );
    }
    expect(() => createScheduler({ deadlock: 1 as never })).toThrow(TypeError);
  });

  it("prints one dump with deadlock: warn when all goroutines wait for each other, and continues", async () => {
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

  it("has no deadlock while a host source is announced", async () => {
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

  it("ends the other goroutines at its end, without their deferred calls", () => {
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
    // No receiver waits there: an ended goroutine must not take the value.
    expect(c.trySend(1)).toBe(false);
    verifyScheduler(s);
  });

  it("ends goroutines that have not begun, and calls neither their functions nor their arguments", () => {
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
      /^panic: boom\n\ngoroutine 1 \[running\]:\nmain\..*\n\t.*program\.test/,
    );
  });

  it("cannot run twice at a time, but again after its end", async () => {
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

  it("does not end a goroutine of the runtime that it has just woken", () => {
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

describe("a program that runs after another", () => {
  it("lists each of its goroutines, also if their Gs were the other program's", () => {
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
