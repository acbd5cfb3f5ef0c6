import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator, newHeapStats } from "../src/index.ts";
import { verifyHeap, verifyMemory } from "../src/testing.ts";

describe("stacks", () => {
  it("come in powers of two, don't overlap and may be handed out again", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const stacks: [Addr, number][] = [];
    for (let i = 0; i < 200; i++) {
      const n = 2048 << (i % 6);
      stacks.push([a.stackAlloc(n), n]);
    }
    const sorted = [...stacks].sort(([p], [q]) => p - q);
    for (let i = 1; i < sorted.length; i++) {
      const [[p, n], [q]] = [sorted[i - 1], sorted[i]] as [[Addr, number], [Addr, number]];
      expect(p + n).toBeLessThanOrEqual(q);
      expect(p % 2048).toBe(0);
    }
    verifyHeap(a);
    for (const [p, n] of stacks) a.stackFree(p, n);
    const again = a.stackAlloc(2048);
    expect(stacks.map(([p]) => p)).toContain(again);
    a.stackFree(again, 2048);
    expect(a.readStats(newHeapStats()).stackInuse).toBe(0);
    verifyHeap(a);
  });

  it("count by whole spans of 32 KiB", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const stacks = Array.from({ length: 17 }, () => a.stackAlloc(2048));
    expect(a.readStats(newHeapStats()).stackInuse).toBe(2 * 32768);
    for (const p of stacks) a.stackFree(p, 2048);
    const big = a.stackAlloc(1 << 20);
    expect(a.readStats(newHeapStats()).stackInuse).toBe(1 << 20);
    a.stackFree(big, 1 << 20);
  });

  it("loses no piece when the memory ends in the middle of a refill", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const all = Array.from({ length: 16 }, () => a.stackAlloc(2048));
    for (const n of [1 << 20, 32768]) {
      expect(() => {
        for (;;) a.stackAlloc(n);
      }).toThrow("out of memory");
    }
    const pieces = all.splice(0, 3);
    for (const p of pieces) a.stackFree(p, 2048);
    a.flushAll(); // the pieces are the pool's, and fewer than a refill takes
    expect(() => a.stackAlloc(2048)).toThrow("out of memory");
    const again = pieces.map(() => a.stackAlloc(2048));
    expect(new Set(again)).toEqual(new Set(pieces));
    for (const p of [...again, ...all]) a.stackFree(p, 2048);
    const inUse = a.readStats(newHeapStats()).stackInuse;
    expect(a.stackAlloc(32768)).toBeGreaterThan(0); // the span of all pieces went back to the heap
    expect(a.readStats(newHeapStats()).stackInuse).toBe(inUse + 32768);
    verifyHeap(a);
    verifyMemory(a.mem);
  });

  it("rejects sizes that are no stack, and a stack that is none of that size", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => a.stackAlloc(3000)).toThrow(RangeError);
    expect(() => a.stackAlloc(1024)).toThrow(RangeError);
    const p = a.stackAlloc(4096);
    expect(() => a.stackFree(p, 8192)).toThrow("stackfree: bad span state");
    expect(() => a.stackFree(a.mallocNoscan(4096), 4096)).toThrow("stackfree: bad span state");
  });

  it("ends with the fatal error when no memory is left for one", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => {
      for (;;) a.stackAlloc(1 << 20);
    }).toThrow("out of memory");
    verifyHeap(a);
  });
});
