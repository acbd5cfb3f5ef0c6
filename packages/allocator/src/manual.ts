/**
 * malloc and free: the heap used by hand, without a collector.
 *
 * A freed block goes to a list of its class in the mcache, last in, first out, linked through its first word; malloc
 * takes from there before it cuts from the run. Two bits tell each slot's state, and so every wrong free:
 *
 *     allocBits  gcmarkBits
 *        0           0        free in its span: was never handed out, or went back
 *        1           0        in use (or claimed by an mcache and not handed out yet: of its own, free knows these)
 *        1           1        on a list of freed blocks
 *
 * (A heap without a collector has no other use for gcmarkBits. Freeing by hand in a heap that has been collected is
 * refused.) A list that grows beyond MAX_LISTED bytes goes back to the spans, and spans without blocks to the heap.
 *
 * heapLive, which paces a collector, does not follow blocks that go through the lists.
 *
 * With several threads, a block may be freed by another thread than the one that allocated it: it goes to the list of the
 * thread that frees it. Bits of a word belong to blocks of several threads, so gcmarkBits change atomically then; allocBits
 * of a span change only by the thread that has it cached or, for a span on a list, under its class's lock.
 *
 * Under checks (createAllocator({ checks: true })) blocks are poisoned, each block's allocation site is kept for
 * leakReport, and freeing a block inside withView is an error. This mode alone keeps state outside of the memory.
 */
import type { Addr, Kernel } from "@gort/memory";
import { closedError } from "./errors.ts";
import type { AllocatorHooks } from "./hooks.ts";
import {
  GC_OFF,
  GCCONTROL,
  MAX_SMALL_REQUEST,
  MCACHE,
  MHEAP,
  MSPAN,
  NUM_SPAN_CLASSES,
  PAGE_SHIFT,
  PAGE_SIZE,
} from "./layout.ts";
import type { Allocator } from "./malloc.ts";

import { SLOT_ELEMSIZE, SLOT_FREE, SLOT_NFREE, SLOT_SPAN, SLOT_WORDS } from "./mcache.ts";
import type { MCentral } from "./mcentral.ts";
import { hex, type MHeap } from "./mheap.ts";
import { sizeToClass8 } from "./sizeclasses.generated.ts";

const S = MSPAN.offsets;
const S_START_ADDR = S.startAddr >>> 2;
const S_NELEMS = S.nelems >>> 2;
const S_ELEMSIZE = S.elemsize >>> 2;
const S_SPANCLASS = S.spanclass >>> 2;
const S_GCMARK_BITS = S.gcmarkBits >>> 2;
const S_ALLOC_BITS = S.allocBits >>> 2;
const S_DIV_MUL = S.divMul >>> 2;
const S_DIV_SHIFT = S.divShift >>> 2;

/** Freed bytes that a class keeps on its list: enough to serve bursts without touching spans. */
const MAX_LISTED = 64 * 1024;

/** What checks fill blocks with: fresh from malloc, and freed. */
const POISON_FRESH = 0xcd;
const POISON_FREED = 0xdb;

/** Typed arrays that a block may be seen through. */
export type ViewConstructor<T> = {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
};

/** Blocks in use from one call site. */
export interface LeakRecord {
  readonly site: string;
  blocks: number;
  bytes: number;
}

interface BlockInfo {
  site: string;
  size: number;
  /** withView calls that are running on the block. */
  views: number;
}

export class ManualHeap {
  private readonly allocator: Allocator;
  private readonly heap: MHeap;
  private readonly central: MCentral;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly slots: number;
  private readonly slotOf: Uint32Array;
  private readonly kernel: Kernel;
  private readonly hooks: AllocatorHooks;
  private readonly pageInfo: number;
  private readonly pageSpan: number;
  private readonly sharedWord: number;
  private readonly sweepgenWord: number;
  private readonly gcPhaseWord: number;
  private readonly smallAlloc: number;
  private readonly smallFree: number;
  private readonly blocks: Map<Addr, BlockInfo> | null;
  /** Whether the last flush left no list. */
  private emptied = false;
  private closed = false;
  /** Whether free has more to look at than the block's bits: under checks, and after close. */
  private careful: boolean;

