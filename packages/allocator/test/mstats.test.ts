import { Worker } from "node:worker_threads";
import { attachLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator, type HeapStats, newHeapStats } from "../src/index.ts";
import { HeapReader } from "../src/internal.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

/** What must hold in every snapshot; the names of what does not. */
function faults(s: HeapStats, before: HeapStats): string[] {
  const found: string[] = [];
  const must = (name: string, ok: boolean): void => {
    if (!ok) found.push(name);
  };
  must(`heapAlloc ${s.heapAlloc}`, s.heapAlloc >= 0);
  must(`heapAlloc ${s.heapAlloc} > heapInuse ${s.heapInuse}`, s.heapAlloc <= s.heapInuse);
  must(`heapObjects ${s.heapObjects}`, s.heapObjects >= 0 && s.heapObjects === s.mallocs - s.frees);
  must("heapSys", s.heapSys === s.heapInuse + s.heapIdle && s.heapReleased <= s.heapIdle);
  must("stackSys", s.stackSys >= s.stackInuse);
  must(
    "sys",
    s.sys === s.heapSys + s.stackSys + s.mspanSys + s.mcacheSys + s.buckHashSys + s.gcSys + s.otherSys,
  );
  for (const name of ["mallocs", "frees", "totalAlloc", "totalFree", "tinyAllocs"] as const) {
    must(`${name} fell from ${before[name]} to ${s[name]}`, s[name] >= before[name]);
  }
  for (let k = 1; k < s.smallAllocCount.length; k++) {
    const a = s.smallAllocCount[k] as number;
    const f = s.smallFreeCount[k] as number;
    must(`class ${k}: ${a} allocs, ${f} frees`, Number.isInteger(a) && f >= 0 && f <= a);
    must(`class ${k}: allocs fell`, a >= (before.smallAllocCount[k] as number));
    must(`class ${k}: frees fell`, f >= (before.smallFreeCount[k] as number));
  }
  return found;
}

describe("statistics of a heap that threads share", () => {
  it("are one snapshot, and fall nowhere, while others allocate and free", { timeout: 60_000 }, async () => {
    const a = createAllocator({ maxMemory: 512 << 20 });
    const stop = a.mem.persistentAlloc(8, 8, "otherSys");
    a.share();
    // The heap is full of this one block, so that whatever is counted twice exceeds what is in use.
    const block = a.malloc(64 << 20);
    const exits = [32_000, 32_000, 48].map((size) => {
      const worker = new Worker(new URL("workers/load.mjs", import.meta.url), {
        workerData: { memory: a.mem.memory, stop, started: stop + 4, size },
        execArgv: [],
      });
      return new Promise<number>((resolve, reject) => worker.on("exit", resolve).on("error", reject));
    });
    while (a.mem.kernel.load(stop + 4) < 3) await new Promise((r) => setTimeout(r, 5));
    const reader = new HeapReader(attachLinearMemory(a.mem.memory as never));
    let now = newHeapStats();
    let before = newHeapStats();
    const found: string[] = [];
    for (let i = 0; i < 4000 && found.length === 0; i++) {
      reader.readStats(now);
      found.push(...faults(now, before));
      [before, now] = [now, before];
      if (i % 500 === 0) await new Promise((r) => setTimeout(r, 1));
    }
    const grown = before.mallocs;
    a.mem.u32[stop >>> 2] = 1;
    expect(await Promise.all(exits)).toEqual([0, 0, 0]);
    expect(found).toEqual([]);
    expect(grown).toBeGreaterThan(100_000);
    a.free(block);
    a.flushAll(); // what the others had parked as they closed goes back
    expect(reader.readStats(newHeapStats())).toEqual(a.readStats(newHeapStats()));
  });

  it("do not count the rest of a run that another thread cuts objects from", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    const reader = new HeapReader(attachLinearMemory(a.mem.memory as never));
    a.mallocNoscan(48);
    a.mallocNoscan(3);
    a.mallocNoscan(3);
    const charged = a.readStatsUnflushed(newHeapStats());
    const seen = reader.readStats(newHeapStats());
    expect(seen.mallocs).toBe(3);
    expect(seen.tinyAllocs).toBe(1);
    expect(seen.totalAlloc).toBe(48 + 16);
    expect(charged.totalAlloc).toBeGreaterThan(seen.totalAlloc);
    expect(seen).toEqual(a.readStats(newHeapStats()));
  });

  it("show no more allocated than in use when another thread sweeps in the middle of the snapshot", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    for (let i = 0; i < 1000; i++) a.mallocNoscan(64);
    a.flushAll();
    const reader = createAllocator({ memory: attachLinearMemory(a.mem.memory as never) });
    // What another thread may do between any two of the reader's steps, as it needs no heap lock.
    const { counter } = reader.heap;
    let freed = 0;
    reader.heap.counter = (name) => {
      if (name === "heapInUse" && freed === 0) freed = collectWith(a, () => false);
      return counter.call(reader.heap, name);
    };
    const seen = reader.readStats(newHeapStats());
    expect(freed).toBe(1000);
    expect(faults(seen, newHeapStats())).toEqual([]);
    expect(seen.mallocs).toBe(1000);
    verifyHeap(a);
  });

  it("are refused where nobody could keep them consistent", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => new HeapReader(attachLinearMemory(a.mem.memory as never))).toThrow("call its share()");
  });
});
