import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator, newHeapStats } from "../src/index.ts";
import { verifyHeap } from "../src/testing.ts";

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