  constructor(allocator: Allocator, checks: boolean) {
    this.allocator = allocator;
    this.heap = allocator.heap;
    this.central = allocator.central;
    this.u32 = allocator.mem.u32;
    this.f64 = allocator.mem.f64;
    this.slots = allocator.cache.slots;
    this.slotOf = new Uint32Array(129);
    for (let k = 0; k <= 128; k++) {
      this.slotOf[k] = this.slots + (((sizeToClass8[Math.max(k, 1)] as number) << 1) | 1) * SLOT_WORDS;
    }
    this.kernel = allocator.mem.kernel;
    this.hooks = allocator.hooks;
    this.pageSpan = allocator.pageSpanBase >>> 2;
    this.pageInfo = allocator.pageInfoBase >>> 2;
    this.sharedWord = (allocator.mheap + MHEAP.offsets.shared) >>> 2;
    this.sweepgenWord = (allocator.gcControl + GCCONTROL.offsets.sweepgen) >>> 2;
    this.gcPhaseWord = (allocator.gcControl + GCCONTROL.offsets.gcPhase) >>> 2;
    this.smallAlloc = (allocator.cache.base + MCACHE.offsets.smallAllocCount) >>> 3;
    this.smallFree = (allocator.cache.base + MCACHE.offsets.smallFreeCount) >>> 3;
    this.blocks = checks ? new Map() : null;
    this.careful = checks;
  }

  /** Nothing may be allocated or freed any more. */
  close(): void {
    this.closed = true;
    this.careful = true;
    this.slotOf.fill(0); // empty slots, as in Allocator.close
  }

  malloc(size: number, zero: boolean): Addr {
    const p = this.take(size, zero);
    if (this.blocks !== null) this.record(p, size, zero);
    return p;
  }

  private take(size: number, zero: boolean): Addr {
    if (size >>> 0 !== size || size > 1024) return this.takeBig(size, zero);
    const i = this.slotOf[(size + 7) >>> 3] as number;
    const p = this.u32[i + SLOT_FREE] as number;
    if (p !== 0) return this.popFree(i, p, zero);
    return size < 16 ? this.fromRun(i) : this.allocator.mallocNoscan(size);
  }

  /** A block of 8 bytes: the only class that mallocNoscan, with its tiny blocks, can't give. */
  private fromRun(i: number): Addr {
    const { u32 } = this;
    if (u32[i] === u32[i + 1]) return this.allocator.refillAlloc(i);
    const p = u32[i] as number;
    u32[i] = p + (u32[i + SLOT_ELEMSIZE] as number);
    return p as Addr;
  }

  private takeBig(size: number, zero: boolean): Addr {
    if (this.closed) closedError();
    if (size >>> 0 === size && size <= MAX_SMALL_REQUEST) {
      const i = this.slots + this.allocator.noscanSpanClass(size) * SLOT_WORDS;
      const p = this.u32[i + SLOT_FREE] as number;
      if (p !== 0) return this.popFree(i, p, zero);
    }
    return this.allocator.mallocgc(size, 0, zero); // checks the size
  }

  private popFree(i: number, p: number, zero: boolean): Addr {
    const { u32, f64 } = this;
    u32[i + SLOT_FREE] = u32[p >>> 2] as number;
    u32[i + SLOT_NFREE] = (u32[i + SLOT_NFREE] as number) - 1;
    const at = (u32[this.pageSpan + (p >>> PAGE_SHIFT)] as number) >>> 2;
    const idx = this.slotIndex(at, p);
    const marks = (u32[at + S_GCMARK_BITS] as number) + ((idx >>> 5) << 2);
    const mask = ~(1 << (idx & 31));
    if (u32[this.sharedWord] !== 0) this.kernel.and(marks, mask);
    else u32[marks >>> 2] = (u32[marks >>> 2] as number) & mask;
    const count = this.smallAlloc + ((u32[at + S_SPANCLASS] as number) >>> 1);
    f64[count] = (f64[count] as number) + 1;
    if (zero) this.kernel.zero(p, u32[at + S_ELEMSIZE] as number);
    return p as Addr;
  }

