/** From the size of a request to its class, and from the class to the slots of a span. */
import { PAGE_SIZE } from "./layout.ts";
import { classToAllocNPages, classToSize, sizeToClass8, sizeToClass128 } from "./sizeclasses.generated.ts";

/** Requests up to this size find their slot in a table by (size + 7) >>> 3. */
export const SMALL_TABLE_MAX = 1024;

/** The size class of a request of 1 to 32768 bytes. */
export function sizeClassOf(size: number): number {
  return size <= SMALL_TABLE_MAX
    ? sizeToClass8[(size + 7) >>> 3]
    : sizeToClass128[(size - SMALL_TABLE_MAX + 127) >>> 7];
}

/** Slots of a span by class; 1 for the large objects of class 0. */
export const classToNElems = Uint16Array.from(classToSize, (size, c) =>
  c === 0 ? 1 : Math.floor((classToAllocNPages[c] * PAGE_SIZE) / size),
);
