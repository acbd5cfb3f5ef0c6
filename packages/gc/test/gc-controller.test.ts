/** What the pacer's state makes of settings, figures and cycles: on a heap of figures. */
import type { HeapStats } from "@gort/allocator";
import { createLinearMemory } from "@gort/memory";
import { beforeEach, describe, expect, it } from "vitest";
import { type Cycle, GCController, utilization } from "../src/gc-controller.ts";
import { GCState } from "../src/gc-state.ts";
import type { GCRecord } from "../src/gc-stats.ts";
import type { GCHeap } from "../src/heap.ts";
import { NO_MEMORY_LIMIT, roomGoal, trigger } from "../src/mgcpacer.ts";
import type { Sweeper } from "../src/mgcsweep.ts";
import type { PacerState } from "../src/state-views.ts";

const MiB = 1 << 20;

let heap: {
  heapMarked: number;
  heapLive: number;
  heapGoal: number;
  mem: { size: number; unreserved: number };
};
let stats: Partial<HeapStats>;
let reads: number;
let record: { heapScan: number; stackScan: number; globalsScan: number };
let state: PacerState;
let limits: number;
let allocatorLimit: number;
let sweeper: { done: boolean };

function controller(gogc = 100, limit: number | bigint = NO_MEMORY_LIMIT): GCController {
  const parts = [heap as GCHeap, record as unknown as GCRecord, sweeper as Sweeper] as const;
  return new GCController(...parts, state, gogc, limit);
}

function cycle(more: Partial<Cycle> = {}): Cycle {
  return {
    forced: false,
    stw: false,
    procs: 1,
    start: 0,
    markStart: 0,
    sweepTermNs: 0,
    pauseNs: 0,
    assistNs: 0,
    backgroundNs: 0,
    idleNs: 0,
    heapStart: 0,
    goal: 0,
    expectedWork: 0,
    ...more,
  };
}

beforeEach(() => {
  reads = 0;
  limits = 0;
  stats = { sys: 40 * MiB, heapReleased: 3 * MiB, heapIdle: 8 * MiB, heapAlloc: 20 * MiB };
  heap = {
    heapMarked: 10 * MiB,
    heapLive: 10 * MiB,
    heapGoal: 0,
    mem: { size: 1024 * MiB, unreserved: 1000 * MiB },
    limitMemory: (bytes: number) => {
      allocatorLimit = bytes;
    },
    allocator: {
      readStatsUnflushed(out: object) {
        reads++;
        return Object.assign(out, stats);
      },
    },
  } as typeof heap;
  record = {
    heapScan: 3000,
    stackScan: 200,
    globalsScan: 10,
    noteLimited: () => {
      limits++;
    },
  } as typeof record;
  sweeper = { done: true };
  state = new GCState(createLinearMemory({ maxMemory: 64 * MiB })).pacer;
});

/** What an attached thread computes the goal from. */
function published(): number[] {
  return [state.gcPercent, state.limitBytes, state.triggered];
}

