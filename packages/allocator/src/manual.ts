/**
 * malloc and free: the heap used by hand, without a collector.
 *
 * A block in use has a bit set in heapBits, which has one for each 8 bytes of heap. Spans without pointers have no
 * other use for it. The bit of a block's first word is 1 while the program has the block; all others are 0. So one look
 * tells free that an address is the start of a block in use: handed out, not freed before, not inside a block, and of
 * no other owner. free needs neither the span nor a division for it.
 *
 * A freed block goes to a list of its class in the mcache (freed.ts), last in, first out, linked through its first
 * word. malloc takes from there before it cuts from the run. To its span a block on a list stays allocated:
 *
 *     allocBits  in use
 *        0         0        free in its span: was never handed out, or went back
 *        1         1        in use
 *        1         0        on a list of freed blocks, or claimed by an mcache and not handed out yet,
 *                           or an object of mallocgc, which free refuses
 *
 * A list that grows too long goes back to the spans, and spans without blocks go to the heap. A block whose span
 * another thread has cached can't go back in a flush. It is *parked* until the next flush of its thread, or of any
 * thread if its own has closed. malloc takes it earlier if the list of its class is empty. A parked block is marked in
 * gcmarkBits: a collection may begin then, and must not free its slot.
 *
 * The bits mean this only in a heap that was never collected: there a pointerful span that is freed is cleared in
 * heapBits. A collector frees blocks without clearing their bits, so free by hand throws once a collection has
 * begun.
 *
 * heapLive, which paces a collector, does not follow blocks that go through the lists.
 *
 * Several threads: any thread may free a block, which goes to the list of the thread that frees it. The bits of a
 * word belong to blocks of several threads, so they change atomically. Of two threads that free one block at once,
 * one gets an error. allocBits of a span change only by the thread that has the span cached or, for a span on a
 * list, under its class's lock.
 *
 * A thread that is killed between two steps loses at most the block that it works on. free clears the bit before
 * the block goes on its list. malloc takes a block off the list before it sets the bit. A block leaves its list
 * before it goes back to its span. So no block is ever in two places, and the thread that takes the mcache over
 * finds no block of another owner. A thread killed after malloc has set the bit leaks the block, as with any
 * allocator.
 *
 * Under checks (createAllocator({ checks: true })) blocks are poisoned, each block's allocation site is kept for
 * leakReport, and freeing a block inside withView is an error: block-checks.ts.
 *
 * Rejected: two bits of state in the span's own bit maps. That needs the span, a multiplication and four more words
 * a call, and took 2.5 times as long. A word in front of each block, as C's allocators have, would need other size
 * classes.
 *
 * Sources: Go's size classes; the lists are those of D. Leijen et al., Mimalloc, without its pages.
 */
import { hex, throwFatal } from "@gort/base";
import type { Addr, Kernel } from "@gort/memory";
import type { Allocator } from "./allocator.ts";
import { BlockChecks, type LeakRecord } from "./block-checks.ts";
import { checkAddress, checkSize, closedError } from "./errors.ts";
import { FreedLists } from "./freed.ts";
import type { AllocatorHooks } from "./hooks.ts";
import {
  FIRST_NOSCAN_SPAN_CLASS,
  MAX_SMALL_REQUEST,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  PAGE_SHIFT,
  PAGE_SIZE,
  SLOT_CREDIT,
  SLOT_ELEMSIZE,
  SLOT_FREE,
  SLOT_REUSED,
} from "./layout.ts";
import type { MCentral } from "./mcentral.ts";
import type { MHeap } from "./mheap.ts";
import { hasObjects, PAGE_INFO_CLASS, spanClassOf } from "./page-info.ts";
import { SMALL_TABLE_MAX, sizeClassOf } from "./sizeclass.ts";
import { classToSize } from "./sizeclasses.generated.ts";

/** Words from the head of a list to its counts. */
const REUSED = SLOT_REUSED - SLOT_FREE;
const CREDIT = SLOT_CREDIT - SLOT_FREE;

/** Constructors of typed arrays, for views of a block. */
export type ViewConstructor<T> = {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
};

export class ManualHeap {
  private readonly allocator: Allocator;
  private readonly heap: MHeap;
  private readonly central: MCentral;
  private readonly lists: FreedLists;
  private readonly checks: BlockChecks | null;
  private readonly u32: Uint32Array;
  private readonly i32: Int32Array;
  private readonly kernel: Kernel;
  private readonly hooks: AllocatorHooks;
  private readonly noHook: AllocatorHooks["onFree"];
  private readonly size: number;
  /** Word index of the bits of blocks in use, and of the page table. */
  private readonly inUse: number;
  private readonly pageInfo: number;
  /** Heads of the lists, as word indices, by (size + 7) >>> 3 and by span class, for the fast paths. */
  private readonly listForSize: Int32Array;
  private readonly listOf: Int32Array;
  private closed = false;
  /**
   * Results of the last `take`: whether it took the slow path, whose reports follow, and found an object to sample.
   */
  private refilled = false;
  private sampled = false;

