/** Which locks the heap has, for the checks of the lock order and for the report on a thread that died inside one. */
import type { LockRank } from "@gort/memory";
import { MCENTRAL, MHEAP_AT, MSPAN_AT, NUM_SPAN_CLASSES } from "./layout.ts";
import type { MHeap } from "./mheap.ts";

/** The rank of the lock at the address; undefined if there is no lock of the heap. */
export function lockRank(heap: MHeap, addr: number): LockRank | undefined {
  if (addr === heap.base + MHEAP_AT.lock) return "mheap";
  const central = addr - heap.base - MHEAP_AT.central;
  if (central >= 0 && central < NUM_SPAN_CLASSES * MCENTRAL.size && central % MCENTRAL.size === 0) {
    return "mcentral";
  }
  return heap.structs.has(addr - MSPAN_AT.speclock) ? "mspanSpecial" : undefined;
}

/** The first lock of the heap or of the memory that the thread holds; 0 if it holds none. */
export function lockHeldBy(heap: MHeap, thread: number): number {
  const { u32 } = heap.mem;
  const held = (addr: number): boolean => u32[addr >>> 2] >>> 1 === thread;
  for (const addr of heap.mem.lockAddrs) if (held(addr)) return addr;
  if (held(heap.base + MHEAP_AT.lock)) return heap.base + MHEAP_AT.lock;
  for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) {
    const addr = heap.base + MHEAP_AT.central + spc * MCENTRAL.size;
    if (held(addr)) return addr;
  }
  for (let n = 0; n < heap.structs.length; n++) {
    const addr = heap.structs.at(n) + MSPAN_AT.speclock;
    if (held(addr)) return addr;
  }
  return 0;
}