describe("the goal", () => {
  it("grows by GOGC percent of heap, stacks and globals, and asks for no figures that only a limit needs", () => {
    const c = controller(50);
    expect(c.nextGC()).toBe(BigInt(10 * MiB + (10 * MiB + 210) / 2));
    c.gcPercent = 200;
    expect(c.gcPercent).toBe(200);
    expect(c.nextGC()).toBe(BigInt(30 * MiB + 420));
    c.gcPercent = 0;
    expect(c.nextGC()).toBe(BigInt(10 * MiB));
    expect(reads).toBe(0);
  });

  it("is lowered to the room of the memory, before a cycle and in it, unless GOGC is off", () => {
    heap.mem = { size: 64 * MiB, unreserved: 10 * MiB };
    stats = { ...stats, heapInuse: 40 * MiB, heapIdle: 6 * MiB };
    heap.heapMarked = 40 * MiB;
    const c = controller();
    c.commit();
    expect(heap.heapGoal).toBe(52.5 * MiB);
    expect(c.trigger).toBeLessThan(52.5 * MiB);
    expect(c.trigger).toBeGreaterThan(40 * MiB);
    expect(c.nextGC()).toBe(BigInt(80 * MiB + 210));
    c.beginCycle(0);
    expect(heap.heapGoal).toBe(52.5 * MiB);
    c.gcPercent = -1;
    c.commit();
    expect(heap.heapGoal).toBeGreaterThan(2 ** 62);
    reads = 0;
    heap.heapMarked = 15 * MiB;
    c.gcPercent = 100;
    c.commit();
    expect(reads).toBe(0);
  });

  it("reads the room of the memory only if the goal is above half of it", () => {
    record.stackScan = 0;
    record.globalsScan = 0;
    heap.mem = { size: 40 * MiB, unreserved: 0 };
    stats = { ...stats, heapInuse: 10 * MiB, heapIdle: 20 * MiB };
    const c = controller();
    c.commit();
    expect([heap.heapGoal, reads]).toEqual([20 * MiB, 0]);
    heap.mem.size--;
    c.commit();
    expect([heap.heapGoal, reads]).toEqual([20 * MiB, 1]);
  });

  it("is lowered with GOGC=0 too, where the floor of sweeping has no room", () => {
    heap.mem = { size: 64 * MiB, unreserved: 0 };
    stats = { ...stats, heapInuse: 56 * MiB, heapIdle: 0 };
    heap.heapMarked = 55 * MiB;
    sweeper.done = false;
    const c = controller(0);
    c.commit();
    expect(heap.heapGoal).toBe(55 * MiB + (56 * MiB) / 64);
  });

  it("lets an almost full heap grow by half of the rest, and by at least a 64th of the room", () => {
    expect(roomGoal(54 * MiB, 56 * MiB)).toBe(55 * MiB);
    expect(roomGoal(55 * MiB, 56 * MiB)).toBe(55 * MiB + (56 * MiB) / 64);
    expect(roomGoal(30 * MiB, 56 * MiB)).toBe(52.5 * MiB);
  });

  it("is the part of a limit that is not used by other things than live objects and free pages", () => {
    // 37 MiB are mapped; 5 of them are free and 20 are objects, so 12 are something else.
    const c = controller(100, 30 * MiB);
    const exact = (limit: number, other: number): bigint => {
      const left = BigInt(limit - other);
      const headroom = (left / 100n) * 3n;
      return left - (headroom < BigInt(MiB) ? BigInt(MiB) : headroom);
    };
    // 7 MiB are mapped beyond the limit.
    heap.heapMarked = 5 * MiB;
    c.gcPercent = 300;
    expect(c.nextGC()).toBe(exact(30 * MiB, 12 * MiB + 7 * MiB));
    expect(reads).toBe(1);
    c.memoryLimit = BigInt(200 * MiB);
    c.gcPercent = -1;
    expect(c.nextGC()).toBe(exact(200 * MiB, 12 * MiB));
    c.gcPercent = 100;
    c.memoryLimit = 30 * MiB;
    stats = { sys: 30 * MiB, heapReleased: 4 * MiB, heapIdle: 6 * MiB, heapAlloc: 20 * MiB };
    heap.heapMarked = 15 * MiB;
    // 26 MiB mapped, 2 free, 20 objects: 4 of something else.
    expect(c.nextGC()).toBe(exact(30 * MiB, 4 * MiB));
  });

  it("without GOGC and limit is the part of all memory that other things do not use", () => {
    const c = controller(-1);
    expect(c.nextGC()).toBeGreaterThan(2n ** 62n);
    expect(reads).toBe(1);
    const left = NO_MEMORY_LIMIT - BigInt(12 * MiB);
    expect(c.nextGC()).toBe(left - (left / 100n) * 3n);
  });
});

describe("a change of settings", () => {
  it("tells attached threads, sets the goal and the trigger", () => {
    const c = controller();
    c.commit();
    expect(published()).toEqual([100, Number.POSITIVE_INFINITY, 0]);
    expect(heap.heapGoal).toBe(20 * MiB + 210);
    expect(c.trigger).toBe(trigger({ heapMarked: 10 * MiB, goal: heap.heapGoal, consMark: 0, scanWork: 0 }));
    sweeper.done = false;
    heap.heapMarked = 1000;
    c.memoryLimit = 100 * MiB;
    c.gcPercent = 1;
    c.commit();
    expect(published()).toEqual([1, 100 * MiB, 0]);
    // While something is left to sweep there is a floor of 1 MiB under both.
    expect(heap.heapGoal).toBe(1000 + MiB);
    expect(c.trigger).toBe(1000 + MiB);
    sweeper.done = true;
    c.commit();
    expect(published()).toEqual([1, 100 * MiB, 0]);
    expect(heap.heapGoal).toBe(Math.floor((4 * MiB) / 100));
    expect(c.trigger).toBeLessThan(heap.heapGoal);
  });
});

