import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { background, withDeadline, withTimeout } from "../src/context.ts";
import { hostClock } from "../src/host.ts";
import { HostTimer } from "../src/host-timer.ts";
import { createScheduler } from "../src/index.ts";
import { FakeClock } from "../src/testing.ts";

afterEach(() => vi.restoreAllMocks());

describe("the host's timer of a sleeping scheduler", () => {
  let now = 0;
  let fired = 0;
  /** Calls of the clock: delay and `ref` of a timer that was set, or the handle of a timer that was cleared. */
  let log: unknown[] = [];
  let callbacks: (() => void)[] = [];
  let atOnce = false;
  let timer: HostTimer;

  beforeEach(() => {
    now = 1000;
    fired = 0;
    log = [];
    callbacks = [];
    atOnce = false;
    timer = new HostTimer(
      {
        ...hostClock,
        now: () => now,
        setTimer(fn, ms, ref) {
          log.push([ms, ref]);
          callbacks.push(fn);
          if (atOnce) fn();
          return `timer ${callbacks.length}`;
        },
        clearTimer: (handle) => void log.push(handle),
      },
      () => {
        fired++;
      },
    );
  });
  const asked = () => log.splice(0);

  it("is set for the remaining time, and not set again for the same time", () => {
    timer.arm(1100, true);
    timer.arm(1100, true);
    now = 1050;
    timer.arm(1100, true);
    expect(asked()).toEqual([[100, true]]);
  });

  it("replaces the previous one if the time or the hold on the process differs", () => {
    timer.arm(1100, true);
    timer.arm(1100, false);
    timer.arm(1070, false);
    expect(asked()).toEqual([[100, true], "timer 1", [100, false], "timer 2", [70, false]]);
  });

  it("is cleared once when no goroutine waits for a time", () => {
    timer.arm(Infinity, true);
    timer.clear();
    expect(asked()).toEqual([]);
    timer.arm(1100, true);
    timer.arm(Infinity, true);
    timer.arm(Infinity, false);
    timer.clear();
    expect(asked()).toEqual([[100, true], "timer 1"]);
    timer.arm(1100, true);
    timer.clear();
    timer.arm(1100, true);
    expect(asked()).toEqual([[100, true], "timer 2", [100, true]]);
  });

  it("is set to 0 for a time in the past", () => {
    timer.arm(900, true);
    expect(asked()).toEqual([[0, true]]);
  });

  it("fires once, even if the clock calls it twice, and can then be set for the same time", () => {
    timer.arm(1100, true);
    callbacks[0]();
    callbacks[0]();
    expect(fired).toBe(1);
    timer.arm(1100, true);
    // A timer that has fired needs no clearTimer.
    expect(asked()).toEqual([
      [100, true],
      [100, true],
    ]);
    callbacks[1]();
    expect(fired).toBe(2);
  });

  it("keeps no handle of a timer that fires inside of setTimer", () => {
    atOnce = true;
    timer.arm(1100, true);
    timer.clear();
    expect([fired, asked()]).toEqual([1, [[100, true]]]);
  });
});

describe("host timers", () => {
  /** A clock of the host that counts the timers that are set and hold the process. */
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

describe("the host's timer", () => {
  it.each([
    [0, 0],
    [-5, 0],
    [0.2, 1],
    [3.7, 4],
    [0x7fffffff, 0x7fffffff],
    [1e12, 0x7fffffff],
    [Infinity, 0x7fffffff],
  ])("of %d ms is set to a number of milliseconds that the host accepts: %d", (ms, set) => {
    const handle = { unref: vi.fn() };
    const timeout = vi.spyOn(globalThis, "setTimeout").mockReturnValue(handle as never);
    const fn = () => {};
    expect(hostClock.setTimer(fn, ms, true)).toBe(handle);
    expect(timeout.mock.calls).toEqual([[fn, set]]);
    expect(handle.unref).not.toHaveBeenCalled();
    hostClock.setTimer(fn, ms, false);
    expect(handle.unref).toHaveBeenCalledOnce();
  });

  it("may have a handle without unref, as in a browser", () => {
    vi.spyOn(globalThis, "setTimeout").mockReturnValue(5 as never);
    expect(hostClock.setTimer(() => {}, 1, false)).toBe(5);
  });
});