  constructor(allocator: Allocator, checks: boolean) {
    const { mem, heap, central, cache, specials } = allocator;
    this.allocator = allocator;
    this.heap = heap;
    this.central = central;
    this.lists = new FreedLists(heap, central, cache.base);
    this.checks = checks ? new BlockChecks(mem.kernel, mem.u32, specials, allocator.id) : null;
    this.u32 = mem.u32;
    this.i32 = mem.i32;
    this.kernel = mem.kernel;
    this.hooks = allocator.hooks;
    this.noHook = allocator.hooks.onFree;
    this.size = mem.size;
    this.inUse = heap.heapBitsBase >>> 2;
    this.pageInfo = heap.pageInfoBase >>> 2;
    this.listForSize = new Int32Array(SMALL_TABLE_MAX / 8 + 1);
    this.listOf = new Int32Array(PAGE_INFO_CLASS + 1);
    for (let spc = FIRST_NOSCAN_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc += 2)
      this.listOf[spc] = this.lists.slotOf(spc) + SLOT_FREE;
    for (let k = 0; k < this.listForSize.length; k++) {
      this.listForSize[k] = this.listOf[noscanSpanClass(8 * k)];
    }
    if (checks || this.lists.shared) this.slowDown();
  }

  /** The fast paths find no list and no credit from here on: they look at the nil page, where all is 0. */
  private slowDown(): void {
    this.listForSize.fill(0);
    this.listOf.fill(0);
  }

  /** Other threads may use the heap from here on. */
  share(): void {
    this.slowDown();
    this.lists.settleAll();
    this.checks?.share();
  }

  /** Allocations and frees throw from here on. */
  close(): void {
    this.closed = true;
    this.slowDown();
  }

  /** The heap has specials now: free has to look for them. */
  noteSpecials(): void {
    this.lists.settleAll();
  }

  /** Gives all lists back, so that statistics of spans are exact. */
  flush(): void {
    this.lists.flush();
  }

  /** Gives the mcache up. */
  disown(mcache: number): void {
    this.lists.disown(mcache);
  }

  // --- malloc

  malloc(size: number, zero: boolean): Addr {
    if (typeof size !== "number" || size >>> 0 !== size || size > SMALL_TABLE_MAX) {
      return this.mallocSlow(size, zero);
    }
    // `| 0` tells V8 that a sum stays in 32 bits: it would check it for overflow.
    const { i32 } = this;
    const list = this.listForSize[(size + 7) >>> 3];
    const p = i32[list] >>> 0;
    if (p === 0) return this.mallocSlow(size, zero);
    i32[list] = i32[p >>> 2];
    i32[(list + REUSED) | 0] = (i32[(list + REUSED) | 0] + 1) | 0;
    const w = (this.inUse + (p >>> 8)) | 0;
    i32[w] = i32[w] | (1 << (p >>> 3));
    if (zero) this.kernel.zero(p, this.bytesOf(p));
    return p as Addr;
  }

  private mallocSlow(size: number, zero: boolean): Addr {
    const p = this.take(size, zero);
    this.reportMalloc(p);
    return p;
  }

  /** A block, without the reports that follow its allocation: reportMalloc gives them. */
  private take(size: number, zero: boolean): Addr {
    checkSize(size);
    if (this.closed) closedError();
    this.heap.operation.mustBeIdle("malloc");
    this.refilled = false;
    const p = size > MAX_SMALL_REQUEST ? this.large(size, zero) : this.small(size, zero);
    this.setInUse(p as Addr, true);
    this.checks?.record(p as Addr, size, this.bytesOf(p), zero, this.lists.shared);
    return p as Addr;
  }

  private reportMalloc(p: Addr): void {
    if (!this.refilled) return;
    this.refilled = false;
    this.allocator.finish(p, this.bytesOf(p), this.sampled);
  }

  private large(size: number, zero: boolean): number {
    const p = this.allocator.takeLargeObject(size, 0, zero);
    this.refilled = true;
    this.sampled = this.allocator.sampled;
    this.heap.tables.mapHeapBits(p);
    return p;
  }

