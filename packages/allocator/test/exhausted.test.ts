/** What happens when the tables beside the pages are full. */

import { createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import type { FatalError } from "../src/index.ts";
import { type Allocator, createAllocator, MHEAP } from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";

function failure(f: () => void): FatalError {
  try {
    f();
  } catch (err) {
    return err as FatalError;
  }
  throw new Error("nothing was thrown");
}

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

  it("span bits are too, as in a heap of more than 2 GiB of 8-byte objects", () => {
    const a = createAllocator({ maxMemory: 128 << 20 });
    const word = (offset: number): number => (a.mheap + offset) >>> 2;
    // The end of the table, moved to where the test can reach it.
    const first = a.malloc(8);
    a.mem.u32[word(MHEAP.offsets.spanBitsEnd)] =
      (a.mem.u32[word(MHEAP.offsets.spanBitsNext)] as number) + 40 * 256;
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
});
