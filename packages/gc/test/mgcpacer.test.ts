import { describe, expect, it } from "vitest";
import {
  assistRatios,
  ConsMark,
  consMarkOf,
  type GoalInputs,
  heapGoal,
  heapGoalExact,
  heapMinimum,
  NO_MEMORY_LIMIT,
  percentGoal,
  trigger,
} from "../src/index.ts";
import { threadsMinimum } from "../src/mgcpacer.ts";

const MiB = 1 << 20;

function inputs(more: Partial<GoalInputs> = {}): GoalInputs {
  return {
    gcPercent: 100,
    heapMarked: 10 * MiB,
    stackScan: 0,
    globalsScan: 0,
    memoryLimit: NO_MEMORY_LIMIT,
    mapped: 20 * MiB,
    heapFree: 0,
    heapAlloc: 10 * MiB,
    ...more,
  };
}

describe("the heap goal", () => {
  it("stays exact where a product leaves the doubles' exact range", () => {
    const gcPercent = 2_000_000_011;
    const { goal } = heapGoalExact(inputs({ gcPercent, heapMarked: 2 ** 31 + 7 }));
    expect(goal).toBe(BigInt(Number(2n ** 31n + 7n + ((2n ** 31n + 7n) * BigInt(gcPercent)) / 100n)));
  });

  it("is 64 KiB beyond the trigger at least while a cycle runs", () => {
    expect(heapGoalExact(inputs({ triggered: 30 * MiB }))).toEqual({
      goal: BigInt(30 * MiB + 65536),
      rule: "triggered",
    });
  });
});

describe("the trigger", () => {
  it("lies between 70 and 95 percent of the way from live heap to goal, or 4 MiB before the goal", () => {
    for (const consMark of [0, 0.01, 0.1, 1, 10]) {
      for (const live of [1 * MiB, 10 * MiB, 300 * MiB]) {
        const goal = heapGoal(inputs({ heapMarked: live }));
        const t = trigger({ heapMarked: live, goal, consMark, scanWork: live });
        expect(t).toBeGreaterThanOrEqual(live + 0.69 * (goal - live));
        expect(t).toBeLessThanOrEqual(Math.max(live + 0.96 * (goal - live), goal - 4 * MiB));
      }
    }
  });

  it("is the goal if that much is live already", () => {
    expect(trigger({ heapMarked: 5 * MiB, goal: 5 * MiB, consMark: 1, scanWork: MiB })).toBe(5 * MiB);
  });
});

describe("cons/mark", () => {
  it("is the greatest of the last five cycles", () => {
    const c = new ConsMark();
    const cycle = (growth: number) => ({
      heapAtTrigger: 0,
      heapAtEnd: growth,
      scanWork: 1000,
      utilization: 0.25,
      idleUtilization: 0,
    });
    const one = consMarkOf(cycle(300));
    expect(one).toBeCloseTo(0.1);
    c.update(cycle(3000));
    for (let i = 0; i < 4; i++) expect(c.update(cycle(300))).toBeCloseTo(1);
    expect(c.update(cycle(300))).toBeCloseTo(0.1);
  });

  it("learns nothing from a cycle in which the program stood still", () => {
    expect(
      consMarkOf({ heapAtTrigger: 0, heapAtEnd: 9, scanWork: 9, utilization: 1, idleUtilization: 0 }),
    ).toBe(0);
  });
});

