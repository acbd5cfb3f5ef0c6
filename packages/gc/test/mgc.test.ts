import { type Allocator, createAllocator } from "@gort/allocator";
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { type Collector, type CollectorOptions, createCollector } from "../src/index.ts";

const MiB = 1 << 20;

function setUp(options: CollectorOptions = {}): {
  a: Allocator;
  gc: Collector;
  node: number;
  heapObjects: () => number;
} {
  const a = createAllocator({ maxMemory: 256 * MiB });
  const gc = createCollector(a, { stderr: () => {}, ...options });
  const stats = { ...({} as ReturnType<Allocator["readStats"]>) };
  void stats;
  return {
    a,
    gc,
    node: a.newType(32, [0b0011]),
    heapObjects: () => {
      const s = a.readStats(newStats());
      return s.heapObjects;
    },
  };
}

import { newHeapStats as newStats } from "@gort/allocator";

describe("a collection", () => {
  it("frees what no root reaches and keeps what one does", () => {
    const { a, gc, node, heapObjects } = setUp();
    const keep = a.mallocTyped(node);
    const child = a.mallocTyped(node);
    gc.storePointer(keep, child);
    const ref = gc.refs.alloc(keep);
    for (let i = 0; i < 100_000; i++) a.mallocTyped(node);
    expect(heapObjects()).toBe(100_002);
    gc.gc();
    expect(heapObjects()).toBe(2);
    expect(a.mem.u32[keep >>> 2]).toBe(child);
    gc.refs.free(ref);
    gc.gc();
    expect(heapObjects()).toBe(0);
    void (0 as Addr);
  });
});