  /** Number of the slot of the span (a word index) that p points into. */
  private slotIndex(at: number, p: number): number {
    const { u32 } = this;
    const offset = p - (u32[at + S_START_ADDR] as number);
    return Math.imul(offset >>> 3, u32[at + S_DIV_MUL] as number) >>> (u32[at + S_DIV_SHIFT] as number);
  }

  free(p: Addr): void {
    if (p === 0) return;
    if (this.careful) this.checkViews(p);
    const { u32 } = this;
    if (u32[this.sweepgenWord] !== 0 || u32[this.gcPhaseWord] !== GC_OFF) this.refuseCollected(p);
    if (p >>> 0 !== p || (u32[this.pageInfo + (p >>> PAGE_SHIFT)] as number) < 256) this.badFree(p);
    const s = u32[this.pageSpan + (p >>> PAGE_SHIFT)] as number;
    const at = s >>> 2;
    const idx = this.slotIndex(at, p);
    const elemsize = u32[at + S_ELEMSIZE] as number;
    if (((u32[at + S_START_ADDR] as number) + Math.imul(idx, elemsize)) >>> 0 !== p) this.badFree(p);
    if (idx >= (u32[at + S_NELEMS] as number)) this.badFree(p);
    const bit = 1 << (idx & 31);
    const alloc = u32[((u32[at + S_ALLOC_BITS] as number) >>> 2) + (idx >>> 5)] as number;
    if ((alloc & bit) === 0) this.badFree(p);
    const spanclass = u32[at + S_SPANCLASS] as number;
    const i = this.slots + spanclass * SLOT_WORDS;
    if (this.allocator.cache.isUnused(i, s, p, idx)) this.badFree(p);
    if (spanclass < 2) {
      this.freeLarge(s, p, elemsize);
      return;
    }
    const marks = (u32[at + S_GCMARK_BITS] as number) + ((idx >>> 5) << 2);
    if (u32[this.sharedWord] !== 0) {
      if ((this.kernel.or(marks, bit) & bit) !== 0) this.badFree(p);
    } else {
      const w = u32[marks >>> 2] as number;
      if ((w & bit) !== 0) this.badFree(p);
      u32[marks >>> 2] = w | bit;
    }
    if (this.blocks !== null) this.forget(p, elemsize);
    this.hooks.onFree(p, elemsize);
    const count = this.smallFree + (spanclass >>> 1);
    this.f64[count] = (this.f64[count] as number) + 1;
    u32[p >>> 2] = u32[i + SLOT_FREE] as number;
    u32[i + SLOT_FREE] = p;
    const n = (u32[i + SLOT_NFREE] as number) + 1;
    u32[i + SLOT_NFREE] = n;
    if (n > 8 && Math.imul(n, elemsize) > MAX_LISTED) this.releaseList(i, spanclass, n >>> 1);
  }

  private freeLarge(s: number, p: Addr, bytes: number): void {
    const { u32 } = this;
    if (!this.central.remove(s)) this.badFree(p);
    u32[((u32[(s + S.allocBits) >>> 2] as number) >>> 2) + 0] = 0;
    u32[(s + S.allocCount) >>> 2] = 0;
    if (this.blocks !== null) this.forget(p, bytes);
    this.hooks.onFree(p, bytes);
    this.allocator.countLargeFree(bytes);
    this.heap.freeSpan(s);
  }

  private refuseCollected(p: Addr): never {
    throw new TypeError(`allocator: free in a heap that is garbage collected (got ${hex(p)})`);
  }

