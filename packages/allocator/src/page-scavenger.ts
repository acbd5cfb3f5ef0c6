/**
 * Finds free pages and returns them to the operating system, from the highest address down, and knows whether a free
 * page reads as zeros. mgcscavenge.ts decides how much, and when.
 *
 * The cursor, MHEAP.scavChunk, is the chunk up to which there may be something to return. It is guarded by the heap
 * lock.
 */
import type { LinearMemory } from "@gort/memory";
import type { HeapCounters } from "./heap-counters.ts";
import { CHUNK_PAGES, CHUNK_SHIFT, MHEAP_AT, PAGE_SHIFT, PAGE_SIZE } from "./layout.ts";
import type { MHeap } from "./mheap.ts";
import { type PageAlloc, scavengeableLength, scavengeablePage } from "./mpagealloc.ts";
import type { Operation } from "./operation.ts";

/**
 * Bytes released at a time beyond what a memory limit asks for. A search gives the page cache back, and this reserve
 * lets one search serve half a page cache of new spans. More: more pages to touch anew.
 */
export const LIMIT_BATCH = 256 << 10;

export class PageScavenger {
  private readonly heap: MHeap;
  private readonly mem: LinearMemory;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly pages: PageAlloc;
  private readonly counters: HeapCounters;
  private readonly operation: Operation;
  /** Word indices of MHEAP.scavChunk, everReleased, releaseRefused and arenaStart. */
  private readonly cursor: number;
  private readonly everReleased: number;
  private readonly arenaStart: number;
  private readonly refused: number;
  /** f64 indices of MHEAP.memoryLimit and stuckBytes. */
  private readonly memoryLimit: number;
  private readonly stuckBytes: number;

  constructor(heap: MHeap) {
    this.heap = heap;
    this.mem = heap.mem;
    this.u32 = heap.mem.u32;
    this.f64 = heap.mem.f64;
    this.pages = heap.pages;
    this.counters = heap.counters;
    this.operation = heap.operation;
    this.cursor = (heap.base + MHEAP_AT.scavChunk) >>> 2;
    this.everReleased = (heap.base + MHEAP_AT.everReleased) >>> 2;
    this.refused = (heap.base + MHEAP_AT.releaseRefused) >>> 2;
    this.stuckBytes = (heap.base + MHEAP_AT.stuckBytes) >>> 3;
    this.arenaStart = (heap.base + MHEAP_AT.arenaStart) >>> 2;
    this.memoryLimit = (heap.base + MHEAP_AT.memoryLimit) >>> 3;
  }

  /** Pages below pageEnd became free: the cursor goes up to their chunk. Under the heap lock. */
  pagesFreed(pageEnd: number): void {
    const chunkEnd = (pageEnd + CHUNK_PAGES - 1) >>> (CHUNK_SHIFT - PAGE_SHIFT);
    if (chunkEnd > this.u32[this.cursor]) this.u32[this.cursor] = chunkEnd;
  }

  /**
   * A page cache has given up its pages below pageEnd, npages of them with physical memory: a release finds these.
   * Under the heap lock.
   */
  pagesUnclaimed(pageEnd: number, npages: number): void {
    this.pagesFreed(pageEnd);
    const stuck = this.f64[this.stuckBytes];
    if (stuck !== 0) this.f64[this.stuckBytes] = Math.max(0, stuck - npages * PAGE_SIZE);
  }

  /**
   * Whether a free page without physical memory reads as zeros: always, until one was returned. (To ask the platform
   * earlier would load the package that releases.)
   */
  get scavengedIsZero(): boolean {
    return this.u32[this.everReleased] === 0 || this.mem.releaseZeroes;
  }

  /**
   * Asks for a release after the operation if more is mapped than the memory limit allows.
   *
   * If the program's live memory exceeds the limit, the free pages do not make up for the difference. Then the release
   * waits until a LIMIT_BATCH is free. Otherwise every span would search the heap for a page or two.
   */
  checkLimit(): void {
    if (this.f64[this.memoryLimit] === Number.POSITIVE_INFINITY) return;
    const over = this.counters.mappedReady - this.f64[this.memoryLimit];
    if (over <= 0) return;
    const free = this.counters.counter("heapFree");
    if (this.f64[this.stuckBytes] > free) this.limitStuck(free);
    if (free - this.f64[this.stuckBytes] >= Math.min(over, LIMIT_BATCH)) this.operation.noteOverLimit();
  }

  /** No more than the free bytes are stuck. */
  private limitStuck(free: number): void {
    this.heap.lock();
    this.f64[this.stuckBytes] = Math.max(0, Math.min(this.f64[this.stuckBytes], free));
    this.heap.unlock();
  }

  /**
   * Returns free pages until nbytes are returned or none is left. The result is the bytes returned. The caller has
   * given page caches and retained spans back.
   */
  release(nbytes: number): number {
    const align = Math.max(1, this.mem.pageSizeOS / PAGE_SIZE);
    let released = 0;
    while (released < nbytes) {
      this.heap.lock();
      const n = this.releaseOne(nbytes - released, align);
      if (n === 0) this.f64[this.stuckBytes] = this.counters.counter("heapFree");
      this.heap.unlock();
      if (n === 0) break;
      released += n;
    }
    return released;
  }

  /** Returns one run of pages; its bytes, 0 if there is none or the operating system refuses it. */
  private releaseOne(nbytes: number, align: number): number {
    const { u32, cursor } = this;
    const limit = Math.min(CHUNK_PAGES, Math.ceil(nbytes / PAGE_SIZE / align) * align);
    // Below the arena the bit maps are zero, which reads as free: that memory is not the heap's to return.
    const bottom = u32[this.arenaStart] >>> CHUNK_SHIFT;
    if (bottom === 0) return 0; // no arena yet, wherever the cursor is
    for (; u32[cursor] > bottom; u32[cursor] = u32[cursor] - 1) {
      const found = this.pages.findScavengeable(u32[cursor] * CHUNK_PAGES, limit, align);
      if (found === 0) continue;
      const page = scavengeablePage(found);
      const npages = scavengeableLength(found);
      const bytes = npages * PAGE_SIZE;
      if (!this.mem.sysUnused(page * PAGE_SIZE, bytes)) {
        // Reported after the operation: this is inside of the heap lock.
        if (u32[this.refused] === 0) this.operation.noteRefusal(page, bytes);
        u32[this.refused] = 1;
        return 0;
      }
      u32[this.everReleased] = 1;
      this.pages.markScavenged(page, npages);
      this.counters.scavenged(bytes);
      return bytes;
    }
    return 0;
  }
}
