import { describe, expect, it } from "vitest";
import { COSTS, simulate, type Task } from "../bench/simulation.ts";

/** The simulated machine of bench/simulation.ts. */

const random = (): number => 12345;
const leaf = (work: number): Task => ({ work, spawns: [] });

describe("the simulated machine", () => {
  it("runs each task once, and computes exactly as long as the tasks do", () => {
    const spawns = Array.from({ length: 100 }, (_, k) => ({
      work: 1000 * k,
      spawns: [leaf(500), leaf(700)],
    }));
    const f = simulate(8, [{ at: 0, tasks: [{ work: 0, gap: 10, spawns }] }], random);
    expect(f.tasks).toBe(301);
    expect(f.work).toBe(100 * 1200 + 1000 * 4950 + 100 * 10);
    expect(f.makespan).toBeGreaterThanOrEqual(f.work / 8);
    expect(f.makespan).toBeLessThan(f.work / 2);
  });

  it("needs a wake-up for each further processor, and cannot be faster than its longest task", () => {
    const tasks = Array.from({ length: 4 }, () => leaf(1e6));
    const f = simulate(4, [{ at: 0, tasks }], random);
    expect(f.wakes).toBeGreaterThanOrEqual(3);
    expect(f.makespan).toBeGreaterThan(1e6 + COSTS.wake);
    expect(f.makespan).toBeLessThan(1.2e6);
  });

  it("charges an M for each line that another one has written, and for a lock that is held", () => {
    const spawns = Array.from({ length: 2000 }, () => leaf(100));
    const at = (line: number) =>
      simulate(16, [{ at: 0, tasks: [{ work: 0, spawns }] }], random, { ...COSTS, line });
    const [near, far] = [at(20), at(200)];
    expect(far.schedLines + far.otherLines).toBeGreaterThan(4 * (near.schedLines + near.otherLines));
    expect(far.makespan).toBeGreaterThan(near.makespan);
    // 300 tasks at once overflow the ring: half of it goes to the global queue, under the lock.
    expect(far.locked).toBeGreaterThan(16);
  });
});
