import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { createLinearMemory } from "../src/index.ts";

describe("a root", () => {
  it("is made once, by one of several threads that look for it at once", { timeout: 60_000 }, async () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const [gate, made] = [mem.reserveControl(64), mem.reserveControl(64)];
    const roots = [8, 9, 10, 11];
    const threads = 4;
    // Workers can't load TypeScript: they run the built package.
    const workers = Array.from(
      { length: threads },
      () =>
        new Worker(new URL("workers/root.mjs", import.meta.url), {
          workerData: { memory: mem.memory, gate, made, threads, roots },
          execArgv: [],
        }),
    );
    const found = await Promise.all(
      workers.map(
        (w) => new Promise<number[]>((resolve, reject) => w.once("message", resolve).once("error", reject)),
      ),
    );
    expect(mem.u32[made >>> 2]).toBe(roots.length);
    for (const list of found) expect(list).toEqual(roots.map((index) => mem.root(index)));
    expect(roots.map((index) => mem.u32[(mem.root(index) + 8) >>> 2])).toEqual(roots);
  });

  it("that another thread has made is not made again", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    expect(mem.makeRoot(8, () => 4711)).toBe(4711);
    expect(mem.makeRoot(8, () => 1)).toBe(4711);
    expect(mem.root(8)).toBe(4711);
  });

  it("stays 0 if its state could not be made, and can be made later", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const fail = (): number => {
      throw new RangeError("no memory");
    };
    expect(() => mem.makeRoot(8, fail)).toThrow("no memory");
    expect(mem.root(8)).toBe(0);
    expect(mem.makeRoot(8, () => 4711)).toBe(4711);
  });

  it("is made under a lock that comes before all others", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20, staticLockRanking: true });
    mem.makeRoot(8, () => mem.reserveControl(8));
    const at = mem.reserveControl(8);
    mem.rankLocks((addr) => (addr === at ? "mcentral" : undefined));
    const make = (): number => mem.makeRoot(9, () => 8);
    expect(() => mem.makeRoot(10, make)).toThrow(/lock roots at 0x\w+ is taken twice/);
  });
});
