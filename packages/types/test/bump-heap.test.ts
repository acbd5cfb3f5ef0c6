import { describe, expect, it } from "vitest";
import { roundUpToClass } from "../src/bump-heap.ts";
import type { RefSlot } from "../src/index.ts";
import { createBumpHeap, createTypes, FatalError, int, isFatalError, uint8 } from "../src/index.ts";

describe("createBumpHeap", () => {
  it("gives zeroed, aligned memory that does not overlap", () => {
    const heap = createBumpHeap();
    let last = 0;
    for (const n of [1, 7, 8, 9, 100]) {
      const a = heap.malloc(n, 0);
      expect(a % 8).toBe(0);
      expect(a).toBeGreaterThanOrEqual(last);
      expect(heap.mem.u8.subarray(a, a + n).every((b) => b === 0)).toBe(true);
      heap.mem.u8.fill(0xff, a, a + n);
      last = a + n;
    }
    expect(heap.allocated).toBe(8 + 8 + 8 + 16 + 104);
  });

  it("gives one address for all objects without size", () => {
    const heap = createBumpHeap();
    expect(heap.malloc(0, 0)).toBe(heap.malloc(0, 0));
    expect(heap.allocated).toBe(0);
  });

  it("fails with Go's fatal error when it is full, and tells the sizes", () => {
    const types = createTypes(createBumpHeap());
    let err: unknown;
    try {
      for (;;) types.makeSlice(uint8, 10 << 20);
    } catch (e) {
      err = e;
    }
    expect(err).toBeInstanceOf(FatalError);
    expect(isFatalError(err)).toBe(true);
    expect((err as FatalError).message).toBe("runtime: out of memory");
    expect((err as FatalError).detail).toMatch(
      /^runtime: cannot allocate 10485760 bytes \(\d+ of 67108864 left\)$/,
    );
    expect(types.newObject(int, 1).value).toBe(1);
  });

  it("refuses sizes and types that are none, and the release of a free root", () => {
    const heap = createBumpHeap();
    for (const n of [-1, 1.5, Number.NaN]) expect(() => heap.malloc(n, 0)).toThrow(RangeError);
    expect(() => heap.malloc(8, 3)).toThrow("types: unknown type (got 3)");
    const slot = heap.newRef(heap.malloc(8, 0));
    heap.releaseRef(slot);
    expect(() => heap.releaseRef(slot)).toThrow("release of a free root");
    expect(() => heap.releaseRef(99 as RefSlot)).toThrow(FatalError);
  });
});

describe("roundUpToClass", () => {
  it("counts the header of pointerful objects over 512 bytes, up to 32760", () => {
    const both = (n: number) => [roundUpToClass(n, true), roundUpToClass(n, false)];
    expect([0, 1, 512, 513, 1024, 32760, 32761].map(both)).toEqual([
      [0, 0],
      [8, 8],
      [512, 512],
      [576, 568],
      [1024, 1144],
      [32768, 32760],
      [32768, 32768],
    ]);
  });
});
