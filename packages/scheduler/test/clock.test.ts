import { describe, expect, it } from "vitest";
import { createScheduler } from "../src/index.ts";
import { createTestScheduler } from "../src/testing.ts";

describe("a clock of the program", () => {
  /** A scheduler on a clock that the test moves. Its timers never fire by themselves. */
  function on(clock: { now(): number; wall?(): number; setTimer?: () => unknown }) {
    const errors: string[] = [];
    const s = createScheduler({
      clock: { setTimer: () => 0, clearTimer: () => {}, ...clock },
      stderr: (t) => void errors.push(t),
      deadlock: "off",
    });
    return { s, errors };
  }

  it("may be below 0", () => {
    const s = createTestScheduler();
    let t = -1000;
    Object.assign(s.clock, { now: () => t });
    const timer = s.newTimer(5);
    expect(timer.C.tryRecv().received).toBe(false);
    t = -995;
    expect(timer.C.tryRecv().received).toBe(true);
    const other = s.newTimer(5);
    expect([other.stop(), other.stop()]).toEqual([true, false]);
    expect([other.reset(5), other.reset(5)]).toEqual([false, true]);
    s.close();
  });

  it.each([Number.NaN, Infinity, -Infinity, "1", 1n, undefined])(
    "that gives %s ends the program with an error",
    async (bad) => {
      let t: unknown = 0;
      const { s } = on({ now: () => t as number });
      const ran = s.main(function* () {
        t = bad;
        for (;;) yield* s.gosched();
      });
      await expect(ran).rejects.toThrow(
        new TypeError(`scheduler: clock.now must return a finite number (got ${String(bad)})`),
      );
      expect(() => createScheduler({ clock: { now: () => bad as number } })).toThrow("clock.now must return");
      t = 1;
      s.close();
    },
  );

  it("whose methods throw an error ends the program with that error", async () => {
    let armed = false;
    const boom = new Error("clock");
    const fail = () => {
      if (armed) throw boom;
      return 0;
    };
    const wall = on({ now: () => performance.now(), wall: fail });
    armed = true;
    await expect(
      wall.s.main(function* () {
        yield* wall.s.after(0).recv();
      }),
    ).rejects.toBe(boom);
    armed = false;
    const timer = on({ now: () => 0, setTimer: fail });
    armed = true;
    await expect(
      timer.s.main(function* () {
        yield* timer.s.sleep(5);
      }),
    ).rejects.toBe(boom);
    armed = false;
    const now = on({ now: fail });
    const ran = now.s.main(function* () {
      armed = true;
      for (;;) yield* now.s.gosched();
    });
    await expect(ran).rejects.toBe(boom);
    armed = false;
    // The scheduler can run again after the failure.
    expect(await now.s.main(() => 5)).toBe(5);
    for (const x of [wall, timer, now]) x.s.close();
  });

  it("may start goroutines in its methods while host code starts a goroutine", async () => {
    const ran: string[] = [];
    let asked = 0;
    let starting = false;
    const { s } = on({
      now() {
        if (starting && asked++ < 100) s.go(() => void ran.push("clock"));
        return 0;
      },
    });
    starting = true;
    s.go(() => void ran.push("host"));
    starting = false;
    expect(asked).toBe(1);
    await s.main(() => s.gosched());
    expect(ran.sort()).toEqual(["clock", "host"]);
    s.close();
  });

  /** A scheduler whose clock fails while a flag is set, and whose turns of the event loop the test runs. */
  function failing() {
    const host = { t: 0, fails: false, turns: [] as (() => void)[], thrown: [] as unknown[] };
    const boom = new Error("clock");
    const s = createScheduler({
      stderr: () => {},
      deadlock: "off",
      clock: {
        now() {
          if (host.fails) throw boom;
          return host.t;
        },
        setTimer: () => 0,
        clearTimer: () => {},
      },
      tasks: { task: (f) => host.turns.push(f), microtask: (f) => host.turns.push(f) },
    });
    /** Runs the queued tasks, and returns their number. */
    const turn = () => {
      const now = host.turns.splice(0);
      for (const f of now) {
        try {
          f();
        } catch (e) {
          host.thrown.push(e);
        }
      }
      return now.length;
    };
    return { s, host, boom, turn };
  }

  it("that always fails causes no endless loop without a program", () => {
    const { s, host, boom, turn } = failing();
    s.go(function* () {
      yield* s.gosched();
    });
    host.fails = true;
    let turns = 0;
    while (turn() > 0 && turns < 100) turns++;
    // The slice that fails, and the task that throws its error in the host.
    expect(turns).toBe(2);
    expect(host.thrown).toEqual([boom]);
    expect([s.isIdle, s.numGoroutine()]).toEqual([true, 0]);
    host.fails = false;
    let ran = false;
    s.go(() => {
      ran = true;
    });
    turn();
    expect(ran).toBe(true);
    s.close();
  });

  it("that fails once does not end the runtime's own goroutines, with a program or without", () => {
    for (const program of [true, false]) {
      const { s, host, boom, turn } = failing();
      let steps = 0;
      s.goSystem(function* () {
        for (;;) {
          steps++;
          host.t++;
          yield* s.gosched();
        }
      });
      const errors: unknown[] = [];
      const body = function* () {
        for (;;) yield* s.gosched();
      };
      if (program) {
        s.startMain(
          body,
          () => {},
          (e) => errors.push(e),
        );
      } else {
        s.go(body);
      }
      host.fails = true;
      turn();
      expect(steps).toBe(0);
      host.fails = false;
      expect(s.isIdle).toBe(false);
      turn();
      expect(steps).toBeGreaterThan(0);
      expect(program ? errors : host.thrown).toEqual([boom]);
      expect(program ? host.thrown : errors).toEqual([]);
      s.close();
    }
  });

  it("that fails once ends one program, and the next one works although a timer is left", () => {
    const { s, host, boom, turn } = failing();
    s.goSystem(function* () {
      yield* s.sleep(1000);
    });
    turn();
    const errors: unknown[] = [];
    s.startMain(
      function* () {
        host.fails = true;
        for (;;) yield* s.gosched();
      },
      () => {},
      (e) => {
        errors.push(e);
      },
    );
    turn();
    expect(errors).toEqual([boom]);
    host.fails = false;
    while (turn() > 0);
    expect(host.thrown).toEqual([]);
    expect(s.isIdle).toBe(true);
    s.close();
  });

  it("that fails while host code starts a goroutine fails that call, and the next call wakes the scheduler", () => {
    const { s, host, boom, turn } = failing();
    const ran: string[] = [];
    host.fails = true;
    expect(() => s.go(() => void ran.push("first"))).toThrow(boom);
    host.fails = false;
    s.go(() => void ran.push("second"));
    turn();
    expect(ran).toEqual(["first", "second"]);
    s.close();
  });

  it("that is set back ends the slice, and wake-ups use tasks", async () => {
    let t = 1e9;
    const { s } = on({ now: () => t++ / 1000 });
    let host = false;
    await s.main(function* () {
      setTimeout(() => {
        host = true;
      }, 0);
      yield* s.gosched();
      t = 0;
      for (let i = 0; i < 1e6 && !host; i++) yield* s.gosched();
    });
    expect(host).toBe(true);
    s.close();
  });
});
