/** The heap of pages: its locks, its tables and its figures, by exact values. */

import { hex } from "@gort/base";
import type { Addr } from "@gort/memory";
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  type Allocator,
  createAllocator,
  FIXALLOC_AT,
  GCCONTROL_AT,
  MCACHE,
  MCACHE_AT,
  MCENTRAL,
  MHEAP_AT,
  MSPAN,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  newHeapStats,
  SPAN_DEAD,
  SPAN_IN_USE,
  SPAN_MANUAL,
  SPECIAL,
} from "../src/internal.ts";
import { classToAllocNPages, classToSize } from "../src/sizeclasses.generated.ts";
import { bitsBytes } from "../src/span-bits.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";
import { failure } from "./kit.ts";

const CHUNK = 4 << 20;
let a: Allocator;
beforeEach(() => {
  a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
});
const word = (addr: number): number => a.mem.u32[addr >>> 2];

describe("the locks of the heap", () => {
  it("are known by their addresses, and what lies between them is no lock", () => {
    const span = a.spanOf(a.mallocNoscan(64));
    expect(a.mem.lockRankOf(a.mheap + MHEAP_AT.lock)).toBe("mheap");
    for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++)
      expect(a.mem.lockRankOf(a.mheap + MHEAP_AT.central + spc * MCENTRAL.size)).toBe("mcentral");
    expect(a.mem.lockRankOf(a.mheap + MHEAP_AT.central + 4)).toBeUndefined();
    expect(a.mem.lockRankOf(a.mheap + MHEAP_AT.central - MCENTRAL.size)).toBeUndefined();
    expect(a.mem.lockRankOf(a.mheap + MHEAP_AT.central + NUM_SPAN_CLASSES * MCENTRAL.size)).toBeUndefined();
    expect(a.mem.lockRankOf(a.mheap + MHEAP_AT.shared)).toBeUndefined();
    for (let n = 0; n < a.nspans; n++)
      expect(a.mem.lockRankOf(a.spanAt(n) + MSPAN_AT.speclock)).toBe("mspanSpecial");
    expect(a.mem.lockRankOf(span + MSPAN_AT.specials)).toBeUndefined();
    // Memory that looks like a span struct, but its index names no span or another span.
    const fake = a.mem.persistentAlloc(MSPAN.size, 8, "otherSys") as number;
    for (const index of [0, 1, a.nspans, a.nspans + 1]) {
      a.mem.u32[(fake + MSPAN_AT.index) >>> 2] = index;
      expect(a.mem.lockRankOf(fake + MSPAN_AT.speclock)).toBeUndefined();
    }
  });

  it("are all looked at to find the one that a thread holds", () => {
    a.mallocNoscan(64);
    const locks = [
      ...a.mem.lockAddrs,
      a.mheap + MHEAP_AT.lock,
      a.mheap + MHEAP_AT.central,
      a.mheap + MHEAP_AT.central + (NUM_SPAN_CLASSES - 1) * MCENTRAL.size,
      a.spanAt(0) + MSPAN_AT.speclock,
      a.spanAt(a.nspans - 1) + MSPAN_AT.speclock,
    ];
    expect(a.heap.lockHeldBy(5)).toBe(0);
    for (const addr of locks) {
      for (const waiters of [0, 1]) {
        a.mem.u32[addr >>> 2] = (5 << 1) | waiters;
        expect(a.heap.lockHeldBy(5)).toBe(addr);
        expect(a.heap.lockHeldBy(4)).toBe(0);
      }
      a.mem.u32[addr >>> 2] = 0;
    }
  });

  it("are taken once threads share the heap, and not before", () => {
    const held = (): number => a.heap.lockHeldBy(a.mem.thread);
    a.heap.lock();
    expect(held()).toBe(0);
    a.heap.unlock();
    a.share();
    a.heap.lock();
    expect(held()).toBe(a.mheap + MHEAP_AT.lock);
    a.heap.unlock();
    expect(held()).toBe(0);
  });
});

