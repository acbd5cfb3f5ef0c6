import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { MSPAN_AT } from "../src/heap.ts";
import { bitAt, forEachPointerSlot, objectIndex } from "../src/heap-walk.ts";
import { MiB, type Rig, rig } from "./kit.ts";

const spanOf = (r: Rig, p: number): number => r.a.spanOf(p as Addr);

/** Offsets of the pointer slots that the walk finds in the object at p, from p. */
function slots(r: Rig, p: Addr): number[] {
  const found: number[] = [];
  forEachPointerSlot(r.gc.heap, spanOf(r, p), r.a.findObject(p), (slot) => found.push(slot - p));
  return found;
}

describe("the walk over an object's pointer slots", () => {
  it("reads the heap's bits up to 512 bytes, whatever the object's place on the page", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const shapes: [number, number[]][] = [
      [8, [0]],
      [24, [0, 16]],
      [48, [8, 40]],
      [320, [0, 248, 256, 312]],
      [512, [0, 248, 256, 504]],
    ];
    for (const [size, at] of shapes) {
      const mask = new Uint32Array(2);
      for (const off of at) mask[off >>> 8] |= 1 << ((off >>> 3) & 31);
      const typ = r.a.newType(size, mask);
      for (let i = 0; i < 20; i++) expect(slots(r, r.a.mallocTyped(typ))).toEqual(at);
    }
    expect(slots(r, r.a.mallocNoscan(48))).toEqual([]);
    expect(slots(r, r.a.mallocNoscan(600))).toEqual([]);
    expect(slots(r, r.a.mallocNoscan(40_000))).toEqual([]);
  });

  it("repeats the type of a header or of a large object over its elements, and not beyond the last", () => {
    const r = rig({ maxMemory: 64 * MiB });
    // Of 40 bytes, words 1 and 2 are pointers; of 272, words 0 and 33.
    const small = r.a.newType(40, [0b110]);
    const wide = r.a.newType(272, [1, 2]);
    const each = (size: number, n: number, at: number[]) =>
      Array.from({ length: n }, (_, i) => at.map((off) => i * size + off)).flat();
    // The walk covers the rest of a slot behind the last element too: it is zero. The slots hold 632 and 888 bytes.
    expect(slots(r, r.a.mallocgc(15 * 40, small, true))).toEqual(each(40, 16, [8, 16]));
    expect(slots(r, r.a.mallocgc(3 * 272, wide, true))).toEqual([...each(272, 3, [0, 264]), 816]);
    expect(slots(r, r.a.mallocgc(1000 * 40, small, true))).toEqual(each(40, 1000, [8, 16]));
    expect(slots(r, r.a.mallocgc(200 * 272, wide, true))).toEqual(each(272, 200, [0, 264]));
  });

  it("finds none in an object whose type is not set yet", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const typ = r.a.newType(8, [1]);
    const header = r.a.mallocgc(1000, typ, true);
    r.u32[(header - 8) >>> 2] = 0;
    expect(slots(r, header)).toEqual([]);
    const large = r.a.mallocgc(40_000, typ, true);
    r.u32[(spanOf(r, large) + MSPAN_AT.largeType) >>> 2] = 0;
    expect(slots(r, large)).toEqual([]);
  });
});

describe("an object's index", () => {
  it("is that of the slot which an address points into, -1 behind the last one", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const p = r.a.mallocNoscan(48);
    const span = spanOf(r, p);
    const base = r.u32[(span + MSPAN_AT.startAddr) >>> 2];
    const index = (offset: number) => objectIndex(r.gc.heap, span, base + offset);
    expect([0, 47, 48, 169 * 48, 170 * 48 - 1, 170 * 48, 8191].map(index)).toEqual([
      0, 0, 1, 169, 169, -1, -1,
    ]);
  });
});

describe("a bit of a row", () => {
  it("is counted from the lowest of the first word", () => {
    const { a, gc, u32 } = rig({ maxMemory: 64 * MiB });
    const row = a.mem.persistentAlloc(16, 8, "otherSys");
    u32[row >>> 2] = 0x8000_0001;
    u32[(row >>> 2) + 1] = 0b10;
    const set = Array.from({ length: 128 }, (_, i) => i).filter((i) => bitAt(gc.heap, row, i));
    expect(set).toEqual([0, 31, 33]);
  });
});