  private small(size: number, zero: boolean): number {
    const { u32 } = this;
    const spanclass = noscanSpanClass(size);
    const freed = this.lists.pop(spanclass);
    if (freed !== 0) {
      if (zero) this.kernel.zero(freed, this.bytesOf(freed));
      return freed;
    }
    // The next slot of the run. (mallocgc would put a few bytes into a tiny block.)
    const i = this.lists.slotOf(spanclass);
    let p = u32[i];
    if (p === u32[i + 1]) {
      p = this.allocator.refill(i);
      this.refilled = true;
      this.sampled = this.allocator.sampled;
    } else u32[i] = p + u32[i + SLOT_ELEMSIZE];
    this.heap.tables.mapHeapBits(p);
    return p;
  }

  // --- free

  free(p: Addr): void {
    if (typeof p !== "number" || (p & ~7) >>> 0 !== p || p >= this.size) {
      this.freeSlow(p);
      return;
    }
    const { i32 } = this;
    const w = (this.inUse + (p >>> 8)) | 0;
    const bits = i32[w];
    const bit = 1 << (p >>> 3);
    // A page without blocks has a list without credit. So has a page with pointers, whose bits mean something else.
    const list = this.listOf[i32[(this.pageInfo + (p >>> PAGE_SHIFT)) | 0] & PAGE_INFO_CLASS];
    const credit = i32[(list + CREDIT) | 0];
    if ((bits & bit) === 0 || credit === 0 || this.hooks.onFree !== this.noHook) {
      this.freeSlow(p);
      return;
    }
    i32[w] = bits ^ bit;
    i32[(list + CREDIT) | 0] = (credit - 1) | 0;
    i32[p >>> 2] = i32[list];
    i32[list] = p;
  }

  private freeSlow(p: Addr): void {
    if (p === 0) return;
    checkAddress("free", p);
    this.release(p);
  }

  /** Frees the block, also if the hook throws. */
  private release(p: Addr): void {
    this.mustBeFree(p);
    const bit = 1 << (p >>> 3);
    const bits = (this.inUse + (p >>> 8)) << 2;
    if (!this.lists.shared) this.u32[bits >>> 2] = this.u32[bits >>> 2] & ~bit;
    else if ((this.kernel.and(bits, ~bit) & bit) === 0) this.badFree(p);
    const spanclass = this.spanclassOf(p);
    const bytes = spanclass === 1 ? this.bytesOf(p) : classToSize[spanclass >>> 1];
    this.checks?.forget(p, bytes);
    this.heap.operation.begin("the hook onFree");
    try {
      this.hooks.onFree(p, bytes);
    } finally {
      this.heap.operation.end();
      if (this.lists.hasSpecials) this.allocator.specials.drop(p, bytes);
      if (spanclass === 1) this.freeLarge(this.heap.spanOf(p), bytes);
      else this.lists.push(p, spanclass);
    }
  }

  private freeLarge(s: number, bytes: number): void {
    const { u32 } = this;
    if (!this.central.remove(s)) throwFatal("free: a large span is on no list", `span ${hex(s)}`);
    u32[u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2] = 0;
    u32[(s + MSPAN_AT.allocCount) >>> 2] = 0;
    this.allocator.countLargeFree(bytes);
    this.heap.freeSpan(s);
  }

  /** Throws the error that free throws for this address; returns if free accepts it. */
  private mustBeFree(p: Addr): void {
    if (this.closed) closedError();
    this.heap.operation.mustBeIdle("free");
    this.checks?.mustBeUnseen(p);
    if (this.lists.collected) {
      throw new TypeError(`allocator: free in a heap that is garbage collected (got ${hex(p)})`);
    }
    if (!this.isBlock(p)) this.badFree(p);
  }

  /** Throws the error that says why the number is not a block in use. */
  private badFree(p: Addr): never {
    const wrong = (what: string): never => {
      throw new RangeError(`allocator: ${what} (got ${hex(p)})`);
    };
    if (p >>> 0 !== p || !this.isHeap(p)) wrong("free of an address outside of the heap");
    const s = this.heap.spanOf(p);
    const idx = this.heap.objIndex(s, p);
    const base = this.u32[(s + MSPAN_AT.startAddr) >>> 2] + idx * this.bytesOf(p);
    if (base !== p) wrong(`free of an address inside the block at ${hex(base)}`);
    if (this.lists.has(p, this.spanclassOf(p))) wrong("double free");
    if (this.isHandedOut(s, p, idx)) wrong("free of an object that malloc did not allocate");
    return wrong("free of an address that is not allocated");
  }