describe("the tables", () => {
  const pageInfo = (p: number): number => word(a.pageInfoBase + 4 * (p >>> 13));

  it("say of each page of a span its class and where its mark bits are, and whose it is", () => {
    const p = a.mallocNoscan(9000); // a span of several pages
    const s = a.spanOf(p);
    const npages = word(s + MSPAN_AT.npages);
    expect(npages).toBeGreaterThan(1);
    const start = word(s + MSPAN_AT.startAddr);
    for (let q = start; q < start + npages * 8192; q += 8192) {
      expect(pageInfo(q)).toBe(word(s + MSPAN_AT.gcmarkBits) * 32 + word(s + MSPAN_AT.spanclass));
      expect(a.spanOf(q as Addr)).toBe(s);
    }
    expect(pageInfo(start + npages * 8192)).toBe(0xff);
    expect(a.spanOf((start + npages * 8192) as Addr)).toBe(0);
    expect(word(s + MSPAN_AT.allocBits) - word(s + MSPAN_AT.gcmarkBits)).toBe(a.heap.spanBits.half);
    const m = a.allocManual(2);
    expect([pageInfo(m), pageInfo(m + 8192)]).toEqual([0xff, 0xff]);
    expect(a.spanOf((m + 8192) as Addr)).toBe(a.spanOf(m));
    expect(word(a.spanOf(m) + MSPAN_AT.state)).toBe(SPAN_MANUAL);
    expect(word(a.spanOf(m) + MSPAN_AT.limit)).toBe(m + 16384);
    a.freeManual(m);
    expect(a.spanOf(m)).toBe(0);
    expect(word(s + MSPAN_AT.state)).toBe(SPAN_IN_USE);
  });

  it("of span structs keeps a struct's place over its lives", () => {
    const m = a.allocManual(1);
    const s = a.spanOf(m);
    const index = word(s + MSPAN_AT.index);
    expect(a.spanAt(index - 1)).toBe(s);
    const { nspans } = a;
    a.freeManual(m);
    expect([word(s + MSPAN_AT.state), word(s + MSPAN_AT.index), a.nspans]).toEqual([
      SPAN_DEAD,
      index,
      nspans,
    ]);
  });

  it("of structs are where all threads look for them, and count what is in use", () => {
    a.mallocNoscan(64);
    a.addSpecial(a.mallocNoscan(64), 1, 2);
    a.share();
    createAllocator({ memory: a.mem });
    const inuse = (list: number): number => a.mem.f64[(a.mheap + list + FIXALLOC_AT.inuseBytes) >>> 3];
    expect(inuse(MHEAP_AT.spanalloc)).toBe(32 * MSPAN.size);
    expect(inuse(MHEAP_AT.specialalloc)).toBe(Math.ceil(SPECIAL.size / 8) * 8);
    // Whole pairs of cache lines: two threads share none.
    expect(inuse(MHEAP_AT.cachealloc)).toBe(2 * Math.ceil(MCACHE.size / 128) * 128);
    expect(
      [a.heap.structs.fixalloc, a.heap.specialalloc, a.heap.cachealloc].map((list) => list.inuse),
    ).toEqual([MHEAP_AT.spanalloc, MHEAP_AT.specialalloc, MHEAP_AT.cachealloc].map(inuse));
  });

  it("of span structs gets one back without its fields, but for its place", () => {
    const s = a.spanOf(a.allocManual(1));
    const index = word(s + MSPAN_AT.index);
    for (const f of [
      MSPAN_AT.prev,
      MSPAN_AT.list,
      MSPAN_AT.specials,
      MSPAN_AT.largeType,
      MSPAN_AT.manualFreeList,
      MSPAN_AT.speclock,
    ])
      a.mem.u32[(s + f) >>> 2] = 7;
    a.heap.freeSpan(s);
    expect(a.heap.structs.fixalloc.alloc()).toBe(s); // the last one that was freed
    const words = [...a.mem.u32.subarray(s >>> 2, (s + MSPAN.size) >>> 2)];
    expect(words).toEqual(words.map((_, k) => (4 * k === MSPAN_AT.index ? index : 0)));
  });

  it("of span structs takes 32 at a time, and counts those that no span uses yet as not in use", () => {
    a.mallocNoscan(64);
    const st = a.readStats(newHeapStats());
    expect(a.nspans).toBe(32);
    expect(st.mspanInuse).toBe(MSPAN.size);
    expect(a.heap.structs.fixalloc.inuse).toBe(32 * MSPAN.size);
    expect(word(a.cache.base + MCACHE_AT.nspanFree)).toBe(31);
    for (let k = 0; k < 32; k++) a.allocManual(1);
    expect(a.nspans).toBe(64);
    expect(a.heap.structs.inUseBytes).toBe(33 * MSPAN.size);
  });

  it("of span structs is counted by 16 KiB, which name 4096", () => {
    const maps = vi.spyOn(a.mem, "sysMap");
    const ofTable = (): unknown[] => maps.mock.calls.filter(([, , stat]) => stat === "otherSys");
    const at = (n: number): unknown[] => [a.heap.structs.allspansBase + 4 * n, 16_384, "otherSys"];
    for (let k = 0; k < 4096; k++) a.allocManual(1);
    expect([a.nspans, ofTable()]).toEqual([4096, [at(0)]]);
    a.allocManual(1);
    expect([a.nspans, ofTable()]).toEqual([4128, [at(0), at(4096)]]);
  });

  it("of pointer bits is counted by 4 KiB, once for each 256 KiB of heap that has any", () => {
    const typ = a.newType(8, [1]);
    a.mallocNoscan(8192);
    const before = a.mem.stats.gcSys;
    const p = a.mallocTyped(typ);
    const start = p - (p % (256 << 10));
    expect(a.heap.tables.heapBitsMapped(p)).toBe(true);
    expect(a.heap.tables.heapBitsMapped(start)).toBe(true);
    expect(a.heap.tables.heapBitsMapped(start + (256 << 10) - 8)).toBe(true);
    expect(a.heap.tables.heapBitsMapped(start - 8)).toBe(false);
    expect(a.heap.tables.heapBitsMapped(start + (256 << 10))).toBe(false);
    const grown = a.mem.stats.gcSys;
    expect(grown - before).toBe(4096);
    a.heap.tables.mapHeapBits(start);
    a.heap.tables.mapHeapBits(start + (256 << 10) - 8);
    expect(a.mem.stats.gcSys).toBe(grown);
    a.heap.tables.mapHeapBits(start + (256 << 10));
    a.heap.tables.mapHeapBits(start + 40 * (256 << 10)); // in another word of the map
    expect(a.mem.stats.gcSys).toBe(grown + 2 * 4096);
    expect(a.heap.tables.heapBitsMapped(start + (256 << 10))).toBe(true);
    expect(a.heap.tables.heapBitsMapped(start + 40 * (256 << 10))).toBe(true);
    expect(a.heap.tables.heapBitsMapped(start + 8 * (256 << 10))).toBe(false);
  });

  it("of bits has a bit for each slot of a span, in blocks of 8 to 128 bytes", () => {
    for (let spc = 2; spc < NUM_SPAN_CLASSES; spc++) {
      const npages = classToAllocNPages[spc >>> 1];
      const nelems = Math.floor((npages * 8192) / classToSize[spc >>> 1]);
      const bytes = bitsBytes(spc);
      const least = Math.ceil(nelems / 32) * 4;
      expect([8, 16, 32, 64, 128]).toContain(bytes);
      expect(bytes).toBeGreaterThanOrEqual(least);
      if (bytes > 8) expect(bytes / 2).toBeLessThan(least);
    }
    expect([bitsBytes(0), bitsBytes(1)]).toEqual([8, 8]);
  });
});

