import { describe, expect, it } from "vitest";
import { buildClassTables, MAGIC_SHIFT, PAGE_MARK_MAX, PAGE_MASK } from "../src/class-tables.ts";
import { classToSize } from "../src/heap.ts";
import { bitAt, objectIndex } from "../src/heap-walk.ts";
import { rig } from "./kit.ts";

describe("the tables of span classes", () => {
  const tables = rig().gc.heap.classes;

  it("divide an offset in a page by each size that they have a factor for", () => {
    for (let spanclass = 0; spanclass < 256; spanclass++) {
      const magic = tables.magic[spanclass];
      const size = tables.size[spanclass];
      if (magic === 0) continue;
      let wrong = 0;
      for (let off = 0; off <= PAGE_MASK; off++) {
        if (Math.imul(off, magic) >>> MAGIC_SHIFT !== Math.trunc(off / size)) wrong++;
      }
      expect(wrong, `class of ${size}`).toBe(0);
    }
  });

  it("mark by page the objects with pointers of 16 to 512 bytes, and give every such class a factor", () => {
    let byPage = 0;
    for (let cls = 1; cls < classToSize.length; cls++) {
      const size = classToSize[cls];
      const [scan, noscan] = [cls << 1, (cls << 1) | 1];
      expect([tables.size[scan], tables.size[noscan]]).toEqual([size, size]);
      expect(tables.byPage[noscan]).toBe(0);
      if (tables.byPage[scan] === 1) {
        byPage++;
        expect(size).toBeGreaterThanOrEqual(16);
        expect(size).toBeLessThanOrEqual(PAGE_MARK_MAX);
        expect(tables.magic[scan]).toBeGreaterThan(0);
        expect(tables.magic[noscan]).toBe(tables.magic[scan]);
        expect(tables.nwords[scan]).toBe(Math.ceil(Math.floor(8192 / size) / 32));
      } else expect(tables.magic[scan]).toBe(0);
    }
    expect(byPage).toBeGreaterThan(20);
    // Class 0 is for large objects.
    expect([tables.magic[0], tables.magic[1], tables.byPage[0], tables.size[0]]).toEqual([0, 0, 0, 0]);
  });

  it("follow the sizes and pages that they are made of", () => {
    const t = buildClassTables([0, 8, 16, 512, 513, 1024, 24], [0, 1, 1, 1, 1, 1, 2]);
    const rows = [1, 2, 3, 4, 5, 6].map((cls) => [
      t.byPage[2 * cls],
      t.magic[2 * cls] > 0,
      t.magic[2 * cls + 1] > 0,
    ]);
    expect(rows).toEqual([
      [0, false, true],
      [1, true, true],
      [1, true, true],
      [0, false, true],
      [0, false, true],
      [0, false, false],
    ]);
    expect([1, 2, 3, 4, 5, 6].map((cls) => t.nwords[2 * cls])).toEqual([32, 16, 1, 1, 1, 22]);
  });
});

describe("a size without a factor", () => {
  it.each([
    [7, "whose products leave 32 bits"],
    [4, "whose products leave 32 bits"],
    [550, "whose factor is wrong at one offset of the page, 7699"],
    [614, "whose factor is wrong at one offset of the page, 7981"],
  ])("%i, %s, is divided the slow way", (size) => {
    const t = buildClassTables([0, size, 8, 549], [0, 1, 1, 1]);
    expect([t.magic[3], t.byPage[2]]).toEqual([0, 0]);
    expect([t.magic[5], t.magic[7]]).toEqual([2 ** MAGIC_SHIFT / 8, Math.ceil(2 ** MAGIC_SHIFT / 549)]);
  });
});

describe("the plain walk over the heap", () => {
  it("finds the object of an address by its span, and none behind the last", () => {
    const { a, gc } = rig();
    // Objects of 48 bytes leave 32 at the end of a page.
    const p = a.mallocTyped(a.newType(48, [1]));
    const span = a.spanOf(p) as number;
    const base = p - (p % 8192);
    const i = (q: number) => objectIndex(gc.heap, span, q);
    expect([i(base), i(base + 47), i(base + 48), i(base + 170 * 48 - 1)]).toEqual([0, 0, 1, 169]);
    expect([i(base + 170 * 48), i(base + 8191)]).toEqual([-1, -1]);
  });

  it("reads one bit of a row", () => {
    const { a, gc, u32 } = rig();
    const p = a.mallocNoscan(64);
    u32[p >>> 2] = 0x80000001;
    u32[(p + 4) >>> 2] = 2;
    const set: number[] = [];
    for (let i = 0; i < 64; i++) if (bitAt(gc.heap, p, i)) set.push(i);
    expect(set).toEqual([0, 31, 33]);
  });
});
