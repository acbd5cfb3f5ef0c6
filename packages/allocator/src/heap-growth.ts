/** Growth of the heap: chunks of 4 MiB from the linear memory. Called with the heap lock held. */
import { CHUNK_BYTES, CHUNK_PAGES, MHEAP_AT, PAGE_SHIFT, PAGE_SIZE } from "./layout.ts";
import type { MHeap } from "./mheap.ts";

/** Bits that the two bit maps of the page allocator have for a page, together. */
const BITMAP_BITS_PER_PAGE = 2;

/**
 * Takes chunks from the linear memory until npages pages are free at the end of the arena. False if the memory has no
 * more. (Unlike Go, which asks for all of it: a linear memory has an end.)
 */
export function growHeap(heap: MHeap, npages: number): boolean {
  const arenaEnd = (heap.base + MHEAP_AT.arenaEnd) >>> 2;
  for (;;) {
    const end = heap.mem.u32[arenaEnd];
    const tail = end === 0 ? 0 : heap.pages.freeBelow(Math.ceil(end / PAGE_SIZE));
    if (tail >= npages) return true;
    // One turn is enough, unless other code has reserved memory at the end of the arena.
    if (!addPages(heap, npages - tail)) return false;
  }
}

function addPages(heap: MHeap, npages: number): boolean {
  const { mem } = heap;
  const { u32 } = mem;
  const arenaStart = (heap.base + MHEAP_AT.arenaStart) >>> 2;
  const arenaEnd = (heap.base + MHEAP_AT.arenaEnd) >>> 2;
  const bytes = Math.ceil(npages / CHUNK_PAGES) * CHUNK_BYTES;
  const start = mem.sysReserve(bytes, CHUNK_BYTES, "low") as number;
  if (start === 0) return false;
  mem.sysMap(start, bytes, "heapSys");
  heap.counters.released(bytes); // fresh pages hold no physical memory
  const page = start >>> PAGE_SHIFT;
  const pages = bytes / PAGE_SIZE;
  const end = u32[arenaEnd];
  if (end === 0) u32[arenaStart] = start;
  // Other code has reserved memory in between: its pages are in use, and not to be scavenged.
  else if (start > end) heap.pages.exclude(end >>> PAGE_SHIFT, (start - end) / PAGE_SIZE);
  u32[arenaEnd] = Math.min(start + bytes, 0xffffffff);
  heap.tables.grow(page, pages);
  mem.stats.add("gcSys", (BITMAP_BITS_PER_PAGE * pages) / 8);
  heap.pages.grow(page, pages);
  return true;
}
