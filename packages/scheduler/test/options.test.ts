/** Which values the options of a scheduler may have, and how it uses them. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { createScheduler } from "../src/index.ts";
import { parseGodebug, type SchedulerOptions } from "../src/options.ts";

afterEach(() => vi.restoreAllMocks());

describe("the seed", () => {
  it.each([
    [0, 0],
    [7, 7],
    [-1, 0xffffffff],
    [2 ** 32 + 5, 5],
  ])("%s is taken modulo 2^32", (seed, taken) => {
    expect(createScheduler({ seed }).seed).toBe(taken);
  });

  it("is random in all 32 bits without an option", () => {
    const random = vi.spyOn(Math, "random");
    for (const [draw, seed] of [
      [0, 0],
      [0.5, 2 ** 31],
      [1 - 2 ** -32, 2 ** 32 - 1],
    ]) {
      random.mockReturnValue(draw);
      expect(createScheduler().seed).toBe(seed);
    }
  });

  it.each([1.5, Number.NaN, Infinity])("is out of range as %s", (seed) => {
    const fault = new RangeError(`scheduler: seed must be a whole number (got ${seed})`);
    expect(() => createScheduler({ seed })).toThrow(fault);
  });

  it.each<[unknown, string]>([
    ["1", '"1"'],
    [null, "null"],
    [1n, "1n"],
    [{}, "Object"],
  ])("has a wrong type as %s", (seed, shown) => {
    const fault = new TypeError(`scheduler: seed must be a whole number (got ${shown})`);
    expect(() => createScheduler({ seed: seed as never })).toThrow(fault);
  });
});

describe("gomaxprocs", () => {
  const procs = { max: 256, why: "there are at most 256 Ps" };

  it.each<[options: SchedulerOptions, n: number]>([
    [{}, 1],
    [{ gomaxprocs: 0 }, 1],
    [{ gomaxprocs: 1 }, 1],
    [{ gomaxprocs: 3, procs }, 3],
    [{ gomaxprocs: 256, procs }, 256],
  ])("%j gives %d Ps", (options, n) => {
    const told: string[] = [];
    expect(createScheduler({ ...options, stderr: (text) => told.push(text) }).gomaxprocs()).toBe(n);
    expect(told).toEqual([]);
  });

  it("is at most what the host can do, and a line says so once", () => {
    const told: string[] = [];
    const stderr = (text: string) => told.push(text);
    const alone = createScheduler({ stderr, gomaxprocs: 3 });
    expect([alone.gomaxprocs(4), alone.gomaxprocs(), alone.gomaxprocs(2 ** 31 - 1)]).toEqual([1, 1, 1]);
    const many = createScheduler({ stderr, procs, gomaxprocs: 2 });
    expect([many.gomaxprocs(257), many.gomaxprocs(3), many.gomaxprocs()]).toEqual([2, 256, 3]);
    expect(told).toEqual([
      "gort: gomaxprocs is 1, not 3: this scheduler has one thread. @gort/runtime runs tasks on several threads\n",
      "gort: gomaxprocs is 256, not 257: there are at most 256 Ps\n",
    ]);
  });

  it.each([-1, -0.5, -Infinity])("is out of range as %s", (gomaxprocs) => {
    const fault = new RangeError(
      `scheduler: gomaxprocs must be a whole number, 0 or more (got ${gomaxprocs})`,
    );
    expect(() => createScheduler({ gomaxprocs })).toThrow(fault);
  });

  it.each([1.5, Number.NaN, 2 ** 31])("is out of range as %s, also when it is set later", (n) => {
    const fault = new RangeError(`scheduler: gomaxprocs must be an integer up to 2147483647 (got ${n})`);
    expect(() => createScheduler({ gomaxprocs: n })).toThrow(fault);
    const s = createScheduler({ gomaxprocs: 2, procs });
    expect(() => s.gomaxprocs(n)).toThrow(fault);
    expect(s.gomaxprocs()).toBe(2);
  });

  it("returns the previous number, and keeps it if the new one is below 1, as in Go", () => {
    const s = createScheduler({ gomaxprocs: 4, procs });
    expect([s.gomaxprocs(1), s.gomaxprocs(0), s.gomaxprocs(-3), s.gomaxprocs(2), s.gomaxprocs()]).toEqual([
      4, 1, 1, 1, 2,
    ]);
  });

  it.each<[unknown, string]>([
    ["2", '"2"'],
    [null, "null"],
    [2n, "2n"],
  ])("has a wrong type as %s", (gomaxprocs, shown) => {
    const fault = new TypeError(`scheduler: gomaxprocs must be a whole number, 0 or more (got ${shown})`);
    expect(() => createScheduler({ gomaxprocs: gomaxprocs as never })).toThrow(fault);
  });
});

describe("a clock with only the method now", () => {
  it("has the host's other methods", () => {
    const s = createScheduler({ clock: { now: () => 0 } });
    vi.spyOn(Date, "now").mockReturnValue(5);
    expect(s.clock.wall()).toBe(5);
    const set = vi.spyOn(globalThis, "setTimeout").mockReturnValue("handle" as never);
    const clear = vi.spyOn(globalThis, "clearTimeout").mockReturnValue(undefined);
    const f = () => {};
    expect(s.clock.setTimer(f, 3, true)).toBe("handle");
    expect(set.mock.calls).toEqual([[f, 3]]);
    s.clock.clearTimer("handle");
    expect(clear.mock.calls).toEqual([["handle"]]);
  });
});

describe("godebug", () => {
  const defaults = { schedtrace: 0, scheddetail: 0, sysmon: 0 };

  it.each<[text: string, set: Partial<typeof defaults>]>([
    ["", {}],
    ["schedtrace=1000,scheddetail=1,sysmon=2", { schedtrace: 1000, scheddetail: 1, sysmon: 2 }],
    ["schedtrace=1,schedtrace=2", { schedtrace: 2 }],
    ["sysmon=-5,scheddetail=+7", { sysmon: -5, scheddetail: 7 }],
    [" sysmon = 1 ,\tscheddetail=\t1\n", { sysmon: 1, scheddetail: 1 }],
  ])("reads %j", (text, set) => {
    expect(parseGodebug(text)).toEqual({ ...defaults, ...set });
  });

  it.each([
    "sysmon",
    "sysmon=",
    "sysmon=x1",
    "sysmon=1x",
    "sysmon=1.0",
    "sysmon=1e3",
    "sysmon=0x10",
    "sysmon=1=2",
    "sysmon==1",
    "sysmon=--1",
    "sysmon= - 1",
    "sysmon=true",
    "sysmon=Infinity",
    "sysmon=9007199254740992",
    "SYSMON=1",
    "sysmo=1",
    "=1",
    "gctrace=1",
    "toString=1",
    "constructor=1",
    "__proto__=1",
    ",,",
  ])("ignores %j, and keeps its values", (text) => {
    const set = { ...defaults, schedtrace: 5, sysmon: 3 };
    expect(parseGodebug(`schedtrace=5,sysmon=3,${text}`)).toEqual(set);
  });

  it("may be an object, whose values may be numbers", () => {
    const d: SchedulerOptions["godebug"] = { schedtrace: 5, sysmon: "3", scheddetail: 1.5, gctrace: 1 };
    expect(parseGodebug(d)).toEqual({ ...defaults, schedtrace: 5, sysmon: 3 });
    expect(parseGodebug(undefined)).toEqual(defaults);
  });
});
