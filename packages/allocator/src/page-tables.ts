/**
 * The side tables that are indexed by page: pageInfo, pageSpan and the map of which parts of heapBits are in use.
 * layout.ts draws them, page-info.ts has the encoding of pageInfo.
 */
import type { LinearMemory } from "@gort/memory";
import type { HeapRoot } from "./heap-root.ts";
import { HEAP_BITS_PAGE, HEAP_BITS_PAGE_SHIFT, HEAP_BITS_WORDS } from "./layout.ts";
import type { MHeap } from "./mheap.ts";
import { PAGE_INFO_NONE } from "./page-info.ts";

export class PageTables {
  private readonly heap: MHeap;
  private readonly mem: LinearMemory;
  private readonly u32: Uint32Array;
  /** Addresses. */
  private readonly pageInfoBase: number;
  private readonly pageSpanBase: number;
  private readonly heapBitsBase: number;
  /** Word index of a bit map: 1 = this HEAP_BITS_PAGE is mapped. */
  private readonly heapBitsMap: number;

  constructor(heap: MHeap, root: HeapRoot) {
    this.heap = heap;
    this.mem = heap.mem;
    this.u32 = heap.mem.u32;
    this.pageInfoBase = root.pageInfo;
    this.pageSpanBase = root.pageSpan;
    this.heapBitsBase = root.heapBits;
    this.heapBitsMap = root.heapBitsMap >>> 2;
  }

  /** The entries of pages that the heap has grown by. Under the heap lock. */
  grow(page: number, npages: number): void {
    this.mem.sysMap(this.pageInfoBase + page * 4, npages * 4, "gcSys");
    this.mem.sysMap(this.pageSpanBase + page * 4, npages * 4, "gcSys");
    const infoWord = (this.pageInfoBase >>> 2) + page;
    for (let i = 0; i < npages; i++) this.u32[infoWord + i] = PAGE_INFO_NONE;
  }

  /** The pages are those of span s, which is complete. */
  publish(s: number, page: number, npages: number, info: number): void {
    const { u32 } = this;
    const spanWord = (this.pageSpanBase >>> 2) + page;
    for (let i = 0; i < npages; i++) u32[spanWord + i] = s;
    // Last, and atomically: a thread that finds the span through the tables must find it complete, also on a processor
    // that reorders plain stores.
    const { kernel, shared } = this.mem;
    const infoWord = (this.pageInfoBase >>> 2) + page;
    for (let i = infoWord, end = infoWord + npages; i < end; i++) {
      if (shared) kernel.store(i << 2, info);
      else u32[i] = info;
    }
  }

  /** The pages are free. */
  withdraw(page: number, npages: number): void {
    const { u32 } = this;
    const infoWord = (this.pageInfoBase >>> 2) + page;
    const spanWord = (this.pageSpanBase >>> 2) + page;
    for (let i = 0; i < npages; i++) {
      u32[infoWord + i] = PAGE_INFO_NONE;
      u32[spanWord + i] = 0;
    }
  }

  // --- heapBits

  /**
   * The span of one page at start, or the block that begins there, is going to use heapBits. The table is touched, and
   * counted, by pages of 4 KiB, each of which describes 256 KiB of heap. So a collected heap of objects without
   * pointers has none.
   */
  mapHeapBits(start: number): void {
    const { u32 } = this;
    const k = start >>> HEAP_BITS_PAGE_SHIFT;
    const w = this.heapBitsMap + (k >>> 5);
    const bit = 1 << (k & 31);
    if ((u32[w] & bit) !== 0) return;
    this.heap.lock();
    const mapped = (u32[w] & bit) !== 0;
    u32[w] = u32[w] | bit;
    this.heap.unlock();
    if (!mapped) this.mem.sysMap(this.heapBitsBase + k * HEAP_BITS_PAGE, HEAP_BITS_PAGE, "gcSys");
  }

  /** Whether the part of heapBits that describes the address is accounted for. For the walkers. */
  heapBitsMapped(addr: number): boolean {
    const k = addr >>> HEAP_BITS_PAGE_SHIFT;
    return ((this.u32[this.heapBitsMap + (k >>> 5)] >>> (k & 31)) & 1) !== 0;
  }

  /** Clears the bits of one page. */
  clearHeapBits(page: number): void {
    const bits = (this.heapBitsBase >>> 2) + page * HEAP_BITS_WORDS;
    for (let i = bits; i < bits + HEAP_BITS_WORDS; i++) this.u32[i] = 0;
  }
}
