/** What happens when the tables beside the pages are full. */

import { createLinearMemory } from "@gort/memory";
import { ROOT_ALLOCATOR } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import type { FatalError } from "../src/index.ts";
import { type Allocator, createAllocator, MHEAP_AT } from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";
import { failure } from "./kit.ts";

/** Allocates 8 KiB objects, each a span of its own, until that fails. */
function fill(a: Allocator): { error: FatalError; objects: number[] } {
  const objects: number[] = [];
  const error = failure(() => {
    for (;;) objects.push(a.malloc(8192));
  });
  return { error, objects };
}

describe("exhausted", () => {
  it("span structs are a fatal error that says so, while pages are left, and the heap stays usable", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.free(a.malloc(4 << 20)); // pages for 512 spans
    a.mem.sysReserve(a.mem.unreserved & ~7, 8, "high");
    for (let n = 1 << 16; n >= 8; n /= 2) while (a.mem.persistentAlloc(n, 8, "otherSys") !== 0);
    const { error, objects } = fill(a);
    expect(error.code).toBe("ERR_GORT_OUT_OF_MEMORY");
    expect(error.detail).toMatch(/: no span structs left$/);
    expect(objects.length).toBeGreaterThan(10);
    verifyHeap(a);
    for (const p of objects) a.free(p as never);
    a.flushAll();
    verifyHeap(a);
    expect(fill(a).objects.length).toBe(objects.length);
  });

  it("span bits are too", () => {
    const a = createAllocator({ maxMemory: 128 << 20 });
    const word = (offset: number): number => (a.mheap + offset) >>> 2;
    // The end of the table, moved to where the test can reach it.
    const first = a.malloc(8);
    a.mem.u32[word(MHEAP_AT.spanBitsEnd)] = a.mem.u32[word(MHEAP_AT.spanBitsNext)] + 40 * 128;
    const objects: number[] = [first];
    const error = failure(() => {
      for (;;) objects.push(a.malloc(8));
    });
    expect(error.code).toBe("ERR_GORT_OUT_OF_MEMORY");
    expect(error.detail).toMatch(/: no span bits left$/);
    expect(objects.length).toBeGreaterThan(40 * 1024);
    verifyHeap(a);
    for (const p of objects) a.free(p as never);
    a.flushAll();
    verifyHeap(a);
    expect(a.malloc(8)).not.toBe(0);
  });

  it("pages are named as what is missing", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(fill(a).error.detail).toMatch(/: no pages left$/);
  });

  it("room for the tables, page summaries among them, is refused at once", () => {
    const memory = createLinearMemory({ maxMemory: 64 << 20 });
    memory.sysReserve(memory.unreserved - (1 << 20), 8, "high");
    expect(() => createAllocator({ memory })).toThrow(/has no room for the tables/);
  });

  it("metadata is out of memory too, where a type or a thread's cache is asked for", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    a.mem.sysReserve(a.mem.unreserved & ~7, 8, "high");
    for (let n = 1 << 16; n >= 8; n /= 2) while (a.mem.persistentAlloc(n, 8, "otherSys") !== 0);
    const type = failure(() => a.newType(8, [1]));
    expect([type.code, type.message]).toEqual(["ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory"]);
    const cache = failure(() => {
      for (;;) createAllocator({ memory: a.mem });
    });
    expect([cache.code, cache.message]).toEqual(["ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory"]);
  });

  it("the table of span structs ends with an error, however many caches hold spare ones", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    const capacity = (a.mem.u32[(a.mem.root(ROOT_ALLOCATOR) + 20) >>> 2] - a.heap.structs.allspansBase) / 4;
    const blocks: number[] = [];
    // Each cache takes 32 structs and uses one of them.
    const caches = Array.from({ length: Math.ceil(capacity / 32) + 8 }, () => {
      const b = createAllocator({ memory: a.mem });
      try {
        blocks.push(b.malloc(8192)); // a span of its own
      } catch (err) {
        expect((err as FatalError).detail).toMatch(/: no span structs left$/);
      }
      b.flushAll(); // gives pages back: there are too few for all caches to hold some
      return b;
    });
    expect(a.nspans).toBeLessThanOrEqual(capacity);
    const { error } = fill(a);
    expect(error.code).toBe("ERR_GORT_OUT_OF_MEMORY");
    expect(error.detail).toMatch(/: no span structs left$/);
    a.free(blocks[0] as never);
    expect(a.malloc(8192)).not.toBe(0);
    for (const b of caches) b.close();
    verifyHeap(a);
  });
});