describe("the heap's growth", () => {
  it("is by whole chunks, which the arena's bounds and all tables include", () => {
    const before = a.mem.stats.gcSys;
    const maps = vi.spyOn(a.mem, "sysMap");
    a.allocManual(1);
    const start = word(a.mheap + MHEAP_AT.arenaStart);
    const ofPages = [a.pageInfoBase, a.pageSpanBase].map((table) => [
      table + (start / 8192) * 4,
      512 * 4,
      "gcSys",
    ]);
    expect(maps.mock.calls.filter(([, , stat]) => stat !== "otherSys")).toEqual([
      [start, CHUNK, "heapSys"],
      ...ofPages,
    ]);
    expect(start % CHUNK).toBe(0);
    expect(word(a.mheap + MHEAP_AT.arenaEnd)).toBe(start + CHUNK);
    // 512 pages: two words of page tables and two bits each; and the page that is in use.
    expect(a.mem.stats.gcSys - before).toBe(512 * 8 + 128 + 8192);
    const big = a.allocManual(512);
    expect(word(a.mheap + MHEAP_AT.arenaEnd)).toBe(start + 2 * CHUNK); // 511 pages were free at its end
    expect(big).toBe(start + 8192);
    expect(word(a.mheap + MHEAP_AT.arenaStart)).toBe(start);
    verifyHeap(a);
  });

  it("moves the mark above which memory is fresh to the end of what was handed out", () => {
    const p = a.mallocgc(100 * 8192, 0, true);
    expect(word(a.mheap + MHEAP_AT.zeroedBase)).toBe(p + 100 * 8192);
    expect(word(a.spanOf(p) + MSPAN_AT.needzero)).toBe(0);
    const q = a.mallocNoscan(8192); // with all 64 pages of the page cache
    expect(word(a.spanOf(q) + MSPAN_AT.needzero)).toBe(0);
    expect(word(a.mheap + MHEAP_AT.zeroedBase)).toBe(p + 128 * 8192);
  });
});

