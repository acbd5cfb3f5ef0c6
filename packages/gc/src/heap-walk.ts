/**
 * The plain walk over the heap, object by object and slot by slot, straight from the span and type tables. Users are
 * the walkers of `testing`, the check of the mark phase and rare paths of the collector. It shares no code with
 * marking, so that each can show errors of the other.
 */
import {
  type GCHeap,
  GCTYPE_AT,
  HEAP_BITS_SHIFT,
  MALLOC_HEADER_SIZE,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  OBJ_LARGE_CLASS,
} from "./heap.ts";

/** Index of the object in the span that p points into; -1 if p points behind the last object. */
export function objectIndex(heap: GCHeap, span: number, p: number): number {
  const u32 = heap.mem.u32;
  const base = u32[(span + MSPAN_AT.startAddr) >>> 2];
  const i = Math.floor((p - base) / u32[(span + MSPAN_AT.elemsize) >>> 2]);
  return i < u32[(span + MSPAN_AT.nelems) >>> 2] ? i : -1;
}

/** Bit i of the row of bits at addr. */
export function bitAt(heap: GCHeap, addr: number, i: number): boolean {
  return (heap.mem.u32[(addr >>> 2) + (i >>> 5)] & (1 << (i & 31))) !== 0;
}

export function isMarked(heap: GCHeap, span: number, i: number): boolean {
  return bitAt(heap, heap.mem.u32[(span + MSPAN_AT.gcmarkBits) >>> 2], i);
}

export function isAllocated(heap: GCHeap, span: number, i: number): boolean {
  return bitAt(heap, heap.mem.u32[(span + MSPAN_AT.allocBits) >>> 2], i);
}

/** Calls f with the address of every pointer slot of the object at base (its slot, header included). */
export function forEachPointerSlot(
  heap: GCHeap,
  span: number,
  base: number,
  f: (slot: number) => void,
): void {
  const u32 = heap.mem.u32;
  const spanclass = u32[(span + MSPAN_AT.spanclass) >>> 2];
  if ((spanclass & 1) !== 0) return;
  const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
  if (spanclass >>> 1 === OBJ_LARGE_CLASS) {
    const typ = u32[(span + MSPAN_AT.largeType) >>> 2];
    forEachTypedSlot(heap, base, u32[(span + MSPAN_AT.limit) >>> 2] - base, typ, f);
  } else if (size > MIN_SIZE_FOR_HEADER) {
    forEachTypedSlot(heap, base + MALLOC_HEADER_SIZE, size - MALLOC_HEADER_SIZE, u32[base >>> 2], f);
  } else {
    for (let a = base; a < base + size; a += 8) {
      if (bitAt(heap, heap.heapBits + ((a >>> HEAP_BITS_SHIFT) << 2), (a >>> 3) & 31)) f(a);
    }
  }
}

/** Calls f with every pointer slot of n bytes at addr that hold consecutive values of the type. */
function forEachTypedSlot(
  heap: GCHeap,
  addr: number,
  n: number,
  typ: number,
  f: (slot: number) => void,
): void {
  if (typ === 0) return;
  const u32 = heap.mem.u32;
  const size = u32[(typ + GCTYPE_AT.size) >>> 2];
  const ptrdata = u32[(typ + GCTYPE_AT.ptrdata) >>> 2];
  const mask = u32[(typ + GCTYPE_AT.maskAddr) >>> 2];
  for (let elem = 0; elem < n; elem += size) {
    for (let off = 0; off < ptrdata && elem + off < n; off += 8) {
      if (bitAt(heap, mask, off >>> 3)) f(addr + elem + off);
    }
  }
}
