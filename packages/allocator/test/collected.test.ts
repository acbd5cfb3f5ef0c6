/**
 * Threads that allocate from a collected heap, and sweep it as they do so. The test is the collector: it stops the
 * threads, marks what they say is theirs while they go on and allocate black, stops them again, and lets them sweep.
 */
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import {
  type Allocator,
  createAllocator,
  GC_MARK,
  GC_OFF,
  GCCONTROL_AT,
  MSPAN_AT,
  newHeapStats,
} from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";

const TABLE_WORDS = 20_000;
const DONE = 0xfffffffe;

function mark(a: Allocator, p: number): void {
  const s = a.spanOf(p as never);
  const i = a.objIndex(s, p as never);
  a.mem.kernel.or(a.mem.u32[(s + MSPAN_AT.gcmarkBits) >>> 2] + ((i >>> 5) << 2), 1 << (i & 31));
}

describe("a collected heap", () => {
  for (const threads of [2, 4, 8]) {
    const seed = 1 + Math.floor(Math.random() * 2 ** 29);
    it(`of ${threads} threads that allocate, mark and sweep at once stays in order (seed ${seed})`, {
      timeout: 120_000,
    }, async () => {
      const a = createAllocator({ maxMemory: 512 << 20, seed });
      const { mem } = a;
      const { u32, kernel } = mem;
      const i32 = mem.i32 as Int32Array<SharedArrayBuffer>;
      const [stopping, stopped] = [mem.reserveControl(64), mem.reserveControl(64)];
      const tables = Array.from({ length: threads }, () =>
        mem.persistentAlloc(4 * TABLE_WORDS + 4, 64, "otherSys"),
      );
      a.share();
      const workers = tables.map(
        (table, k) =>
          new Worker(new URL("workers/mutator.mjs", import.meta.url), {
            workerData: {
              memory: mem.memory,
              stopping,
              stopped,
              table,
              tableWords: TABLE_WORDS,
              seed: seed + k,
            },
            execArgv: [],
          }),
      );
      const errors: Error[] = [];
      const exits = workers.map(
        (w) =>
          new Promise<void>((resolve) =>
            w.on("error", (err) => errors.push(err)).on("exit", () => resolve()),
          ),
      );
      await Promise.all(
        workers.map((w) => new Promise((resolve) => w.once("message", resolve).once("exit", resolve))),
      );
      const stopAll = async (): Promise<void> => {
        kernel.store(stopped, 0);
        kernel.add(stopping, 1);
        while (kernel.load(stopped) < threads && errors.length === 0) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        expect(errors).toEqual([]);
        expect(a.allFlushed).toBe(true);
      };
      const startAll = (word?: number): void => {
        kernel.store(stopping, word ?? u32[stopping >>> 2] + 1);
        Atomics.notify(i32, stopping >>> 2);
      };
      const set = (offset: number, value: number): void => {
        u32[(a.gcControl + offset) >>> 2] = value;
      };
      const sweepRest = (): void => {
        for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep())
          a.spanSwept(s, a.sweepBits(s), false);
      };
      const stats = newHeapStats();
      for (let cycle = 0; cycle < 12; cycle++) {
        await new Promise((resolve) => setTimeout(resolve, 30));
        await stopAll();
        sweepRest();
        verifyHeap(a);
        a.readStats(stats);
        expect(stats.mallocs - stats.frees).toBe(stats.heapObjects);
        const live = tables.flatMap((t) => [...u32.subarray((t >>> 2) + 1, (t >>> 2) + 1 + u32[t >>> 2])]);
        expect(stats.heapObjects).toBeGreaterThanOrEqual(live.length);
        const heapLive = u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2];
        set(GCCONTROL_AT.gcPhase, GC_MARK);
        startAll();
        for (const p of live) mark(a, p);
        await stopAll();
        verifyHeap(a);
        set(GCCONTROL_AT.gcPhase, GC_OFF);
        set(GCCONTROL_AT.sweepgen, a.heap.sweepgen + 2);
        expect(u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2]).toBeGreaterThanOrEqual(heapLive);
        set(GCCONTROL_AT.heapLive, stats.heapAlloc);
        startAll();
      }
      await stopAll();
      sweepRest();
      verifyHeap(a);
      startAll(DONE);
      await Promise.all(exits);
      expect(errors).toEqual([]);
      expect(a.readStats(stats).frees).toBeGreaterThan(10_000);
    });
  }
});
