import { beforeEach, describe, expect, it } from "vitest";
import { hostClock } from "../src/host.ts";
import { HostTimer } from "../src/hosttimer.ts";

describe("the host's timer of a sleeping scheduler", () => {
  let now = 0;
  let fired = 0;
  /** What the clock was asked for: delay and `ref` of a timer that was set, or the handle of one that was cleared. */
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

  it("is set for the time that is left, and not again for the same", () => {
    timer.arm(1100, true);
    timer.arm(1100, true);
    now = 1050;
    timer.arm(1100, true);
    expect(asked()).toEqual([[100, true]]);
  });

  it("takes the place of the one before if the time or the hold on the process differs", () => {
    timer.arm(1100, true);
    timer.arm(1100, false);
    timer.arm(1070, false);
    expect(asked()).toEqual([[100, true], "timer 1", [100, false], "timer 2", [70, false]]);
  });

  it("is cleared once when there is nothing to wait for", () => {
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

  it("is set to 0 for a time that has come", () => {
    timer.arm(900, true);
    expect(asked()).toEqual([[0, true]]);
  });

  it("fires once, whatever the clock calls, and can then be set for the same time", () => {
    timer.arm(1100, true);
    callbacks[0]();
    callbacks[0]();
    expect(fired).toBe(1);
    timer.arm(1100, true);
    // What has fired needs no clearing.
    expect(asked()).toEqual([
      [100, true],
      [100, true],
    ]);
    callbacks[1]();
    expect(fired).toBe(2);
  });

  it("keeps no handle of a timer that fires while it is set", () => {
    atOnce = true;
    timer.arm(1100, true);
    timer.clear();
    expect([fired, asked()]).toEqual([1, [[100, true]]]);
  });
});
