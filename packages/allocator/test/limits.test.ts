/**
 * A heap that is as large as its memory lets it be: all free memory can be had, whichever thread holds it and
 * whatever it was cut into.
 */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { isFatalError } from "../src/index.ts";
import {
  type Allocator,
  CHUNK_BYTES,
  createAllocator,
  MCACHE_AT,
  MCENTRAL,
  MHEAP_AT,
  newHeapStats,
  PAGE_SIZE,
} from "../src/internal.ts";
import { spanBitsBytes } from "../src/span-bits.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

const MiB = 1 << 20;

/** Allocates until that fails. Returns the objects, and the resource that the error names as missing. */
function fill(alloc: () => Addr): { objects: Addr[]; lacking: string | undefined } {
  const objects: Addr[] = [];
  try {
    for (;;) objects.push(alloc());
  } catch (err) {
    if (!isFatalError(err)) throw err;
    return { objects, lacking: /: no (.*) left$/.exec(err.detail ?? "")?.[1] };
  }
}

/** Bytes of chunks that the heap may still grow by. */
function room(a: Allocator): number {
  return Math.floor(a.mem.unreserved / CHUNK_BYTES) * CHUNK_BYTES;
}

describe("a heap at the end of its memory", () => {
  it("grows by no more than its free end lacks", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    a.malloc(100);
    const all = room(a);
    const half = all / 2;
    a.free(a.malloc(half));
    const p = a.malloc(all - CHUNK_BYTES);
    verifyHeap(a);
    a.free(p);
    a.free(a.malloc(all)); // and one chunk more, for a larger block
    verifyHeap(a);
    expect(room(a)).toBe(0);
    expect(fill(() => a.malloc(all + CHUNK_BYTES)).lacking).toBe("pages");
    expect(a.malloc(half)).not.toBe(0);
  });

  it("grows past memory that other code has reserved at its end", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    a.free(a.malloc(6 * MiB));
    a.mem.sysReserve(1000, 8, "low");
    const p = a.malloc(12 * MiB);
    a.free(p);
    verifyHeap(a);
    expect(a.malloc(12 * MiB)).toBe(p);
  });
});

describe("a thread that finds no memory", () => {
  const ways: Record<string, (b: Allocator) => Addr> = {
    small: (b) => b.mallocNoscan(2048),
    tiny: (b) => b.mallocNoscan(3),
    typed: (b) => b.mallocTyped(b.newType(64, [1])),
    "large, with pointers": (b) => b.mallocgc(100_000, b.newType(8, [1]), true),
    stack: (b) => b.stackAlloc(64 << 10),
    "the collector's": (b) => b.allocManual(9),
  };
  for (const [name, alloc] of Object.entries(ways)) {
    /** A full heap of two threads. */
    const full = (): { a: Allocator; b: Allocator; objects: Addr[] } => {
      const a = createAllocator({ maxMemory: 64 * MiB });
      a.share();
      const b = createAllocator({ memory: a.mem, seed: 1 });
      b.newType(64, [1]);
      b.newType(8, [1]);
      const objects = [64 << 10, 8192, 2048, 64, 16].flatMap(
        (n) => fill(() => a.mallocgc(n, 0, false)).objects,
      );
      return { a, b, objects };
    };

    it(`has the garbage of all threads, if it can be collected: ${name}`, () => {
      const { a, b } = full();
      let calls = 0;
      b.hooks.outOfMemory = () => {
        calls++;
        b.flushAll();
        a.flushAll();
        collectWith(a, () => false);
        return true;
      };
      expect(alloc(b)).not.toBe(0);
      expect(calls).toBe(1);
      a.flushAll();
      b.flushAll();
      verifyHeap(a);
    });

    it(`asks again if another thread is faster: ${name}`, () => {
      const { a, b, objects } = full();
      const more = (): void => {
        const live = new Set(objects.splice(200));
        b.flushAll();
        a.flushAll();
        collectWith(a, (p) => live.has(p));
      };
      let calls = 0;
      b.hooks.outOfMemory = () => {
        calls++;
        more();
        if (calls < 3)
          for (const n of [64 << 10, 8192, 2048, 64, 16])
            objects.push(...fill(() => a.mallocgc(n, 0, false)).objects);
        return true;
      };
      expect(alloc(b)).not.toBe(0);
      expect(calls).toBe(3);
      a.flushAll();
      b.flushAll();
      verifyHeap(a);
    });
  }
});