describe("assists", () => {
  it("pay in time for a heap that grows no faster than it did", () => {
    // Marking by assists alone: the work is done when the heap reaches its goal.
    const goal = 40 * MiB;
    let live = 30 * MiB;
    let done = 0;
    const total = 20 * MiB;
    while (done < total) {
      const { workPerByte } = assistRatios({
        heapLive: live,
        goal,
        triggered: 30 * MiB,
        scanWorkDone: done,
        scanWorkExpected: total,
        scanWorkMax: live,
        gcPercent: 100,
      });
      live += 4096;
      done += 4096 * workPerByte;
    }
    expect(live).toBeGreaterThan(39 * MiB);
    expect(live).toBeLessThanOrEqual(goal + 4096);
  });

  it("stretch the goal when more must be scanned than the last cycle had, by GOGC at most", () => {
    const at = (scanWorkMax: number) =>
      assistRatios({
        heapLive: 39 * MiB,
        goal: 40 * MiB,
        triggered: 30 * MiB,
        scanWorkDone: 11 * MiB,
        scanWorkExpected: 10 * MiB,
        scanWorkMax,
        gcPercent: 100,
      }).workPerByte;
    expect(at(20 * MiB)).toBeCloseTo(9 / 11, 5);
    expect(at(400 * MiB)).toBeCloseTo(389 / 41, 5);
  });
});

/** A program that allocates at a steady rate beside a collector that marks at another: no heap, only figures. */
function simulate(cycles: number, allocRate: number, live: number, gcPercent = 100) {
  const consMark = new ConsMark();
  const out: { goal: number; peak: number; trigger: number; share: number }[] = [];
  // Bytes scanned a microsecond by a whole processor.
  const markRate = 2000;
  let marked = 0;
  let scanWork = 0;
  for (let n = 0; n < cycles; n++) {
    const goal = heapGoal(inputs({ gcPercent, heapMarked: marked }));
    const at = trigger({ heapMarked: marked, goal, consMark: consMark.value, scanWork });
    let heap = at;
    let done = 0;
    let markUs = 0;
    let wallUs = 0;
    while (done < live) {
      // A step of 100 microseconds: a quarter for the background, then the assists; the program gets the rest.
      const { workPerByte } = assistRatios({
        heapLive: heap,
        goal,
        triggered: at,
        scanWorkDone: done,
        scanWorkExpected: scanWork,
        scanWorkMax: heap,
        gcPercent,
      });
      const background = 25;
      const behind = Math.max(0, allocRate * 75 * workPerByte - background * markRate);
      const assist = Math.min(75, behind / markRate / (1 + allocRate / markRate));
      heap += allocRate * (75 - assist);
      done += (background + assist) * markRate;
      markUs += background + assist;
      wallUs += 100;
    }
    consMark.update({
      heapAtTrigger: at,
      heapAtEnd: heap,
      scanWork: live,
      utilization: markUs / wallUs,
      idleUtilization: 0,
    });
    marked = live;
    scanWork = live;
    out.push({ goal, peak: heap, trigger: at, share: markUs / wallUs });
  }
  return out;
}

describe("a simulated program", () => {
  for (const [rate, live] of [
    [50, 64 * MiB],
    [200, 64 * MiB],
    [120, 256 * MiB],
  ] as const) {
    it(`at ${rate} bytes a microsecond over ${live / MiB} MiB settles at goal and collector's share`, () => {
      for (const { goal, peak, share } of simulate(20, rate, live).slice(8)) {
        expect(peak).toBeLessThanOrEqual(goal * 1.1);
        expect(peak).toBeGreaterThan(goal * 0.85);
        expect(share).toBeGreaterThanOrEqual(0.2);
        expect(share).toBeLessThanOrEqual(0.3);
      }
    });
  }
});

