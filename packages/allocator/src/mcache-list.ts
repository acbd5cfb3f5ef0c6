/** Walks over the mcaches of a heap, which are linked from MHEAP.mcaches in the order of their making, last first. */
import { MCACHE_AT, MHEAP_AT } from "./layout.ts";
import type { MHeap } from "./mheap.ts";

/**
 * Calls visit with the address of each mcache. arg is passed to visit: a function that captures nothing
 * lets statistics be read without allocating a JS object.
 */
export function forEachMCache<A>(
  heap: MHeap,
  visit: (mcache: number, arg: A, heap: MHeap) => void,
  arg: A,
): void {
  const { u32 } = heap.mem;
  for (let c = u32[(heap.base + MHEAP_AT.mcaches) >>> 2]; c !== 0; c = u32[(c + MCACHE_AT.next) >>> 2]) {
    visit(c, arg, heap);
  }
}

/** The first mcache that is wanted; 0 if none is. */
export function findMCache(heap: MHeap, wanted: (mcache: number) => boolean): number {
  const { u32 } = heap.mem;
  let c = u32[(heap.base + MHEAP_AT.mcaches) >>> 2];
  while (c !== 0 && !wanted(c)) c = u32[(c + MCACHE_AT.next) >>> 2];
  return c;
}

/** The sum of a word of all mcaches, by its place in MCACHE. */
export function sumWordsOverMCaches(u32: Uint32Array, mheap: number, offset: number): number {
  let sum = 0;
  for (let c = u32[(mheap + MHEAP_AT.mcaches) >>> 2]; c !== 0; c = u32[(c + MCACHE_AT.next) >>> 2]) {
    sum += u32[(c + offset) >>> 2];
  }
  return sum;
}

/** The sum of a double of all mcaches, by its place in MCACHE. */
export function sumOverMCaches(u32: Uint32Array, f64: Float64Array, mheap: number, offset: number): number {
  let sum = 0;
  for (let c = u32[(mheap + MHEAP_AT.mcaches) >>> 2]; c !== 0; c = u32[(c + MCACHE_AT.next) >>> 2]) {
    sum += f64[(c + offset) >>> 3];
  }
  return sum;
}