  /** Says what is wrong with the pointer. */
  private badFree(p: Addr): never {
    const { u32 } = this;
    if (typeof p !== "number") throw new TypeError(`allocator: free needs an address (got ${String(p)})`);
    const info = p >>> 0 === p ? (u32[this.pageInfo + (p >>> PAGE_SHIFT)] as number) : 0;
    if (info < 256) throw new RangeError(`allocator: free of an address outside of the heap (got ${hex(p)})`);
    const s = this.heap.spanOf(p);
    const elemsize = u32[(s + S.elemsize) >>> 2] as number;
    const idx = this.allocator.objIndex(s as Addr, p);
    const base = (u32[(s + S.startAddr) >>> 2] as number) + idx * elemsize;
    const bit = (offset: number): number =>
      ((u32[((u32[(s + offset) >>> 2] as number) >>> 2) + (idx >>> 5)] as number) >>> (idx & 31)) & 1;
    if (base !== p)
      throw new RangeError(`allocator: free of an address inside the block at ${hex(base)} (got ${hex(p)})`);
    if (idx < (u32[(s + S.nelems) >>> 2] as number) && bit(S.allocBits) === 1 && bit(S.gcmarkBits) === 1) {
      throw new RangeError(`allocator: double free (got ${hex(p)})`);
    }
    throw new RangeError(`allocator: free of an address that is not allocated (got ${hex(p)})`);
  }

  /**
   * Gives n of the freed blocks of a slot back to their spans. A block is off the list before it goes: a thread that is
   * killed in between loses it, but whoever takes the mcache over finds none that is somebody else's by then.
   */
  private releaseList(i: number, spanclass: number, n: number): void {
    const { u32 } = this;
    let kept = 0;
    for (let left = n; left > 0; left--) {
      const p = u32[i + SLOT_FREE] as number;
      if (p === 0) break;
      u32[i + SLOT_FREE] = u32[p >>> 2] as number;
      u32[i + SLOT_NFREE] = (u32[i + SLOT_NFREE] as number) - 1;
      if (!this.releaseBlock(i, spanclass, p)) {
        // Another thread has the span cached: its alloc bits can't be touched. Try again another time.
        u32[p >>> 2] = kept;
        kept = p;
      }
    }
    while (kept !== 0) {
      const next = u32[kept >>> 2] as number;
      u32[kept >>> 2] = u32[i + SLOT_FREE] as number;
      u32[i + SLOT_FREE] = kept;
      u32[i + SLOT_NFREE] = (u32[i + SLOT_NFREE] as number) + 1;
      kept = next;
    }
  }

  private releaseBlock(i: number, spanclass: number, p: number): boolean {
    const { u32, central } = this;
    const s = this.heap.spanOf(p);
    const idx = this.slotIndex(s >>> 2, p);
    const own = u32[i + SLOT_SPAN] === s;
    if (!own) {
      central.lock(spanclass);
      if (u32[(s + S.list) >>> 2] === 0) {
        central.unlock(spanclass);
        return false;
      }
    }
    const word = idx >>> 5;
    const mask = ~(1 << (idx & 31));
    const marks = (u32[(s + S.gcmarkBits) >>> 2] as number) + 4 * word;
    const allocs = ((u32[(s + S.allocBits) >>> 2] as number) >>> 2) + word;
    if (u32[this.sharedWord] !== 0) this.kernel.and(marks, mask);
    else u32[marks >>> 2] = (u32[marks >>> 2] as number) & mask;
    u32[allocs] = (u32[allocs] as number) & mask;
    const count = (u32[(s + S.allocCount) >>> 2] as number) - 1;
    u32[(s + S.allocCount) >>> 2] = count;
    if (idx < (u32[(s + S.freeindex) >>> 2] as number)) u32[(s + S.freeindex) >>> 2] = idx;
    u32[(s + S.needzero) >>> 2] = 1;
    if (own) return true;
    const freed = central.blockReturned(s, count);
    central.unlock(spanclass);
    if (freed) this.heap.freeSpan(s);
    return true;
  }

  /** Gives all lists back: statistics of spans are exact after it. */
  flush(): void {
    // A heap that is collected takes no block back by hand, so what is empty then stays empty.
    if (this.emptied && this.u32[this.sweepgenWord] !== 0) return;
    this.emptied = true;
    for (let spc = 3; spc < NUM_SPAN_CLASSES; spc += 2) {
      const i = this.slots + spc * SLOT_WORDS;
      if (this.u32[i + SLOT_FREE] !== 0) this.releaseList(i, spc, this.u32[i + SLOT_NFREE] as number);
      if (this.u32[i + SLOT_FREE] !== 0) this.emptied = false;
    }
  }

