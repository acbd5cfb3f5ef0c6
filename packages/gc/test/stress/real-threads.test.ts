/** Real threads over the built package that change one heap, and collect it together. */
import { Worker } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createCollector } from "../../src/index.ts";
import { verifyHeap } from "../../src/testing.ts";
import { MiB } from "../kit.ts";
import { MiniWorld, WORLD_BYTES } from "../workers/mini-world.mjs";
import { play, Shadow, seeded } from "../workers/shadow.mjs";

const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

describe(`several threads that change and collect one heap (seed ${seed}; GORT_SEED repeats it)`, () => {
  it.each([
    [1, "wasm"],
    [3, "wasm"],
    [2, "js"],
  ] as const)(
    "lose nothing: the driver and %d others, marked by %s",
    { timeout: 240_000 },
    async (n, marker) => {
      const godebug = "gccheckmark=1,clobberfree=1";
      const memory = createLinearMemory({ maxMemory: 128 * MiB, shared: true });
      const a = createAllocator({ memory, seed });
      const block = memory.persistentAlloc(WORLD_BYTES, 64, "otherSys");
      const table = memory.persistentAlloc(8 * 64, 64, "otherSys");
      const world = new MiniWorld(memory, block, 0, n + 1);
      a.share();
      world.enter();
      const gc = createCollector(a, { world: world.world(), godebug, gogc: 50, marker });
      world.gc = gc;
      gc.addGlobals(table, (table + 8 * 64) as never);
      const ends: Promise<unknown>[] = [];
      let left: number = n;
      const reports: { objects: number; foreign: number }[] = [];
      for (let id = 1; id <= n; id++) {
        const worker = new Worker(new URL("../workers/mutate.mjs", import.meta.url), {
          workerData: {
            memory: memory.memory,
            block,
            id,
            procs: n + 1,
            table,
            n: 64,
            seed: seed + id,
            changes: 30_000,
            rounds: 3,
            godebug,
            marker,
          },
          execArgv: [],
        });
        ends.push(
          new Promise<void>((resolve, reject) => {
            worker.on("message", (m) => reports.push(m));
            worker.on("error", reject);
            worker.on("exit", () => {
              left--;
              resolve();
            });
          }),
        );
      }
      const failed = Promise.all(ends);
      let error: unknown;
      failed.catch((err) => {
        error = err;
        left = 0;
      });
      const random = seeded(seed);
      const shadow = new Shadow({ a, gc, table, n: 64, random, thread: 0 });
      while (left > 0) {
        play(shadow, world, gc, random, 2000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (error !== undefined) throw error;
      await failed;
      gc.gc();
      shadow.verify();
      verifyHeap(gc);
      expect(reports.length).toBe(n);
      for (const r of reports) expect(r.foreign).toBeGreaterThan(0);
      expect(gc.readGCStats().numGC).toBeGreaterThan(5);
    },
  );
});
