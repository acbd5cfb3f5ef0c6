import { createAllocator, type HeapStats, newHeapStats } from "@gort/allocator";
import { verifyHeap as verifyAllocator } from "@gort/allocator/testing";
import { createCollector } from "@gort/gc";
import { verifyHeap as verifyCollector } from "@gort/gc/testing";
import { createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { MiB } from "./kit.ts";

/** Fills the memory with blocks of n bytes, and writes to none of them. */
function exhaust(malloc: (n: number) => number, n: number): number {
  let last = 0;
  try {
    for (;;) last = malloc(n);
  } catch {
    return last;
  }
}

describe("the last page of 4 GiB", () => {
  it("holds a run whose end is 2^32, and its rest can be given back", () => {
    const a = createAllocator({ maxMemory: 4096 * MiB });
    exhaust((n) => a.mallocgc(n, 0, false), 64 * MiB);
    exhaust((n) => a.mallocgc(n, 0, false), 40_960);
    let p = 0;
    while (p < 0xffffe000) {
      p = a.mallocNoscan(64);
      if (p < 0xffffe000) for (let k = 1; k < 128; k++) a.mallocNoscan(64);
    }
    const next = (p + 64) as never;
    expect(a.findObject(p as never)).toBe(p);
    expect(a.findObject(next)).toBe(0);
    expect(() => a.free(next)).toThrow(/not allocated/);
    verifyAllocator(a);
    const before: HeapStats = a.readStats(newHeapStats());
    verifyAllocator(a);
    expect(a.mallocNoscan(64)).toBe(next);
    expect(a.readStats(newHeapStats()).heapObjects).toBe(before.heapObjects + 1);
    // The rest of the page, to its very end.
    for (let k = 2; k < 128; k++) a.mallocNoscan(64);
    expect(() => a.mallocNoscan(64)).toThrow(/out of memory/);
    verifyAllocator(a);
  });
});

describe("memory that others reserve between two pieces of heap", () => {
  it("is not given to the operating system, and not to objects", () => {
    const mem = createLinearMemory({ maxMemory: 256 * MiB });
    const a = createAllocator({ memory: mem });
    a.mallocgc(100_000, 0, true);
    // The collector's tables.
    const gc = createCollector(a, { stderr: () => {} });
    const theirs = mem.sysReserve(3 * MiB, 4096, "low");
    for (let k = 0; k < 3 * MiB; k += 4096) mem.u32[(theirs + k) >>> 2] = k + 1;
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100; i++) {
        const p = a.mallocgc(MiB, 0, true);
        expect(p + MiB <= theirs || p >= theirs + 3 * MiB).toBe(true);
      }
      gc.gc();
      verifyAllocator(a);
      verifyCollector(gc);
      const idle = a.heap.counter("heapFree");
      const released = a.freeOSMemory();
      expect(released).toBe(mem.canRelease ? idle : 0);
      expect(a.heap.counter("heapFree")).toBe(mem.canRelease ? 0 : idle);
      verifyAllocator(a);
      for (let k = 0; k < 3 * MiB; k += 4096) expect(mem.u32[(theirs + k) >>> 2]).toBe(k + 1);
    }
  });
});
