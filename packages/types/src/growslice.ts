import { RuntimeError } from "@gort/base";
import type { Heap } from "./heap.ts";

/** Below this capacity append doubles; from it on the growth factor falls towards 1.25. */
const THRESHOLD = 256;

/**
 * The capacity that append wants for `newLen` elements in a slice of capacity `oldCap`, before rounding. It is double
 * the capacity for small slices, 1.25 times plus 192 for large slices, and never less than `newLen`.
 */
export function nextSliceCap(newLen: number, oldCap: number): number {
  const double = oldCap * 2;
  if (newLen > double) return newLen;
  if (oldCap < THRESHOLD) return double;
  let cap = oldCap;
  // A division instead of a shift, which would cut capacities to 32 bits. They stay far below 2^53.
  while (cap < newLen) cap += Math.floor((cap + 3 * THRESHOLD) / 4);
  return cap;
}

/**
 * The capacity of the array that append allocates: the result of `nextSliceCap`, enlarged to fill the allocator's size
 * class.
 *
 * @throws RuntimeError `growslice: len out of range` if the array would exceed the memory
 */
export function growCap(
  heap: Heap,
  elemSize: number,
  noscan: boolean,
  newLen: number,
  oldCap: number,
): number {
  const bytes = newLen * elemSize;
  // Elements of size 0 take no memory, but their number must stay exact.
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