describe("the heap's figures", () => {
  it("move between free, released and the uses as spans come and go", () => {
    const figures = (): number[] =>
      (["heapInUse", "heapFree", "heapReleased", "stackInUse", "gcManualInUse", "emptyPages"] as const).map(
        (n) => a.heap.counter(n),
      );
    const K8 = 8192;
    expect(figures()).toEqual([0, 0, 0, 0, 0, 0]);
    const m = a.allocManual(3);
    expect(figures()).toEqual([0, 0, CHUNK - 3 * K8, 0, 3 * K8, 0]);
    expect(a.mem.stats.heapSys).toBe(CHUNK - 3 * K8);
    const stack = a.stackAlloc(65_536);
    expect(figures()).toEqual([0, 0, CHUNK - 11 * K8, 8 * K8, 3 * K8, 0]);
    expect([a.mem.stats.heapSys, a.mem.stats.stackSys]).toEqual([CHUNK - 11 * K8, 8 * K8]);
    a.freeManual(m);
    expect(figures()).toEqual([0, 3 * K8, CHUNK - 11 * K8, 8 * K8, 0, 0]);
    const p = a.malloc(40_000);
    expect(figures()).toEqual([5 * K8, 3 * K8, CHUNK - 16 * K8, 8 * K8, 0, 0]);
    a.stackFree(stack, 65_536);
    a.free(p);
    expect(figures()).toEqual([0, 16 * K8, CHUNK - 16 * K8, 0, 0, 0]);
    expect(a.mem.stats.heapSys).toBe(CHUNK);
    a.flushAll(); // the page cache holds what is behind
    // A run of pages part of which was used before: only the others are taken from the released ones.
    a.malloc(20 * K8);
    expect(figures()).toEqual([20 * K8, 0, CHUNK - 20 * K8, 0, 0, 0]);
    a.mallocNoscan(K8);
    expect(figures()).toEqual([21 * K8, 0, CHUNK - 21 * K8, 0, 0, 0]);
    verifyHeap(a);
  });

  it("tell in an error what was asked for, what there is, and what the hook adds", () => {
    a.malloc(100_000);
    a.hooks.explainOutOfMemory = () => "and a line more";
    const error = failure(() => a.malloc(3 * 2 ** 30));
    const inUse = 13 * 8192;
    expect(error.code).toBe("ERR_GORT_OUT_OF_MEMORY");
    expect(error.detail).toBe(
      `runtime: cannot allocate 3221225472-byte block (${inUse} in use, ${CHUNK - inUse} idle, ` +
        `${a.mem.unreserved} unreserved of a memory of 67108864 bytes): no pages left\nand a line more`,
    );
  });

  it("print addresses in hexadecimal", () => {
    expect([hex(0), hex(0xfedc_ba98)]).toEqual(["0x0", "0xfedcba98"]);
  });
});