describe("pages that threads have put aside", () => {
  it("are had by the others before memory is said to be out", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    a.share();
    // 63 pages put aside by each: 100 MiB, if they were not taken back.
    const threads = Array.from({ length: 200 }, () => createAllocator({ memory: a.mem }));
    const blocks = threads.map((t) => t.malloc(8192));
    verifyHeap(a);
    for (const t of threads) blocks.push(t.malloc(8192));
    const { objects, lacking } = fill(() => a.malloc(64 << 10));
    expect([objects.length > 500, lacking]).toEqual([true, "pages"]);
    verifyHeap(a);
    for (const p of [...blocks, ...objects]) a.free(p);
    a.flushAll();
    verifyHeap(a);
    // The owners go on: they have no pages left, and take new ones.
    for (const t of threads) t.free(t.malloc(8192));
    verifyHeap(a);
    expect(new Set(threads.map((t) => t.malloc(8192))).size).toBe(200);
    for (const t of threads) t.close();
    verifyHeap(a);
  });

  it("are had also if the other threads take them back at once", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    a.share();
    const b = createAllocator({ memory: a.mem });
    const blocks = fill(() => a.malloc(64 << 10)).objects;
    for (const p of blocks.splice(-2)) a.free(p);
    // Whenever a gives the heap lock back, b is there first and puts all free pages aside.
    const { unlock } = a.heap;
    const thief = b.heap as unknown as { refillPages(): boolean };
    expect(thief.refillPages()).toBe(true);
    let stolen = 0;
    a.heap.unlock = () => {
      unlock.call(a.heap);
      if (b.heap.pageCache.empty && thief.refillPages()) stolen++;
    };
    for (let k = 0; k < 4; k++) expect(a.mallocgc(24 << 10, 0, false)).not.toBe(0);
    expect(stolen).toBeGreaterThanOrEqual(4);
    a.heap.unlock = unlock;
    verifyHeap(a);
  });

  it("are given back to the system with everything else, and no sooner", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    if (!a.mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
    a.share();
    const b = createAllocator({ memory: a.mem });
    b.free(b.malloc(512 << 10)); // pages that hold memory
    b.malloc(8192);
    const parked = (): number => [...b.heap.pageCache.entries()].length;
    expect(parked()).toBe(63);
    a.scavenge(PAGE_SIZE);
    expect(parked()).toBe(63);
    a.freeOSMemory();
    expect(parked()).toBe(0);
    verifyHeap(a);
    const st = a.readStats(newHeapStats());
    expect(st.heapReleased).toBe(st.heapIdle);
  });

  it("include spans without objects, whatever the counters say at that moment", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    a.share();
    const b = createAllocator({ memory: a.mem });
    const { objects } = fill(() => a.mallocNoscan(4096));
    a.flushAll();
    collectWith(a, () => false);
    expect(a.heap.counter("emptyPages")).toBeGreaterThan(objects.length / 2 - 100);
    // Another thread has counted a span as used, and the thread that kept it has not been read yet.
    const skew = (b.cache.base + MCACHE_AT.emptyPages) >>> 3;
    const before = a.mem.f64[skew];
    a.mem.f64[skew] = before - 1e6;
    expect(a.mallocgc(48 * MiB, 0, false)).not.toBe(0);
    a.mem.f64[skew] = before;
    verifyHeap(a);
  });

  it("go from the list of such spans to the heap under one lock, so that no thread misses those on the way", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    a.share();
    for (let k = 0; k < 2000; k++) a.mallocNoscan(8 << (k % 10));
    collectWith(a, () => false);
    const { freeSpan } = a.heap;
    let freed = 0;
    a.heap.freeSpan = (s) => {
      const spanclass = a.mem.u32[(s + 28) >>> 2];
      const lock = a.mheap + MHEAP_AT.central + spanclass * MCENTRAL.size;
      expect(a.mem.u32[lock >>> 2] >>> 1).toBe(a.mem.thread);
      freed++;
      freeSpan.call(a.heap, s);
    };
    a.freeOSMemory();
    expect(freed).toBeGreaterThan(20);
    expect(a.heap.counter("emptyPages")).toBe(0);
    verifyHeap(a);
  });
});

