import { describe, expect, it } from "vitest";
import {
  assistRatios,
  ConsMark,
  consMarkOf,
  type GoalInputs,
  heapGoal,
  heapGoalExact,
  NO_MEMORY_LIMIT,
  trigger,
} from "../src/index.ts";

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
      // A step of 100 microseconds: a quarter for the background, what is needed for assists, the rest for the program.
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
    it(`that allocates ${rate} bytes a microsecond over ${live / MiB} MiB settles at its goal, with the collector at its share`, () => {
      for (const { goal, peak, share } of simulate(20, rate, live).slice(8)) {
        expect(peak).toBeLessThanOrEqual(goal * 1.1);
        expect(peak).toBeGreaterThan(goal * 0.85);
        expect(share).toBeGreaterThanOrEqual(0.2);
        expect(share).toBeLessThanOrEqual(0.3);
      }
    });
  }
});
