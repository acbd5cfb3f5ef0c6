/** The allocator's heap as the collector sees it. */
import { GCCONTROL_AT, PAGE_SIZE } from "@gort/allocator/internal";
import { describe, expect, it } from "vitest";
import { GC_MARK, GC_MARK_TERMINATION, GC_OFF, type GCHeap } from "../src/heap.ts";
import { MiB, rig } from "./kit.ts";

describe("the heap", () => {
  it("counts as free the pages that no span has, from its first byte to its last", () => {
    const { a, gc } = rig();
    const { heap } = gc;
    const first = a.mallocNoscan(100_000);
    const second = a.mallocNoscan(100_000);
    expect(first).toBe(heap.arenaStart);
    expect(heap.isFreeHeapPage(first)).toBe(false);
    const ref = gc.refs.alloc(second);
    gc.gc();
    expect([first, first + 99_999].map((p) => heap.isFreeHeapPage(p))).toEqual([true, true]);
    expect([first - 1, second, second + 99_999].map((p) => heap.isFreeHeapPage(p))).toEqual([
      false,
      false,
      false,
    ]);
    gc.refs.free(ref);
    gc.gc();
    expect([heap.arenaEnd - 1, heap.arenaEnd].map((p) => heap.isFreeHeapPage(p))).toEqual([true, false]);
    expect(heap.heapPages() * PAGE_SIZE).toBe(heap.arenaEnd - heap.arenaStart);
    expect(heap.heapPages()).toBeGreaterThanOrEqual((4 * MiB) / PAGE_SIZE);
  });

  it("tells spans of objects from others", () => {
    const { a, gc } = rig();
    const { heap } = gc;
    const spans = [a.mallocNoscan(100_000), a.mallocNoscan(100_000), a.mallocNoscan(32)].map((p) =>
      a.spanOf(p),
    );
    const manual = a.spanOf(heap.allocWork() as never);
    expect(manual).not.toBe(0);
    expect([...spans, manual].map((span) => heap.isManual(span))).toEqual([false, false, false, true]);
    const walked = (): number[] => {
      const seen: number[] = [];
      heap.forEachSpan((span) => seen.push(span));
      return seen;
    };
    const live = (): number[] =>
      Array.from({ length: a.nspans }, (_, i) => heap.liveSpan(i)).filter((span) => span !== 0);
    expect(new Set(walked())).toEqual(new Set(spans));
    expect(live()).toEqual(walked());
    gc.gc();
    // The span of small objects is kept for the next ones.
    expect([walked(), live()]).toEqual([[spans[2]], [spans[2]]]);
  });

  it("says where an object begins", () => {
    const { a, gc } = rig();
    const p = a.mallocNoscan(48);
    expect(gc.heap.objectBase(a.spanOf(p), 0)).toBe(p);
    expect(gc.heap.objectBase(a.spanOf(p), 5)).toBe(p + 5 * 48);
  });

  it("keeps to a memory limit with every span that it takes", () => {
    const { a, gc } = rig();
    gc.heap.limitMemory(12 * MiB);
    expect(a.scavenger.memoryLimit).toBe(12 * MiB);
    gc.setMemoryLimit(2 ** 63);
    expect(a.scavenger.memoryLimit).toBe(Number.POSITIVE_INFINITY);
  });

  it("knows nothing of stale pointers unless allocations are traced", () => {
    expect(rig().gc.heap.describe(8192)).toBe("");
  });
});

describe("memory for grey objects", () => {
  it("is taken from the heap in pieces of 64 KiB, given back, and none where the heap is full", () => {
    const { a, gc } = rig({ maxMemory: 64 * MiB });
    const { heap } = gc;
    const taken: number[] = [];
    for (let p = heap.allocWork(); p !== 0; p = heap.allocWork()) taken.push(p);
    expect(taken.length).toBeGreaterThan(500);
    const sorted = [...taken].sort((x, y) => x - y);
    for (let i = 1; i < sorted.length; i++)
      expect(sorted[i] - sorted[i - 1]).toBeGreaterThanOrEqual(heap.workBytes);
    const again = taken.pop() as number;
    heap.freeWork(again);
    expect(heap.allocWork()).toBe(again);
    expect(a.spanOf(again as never)).not.toBe(0);
  });

  it("lets an error pass that is no full memory", () => {
    const { a, gc } = rig();
    a.allocManual = () => {
      throw new RangeError("broken");
    };
    expect(() => gc.heap.allocWork()).toThrow(new RangeError("broken"));
  });
});

describe("the control block", () => {
  it("has a word of its own for each figure, where the allocator and the kernel look for it", () => {
    const { a, gc } = rig();
    const { heap } = gc;
    const words = ["heapLive", "sweepgen", "pagesSwept"] as const;
    const doubles = ["trigger", "heapGoal", "heapMarked"] as const;
    words.forEach((name, i) => void (heap[name] = 100 + i));
    doubles.forEach((name, i) => void (heap[name] = 2.5 ** i));
    expect(words.map((name) => heap[name])).toEqual([100, 101, 102]);
    expect(doubles.map((name) => heap[name])).toEqual([1, 2.5, 6.25]);
    const { u32, f64 } = a.mem;
    const at = (name: keyof typeof GCCONTROL_AT) => a.gcControl + GCCONTROL_AT[name];
    expect(words.map((name) => u32[at(name) >>> 2])).toEqual([100, 101, 102]);
    expect(doubles.map((name) => f64[at(name) >>> 3])).toEqual([1, 2.5, 6.25]);
  });

  it("has the write barrier on in both phases of marking", () => {
    const { a, gc } = rig();
    const heap: GCHeap = gc.heap;
    const barrier = () => a.mem.u32[(a.gcControl + GCCONTROL_AT.writeBarrierEnabled) >>> 2];
    const seen = [GC_MARK, GC_MARK_TERMINATION, GC_OFF].map((phase) => {
      heap.phase = phase;
      return [heap.phase, barrier()];
    });
    expect(seen).toEqual([
      [1, 1],
      [2, 1],
      [0, 0],
    ]);
  });
});