describe("where a span's pages come from", () => {
  const K8 = 8192;

  it("is the page cache for objects of up to 15 pages, and the page allocator for all else", () => {
    const claimed = (): boolean => !a.heap.pageCache.empty;
    a.allocManual(1);
    expect(claimed()).toBe(false);
    a.mallocgc(16 * K8, 0, true);
    expect(claimed()).toBe(false);
    const p = a.mallocgc(15 * K8, 0, true);
    expect(claimed()).toBe(true);
    // The 64 pages around the lowest free one: 17 of them are in use, 15 are the object's.
    expect([...a.heap.pageCache.entries()].map(([page]) => page)).toEqual(
      Array.from({ length: 32 }, (_, k) => p / K8 + 15 + k),
    );
    expect(a.heap.flushPages()).toBe(true);
    expect([claimed(), a.heap.flushPages()]).toEqual([false, false]);
  });

  it("is what the page cache holds before the heap grows", () => {
    const p = a.mallocNoscan(K8); // makes the heap grow
    expect(a.mallocNoscan(K8)).toBe(p + K8); // claims the 64 pages around it
    a.allocManual(448); // all behind them
    expect(a.allocManual(62)).toBe(p + 2 * K8);
    expect(word(a.mheap + MHEAP_AT.arenaEnd)).toBe(p + CHUNK);
    verifyHeap(a);
  });

  it("calls sysUsed for pages without physical memory, and once only", () => {
    const used = vi.spyOn(a.mem, "sysUsed");
    const m = a.allocManual(3);
    expect(used.mock.calls).toEqual([[m, 3 * K8]]);
    a.freeManual(m);
    expect(a.allocManual(3)).toBe(m);
    expect(used.mock.calls).toHaveLength(1);
    const p = a.mallocNoscan(K8);
    a.mallocNoscan(9472);
    expect(used.mock.calls.slice(1)).toEqual([
      [p, K8],
      [p + K8, 2 * K8 + 5 * K8],
    ]);
  });
});

describe("a span is known to be zero", () => {
  const needzero = (p: Addr): number => word(a.spanOf(p) + MSPAN_AT.needzero);
  const released = (zeroes: boolean): void => {
    vi.spyOn(a.mem, "canRelease", "get").mockReturnValue(true);
    vi.spyOn(a.mem, "releaseZeroes", "get").mockReturnValue(zeroes);
    vi.spyOn(a.mem, "sysUnused").mockReturnValue(true);
  };

  it.each([true, false])(
    "if its pages were never used, or were all released where a release clears them (%s)",
    (zeroes) => {
      const m = a.allocManual(8);
      expect(needzero(m)).toBe(0);
      a.freeManual(m);
      expect(needzero(a.allocManual(8))).toBe(1); // the same pages, with what was in them
      a.freeManual(m);
      released(zeroes);
      expect(a.scavenge(4 * 8192)).toBe(4 * 8192);
      const part = a.allocManual(8);
      expect([part, needzero(part)]).toEqual([m, 1]); // half of them hold memory
      a.freeManual(part);
      a.scavenge(Number.POSITIVE_INFINITY);
      const all = a.allocManual(8);
      expect([all, needzero(all)]).toEqual([m, zeroes ? 0 : 1]);
      // Above all that was ever handed out it is, whatever a release does.
      const above = a.allocManual(8);
      expect([above, needzero(above)]).toEqual([m + 8 * 8192, 0]);
    },
  );

  it("in the page cache as well", () => {
    const p = a.mallocNoscan(8192);
    const [q, r] = [a.mallocNoscan(8192), a.mallocNoscan(8192)]; // of the page cache
    expect([p, q, r].map(needzero)).toEqual([0, 0, 0]);
    collectWith(a, (x) => x === p);
    a.heap.freeRetained(Number.POSITIVE_INFINITY);
    a.flushAll();
    const again = a.mallocNoscan(16_384); // of a class of two pages
    expect([again, needzero(again)]).toEqual([q, 1]);
    const next = a.mallocNoscan(8192);
    expect([next, needzero(next)]).toEqual([r + 8192, 0]); // in the same cache
  });
});