describe("a cycle", () => {
  it("fixes the goal beyond its trigger, expects the last one's work, and leaves the next trigger alone", () => {
    const c = controller();
    c.commit();
    const before = c.trigger;
    heap.heapLive = 30 * MiB;
    expect(c.beginCycle(7)).toBe(3000 + 200 + 7);
    expect(published()).toEqual([100, Number.POSITIVE_INFINITY, 30 * MiB]);
    expect(heap.heapGoal).toBe(30 * MiB + 65536);
    c.gcPercent = 10;
    c.commit();
    expect(heap.heapGoal).toBe(30 * MiB + 65536);
    expect(c.trigger).toBe(before);
    c.gcPercent = 400;
    c.commit();
    expect(heap.heapGoal).toBe(50 * MiB + 840);
    expect(c.trigger).toBe(before);
  });

  it("that has ended holds up no later goal, and has its figures in the next trigger", () => {
    const c = controller();
    c.commit();
    heap.heapLive = 30 * MiB;
    c.beginCycle(0);
    // 4 MiB were allocated while 8 MiB were scanned in half of the time.
    c.endCycle(
      cycle({ heapStart: 30 * MiB, assistNs: 100, backgroundNs: 300, idleNs: 100 }),
      34 * MiB,
      8 * MiB,
      1000,
    );
    expect(c.consMark).toBe((4 * (0.4 + 0.1)) / (8 * 0.6));
    heap.heapMarked = 64 * MiB;
    heap.heapLive = 64 * MiB;
    record.heapScan = 8 * MiB;
    record.stackScan = MiB / 2;
    record.globalsScan = MiB / 4;
    c.commit();
    expect(published()).toEqual([100, Number.POSITIVE_INFINITY, 0]);
    expect(heap.heapGoal).toBe(128.75 * MiB);
    expect(c.trigger).toBe(
      Math.min(
        heap.heapGoal - 4 * MiB,
        Math.max(heap.heapGoal - Math.floor(c.consMark * 3 * 8.75 * MiB), 64 * MiB),
      ),
    );
    expect(c.trigger).toBe(heap.heapGoal - Math.floor(c.consMark * 3 * 8.75 * MiB));
    // If less is live, the goal falls too, even below the heap size at which that cycle began.
    heap.heapMarked = MiB;
    c.commit();
    expect(c.nextGC()).toBe(BigInt(4 * MiB));
  });

  it("in one stop does not change cons/mark", () => {
    const c = controller();
    c.endCycle(cycle({ stw: true, idleNs: 500, backgroundNs: 10 }), 4 * MiB, MiB, 1000);
    expect(c.consMark).toBe(0);
  });

  it("asks for the work that is left for each byte up to the goal", () => {
    const c = controller();
    heap.heapLive = 15 * MiB;
    const running = cycle({ heapStart: 12 * MiB, goal: 20 * MiB, expectedWork: 11 * MiB });
    expect(c.assistRatio(running, MiB)).toBe(2);
    // More than expected is scanned: all of the heap may be work, and the goal moves out in proportion.
    running.expectedWork = 4 * MiB;
    const stretched = 12 * MiB + (8 / 4) * 15 * MiB;
    expect(c.assistRatio(running, 5 * MiB)).toBe((10 * MiB) / (Math.min(stretched, 40 * MiB) - 15 * MiB));
    c.gcPercent = 300;
    expect(c.assistRatio(running, 5 * MiB)).toBe((10 * MiB) / (stretched - 15 * MiB));
    // If more is scanned than the heap has, the least work is left: 1000 bytes.
    expect(c.assistRatio(running, 16 * MiB)).toBe(1000 / (12 * MiB + 2 * 16 * MiB - 15 * MiB));
  });
});

