/**
 * Span structs: a stock in each mcache, which needs no lock, filled from the heap's free list.
 *
 * Structs are reused; their memory is never given back. allspans lists every struct ever made, once: a struct keeps its
 * place there, mspan.index - 1, over all its lives. So a walk over allspans meets every span, and the struct of a dead
 * one.
 */
import type { LinearMemory } from "@gort/memory";
import { ALLSPANS_CHUNK, allspansCapacity } from "./heap-root.ts";
import { MCACHE_AT, MHEAP_AT, MSPAN, MSPAN_AT, PAGE_SIZE, SPAN_BATCH } from "./layout.ts";
import { sumWordsOverMCaches } from "./mcache-list.ts";
import { FixAlloc } from "./mfixalloc.ts";
import type { MHeap } from "./mheap.ts";
import { classToNElems } from "./sizeclass.ts";
import { classToIndexMul, classToIndexShift, classToSize } from "./sizeclasses.generated.ts";
import type { SpanPlan } from "./span-plan.ts";

export class SpanStructs {
  private readonly heap: MHeap;
  private readonly mem: LinearMemory;
  private readonly u32: Uint32Array;
  /** The heap's free list. */
  readonly fixalloc: FixAlloc;
  readonly allspansBase: number;
  private readonly capacity: number;
  /** Word index of MHEAP.nspans. */
  private readonly nspansWord: number;
  /** Word indices of the mcache's stock and its length. */
  private head = 0;
  private count = 0;

  constructor(heap: MHeap, allspansBase: number) {
    this.heap = heap;
    this.mem = heap.mem;
    this.u32 = heap.mem.u32;
    this.allspansBase = allspansBase;
    this.capacity = allspansCapacity(heap.mem.size);
    this.nspansWord = (heap.base + MHEAP_AT.nspans) >>> 2;
    const kept = MSPAN.size - MSPAN_AT.index;
    this.fixalloc = new FixAlloc(heap.mem, heap.base + MHEAP_AT.spanalloc, MSPAN.size, "mspanSys", kept);
  }

  bind(mcache: number): void {
    this.head = (mcache + MCACHE_AT.spanFree) >>> 2;
    this.count = (mcache + MCACHE_AT.nspanFree) >>> 2;
  }

  /** Structs ever made. */
  get length(): number {
    return this.u32[this.nspansWord];
  }

  /** Struct i < length, possibly of a dead span. */
  at(i: number): number {
    return this.u32[(this.allspansBase >>> 2) + i];
  }

  /** Whether there is a span struct at the address. */
  has(s: number): boolean {
    const index = this.u32[(s + MSPAN_AT.index) >>> 2];
    return index > 0 && index <= this.length && this.at(index - 1) === s;
  }

  /** Bytes of structs in use, without those in stock. */
  get inUseBytes(): number {
    const stock = sumWordsOverMCaches(this.u32, this.heap.base, MCACHE_AT.nspanFree);
    return this.fixalloc.inuse - stock * MSPAN.size;
  }

  /** A struct of a dead span, zero but for its index; 0 if there is no memory for one. */
  take(): number {
    const { u32, head, count } = this;
    if (u32[head] === 0 && !this.refill()) return 0;
    const s = u32[head];
    this.heap.log.structTaken(s);
    u32[head] = u32[(s + MSPAN_AT.next) >>> 2];
    u32[count] = u32[count] - 1;
    u32[(s + MSPAN_AT.next) >>> 2] = 0;
    return s;
  }

  /** Puts a struct that was not used into stock. */
  put(s: number): void {
    const { u32, head, count } = this;
    u32[(s + MSPAN_AT.next) >>> 2] = u32[head];
    u32[head] = s;
    this.heap.log.spanPlaced(s);
    u32[count] = u32[count] + 1;
  }

  /**
   * Fills the struct in: from here on it is the span of the plan. bitsDistance is that from a block of mark bits to
   * its alloc bits.
   */
  fill(s: number, plan: SpanPlan, sweepgen: number, bitsDistance: number): void {
    const { u32 } = this;
    const { npages, spanclass, bits } = plan;
    const at = s >>> 2;
    const bytes = npages * PAGE_SIZE;
    const start = plan.page * PAGE_SIZE;
    u32[at + (MSPAN_AT.startAddr >>> 2)] = start;
    u32[at + (MSPAN_AT.npages >>> 2)] = npages;
    u32[at + (MSPAN_AT.spanclass >>> 2)] = spanclass;
    if (plan.holdsObjects) {
      const sizeclass = spanclass >>> 1;
      const elemsize = sizeclass === 0 ? bytes : classToSize[sizeclass];
      const nelems = classToNElems[sizeclass];
      u32[at + (MSPAN_AT.elemsize >>> 2)] = elemsize;
      u32[at + (MSPAN_AT.nelems >>> 2)] = nelems;
      u32[at + (MSPAN_AT.divMul >>> 2)] = classToIndexMul[sizeclass];
      u32[at + (MSPAN_AT.divShift >>> 2)] = classToIndexShift[sizeclass];
      // 2^32 is not a word: a span at the very end of a 4 GiB memory has limit 2^32 - 1, above its last slot.
      u32[at + (MSPAN_AT.limit >>> 2)] = Math.min(start + nelems * elemsize, 0xffffffff);
      u32[at + (MSPAN_AT.gcmarkBits >>> 2)] = bits;
      u32[at + (MSPAN_AT.allocBits >>> 2)] = bits + bitsDistance;
    } else {
      u32[at + (MSPAN_AT.manualKind >>> 2)] = plan.manualKind;
      u32[at + (MSPAN_AT.limit >>> 2)] = Math.min(start + bytes, 0xffffffff);
    }
    u32[at + (MSPAN_AT.needzero >>> 2)] = plan.fresh ? 0 : 1;
    u32[at + (MSPAN_AT.sweepgen >>> 2)] = sweepgen;
    u32[at + (MSPAN_AT.state >>> 2)] = plan.state;
  }

  /** Takes the struct of a dead span back to the heap. Under the heap lock. */
  release(s: number): void {
    this.fixalloc.free(s);
  }

  private refill(): boolean {
    const { heap } = this;
    heap.lock();
    let got = false;
    for (let k = 0; k < SPAN_BATCH; k++) {
      const s = this.fixalloc.alloc();
      if (s === 0) break;
      if (!this.record(s)) {
        this.fixalloc.free(s);
        break;
      }
      this.put(s);
      got = true;
    }
    heap.unlock();
    return got;
  }

  /** Enters a new struct in allspans. False if that is full: the struct, in no list yet, then serves no span. */
  private record(s: number): boolean {
    const { u32 } = this;
    if (u32[(s + MSPAN_AT.index) >>> 2] !== 0) return true;
    const n = this.length;
    if (n >= this.capacity) return false;
    if (n % ALLSPANS_CHUNK === 0) {
      this.mem.sysMap(this.allspansBase + 4 * n, 4 * ALLSPANS_CHUNK, "otherSys");
    }
    u32[(this.allspansBase >>> 2) + n] = s;
    u32[(s + MSPAN_AT.index) >>> 2] = n + 1;
    u32[this.nspansWord] = n + 1;
    return true;
  }
}