  usableSize(p: Addr): number {
    if (typeof p !== "number") throw new TypeError(`allocator: a block needs an address (got ${String(p)})`);
    const base = this.allocator.findObject(p);
    if (base === 0 || base !== p || this.isFreed(p)) {
      throw new RangeError(`allocator: usableSize needs an allocated block (got ${hex(p)})`);
    }
    return this.u32[(this.heap.spanOf(p) + S.elemsize) >>> 2] as number;
  }

  private isFreed(p: number): boolean {
    const { u32 } = this;
    const s = this.heap.spanOf(p);
    const idx = this.allocator.objIndex(s as Addr, p as Addr);
    const word = ((u32[(s + S.gcmarkBits) >>> 2] as number) >>> 2) + (idx >>> 5);
    return (((u32[word] as number) >>> (idx & 31)) & 1) !== 0;
  }

  realloc(p: Addr, size: number): Addr {
    if (p === 0) return this.malloc(size, false);
    const usable = this.usableSize(p);
    const fits = size >>> 0 === size && size <= usable;
    // A block stays where it is unless that would waste half of it, or pages.
    const shrinks = usable > PAGE_SIZE ? usable - size >= PAGE_SIZE : size <= usable / 2;
    if (fits && (!shrinks || usable === 8)) {
      if (this.blocks !== null) this.resize(p, size);
      return p;
    }
    // What free would refuse is refused before there is a second block.
    if (this.careful) this.checkViews(p);
    if (this.u32[this.sweepgenWord] !== 0 || this.u32[this.gcPhaseWord] !== GC_OFF) this.refuseCollected(p);
    const q = this.malloc(size, false);
    this.kernel.copy(q, p, Math.min(usable, size));
    this.free(p);
    return q;
  }

  // --- checks

  private record(p: Addr, size: number, keepContents: boolean): void {
    const usable = this.u32[(this.heap.spanOf(p) + S.elemsize) >>> 2] as number;
    if (!keepContents) this.kernel.fill(p, POISON_FRESH, usable);
    this.blocks?.set(p, { site: callSite(), size, views: 0 });
  }

  /** The block stays where it is; calls of withView on it go on. */
  private resize(p: Addr, size: number): void {
    const block = this.blocks?.get(p);
    if (block === undefined) {
      this.record(p, size, true);
      return;
    }
    block.site = callSite();
    block.size = size;
  }

  private checkViews(p: Addr): void {
    if (this.closed) closedError();
    if ((this.blocks?.get(p)?.views ?? 0) > 0) {
      throw new RangeError(`allocator: free of a block inside withView (got ${hex(p)})`);
    }
  }

  /** The block is being freed; nothing refuses that any more. */
  private forget(p: Addr, usable: number): void {
    this.blocks?.delete(p);
    this.kernel.fill(p, POISON_FREED, usable);
  }

  withView<T, R>(p: Addr, type: ViewConstructor<T>, f: (view: T) => R): R {
    const size = this.usableSize(p);
    const block = this.blocks?.get(p);
    if (block) block.views++;
    try {
      const bytes = block?.size ?? size;
      return f(new type(this.allocator.mem.buffer, p, Math.floor(bytes / type.BYTES_PER_ELEMENT)));
    } finally {
      if (block) block.views--;
    }
  }

  leakReport(): LeakRecord[] {
    if (this.blocks === null)
      throw new TypeError("allocator: leakReport needs createAllocator({ checks: true })");
    const sites = new Map<string, LeakRecord>();
    for (const { site, size } of this.blocks.values()) {
      const record = sites.get(site) ?? { site, blocks: 0, bytes: 0 };
      record.blocks++;
      record.bytes += size;
      sites.set(site, record);
    }
    return [...sites.values()].sort((x, y) => y.bytes - x.bytes);
  }
}

/** The first frame outside of this package's classes: "function (file:line:column)". */
function callSite(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 12;
  const stack = new Error().stack ?? "";
  Error.stackTraceLimit = limit;
  const frames = stack.split("\n").slice(1);
  const outside = frames.find((f) => !/\bat (new )?(ManualHeap|Allocator|callSite)\b/.test(f));
  return (outside ?? "unknown").trim().replace(/^at /, "");
}