describe("the part of a program's time that marking took", () => {
  it("is that of assists and of the background, of all processors", () => {
    expect(utilization(cycle({ assistNs: 100, backgroundNs: 300, idleNs: 5000 }), 1000)).toBe(0.4);
    expect(utilization(cycle({ procs: 4, assistNs: 100, backgroundNs: 300 }), 1000)).toBe(0.1);
    expect(utilization(cycle({ assistNs: 900, backgroundNs: 300 }), 1000)).toBe(1);
  });

  it("is all of it in a cycle of one stop, and if the clock stood still", () => {
    expect(utilization(cycle({ stw: true, backgroundNs: 1 }), 1000)).toBe(1);
    expect(utilization(cycle(), 0)).toBe(1);
    expect(utilization(cycle(), -1)).toBe(1);
    expect(utilization(cycle(), 1)).toBe(0);
  });
});

describe("a program at its memory limit", () => {
  it("has as long for itself as the last cycle took, which is counted", () => {
    stats = { sys: 50 * MiB, heapReleased: 0, heapIdle: 0, heapAlloc: 10 * MiB };
    const c = controller(100, 20 * MiB);
    expect(c.lastEnd).toBe(0);
    c.commit();
    c.noteEnd(5000, 300);
    expect(c.lastEnd).toBe(5000);
    expect(c.limited(5299)).toBe(true);
    expect(limits).toBe(1);
    expect(c.limited(5300)).toBe(false);
    expect(limits).toBe(1);
    // A limit that does not decide the goal puts no cycle off.
    c.memoryLimit = 500 * MiB;
    c.commit();
    expect(c.limited(5001)).toBe(false);
    expect(limits).toBe(1);
  });
});

describe("settings", () => {
  it("take GOGC from off to below 2^31", () => {
    const c = controller(0);
    expect(c.gcPercent).toBe(0);
    for (const [given, taken] of [
      [-1, -1],
      [-5, -1],
      [7, 7],
      [2 ** 31 - 1, 2 ** 31 - 1],
    ] as const) {
      c.gcPercent = given;
      expect(c.gcPercent).toBe(taken);
      expect(controller(given).gcPercent).toBe(taken);
    }
    for (const wrong of [0.5, 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY]) {
      const text = `gc: gogc must be an integer below 2^31 (got ${wrong})`;
      expect(() => {
        c.gcPercent = wrong;
      }).toThrow(new RangeError(text));
    }
    for (const wrong of ["100", null, 5n]) {
      expect(() => controller(wrong as never)).toThrow(
        new TypeError(`gc: gogc must be an integer below 2^31 (got ${wrong})`),
      );
    }
    expect(c.gcPercent).toBe(2 ** 31 - 1);
  });

  it("take a limit as a number or a bigint, and a limit beyond Go's greatest as none", () => {
    const c = controller(100, 5);
    expect(c.memoryLimit).toBe(5n);
    expect(allocatorLimit).toBe(5);
    for (const [given, taken] of [
      [0, 0n],
      [0n, 0n],
      [2 ** 40, 2n ** 40n],
      [2 ** 62, 2n ** 62n],
      [2n ** 62n + 1n, 2n ** 62n + 1n],
      [2 ** 63, NO_MEMORY_LIMIT],
      [2 ** 70, NO_MEMORY_LIMIT],
      [Number.POSITIVE_INFINITY, NO_MEMORY_LIMIT],
      [NO_MEMORY_LIMIT, NO_MEMORY_LIMIT],
      [2n ** 63n, NO_MEMORY_LIMIT],
      [2n ** 70n, NO_MEMORY_LIMIT],
    ] as const) {
      c.memoryLimit = given;
      expect(c.memoryLimit).toBe(taken);
      expect(allocatorLimit).toBe(taken === NO_MEMORY_LIMIT ? Number.POSITIVE_INFINITY : Number(taken));
    }
    c.memoryLimit = 9;
    for (const wrong of [0.5, Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(() => {
        c.memoryLimit = wrong;
      }).toThrow(new RangeError(`gc: memoryLimit must be a whole number of bytes (got ${wrong})`));
    }
    for (const wrong of ["5", "1e30", null, true]) {
      expect(() => controller(100, wrong as never)).toThrow(
        new TypeError(`gc: memoryLimit must be a whole number of bytes (got ${wrong})`),
      );
    }
    for (const wrong of [-1, -1n]) {
      expect(() => controller(100, wrong)).toThrow(
        new RangeError(`gc: memoryLimit must not be negative (got ${wrong})`),
      );
    }
    expect(c.memoryLimit).toBe(9n);
    expect(allocatorLimit).toBe(9);
  });
});
