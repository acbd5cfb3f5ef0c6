import { createLinearMemory, type LinearMemory } from "@gort/memory";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TASK_AT, TASK_POOL, TaskPool } from "../src/task-records.ts";

function pools(n: number): { mem: LinearMemory; all: TaskPool[] } {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const pool = mem.persistentAlloc(TASK_POOL.size, 8, "otherSys");
  return { mem, all: Array.from({ length: n }, () => new TaskPool(mem, pool)) };
}

describe("records of tasks", () => {
  it("are in use once at a time, whichever threads take and free them", () => {
    const step = fc.record({ thread: fc.nat(2), free: fc.boolean(), pick: fc.nat(1000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const { all } = pools(3);
        const used: number[] = [];
        for (const { thread, free, pick } of steps) {
          if (free && used.length > 0) {
            all[thread].free(used.splice(pick % used.length, 1)[0]);
          } else {
            const task = all[thread].alloc();
            expect(task % 64).toBe(0);
            expect(used).not.toContain(task);
            used.push(task);
          }
        }
      }),
    );
  });

  it("that one thread frees are taken by another, so their number does not grow", () => {
    const { all } = pools(2);
    const seen = new Set<number>();
    for (let i = 0; i < 10_000; i++) {
      const task = all[0].alloc();
      seen.add(task);
      all[1].free(task);
    }
    expect(seen.size).toBeLessThan(200);
  });

  it("of a thread that ends go to the others", () => {
    const { all } = pools(2);
    const tasks = Array.from({ length: 20 }, () => all[0].alloc());
    for (const task of tasks) all[0].free(task);
    all[0].close();
    const again = Array.from({ length: 32 }, () => all[1].alloc());
    expect(again).toEqual(expect.arrayContaining(tasks));
  });

  it("keep the goid that says whether their goroutine lives", () => {
    const { mem, all } = pools(1);
    const task = all[0].alloc();
    mem.f64[(task + TASK_AT.goid) >>> 3] = 7;
    mem.f64[(task + TASK_AT.goid) >>> 3] = 0;
    all[0].free(task);
    const others = Array.from({ length: 64 }, () => all[0].alloc());
    for (const t of others) expect(mem.f64[(t + TASK_AT.goid) >>> 3]).toBe(0);
  });
});
