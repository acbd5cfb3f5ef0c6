import { type Addr, createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { type TestThreads, testThreads } from "../src/testing.ts";

function rig(n: number, gomaxprocs = n): TestThreads {
  return testThreads(createLinearMemory({ maxMemory: 64 << 20 }), n, gomaxprocs);
}

function tasksOf({ ms }: TestThreads): Addr[] {
  const found: Addr[] = [];
  ms[0].forEachTask((task) => void found.push(task));
  return found.sort((a, b) => a - b);
}

describe("procs", () => {
  it("says which M holds which P, and how many tasks wait where", () => {
    const { ms, record } = rig(2, 3);
    ms[1].acquireP();
    for (let i = 0; i < 5; i++) ms[1].putTask(record());
    ms[0].putTask(record());
    expect(ms[0].procs()).toEqual({
      ps: [
        { m: 1, tasks: 5, schedtick: 0 },
        { m: -1, tasks: 0, schedtick: 0 },
        { m: -1, tasks: 0, schedtick: 0 },
      ],
      tasks: 1,
      spinning: expect.any(Number) as number,
    });
  });

  it("adds up the switches of all Ms that have held a P", () => {
    const { ms } = rig(2, 1);
    for (const ticks of [3, 4]) {
      for (const m of ms) {
        m.acquireP();
        m.releaseP(ticks);
      }
    }
    expect(ms[1].procs().ps[0].schedtick).toBe(14);
    ms[0].releaseP(100);
    expect(ms[1].procs().ps[0].schedtick).toBe(14);
  });
});

describe("forEachTask", () => {
  it("visits the tasks of all rings, of runnext and of the global queue, once each", () => {
    const r = rig(2);
    const put: Addr[] = [];
    for (const m of r.ms) {
      m.acquireP();
      // More than a ring: half of it moves to the global queue.
      for (let i = 0; i < 300; i++) {
        put.push(r.record());
        m.putTask(put.at(-1)!);
      }
    }
    expect(tasksOf(r)).toEqual(put);
    for (const m of r.ms) {
      for (let i = 0; i < 100; i++) put.splice(put.indexOf(m.takeTask()), 1);
    }
    expect(tasksOf(r)).toEqual(put);
  });
});