describe("what an operation reports when it has ended", () => {
  it("is the heap's growth, if it has grown", () => {
    const told: [number, boolean][] = [];
    a.heap.operation.giveBack = (grown, overLimit) => void told.push([grown, overLimit]);
    a.allocManual(1);
    expect(told).toEqual([[CHUNK, false]]);
    a.allocManual(1);
    a.mallocNoscan(64);
    expect(told).toHaveLength(1);
    a.mallocgc(2 * CHUNK, 0, true);
    expect(told.slice(1)).toEqual([[2 * CHUNK, false]]);
    a.hooks.deductSweepCredit = () => a.deferReport();
    a.mallocNoscan(128);
    expect([told.length, a.heap.operation.pending]).toEqual([2, false]);
  });

  it("is not the growth of another thread meanwhile", () => {
    a.share();
    const b = createAllocator({ memory: a.mem });
    const told: number[] = [];
    for (const t of [a, b]) t.heap.operation.giveBack = (grown) => void told.push(grown);
    // Whenever a asks for the heap lock, b is faster and grows the heap.
    const { lock } = a.heap;
    let left = 6;
    a.heap.lock = () => {
      if (left-- > 0) b.mallocgc(2 * CHUNK, 0, false);
      lock.call(a.heap);
    };
    a.mallocgc(3 * CHUNK, 0, false);
    a.heap.lock = lock;
    expect(told).toEqual([...told.slice(1).map(() => 2 * CHUNK), 3 * CHUNK]);
    expect(told.length).toBeGreaterThan(2);
    verifyHeap(a);
  });

  it("is what a hook deferred, once, and at the next one what is deferred meanwhile", () => {
    let done = 0;
    a.hooks.deductSweepCredit = () => {
      if (done === 0) a.deferReport();
    };
    a.hooks.operationDone = () => {
      if (++done === 1) a.deferReport();
    };
    a.mallocNoscan(64);
    expect([done, a.heap.operation.pending]).toEqual([1, true]);
    a.mallocNoscan(128);
    expect([done, a.heap.operation.pending]).toEqual([2, false]);
    a.mallocNoscan(256);
    expect(done).toBe(2);
  });
});

