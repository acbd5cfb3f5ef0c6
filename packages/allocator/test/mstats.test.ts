import { Worker } from "node:worker_threads";
import { attachLinearMemory, createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator, type HeapStats, newHeapStats } from "../src/index.ts";
import { HeapReader, MCACHE_AT } from "../src/internal.ts";
import { sizeClassOf } from "../src/sizeclass.ts";
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
    const a = s.smallAllocCount[k];
    const f = s.smallFreeCount[k];
    must(`class ${k}: ${a} allocs, ${f} frees`, Number.isInteger(a) && f >= 0 && f <= a);
    must(`class ${k}: allocs fell`, a >= before.smallAllocCount[k]);
    must(`class ${k}: frees fell`, f >= before.smallFreeCount[k]);
  }
  return found;
}

/** A shared heap. A reading of heapInUse first calls the function of `between`; the first `counts.low` give 0. */
function interrupted() {
  const a = createAllocator({ maxMemory: 64 << 20 });
  a.share();
  const counts = { calls: 0, low: 0 };
  let act = (): void => {};
  const { counter } = a.heap;
  a.heap.counter = (name) => {
    if (name !== "heapInUse") return counter.call(a.heap, name);
    act();
    return ++counts.calls <= counts.low ? 0 : counter.call(a.heap, name);
  };
  return {
    a,
    counts,
    between(f: () => void) {
      act = f;
    },
  };
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

  it("are the sums over all mcaches, of each kind of object", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    const b = createAllocator({ memory: a.mem });
    for (const [x, n] of [
      [a, 3],
      [b, 2],
    ] as const) {
      for (let k = 0; k < n; k++) for (const size of [5, 64, 1024, 40_000]) x.mallocNoscan(size);
      x.free(x.malloc(64));
      x.free(x.malloc(100_000));
    }
    const c64 = sizeClassOf(64);
    const c1024 = sizeClassOf(1024);
    const charged = a.readStatsUnflushed(newHeapStats());
    expect([charged.smallAllocCount[c64], charged.smallFreeCount[c64]]).toEqual([2 * 128, 2]);
    expect([charged.smallAllocCount[c1024], charged.smallAllocCount[2], charged.tinyAllocs]).toEqual([
      16, 1024, 3,
    ]);
    const st = a.readStats(newHeapStats());
    // a's three objects of 5 bytes share a block, and so do b's two.
    expect([st.smallAllocCount[2], st.tinyAllocs]).toEqual([2, 3]);
    expect([st.smallAllocCount[c64], st.smallFreeCount[c64], st.smallAllocCount[c1024]]).toEqual([7, 2, 5]);
    expect([st.largeAllocCount, st.largeFreeCount]).toEqual([7, 2]);
    expect([st.largeAlloc, st.largeFree]).toEqual([5 * 40_960 + 2 * 106_496, 2 * 106_496]);
    expect([st.mallocs, st.frees, st.heapObjects]).toEqual([24, 7, 17]);
    expect(st.totalAlloc).toBe(2 * 16 + 7 * 64 + 5 * 1024 + st.largeAlloc);
    expect(st.totalFree).toBe(2 * 64 + st.largeFree);
    expect([st.heapAlloc, st.mcacheInuse]).toEqual([st.totalAlloc - st.totalFree, a.heap.cachealloc.inuse]);
    expect(new HeapReader(a.mem).readStats(newHeapStats())).toEqual(st);
  });

  it("count no more as freed than was seen to be allocated, of large objects as well", () => {
    const { a, between } = interrupted();
    a.mallocgc(40_000, 0, true);
    const add = (offset: number, n: number): void => {
      a.mem.f64[(a.cache.base + offset) >>> 3] += n;
    };
    between(() => {
      add(MCACHE_AT.largeFree, 50_000);
      add(MCACHE_AT.largeFreeCount, 2);
    });
    const seen = a.readStats(newHeapStats());
    expect([seen.largeFree, seen.largeFreeCount, seen.heapAlloc, seen.heapObjects]).toEqual([
      40_960, 1, 0, 0,
    ]);
  });

  it("are taken again while they show more allocated than in use, but not for ever", () => {
    const { a, counts } = interrupted();
    a.mallocgc(40_000, 0, true);
    counts.low = 1;
    expect(a.readStats(newHeapStats())).toMatchObject({ heapAlloc: 40_960, heapInuse: 40_960 });
    expect(counts.calls).toBe(2);
    counts.calls = 0;
    counts.low = Number.POSITIVE_INFINITY;
    expect(a.readStats(newHeapStats())).toMatchObject({ heapAlloc: 40_960, heapInuse: 0 });
    expect(counts.calls).toBe(101);
    counts.calls = 0;
    a.readStatsUnflushed(newHeapStats()); // what is in current runs may exceed it
    expect(counts.calls).toBe(1);
  });

  it("are refused where no lock could keep them consistent", () => {
    expect(() => new HeapReader(createLinearMemory({ maxMemory: 64 << 20 }))).toThrow(
      "allocator: memory has no allocator",
    );
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => new HeapReader(attachLinearMemory(a.mem.memory as never))).toThrow("call its share()");
  });
});
