/**
 * `GODEBUG=gccheckmark=1`: when marking is done, the plainest algorithm marks the heap once more. Everything that it
 * reaches must be marked. It runs in the stop that ends the cycle, and takes V8 memory: a 64th of the heap.
 */
import { hasObjects } from "@gort/allocator/internal";
import { hex, throwFatal } from "@gort/base";
import { type GCHeap, MSPAN_AT, PAGE_SHIFT } from "./heap.ts";
import { forEachPointerSlot, isMarked, objectIndex } from "./heap-walk.ts";
import type { Roots } from "./mark-roots.ts";

/** Calls visit once with every reachable object: its span, its index, and the slot that led to it (0: a root). */
export function forEachReachable(
  heap: GCHeap,
  roots: Roots,
  visit: (span: number, i: number, from: number) => void,
): void {
  const u32 = heap.mem.u32;
  // A bit for each word (8 bytes) of the heap.
  const { arenaStart } = heap;
  const seen = new Uint32Array(((heap.arenaEnd - arenaStart) >>> 8) + 1);
  const grey: number[] = [];
  const reach = (p: number, from: number): void => {
    // Spans of stacks and of the collector have no objects.
    if (!hasObjects(u32[(heap.pageInfo + ((p >>> PAGE_SHIFT) << 2)) >>> 2])) return;
    const span = heap.allocator.spanOf(p as never) as number;
    const i = objectIndex(heap, span, p);
    if (i < 0) return;
    const base = heap.objectBase(span, i);
    const word = (base - arenaStart) >>> 3;
    const bit = 1 << (word & 31);
    if ((seen[word >>> 5] & bit) !== 0) return;
    seen[word >>> 5] |= bit;
    visit(span, i, from);
    grey.push(base);
  };
  const scan = (base: number, self: boolean): void => {
    const span = heap.allocator.spanOf(base as never) as number;
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    forEachPointerSlot(heap, span, base, (slot) => {
      const p = u32[slot >>> 2];
      if (p !== 0 && (self || p < base || p - base >= size)) reach(p, slot);
    });
  };
  roots.forEachRoot((p) => reach(p, 0));
  heap.forEachSpan((span) => {
    roots.forEachFinalizerObject(span, (base) => scan(base, false));
  });
  for (let base = grey.pop(); base !== undefined; base = grey.pop()) scan(base, true);
}

/** Throws if an object is reachable but not marked. */
export function checkMarks(heap: GCHeap, roots: Roots): void {
  const { u32 } = heap.mem;
  forEachReachable(heap, roots, (span, i, from) => {
    if (isMarked(heap, span, i)) return;
    const object = heap.objectBase(span, i);
    const base = u32[(span + MSPAN_AT.startAddr) >>> 2];
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    const holder = from === 0 ? "from a root" : `through ${hex(from)}`;
    throwFatal(
      "checkmark found unmarked object",
      `runtime: object ${hex(object)} is reachable ${holder} but not marked: ` +
        `index ${i} of span ${hex(span)}, base ${hex(base)}, elemsize=${size}${heap.describe(object)}`,
    );
  });
}