describe("a heap that ends at 4 GiB", () => {
  const END = 2 ** 32;

  it("uses its last page like any other, though no word holds the page's end", () => {
    a = createAllocator({ maxMemory: END, shared: false, seed: 1 });
    const room = Math.floor(a.mem.unreserved / CHUNK) * CHUNK;
    const rest = a.mallocgc(room - CHUNK, 0, false);
    expect(rest + room).toBe(END);
    const pages = Array.from({ length: 512 }, () => a.mallocNoscan(8192));
    const last = pages[511];
    expect(last).toBe(END - 8192);
    expect([word(a.mheap + MHEAP_AT.arenaEnd), word(a.mheap + MHEAP_AT.zeroedBase)]).toEqual([
      END - 1,
      END - 1,
    ]);
    expect([word(a.spanOf(last) + MSPAN_AT.limit), a.findObject((END - 8) as Addr)]).toEqual([END - 1, last]);
    collectWith(a, (p) => p !== last);
    const objs = Array.from({ length: 5 }, () => a.mallocNoscan(64));
    expect(objs).toEqual([0, 1, 2, 3, 4].map((k) => last + 64 * k));
    const s = a.spanOf(last);
    expect([word(s + MSPAN_AT.limit), word(s + MSPAN_AT.allocCount)]).toEqual([END - 1, 128]);
    // The rest of the run is no object.
    expect([last + 256, last + 320, END - 8].map((p) => a.findObject(p as Addr))).toEqual([last + 256, 0, 0]);
    const st = a.readStatsUnflushed(newHeapStats());
    expect(st.heapObjects).toBe(1 + 511 + 128);
    a.flushAll();
    expect([word(s + MSPAN_AT.allocCount), word(s + MSPAN_AT.freeindex)]).toEqual([5, 5]);
    const more = Array.from({ length: 123 }, () => a.mallocNoscan(64));
    expect(more.at(-1)).toBe(END - 64);
    expect(a.findObject((END - 8) as Addr)).toBe(END - 64);
    expect(a.readStats(newHeapStats()).heapObjects).toBe(1 + 511 + 128);
    expect(() => a.mallocNoscan(64)).toThrow("out of memory");
    // The collector's own pages and a large object there as well.
    collectWith(a, (p) => p === rest);
    a.freeOSMemory();
    const m = a.allocManual(512);
    expect([m + CHUNK, word(a.spanOf(m) + MSPAN_AT.limit)]).toEqual([END, END - 1]);
    a.freeManual(m);
    const large = a.mallocgc(CHUNK, 0, true);
    expect([large + CHUNK, word(a.spanOf(large) + MSPAN_AT.limit)]).toEqual([END, END - 1]);
    verifyHeap(a);
  });
});

describe("a heap whose free pages are retained spans", () => {
  const K8 = 8192;
  /** 512 spans of a page, all of the chunk, none of which has an object. */
  const retained = (): void => {
    for (let k = 0; k < 512; k++) a.mallocNoscan(K8);
    collectWith(a, () => false);
    expect([a.heap.counter("emptyPages"), a.mem.stats.heapSys]).toEqual([512, CHUNK]);
  };

  it("frees 64 of them for up to 16 pages, and all for more, before it grows", () => {
    for (const [npages, left] of [
      [1, 448],
      [16, 448],
      [17, 0],
      [512, 0],
    ] as const) {
      a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
      retained();
      a.allocManual(npages);
      expect([npages, a.heap.counter("emptyPages")]).toEqual([npages, left]);
      expect(a.mem.stats.heapSys + npages * K8).toBe(CHUNK);
      verifyHeap(a);
    }
  });

  it("leaves them alone while there are other pages", () => {
    for (let k = 0; k < 3; k++) a.mallocNoscan(K8);
    collectWith(a, () => false);
    a.allocManual(100);
    a.mallocNoscan(40_000);
    expect(a.heap.counter("emptyPages")).toBe(3);
  });

  it("grows if they are not enough", () => {
    retained();
    a.allocManual(513);
    expect(a.heap.counter("emptyPages")).toBe(0);
    expect(a.mem.stats.heapSys + 513 * K8).toBe(2 * CHUNK);
    verifyHeap(a);
  });

  it("gives them back to the system with the rest", () => {
    retained();
    expect(a.scavenge(K8)).toBe(K8);
    expect([a.heap.counter("emptyPages"), a.heap.counter("heapReleased")]).toEqual([0, K8]);
    verifyHeap(a);
  });
});

