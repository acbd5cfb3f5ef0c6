import { describe, expect, it } from "vitest";
import { GC_MARK, GC_OFF } from "../src/heap.ts";
import { WriteBarrier } from "../src/mbarrier.ts";
import { rig } from "./kit.ts";

function setUp() {
  const r = rig();
  const shaded: number[] = [];
  const among: number[] = [];
  const barrier = new WriteBarrier(
    r.gc.heap,
    { shade: (p: number) => shaded.push(p) },
    { shade: (p: number) => among.push(p) },
  );
  return { ...r, heap: r.gc.heap, barrier, shaded, among };
}

describe("the write barrier", () => {
  it("shades the overwritten pointer, then the stored one, while a cycle marks, and nothing else", () => {
    const { a, node, u32, heap, barrier, shaded } = setUp();
    const p = a.mallocTyped(node);
    barrier.storePointer(p, 800);
    barrier.storePointer(p, 1600);
    expect([barrier.enabled, shaded, u32[p >>> 2]]).toEqual([false, [], 1600]);
    heap.phase = GC_MARK;
    expect(barrier.enabled).toBe(true);
    barrier.storePointer(p, 2400);
    expect([shaded, u32[p >>> 2]]).toEqual([[1600, 2400], 2400]);
    shaded.length = 0;
    barrier.storePointer(p, 0);
    barrier.storePointer(p, 0);
    barrier.storePointer(p, 8);
    expect([shaded, u32[p >>> 2]]).toEqual([[2400, 8], 8]);
    shaded.length = 0;
    // For code that stores by itself.
    barrier.writeBarrier(p, 16);
    expect([shaded, u32[p >>> 2]]).toEqual([[8, 16], 8]);
    heap.phase = GC_OFF;
    barrier.storePointer(p, 0);
    expect([shaded.length, u32[p >>> 2]]).toEqual([2, 0]);
  });

  it("shades atomically from the moment at which threads share the heap", () => {
    const { a, node, heap, barrier, shaded, among } = setUp();
    const p = a.mallocTyped(node);
    heap.phase = GC_MARK;
    barrier.storePointer(p, 800);
    a.share();
    barrier.storePointer(p, 1600);
    barrier.swapPointer(p, 2400);
    barrier.compareAndSwapPointer(p, 2400, 8);
    barrier.typedMemclr(node, p, 16);
    heap.phase = GC_OFF;
    expect(shaded).toEqual([800]);
    expect(among).toEqual([800, 1600, 2400, 1600, 8, 2400, 8]);
  });

  it("shades the new pointer before an exchange, and the pointer that it took out afterwards", () => {
    const { a, node, u32, heap, barrier, shaded } = setUp();
    const p = a.mallocTyped(node);
    expect([barrier.swapPointer(p, 800), barrier.swapPointer(p, 1600)]).toEqual([0, 800]);
    expect([barrier.compareAndSwapPointer(p, 800, 0), barrier.compareAndSwapPointer(p, 1600, 2400)]).toEqual([
      false,
      true,
    ]);
    expect([shaded, u32[p >>> 2]]).toEqual([[], 2400]);
    heap.phase = GC_MARK;
    expect([barrier.swapPointer(p, 8), shaded.splice(0)]).toEqual([2400, [8, 2400]]);
    expect([barrier.swapPointer(p, 0), shaded.splice(0)]).toEqual([8, [8]]);
    expect([barrier.compareAndSwapPointer(p, 8, 16), shaded.splice(0)]).toEqual([false, [16]]);
    expect([barrier.compareAndSwapPointer(p, 0, 16), shaded.splice(0)]).toEqual([true, [16]]);
    expect([barrier.compareAndSwapPointer(p, 16, 24), shaded.splice(0)]).toEqual([true, [24, 16]]);
    // Addresses above 2 GiB are unsigned.
    u32[p >>> 2] = 0x90000000;
    expect([barrier.compareAndSwapPointer(p, 0x90000000, 0), shaded.splice(0)]).toEqual([true, [0x90000000]]);
    u32[p >>> 2] = 0x90000000;
    expect(barrier.swapPointer(p, 0)).toBe(0x90000000);
  });

  it("shades the pointers of whole elements that are copied or cleared, and moves all bytes", () => {
    const { a, u32, heap, barrier, shaded } = setUp();
    // Of 40 words, 1, 33 and 39 are pointers: the mask has two words.
    const typ = a.newType(320, [1 << 1, (1 << 1) | (1 << 7)]);
    const pair = a.newType(640, [1 << 1, (1 << 1) | (1 << 7) | (1 << 9), (1 << 9) | (1 << 15)]);
    const src = a.mallocTyped(pair);
    const dst = a.mallocTyped(pair);
    const fill = (base: number, first: number) => {
      for (let w = 0; w < 80; w++) u32[(base + 8 * w) >>> 2] = first + w;
    };
    const pointers = (first: number) => [1, 33, 39, 41, 73, 79].map((w) => first + w);
    const both = (old: number, now: number) => pointers(old).flatMap((p, i) => [p, pointers(now)[i]]);
    fill(src, 1000);
    fill(dst, 5000);
    barrier.typedMemmove(typ, dst, src, 640);
    expect(shaded).toEqual([]);
    expect(u32[(dst + 8 * 79) >>> 2]).toBe(1079);
    heap.phase = GC_MARK;
    fill(dst, 5000);
    barrier.typedMemmove(typ, dst, src, 640);
    expect(shaded).toEqual(both(5000, 1000));
    expect(u32[(dst + 8 * 79) >>> 2]).toBe(1079);
    shaded.length = 0;
    barrier.typedMemmove(typ, dst, src, 320);
    expect(shaded).toEqual([1001, 1001, 1033, 1033, 1039, 1039]);
    shaded.length = 0;
    barrier.typedMemmove(typ, dst, dst, 640);
    barrier.typedMemmove(typ, dst, src, 0);
    barrier.typedMemclr(typ, dst, 0);
    expect(shaded).toEqual([]);
    expect(u32[(dst + 8 * 79) >>> 2]).toBe(1079);
    barrier.typedMemclr(typ, dst, 640);
    expect(shaded).toEqual(pointers(1000));
    expect(u32.slice(dst >>> 2, (dst + 640) >>> 2).every((x) => x === 0)).toBe(true);
    shaded.length = 0;
    // Nil is not shaded, on either side.
    barrier.typedMemclr(typ, dst, 640);
    u32[(src + 8) >>> 2] = 0;
    barrier.typedMemmove(typ, dst, src, 320);
    expect(shaded).toEqual([1033, 1039]);
    shaded.length = 0;
    // Without a type there are no pointers.
    barrier.typedMemmove(0, dst, src, 640);
    barrier.typedMemclr(0, dst, 640);
    expect(shaded).toEqual([]);
    heap.phase = GC_OFF;
  });
});
