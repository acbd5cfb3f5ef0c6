import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator, newHeapStats } from "../src/index.ts";
import { MCACHE_AT, MHEAP_AT, MSPAN_AT } from "../src/internal.ts";
import { verifyHeap, verifyMemory } from "../src/testing.ts";
import { failure } from "./kit.ts";

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
    expect(a.mem.u32[(a.spanOf(big) + MSPAN_AT.allocCount) >>> 2]).toBe(1);
    const { stackInuse } = a.readStatsUnflushed(newHeapStats());
    for (const n of [32_768, 65_536]) a.stackFree(a.stackAlloc(n), n); // spans of their own: none is kept
    expect(a.readStatsUnflushed(newHeapStats()).stackInuse).toBe(stackInuse);
    expect(a.readStats(newHeapStats()).stackInuse).toBe(1 << 20);
    a.stackFree(big, 1 << 20);
  });

  it("come from a thread's pieces, of which it takes 16 KiB at a time and keeps less than 32 KiB", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    for (const [order, n] of [2048, 4096, 8192, 16_384].entries()) {
      const cached = (): number => a.mem.u32[(a.cache.base + MCACHE_AT.stackFreeBytes) / 4 + order];
      const first = a.stackAlloc(n);
      expect([n, cached()]).toEqual([n, 16_384 - n]);
      const s = a.spanOf(first);
      const held = (): number => a.mem.u32[(s + MSPAN_AT.allocCount) >>> 2];
      expect([n, held()]).toEqual([n, 16_384 / n]);
      // The rest of the span's pieces.
      const all = [first];
      while (all.length < 32_768 / n) all.push(a.stackAlloc(n));
      expect(new Set(all.map((p) => a.spanOf(p)))).toEqual(new Set([s]));
      expect(new Set(all).size).toBe(32_768 / n);
      expect([n, cached(), held()]).toEqual([n, 0, 32_768 / n]);
      const other = a.stackAlloc(n); // of another span
      expect(a.spanOf(other)).not.toBe(s);
      const before = cached();
      const head = (a.cache.base + MCACHE_AT.stackFree) / 4 + order;
      for (const p of all) {
        a.stackFree(p, n);
        expect(cached()).toBeLessThan(32_768);
      }
      let listed = 0;
      for (let p = a.mem.u32[head]; p !== 0; p = a.mem.u32[p >>> 2]) listed += n;
      expect([n, listed]).toEqual([n, cached()]);
      // At 32 KiB half of the pieces went back to the pool; the rest came after that.
      expect([n, cached()]).toEqual([n, before + 32_768 - 16_384]);
      a.stackFree(other, n);
      a.flushAll();
      expect([n, cached(), a.readStats(newHeapStats()).stackInuse]).toEqual([n, 0, 0]);
      verifyHeap(a);
    }
  });

  it("come from the pool's spans before a new one is made", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const stacks = Array.from({ length: 6 }, () => a.stackAlloc(16_384)); // three spans
    const spans = stacks.filter((_, k) => k % 2 === 0).map((p) => a.spanOf(p));
    const pool = (): number[] => {
      const found: number[] = [];
      let s = a.mem.u32[(a.mheap + MHEAP_AT.stackPool) / 4 + 3];
      for (; s !== 0; s = a.mem.u32[(s + MSPAN_AT.next) >>> 2]) found.push(s);
      return found;
    };
    expect(pool()).toEqual([]);
    for (const k of [0, 2, 4]) {
      a.stackFree(stacks[k], 16_384);
      a.stacks.flush();
    }
    expect(pool()).toEqual([...spans].reverse());
    // The span in the middle, the last one and the first go as their other pieces come back.
    for (const [k, left] of [
      [3, [spans[2], spans[0]]],
      [1, [spans[2]]],
      [5, []],
    ] as const) {
      a.stackFree(stacks[k], 16_384);
      a.stacks.flush();
      expect(pool()).toEqual(left);
      expect(a.spanOf(stacks[k])).toBe(0);
    }
    verifyHeap(a);
    verifyMemory(a.mem);
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
    expect(() => a.stackAlloc(1024)).toThrow(
      "allocator: stack size must be a power of two of at least 2048 (got 1024)",
    );
    for (const n of [2049, 2 ** 32, 4096.5, Number.NaN]) expect(() => a.stackAlloc(n)).toThrow(`(got ${n})`);
    expect(() => a.stackAlloc(2 ** 31)).toThrow("out of memory");
    const p = a.stackAlloc(4096);
    expect(() => a.stackFree(p, 8192)).toThrow("stackfree: bad span state");
    const error = failure(() => a.stackFree(p, 2048));
    expect(error.detail).toBe(`stack 0x${p.toString(16)} of 2048 bytes`);
    expect(() => a.stackFree(a.mallocNoscan(4096), 4096)).toThrow("stackfree: bad span state");
    expect(() => a.stackFree(64 as Addr, 4096)).toThrow("stackfree: bad span state");
    const pages = a.allocManual(4); // the collector's
    a.mem.u32[(a.spanOf(pages) + MSPAN_AT.elemsize) >>> 2] = 32_768;
    expect(() => a.stackFree(pages, 32_768)).toThrow("stackfree: bad span state");
  });

  it("ends with the fatal error when no memory is left for one", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => {
      for (;;) a.stackAlloc(1 << 20);
    }).toThrow("out of memory");
    verifyHeap(a);
  });
});
