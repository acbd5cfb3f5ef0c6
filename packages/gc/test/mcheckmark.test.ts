import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { MSPAN_AT } from "../src/heap.ts";
import { objectIndex } from "../src/heap-walk.ts";
import { checkMarks, forEachReachable } from "../src/mcheckmark.ts";
import { Marker } from "../src/mgcmark.ts";
import { beginMarking } from "./graph.ts";
import { MiB, type Rig, rig } from "./kit.ts";

const spanOf = (r: Rig, p: number): number => r.a.spanOf(p as Addr);

/** Every visit of the walk: the object's address and where it was reached from. */
function visits(r: Rig): [base: number, from: number][] {
  const seen: [number, number][] = [];
  forEachReachable(r.gc.heap, r.gc.roots, (span, i, from) =>
    seen.push([r.gc.heap.objectBase(span, i), from]),
  );
  return seen.sort(([x], [y]) => x - y);
}

const sorted = (list: [number, number][]) => list.sort(([x], [y]) => x - y);

describe("the walk over reachable objects", () => {
  it("visits each object once, with the slot or the root that leads to it first", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const [a, b, c, d] = Array.from({ length: 4 }, () => r.a.mallocTyped(r.node)) as [Addr, Addr, Addr, Addr];
    r.u32[a >>> 2] = b + 31;
    r.u32[(a + 8) >>> 2] = a;
    // No pointer slot.
    r.u32[(a + 16) >>> 2] = d;
    r.u32[b >>> 2] = c;
    r.u32[c >>> 2] = a;
    r.gc.refs.alloc(a);
    expect(visits(r)).toEqual(
      sorted([
        [a, 0],
        [b, a],
        [c, b],
      ]),
    );
    r.gc.refs.alloc(d);
    expect(visits(r)).toContainEqual([d, 0]);
  });

  it("passes over addresses that are no object's", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const holder = r.a.mallocTyped(r.a.newType(64, [0xff]));
    const block = r.a.mallocNoscan(48);
    const base = r.u32[(spanOf(r, block) + MSPAN_AT.startAddr) >>> 2];
    const gone = r.a.mallocNoscan(100_000);
    r.gc.refs.alloc(holder);
    r.gc.gc();
    // Nil, outside of the heap, a stack, a free span, and the end of a page with no room for another object.
    const none = [0, 8, r.a.zerobase, r.a.stackAlloc(2048), gone + 8192, base + 170 * 48];
    none.forEach((p, i) => {
      r.u32[(holder + 8 * i) >>> 2] = p;
    });
    expect(visits(r)).toEqual([[holder, 0]]);
  });

  it("begins at the objects to which one with a finalizer refers, but not at itself", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const wide = r.a.newType(64, [0xff]);
    const before = r.a.mallocTyped(wide);
    const p = r.a.mallocTyped(wide);
    const after = r.a.mallocTyped(wide);
    r.gc.finalizers.setFinalizer(p, () => {});
    [p, p + 63, before + 63, after].forEach((to, i) => {
      r.u32[(p + 8 * i) >>> 2] = to;
    });
    expect(visits(r)).toEqual(
      sorted([
        [before, p + 16],
        [after, p + 24],
      ]),
    );
    r.gc.refs.alloc(p);
    expect(visits(r).map(([base]) => base)).toEqual([before, p, after].sort((x, y) => x - y));
  });

  it("tells objects of a word apart", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const word = r.a.newType(8, [1]);
    const list = Array.from({ length: 300 }, () => r.a.mallocTyped(word));
    list.forEach((p, i) => {
      r.u32[p >>> 2] = list[i + 1] ?? 0;
    });
    r.gc.refs.alloc(list[0]);
    expect(visits(r)).toEqual(sorted(list.map((p, i) => [p, i === 0 ? 0 : list[i - 1]])));
  });
});

describe("gccheckmark", () => {
  /** A root that leads to a, which leads to b; all is marked but for the object that `skip` names. */
  function setUp(skip: "a" | "b" | "none") {
    const r = rig({ maxMemory: 64 * MiB });
    const list = Array.from({ length: 3 }, () => r.a.mallocTyped(r.node)) as [Addr, Addr, Addr];
    const [, a, b] = list;
    r.u32[(a + 8) >>> 2] = b;
    r.gc.refs.alloc(a);
    const marker = new Marker(r.gc.heap, "js");
    beginMarking(r, marker);
    while (marker.drain(1 << 20) > 0);
    const span = spanOf(r, a);
    const at = r.u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    const index = objectIndex(r.gc.heap, span, skip === "a" ? a : b);
    if (skip !== "none") r.u32[at + (index >>> 5)] &= ~(1 << (index & 31));
    const base = r.u32[(span + MSPAN_AT.startAddr) >>> 2];
    return { r, a, b, index, span: `index ${index} of span ${hex(span)}, base ${hex(base)}, elemsize=32` };
  }
  const hex = (n: number) => `0x${n.toString(16)}`;
  const thrown = (r: Rig) => {
    try {
      checkMarks(r.gc.heap, r.gc.roots);
    } catch (err) {
      const { message, detail } = err as { message: string; detail?: string };
      return [message, detail];
    }
    return [];
  };

  it("is content with a heap in which all that is reachable is marked", () => {
    expect(thrown(setUp("none").r)).toEqual([]);
  });

  it("names the object that is reachable and not marked, and the slot that leads to it", () => {
    const direct = setUp("a");
    expect(thrown(direct.r)).toEqual([
      "checkmark found unmarked object",
      `runtime: object ${hex(direct.a)} is reachable from a root but not marked: ${direct.span}`,
    ]);
    const indirect = setUp("b");
    indirect.r.gc.heap.describe = (p) => `, said of ${hex(p)}`;
    expect(thrown(indirect.r)).toEqual([
      "checkmark found unmarked object",
      `runtime: object ${hex(indirect.b)} is reachable through ${hex(indirect.a + 8)} but not marked: ` +
        `${indirect.span}, said of ${hex(indirect.b)}`,
    ]);
  });
});