describe("the formulas, to the byte", () => {
  it("give a percent goal, and 4 MiB times GOGC at least", () => {
    const at = (more: Partial<GoalInputs>) => heapGoalExact(inputs(more));
    expect(at({ stackScan: 300, globalsScan: 50, gcPercent: 50 })).toEqual({
      goal: BigInt(15 * MiB + 175),
      rule: "gogc",
    });
    expect(at({ heapMarked: MiB, gcPercent: 75 })).toEqual({ goal: BigInt(3 * MiB), rule: "minimum" });
    expect(at({ heapMarked: 2 * MiB })).toEqual({ goal: BigInt(4 * MiB), rule: "gogc" });
    expect(at({ heapMarked: 0, gcPercent: 0 })).toEqual({ goal: 0n, rule: "gogc" });
    expect([heapMinimum(-1), heapMinimum(0), heapMinimum(50)]).toEqual([0, 0, 2 * MiB]);
    expect([1, 3, 16, 17].map((n) => threadsMinimum(50, n) / MiB)).toEqual([2, 6, 32, 32]);
    expect(threadsMinimum(-1, 4)).toBe(0);
    // The product is 644245112432385606, which no double holds: rounded, it would give a byte more.
    expect(percentGoal(inputs({ heapMarked: 2 ** 31 + 10, gcPercent: 300_000_007 })).goal).toBe(
      2 ** 31 + 10 + 6_442_451_124_323_856,
    );
  });

  it("lift it while sweeping, and beyond the trigger, only if it is lower", () => {
    const at = (more: Partial<GoalInputs>) => heapGoalExact(inputs({ gcPercent: 10, ...more }));
    expect(at({ heapMarked: 5 * MiB, sweepPending: true })).toEqual({
      goal: BigInt(6 * MiB),
      rule: "sweep_floor",
    });
    expect(at({ heapMarked: 10 * MiB, sweepPending: true })).toEqual({
      goal: BigInt(11 * MiB),
      rule: "gogc",
    });
    expect(at({ heapMarked: 20 * MiB, sweepPending: true }).rule).toBe("gogc");
    expect(at({ triggered: 11 * MiB - 65536 }).rule).toBe("gogc");
    expect(at({ triggered: 11 * MiB - 65535 })).toEqual({ goal: BigInt(11 * MiB + 1), rule: "triggered" });
  });

  it("give a limit goal with its headroom, and the live bytes where the limit allows less", () => {
    const at = (memoryLimit: number, more: Partial<GoalInputs> = {}) =>
      heapGoalExact(inputs({ gcPercent: -1, memoryLimit: BigInt(memoryLimit), heapFree: 2 * MiB, ...more }));
    // 8 MiB of 20 are neither free nor objects.
    const left = BigInt(192 * MiB);
    expect(at(200 * MiB)).toEqual({ goal: left - (left / 100n) * 3n, rule: "limit" });
    expect(at(28 * MiB)).toEqual({ goal: BigInt(19 * MiB), rule: "limit" });
    // 1 MiB is mapped beyond it.
    expect(at(19 * MiB, { heapMarked: 0 })).toEqual({ goal: BigInt(9 * MiB), rule: "limit" });
    expect(at(19 * MiB)).toEqual({ goal: BigInt(10 * MiB), rule: "limit_live" });
    expect(at(14 * MiB)).toEqual({ goal: BigInt(10 * MiB), rule: "limit_exceeded" });
    expect(at(14 * MiB + 1, { heapMarked: 0 })).toEqual({ goal: BigInt(MiB), rule: "limit" });
    expect(at(14 * MiB, { heapMarked: 5 })).toEqual({ goal: 5n, rule: "limit_exceeded" });
    // Headroom beyond half of what is left makes room for itself: the goal is no less than the headroom.
    const small = { mapped: 0, heapFree: 0, heapAlloc: 0, heapMarked: 0 };
    expect(at(1.5 * MiB, small)).toEqual({ goal: BigInt(MiB), rule: "limit" });
    expect(at(2 * MiB - 1, small)).toEqual({ goal: BigInt(MiB), rule: "limit" });
    expect(at(2 * MiB + 1, small)).toEqual({ goal: BigInt(MiB + 1), rule: "limit" });
    // What is live counts only above the limit's goal.
    expect(at(28 * MiB, { heapMarked: 19 * MiB })).toEqual({ goal: BigInt(19 * MiB), rule: "limit" });
    // It counts only where it is below the other goal.
    expect(at(28 * MiB, { gcPercent: 90 })).toEqual({ goal: BigInt(19 * MiB), rule: "gogc" });
    expect(at(28 * MiB, { gcPercent: 91 }).rule).toBe("limit");
  });

  it("give a trigger that leaves the runway, within its bounds", () => {
    const at = (consMark: number, more: object = {}) =>
      trigger({ heapMarked: 64 * MiB, goal: 128 * MiB, consMark, scanWork: MiB, ...more });
    expect(at(0)).toBe(125 * MiB);
    expect(at(0, { heapMarked: 0 })).toBe(124 * MiB);
    expect(at(2)).toBe(122 * MiB);
    expect(at(1 / 3 + 5)).toBe(112 * MiB);
    expect(at(100)).toBe(109 * MiB);
    expect(at(1, { scanWork: 3 * MiB })).toBe(119 * MiB);
    expect(at(0, { heapMarked: 0, goal: 4 * MiB })).toBe(61 * 65536);
    expect(at(100, { heapMarked: 0, goal: 4 * MiB })).toBe(45 * 65536);
    expect(at(100, { heapMarked: 0, goal: MiB, sweepPending: true })).toBe(MiB);
    expect(at(100, { sweepPending: true })).toBe(109 * MiB);
    expect(at(0, { heapMarked: 130 * MiB })).toBe(128 * MiB);
    // A limit may leave no room for the floor of sweeping.
    expect(at(0, { heapMarked: 128 * MiB, sweepPending: true })).toBe(128 * MiB);
  });

  it("give cons/mark for the parts of the time, and 0 where a cycle tells nothing", () => {
    const c = {
      heapAtTrigger: 1000,
      heapAtEnd: 4000,
      scanWork: 500,
      utilization: 0.25,
      idleUtilization: 0.5,
    };
    expect(consMarkOf(c)).toBe((3000 * 0.75) / (500 * 0.75));
    for (const none of [
      { heapAtEnd: 1000 },
      { heapAtEnd: 999 },
      { scanWork: 0 },
      { scanWork: -1 },
      { utilization: 1 },
    ])
      expect(consMarkOf({ ...c, ...none })).toBe(0);
    const e = new ConsMark();
    expect(e.update(c)).toBe(6);
    expect(e.value).toBe(6);
    const less = { ...c, idleUtilization: 0 };
    for (let i = 0; i < 4; i++) expect(e.update(less)).toBe(6);
    expect(e.update(less)).toBe(consMarkOf(less));
    expect(e.value).toBe(consMarkOf(less));
  });

  it("give both assist ratios, with 1000 bytes of work and one of heap at least", () => {
    const at = (more: object = {}) =>
      assistRatios({
        heapLive: 30 * MiB,
        goal: 40 * MiB,
        triggered: 30 * MiB,
        scanWorkDone: 0,
        scanWorkExpected: 5 * MiB,
        scanWorkMax: 30 * MiB,
        gcPercent: 100,
        ...more,
      });
    expect(at()).toEqual({ workPerByte: 0.5, bytesPerWork: 2 });
    expect(at({ scanWorkDone: 5 * MiB }).workPerByte).toBe(1000 / (10 * MiB));
    expect(at({ heapLive: 40 * MiB }).workPerByte).toBe(5 * MiB);
    // Over its goal a heap gets 10 % more, and all of it may have to be scanned.
    expect(at({ heapLive: 41 * MiB }).workPerByte).toBe((30 * MiB) / (44 * MiB - 41 * MiB));
    expect(at({ heapLive: 50 * MiB }).workPerByte).toBe(30 * MiB);
    // Beyond what was expected the goal moves out, by GOGC at most.
    expect(at({ scanWorkDone: 6 * MiB }).workPerByte).toBe((24 * MiB) / (50 * MiB));
    expect(at({ scanWorkDone: 6 * MiB, gcPercent: -1 }).workPerByte).toBe((24 * MiB) / (60 * MiB));
    expect(at({ scanWorkDone: 6 * MiB, gcPercent: 25 }).workPerByte).toBe((24 * MiB) / (20 * MiB));
    expect(at({ scanWorkDone: 6 * MiB, gcPercent: 0 }).workPerByte).toBe((24 * MiB) / (10 * MiB));
    expect(at({ scanWorkDone: 6, scanWorkExpected: 0, goal: 30 * MiB + 1, gcPercent: -1 }).workPerByte).toBe(
      (30 * MiB - 6) / (30 * MiB),
    );
  });
});
