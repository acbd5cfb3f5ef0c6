import { RuntimeError } from "@gort/base";
import type { Heap } from "./heap.ts";

/** Up to this capacity append doubles; above it growth eases towards a quarter. */
const THRESHOLD = 256;

/**
 * The capacity that append wants for `newLen` elements in a slice of capacity `oldCap`, before rounding:
 * doubling for small slices, 1.25 times plus 192 for large ones, and never less than needed.
 */
export function nextSliceCap(newLen: number, oldCap: number): number {
  const double = oldCap * 2;
  if (newLen > double) return newLen;
  if (oldCap < THRESHOLD) return double;
  let cap = oldCap;
  // Capacities stay far below 2^53: a division replaces the shift, which would cut them to 32 bits.
  while (cap < newLen) cap += Math.floor((cap + 3 * THRESHOLD) / 4);
  return cap;
}

/**
 * The capacity of the array that append allocates: what `nextSliceCap` wants, enlarged to fill the
 * allocator's size class.
 *
 * @throws RuntimeError `growslice: len out of range` when the array would exceed the memory
 */
export function growCap(
  heap: Heap,
  elemSize: number,
  noscan: boolean,
  newLen: number,
  oldCap: number,
): number {
  const bytes = newLen * elemSize;
  // Elements of size 0 take no memory, but their number stays exact.
  if (bytes >= heap.mem.size || !Number.isSafeInteger(newLen)) {
    throw new RuntimeError("runtime error: growslice: len out of range", "ERR_GORT_GROWSLICE_LEN");
  }
  if (elemSize === 0) return newLen;
  const wanted = nextSliceCap(newLen, oldCap) * elemSize;
  if (wanted >= heap.mem.size) {
    throw new RuntimeError("runtime error: growslice: len out of range", "ERR_GORT_GROWSLICE_LEN");
  }
  return Math.floor(heap.roundupsize(wanted, noscan) / elemSize);
}
