/**
 * A fixed random heap with objects of every kind that is marked in its own way, and what a mark phase has left in it.
 */
import { GC_MARK, GC_OFF, MSPAN_AT } from "../src/heap.ts";
import type { Marker } from "../src/mgcmark.ts";
import type { Random, Rig } from "./kit.ts";
import { shapes } from "./stress/mutator.ts";

/** Allocates n objects with random edges, and makes a few of them roots: part of it is garbage. */
export function randomGraph(r: Rig, rnd: Random, n: number): void {
  const all = shapes(r);
  const objects: { addr: number; size: number; fields: number[] }[] = [];
  for (let i = 0; i < n; i++) {
    const shape = all[rnd(rnd(16) === 0 ? all.length : 8)];
    objects.push({ addr: r.a.mallocgc(shape.size, shape.typ, true), size: shape.size, fields: shape.fields });
    if (shape.size > 8000) i += 200;
  }
  const near = rnd(2) === 0 ? objects.length : 64;
  objects.forEach((o, i) => {
    for (const f of o.fields) {
      // Nil, an interior pointer, no pointer at all, or an object that may be close by.
      const what = rnd(10);
      if (what === 0) continue;
      const to = objects[(i + 1 + rnd(near)) % objects.length];
      const value = what === 1 ? to.addr + rnd(to.size) : what === 2 ? 4096 + rnd(100_000) : to.addr;
      r.u32[(o.addr + f) >>> 2] = value;
    }
  });
  for (let k = 0; k < 1 + rnd(6); k++) r.gc.refs.alloc(objects[rnd(objects.length)].addr);
}

/** The mark bits of every span, in the order of the spans. */
export function markBits(r: Rig): number[] {
  const { heap } = r.gc;
  const { u32 } = heap.mem;
  const bits: number[] = [];
  heap.forEachSpan((span) => {
    const at = u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    for (let k = 0; k * 32 < u32[(span + MSPAN_AT.nelems) >>> 2]; k++) bits.push(u32[at + k]);
  });
  return bits;
}

/** Stops the world and begins to mark: roots are grey when it returns. */
export function beginMarking(r: Rig, marker: Marker): void {
  const { heap, roots } = r.gc;
  r.a.flushAll();
  heap.phase = GC_MARK;
  marker.invalidptr = true;
  marker.reset();
  roots.begin(marker);
  while (roots.step(marker));
}

/** What a mark phase came to. */
export interface Marked {
  bits: number[];
  bytesMarked: number;
  scanWork: number;
  stats: ReturnType<Marker["scanStats"]>;
}

/** Ends the mark phase, and takes all its marks away again. */
export function endMarking(r: Rig, marker: Marker): Marked {
  const { heap } = r.gc;
  const { u32 } = heap.mem;
  if (marker.overflow) marker.markOverflow();
  marker.releaseWorkbufs();
  heap.phase = GC_OFF;
  const marked: Marked = {
    bits: markBits(r),
    bytesMarked: marker.bytesMarked,
    scanWork: marker.heapScanWork,
    stats: marker.scanStats(),
  };
  heap.forEachSpan((span) => {
    const at = u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    for (let k = 0; k * 32 < u32[(span + MSPAN_AT.nelems) >>> 2]; k++) u32[at + k] = 0;
  });
  return marked;
}