describe("span bits", () => {
  it("last as long as there are pages, whatever sizes the spans had before", { timeout: 60_000 }, () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    const word = a.newType(8, [1]);
    const counts = new Map<number, number>();
    for (const size of [8192, 8, 512, 8192, 16, 8]) {
      const { objects, lacking } = fill(() => (size === 8 ? a.mallocTyped(word) : a.mallocNoscan(size)));
      expect([size, lacking]).toEqual([size, "pages"]);
      const n = counts.get(size) ?? objects.length;
      // A page more or less: tables of pointer bits and span structs take none of the heap's.
      expect([size, objects.length]).toEqual([size, n]);
      counts.set(size, n);
      const kept = new Set(objects.filter((_, k) => k % 4096 === 0));
      collectWith(a, (p) => kept.has(p));
      collectWith(a, () => false);
    }
    verifyHeap(a);
  });

  it("are found again when each frame was cut into other blocks than are asked for", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    const { spanBits, base } = a.heap;
    const next = (base + MHEAP_AT.spanBitsNext) >>> 2;
    a.mem.u32[(base + MHEAP_AT.spanBitsEnd) >>> 2] = a.mem.u32[next] + 64 * 128;
    const drain = (size: number): number[] => {
      const blocks: number[] = [];
      for (;;) {
        const p = spanBits.take(size) || (spanBits.refill(size) ? spanBits.take(size) : 0);
        if (p === 0) return blocks;
        for (const half of [0, spanBits.half]) {
          for (let w = 0; w < size / 4; w++) {
            expect(a.mem.u32[((p + half) >>> 2) + w]).toBe(0);
            a.mem.u32[((p + half) >>> 2) + w] = 0xffffffff;
          }
        }
        blocks.push(p);
      }
    };
    for (const size of [8, 128, 32, 16, 64, 8]) {
      const blocks = drain(size);
      expect([size, new Set(blocks).size]).toEqual([size, (64 * 128) / size]);
      // One block of a frame in use keeps the frame, and no other.
      const [pin] = blocks.splice(blocks.length >>> 1, 1) as [number];
      for (const p of blocks) spanBits.free(p, size);
      const whole = drain(128);
      expect(whole.length).toBe(63);
      for (const p of whole) spanBits.free(p, 128);
      spanBits.free(pin, size);
    }
  });

  it("have a frame for each page that a heap can have, at any size of memory", () => {
    for (const maxMemory of [64 * MiB, 100 * MiB, 2 ** 30, 2 ** 31, 2 ** 32]) {
      const a = createAllocator({ maxMemory, shared: false });
      const base = a.mem.u32[(a.mheap + MHEAP_AT.spanBitsNext) >>> 2];
      const frames = spanBitsBytes(a.mem.size, base) / 2 / 128;
      const pages = a.mem.unreserved / PAGE_SIZE;
      // What mcaches may hold on top is 3/64 of the pages of the memory.
      expect([maxMemory, frames > pages + (a.mem.size / PAGE_SIZE) * (3 / 64)]).toEqual([maxMemory, true]);
      expect(base + a.heap.spanBits.half).toBeLessThanOrEqual(2 ** 27);
    }
  });

  it("are put aside in smaller lots the more threads there are", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    a.share();
    const word = (x: Allocator): number => a.mem.u32[(x.cache.base + MCACHE_AT.nspanBitsFree) >>> 2];
    a.malloc(100);
    expect(word(a)).toBe(15);
    const threads = Array.from({ length: 100 }, () => createAllocator({ memory: a.mem }));
    let parked = 0;
    for (const t of threads) {
      const blocks = [16, 100, 1000, 8192].map((n) => t.malloc(n));
      for (const p of blocks) t.free(p);
      t.flushAll();
      parked += word(t);
    }
    expect(parked).toBeLessThanOrEqual(256 + 100);
    verifyHeap(a);
  });
});