describe("the scavenger's search", () => {
  const sizes = (nbytes: number, pageSizeOS: number): [number, number][] => {
    const calls: [number, number][] = [];
    vi.spyOn(a.mem, "canRelease", "get").mockReturnValue(true);
    vi.spyOn(a.mem, "pageSizeOS", "get").mockReturnValue(pageSizeOS);
    const release = vi.spyOn(a.mem, "sysUnused").mockImplementation((addr, n) => {
      calls.push([addr, n]);
      return true;
    });
    a.scavenge(nbytes);
    release.mockRestore();
    return calls;
  };

  it("takes whole pages of the system, and no more of them than were asked for", () => {
    const p = a.allocManual(64);
    const keep = a.allocManual(1);
    a.freeManual(p);
    const end = p + 64 * 8192;
    expect(sizes(1, 4096)).toEqual([[end - 8192, 8192]]);
    expect(sizes(8193, 4096)).toEqual([[end - 3 * 8192, 16_384]]);
    expect(sizes(1, 65_536)).toEqual([[end - 128 * 1024, 65_536]]); // the three pages at the end are no whole one
    expect(sizes(65_537, 65_536)).toEqual([[end - 256 * 1024, 131_072]]);
    verifyHeap(a);
    a.freeManual(keep);
  });

  it("goes down from where pages were freed last, and begins there again", () => {
    const [low, , high, top] = [1, 1022, 1, 1].map((n) => a.allocManual(n)) as [Addr, Addr, Addr, Addr];
    a.freeManual(high);
    a.freeManual(low);
    expect(sizes(Number.POSITIVE_INFINITY, 4096)).toEqual([
      [high, 8192],
      [low, 8192],
    ]);
    expect(word(a.mheap + MHEAP_AT.scavChunk)).toBe(low / CHUNK);
    expect(sizes(Number.POSITIVE_INFINITY, 4096)).toEqual([]);
    a.freeManual(top); // beside the page that was released
    expect(word(a.mheap + MHEAP_AT.scavChunk)).toBe(top / CHUNK + 1 - (top % CHUNK) / CHUNK);
    expect(sizes(Number.POSITIVE_INFINITY, 4096)).toEqual([[top, 8192]]);
  });
});

describe("a span that is freed", () => {
  const failing = (act: () => void): [string, string | undefined] => {
    const { message, detail } = failure(act);
    return [message, detail];
  };

  it("must have no object, be on no list, and have no special", () => {
    const p = a.mallocgc(100_000, 0, true);
    const s = a.spanOf(p);
    const at = `span ${hex(p)} allocCount=`;
    expect(failing(() => a.freeSpan(s))).toEqual(["mheap.freeSpan: span is in use", `${at}1`]);
    a.mem.u32[(s + MSPAN_AT.allocCount) >>> 2] = 0;
    expect(failing(() => a.freeSpan(s))).toEqual(["mheap.freeSpan: span is in use", `${at}0`]);
    a.central.remove(s);
    a.addSpecial(p, 1, 2);
    expect(failing(() => a.freeSpan(s))).toEqual(["mheap.freeSpan: span is in use", `${at}0`]);
    a.removeSpecial(p, 1);
    a.freeSpan(s);
    expect(word(s + MSPAN_AT.state)).toBe(SPAN_DEAD);
    expect(failing(() => a.freeSpan(s))).toEqual([
      "mheap.freeSpan: bad span state",
      `span ${hex(p)} state=0`,
    ]);
  });

  it("of objects with pointers leaves no bit behind, in a heap that may be used by hand", () => {
    const typ = a.newType(64, [0xff]);
    const bits = (p: Addr): number => word(a.heapBitsBase + 4 * (p >>> 8));
    for (const collected of [false, true]) {
      a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
      a.newType(64, [0xff]);
      const p = a.mallocTyped(typ);
      const beside = a.malloc(8192);
      if (collected) a.mem.u32[(a.gcControl + GCCONTROL_AT.sweepgen) >>> 2] = 4; // the swept lists are the same
      a.flushAll();
      const s = a.spanOf(p);
      a.central.remove(s);
      a.mem.u32[(s + MSPAN_AT.allocCount) >>> 2] = 0;
      expect([bits(p), bits((p + 7936) as Addr)]).toEqual([0xffffffff, 0xffffffff]);
      a.freeSpan(s);
      const left = collected ? 0xffffffff : 0;
      expect([bits(p), bits((p + 7936) as Addr)]).toEqual([left, left]);
      expect(bits(beside)).toBe(1); // a block by hand
    }
  });

  it("of the collector's own pages must be one", () => {
    const p = a.mallocNoscan(64);
    const detail = (addr: number): [string, string] => [
      "mheap.freeManual: not a manual span",
      `address ${hex(addr)}`,
    ];
    expect(failing(() => a.freeManual(p))).toEqual(detail(p));
    expect(failing(() => a.freeManual(64 as Addr))).toEqual(detail(64));
  });
});