  /** Whether slot idx of the span, at p, is allocated and not one that an mcache has claimed for its runs. */
  private isHandedOut(s: number, p: number, idx: number): boolean {
    const { u32 } = this;
    if (idx >= u32[(s + MSPAN_AT.nelems) >>> 2]) return false;
    const word = (u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2) + (idx >>> 5);
    if (((u32[word] >>> (idx & 31)) & 1) === 0) return false;
    for (const i of this.lists.slotsOfAll(this.spanclassOf(p))) {
      if (this.allocator.cache.isUnused(i, s, p, idx)) return false;
    }
    return true;
  }

  // --- addresses

  /** Whether a heap span is at the address. */
  private isHeap(p: number): boolean {
    return p < this.size && hasObjects(this.u32[this.pageInfo + (p >>> PAGE_SHIFT)]);
  }

  /** Span class of the heap span at the address. */
  private spanclassOf(p: number): number {
    return spanClassOf(this.u32[this.pageInfo + (p >>> PAGE_SHIFT)]);
  }

  private bytesOf(p: number): number {
    return this.u32[(this.heap.spanOf(p) + MSPAN_AT.elemsize) >>> 2];
  }

  /** Whether a block in use begins at p, any number, in a heap that was never collected. */
  private isBlock(p: number): boolean {
    return (
      (p & ~7) >>> 0 === p &&
      this.isHeap(p) &&
      (this.spanclassOf(p) & 1) === 1 &&
      (this.u32[this.inUse + (p >>> 8)] & (1 << (p >>> 3))) !== 0
    );
  }

  /** Whether a block in use or an object of mallocgc begins at p, any number. */
  private isAllocated(p: Addr): boolean {
    if (p === 0 || this.allocator.findObject(p) !== p) return false;
    return (!this.lists.collected && this.isBlock(p)) || !this.lists.has(p, this.spanclassOf(p));
  }

  usableSize(p: Addr): number {
    checkAddress("a block", p);
    if (!this.isAllocated(p)) {
      throw new RangeError(`allocator: usableSize needs an allocated block (got ${hex(p)})`);
    }
    return this.bytesOf(p);
  }

  realloc(p: Addr, size: number): Addr {
    if (p === 0) return this.malloc(size, false);
    const usable = this.usableSize(p);
    checkSize(size);
    // A block stays in place unless that wastes half of it, or whole pages.
    const shrinks = usable > PAGE_SIZE ? usable - size >= PAGE_SIZE : size <= usable / 2;
    if (size <= usable && (!shrinks || usable === 8)) {
      this.checks?.resize(p, size);
      return p;
    }
    // If free would throw, throw before there is a second block.
    this.mustBeFree(p);
    const q = this.takeBeside(p, size);
    const { refilled } = this;
    const sampled = refilled && this.sampled;
    this.kernel.copy(q, p, Math.min(usable, size));
    this.free(p);
    this.refilled = refilled;
    this.sampled = sampled;
    this.reportMalloc(q);
    return q;
  }

  dup(p: Addr): Addr {
    const n = this.usableSize(p);
    const q = this.takeBeside(p, n);
    this.kernel.copy(q, p, n);
    this.reportMalloc(q);
    return q;
  }

  /** Allocates a block while the one at p can't be freed: the hook outOfMemory may free blocks. */
  private takeBeside(p: Addr, size: number): Addr {
    if (!this.isBlock(p)) return this.take(size, false);
    this.setInUse(p, false);
    try {
      return this.take(size, false);
    } finally {
      this.setInUse(p, true);
    }
  }

  private setInUse(p: Addr, on: boolean): void {
    const bits = (this.inUse + (p >>> 8)) << 2;
    const bit = 1 << (p >>> 3);
    if (this.lists.shared) {
      if (on) this.kernel.or(bits, bit);
      else this.kernel.and(bits, ~bit);
      return;
    }
    const word = this.u32[bits >>> 2];
    this.u32[bits >>> 2] = on ? word | bit : word & ~bit;
  }

  // --- checks

  withView<T, R>(p: Addr, type: ViewConstructor<T>, f: (view: T) => R): R {
    const usable = this.usableSize(p);
    const call = (bytes: number): R =>
      f(new type(this.allocator.mem.buffer, p, Math.floor(bytes / type.BYTES_PER_ELEMENT)));
    return this.checks === null ? call(usable) : this.checks.withView(p, usable, call);
  }

  leakReport(): LeakRecord[] {
    if (this.checks === null)
      throw new TypeError("allocator: leakReport needs createAllocator({ checks: true })");
    return this.checks.report();
  }
}

/** The noscan span class of a small request, which gets 8 bytes at least. */
function noscanSpanClass(size: number): number {
  return (sizeClassOf(Math.max(size, 1)) << 1) | 1;
}
