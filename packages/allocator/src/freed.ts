/**
 * The lists of blocks freed by hand, one for each class in the mcache: see manual.ts for the blocks on them.
 *
 * Counting in a heap that one thread has alone: free decrements slot.credit, and malloc increments slot.reused
 * where it takes a block from the list. That is all. At credit 0 the accounts are settled and the length of the
 * list is checked. Since the accounts were settled last
 *
 *     frees = granted - credit        blocks on the list = nfree + (granted - credit) - reused
 *
 * and the class's totals are smallFreeCount + (granted - credit) and smallAllocCount + reused. (reused can't
 * overflow: no more blocks can be taken than were on the list or have come by credit.) In a shared heap other
 * threads read the totals at any time. There no credit is given: every free and malloc settles at once.
 *
 * Credit also lets free skip its other checks. It is 0 after each flush, so the first free in a heap that has begun
 * to be collected takes the slow path, and throws. While the heap has specials, which free has to look for, no
 * credit is given.
 */
import type { Kernel } from "@gort/memory";
import {
  FIRST_NOSCAN_SPAN_CLASS,
  FIXALLOC_AT,
  GC_OFF,
  GCCONTROL_AT,
  MCACHE_AT,
  MHEAP_AT,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  SLOT_CREDIT,
  SLOT_FREE,
  SLOT_GRANTED,
  SLOT_NFREE,
  SLOT_PARKED,
  SLOT_REUSED,
  SLOT_SPAN,
  SLOT_WORDS,
} from "./layout.ts";
import { forEachMCache } from "./mcache-list.ts";
import type { MCentral } from "./mcentral.ts";
import type { MHeap } from "./mheap.ts";
import { classToSize } from "./sizeclasses.generated.ts";

const SPAN_ALLOC_COUNT = MSPAN_AT.allocCount >>> 2;
const SPAN_FREEINDEX = MSPAN_AT.freeindex >>> 2;
const SPAN_NEEDZERO = MSPAN_AT.needzero >>> 2;
const SPAN_LIST = MSPAN_AT.list >>> 2;
const SPAN_SWEEPGEN = MSPAN_AT.sweepgen >>> 2;

/** Freed bytes that a class keeps on its list: enough to serve bursts without touching spans. */
const MAX_LISTED = 64 * 1024;
/** Blocks that any class keeps. */
const MIN_LISTED = 8;

/** Blocks that a list keeps, by size class. */
const maxListed = Uint32Array.from(classToSize, (size) =>
  Math.max(MIN_LISTED, Math.floor(MAX_LISTED / size)),
);

/** The mcache's slot of the class, as the index of its first word. */
function slotIn(mcache: number, spanclass: number): number {
  return ((mcache + MCACHE_AT.alloc) >>> 2) + spanclass * SLOT_WORDS;
}

export class FreedLists {
  private readonly heap: MHeap;
  private readonly central: MCentral;
  private readonly kernel: Kernel;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly slots: number;
  private readonly smallAlloc: number;
  private readonly smallFree: number;
  private readonly sharedWord: number;
  private readonly sweepgenWord: number;
  private readonly gcPhaseWord: number;
  private readonly specialBytes: number;
  private readonly orphansWord: number;
  private readonly freedByHandWord: number;
  /** Whether the last flush left no list. */
  private emptied = false;

  /** base: the mcache's address. */
  constructor(heap: MHeap, central: MCentral, base: number) {
    this.heap = heap;
    this.central = central;
    this.kernel = heap.mem.kernel;
    this.u32 = heap.mem.u32;
    this.f64 = heap.mem.f64;
    this.slots = (base + MCACHE_AT.alloc) >>> 2;
    this.smallAlloc = (base + MCACHE_AT.smallAllocCount) >>> 3;
    this.smallFree = (base + MCACHE_AT.smallFreeCount) >>> 3;
    this.sharedWord = (heap.base + MHEAP_AT.shared) >>> 2;
    this.sweepgenWord = (heap.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
    this.specialBytes = (heap.base + MHEAP_AT.specialalloc + FIXALLOC_AT.inuseBytes) >>> 3;
    this.orphansWord = (heap.base + MHEAP_AT.orphans) >>> 2;
    this.freedByHandWord = (heap.base + MHEAP_AT.freedByHand) >>> 2;
    this.gcPhaseWord = (heap.gcControl + GCCONTROL_AT.gcPhase) >>> 2;
  }

  /** The mcache's slot of the class, as the index of its first word. */
  slotOf(spanclass: number): number {
    return this.slots + spanclass * SLOT_WORDS;
  }

  get shared(): boolean {
    return this.u32[this.sharedWord] !== 0;
  }

  /** Whether the heap is or was collected: it takes no block back by hand then. */
  get collected(): boolean {
    return this.u32[this.sweepgenWord] !== 0 || this.u32[this.gcPhaseWord] !== GC_OFF;
  }

  /** Whether any object of the heap has a special. */
  get hasSpecials(): boolean {
    return this.f64[this.specialBytes] !== 0;
  }

  private count(totals: number, spanclass: number, n: number): void {
    const k = totals + (spanclass >>> 1);
    this.f64[k] = this.f64[k] + n;
  }

  private addListed(i: number, n: number): void {
    this.u32[i + SLOT_NFREE] = this.u32[i + SLOT_NFREE] + n;
  }

  /** Brings totals and nfree up to date, and takes the credit back. */
  private settle(i: number, spanclass: number): void {
    const { u32 } = this;
    const frees = u32[i + SLOT_GRANTED] - u32[i + SLOT_CREDIT];
    const reused = u32[i + SLOT_REUSED];
    u32[i + SLOT_GRANTED] = 0;
    u32[i + SLOT_CREDIT] = 0;
    if (frees === 0 && reused === 0) return;
    u32[i + SLOT_REUSED] = 0;
    this.addListed(i, frees - reused);
    this.count(this.smallFree, spanclass, frees);
    this.count(this.smallAlloc, spanclass, reused);
  }

  settleAll(): void {
    for (let spc = FIRST_NOSCAN_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc += 2)
      this.settle(this.slotOf(spc), spc);
  }

  /** Puts a block on its list. If the list is too long, half of it goes back to the spans. */
  push(p: number, spanclass: number): void {
    const { u32 } = this;
    const i = this.slotOf(spanclass);
    const { shared } = this;
    if (!shared) this.settle(i, spanclass);
    this.count(this.smallFree, spanclass, 1);
    u32[p >>> 2] = u32[i + SLOT_FREE];
    u32[i + SLOT_FREE] = p;
    const max = maxListed[spanclass >>> 1];
    const n = u32[i + SLOT_NFREE] + 1;
    u32[i + SLOT_NFREE] = n;
    if (n > max) this.release(i, spanclass, n >>> 1);
    if (shared || this.hasSpecials) return;
    u32[this.freedByHandWord] = 1;
    const credit = Math.max(0, max - u32[i + SLOT_NFREE]);
    u32[i + SLOT_GRANTED] = credit;
    u32[i + SLOT_CREDIT] = credit;
  }

  /** Takes a block from the list; 0 if there is none. Its contents are undefined. */
  pop(spanclass: number): number {
    const { u32 } = this;
    const i = this.slotOf(spanclass);
    if (u32[i + SLOT_FREE] === 0) {
      if (u32[i + SLOT_PARKED] === 0 || this.collected) return 0;
      this.unpark(i);
    }
    const p = u32[i + SLOT_FREE];
    u32[i + SLOT_FREE] = u32[p >>> 2];
    if (this.shared) {
      u32[i + SLOT_NFREE] = u32[i + SLOT_NFREE] - 1;
      this.count(this.smallAlloc, spanclass, 1);
    } else {
      u32[i + SLOT_REUSED] = u32[i + SLOT_REUSED] + 1;
    }
    return p;
  }

  // --- back to the spans

  /**
   * Gives n of the listed blocks of a slot back to their spans. A block is off the list before it goes. So a thread
   * that is killed in between loses the block, but the thread that takes the mcache over finds no block of another
   * owner. A block that can't go returns to its place, so that no other block is off the list.
   */
  private release(i: number, spanclass: number, n: number): void {
    let link = i + SLOT_FREE;
    for (let left = n; left > 0 && this.u32[link] !== 0; left--) {
      const p = this.unlist(link);
      if (this.releaseBlock(i, spanclass, p)) this.addListed(i, -1);
      else link = this.list(link, p);
    }
  }

  /**
   * Takes off its list the block that the word `link` names. `link` is a list's head, or the first word of a block.
   */
  private unlist(link: number): number {
    const { u32 } = this;
    const p = u32[link];
    u32[link] = u32[p >>> 2];
    return p;
  }

  /** Inserts a block where the word `link` names its successor. The result is the block's own such word. */
  private list(link: number, p: number): number {
    const { u32 } = this;
    u32[p >>> 2] = u32[link];
    u32[link] = p;
    return p >>> 2;
  }

  /** False, and nothing is changed, if another thread has the span cached or sweeps it, or if it is not swept yet. */
  private releaseBlock(i: number, spanclass: number, p: number): boolean {
    const { u32, central } = this;
    const s = this.heap.spanOf(p);
    const at = s >>> 2;
    const own = u32[i + SLOT_SPAN] === s;
    if (!own) {
      central.lock(spanclass);
      if (u32[at + SPAN_LIST] === 0 || u32[at + SPAN_SWEEPGEN] !== u32[this.sweepgenWord]) {
        central.unlock(spanclass);
        return false;
      }
    }
    const idx = this.heap.objIndex(s, p);
    const word = (idx >>> 5) << 2;
    const bit = 1 << (idx & 31);
    const marks = u32[(s + MSPAN_AT.gcmarkBits) >>> 2] + word;
    const allocs = (u32[(s + MSPAN_AT.allocBits) >>> 2] + word) >>> 2;
    // Only a parked block has a mark.
    if ((u32[marks >>> 2] & bit) !== 0) this.kernel.and(marks, ~bit);
    u32[allocs] = u32[allocs] & ~bit;
    const count = u32[at + SPAN_ALLOC_COUNT] - 1;
    u32[at + SPAN_ALLOC_COUNT] = count;
    if (idx < u32[at + SPAN_FREEINDEX]) u32[at + SPAN_FREEINDEX] = idx;
    u32[at + SPAN_NEEDZERO] = 1;
    if (own) return true;
    const freed = central.blockReturned(s, count);
    central.unlock(spanclass);
    if (freed) this.heap.freeSpan(s);
    return true;
  }

  /** Gives all lists back, so that statistics of spans are exact. */
  flush(): void {
    if (this.u32[this.orphansWord] !== 0) this.flushOrphans();
    // A heap that is collected takes no block back by hand, so empty lists stay empty.
    if (this.emptied && this.u32[this.sweepgenWord] !== 0) return;
    this.emptied = true;
    for (let spc = FIRST_NOSCAN_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc += 2) {
      const i = this.slotOf(spc);
      this.settle(i, spc);
      this.releaseParked(i, spc);
      this.releaseListed(i, spc);
      if (this.u32[i + SLOT_PARKED] !== 0) this.emptied = false;
    }
  }

  private releaseParked(i: number, spanclass: number): void {
    let link = i + SLOT_PARKED;
    while (this.u32[link] !== 0) {
      const p = this.unlist(link);
      if (this.releaseBlock(i, spanclass, p)) continue;
      link = this.list(link, p);
      this.changeMark(p, true); // a sweep may have taken it
    }
  }

  private releaseListed(i: number, spanclass: number): void {
    while (this.u32[i + SLOT_FREE] !== 0) {
      const p = this.unlist(i + SLOT_FREE);
      this.addListed(i, -1);
      if (this.releaseBlock(i, spanclass, p)) continue;
      this.list(i + SLOT_PARKED, p);
      this.changeMark(p, true);
    }
  }

  /** Parked blocks, which a flush could not give back, are for malloc again. */
  private unpark(i: number): void {
    while (this.u32[i + SLOT_PARKED] !== 0) {
      this.changeMark(this.u32[i + SLOT_PARKED], false);
      const p = this.unlist(i + SLOT_PARKED);
      this.list(i + SLOT_FREE, p);
      this.addListed(i, 1);
    }
  }

  private changeMark(p: number, on: boolean): void {
    const s = this.heap.spanOf(p);
    const idx = this.heap.objIndex(s, p);
    const word = this.u32[(s + MSPAN_AT.gcmarkBits) >>> 2] + ((idx >>> 5) << 2);
    if (on) this.kernel.or(word, 1 << (idx & 31));
    else this.kernel.and(word, ~(1 << (idx & 31)));
  }

  // --- orphans

  /**
   * Gives the mcache up. From then on every flush of any thread looks after its parked blocks: only the marks that
   * a flush puts back keep a second collection from freeing them.
   */
  disown(mcache: number): void {
    const { u32, heap } = this;
    heap.lock();
    if (this.hasParked(mcache)) u32[this.orphansWord] = 1;
    u32[(mcache + MCACHE_AT.owned) >>> 2] = 0;
    heap.unlock();
  }

  private hasParked(mcache: number): boolean {
    for (let spc = FIRST_NOSCAN_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc += 2) {
      if (this.u32[slotIn(mcache, spc) + SLOT_PARKED] !== 0) return true;
    }
    return false;
  }

  /** Flushes the parked blocks of mcaches without owner. This thread owns these mcaches meanwhile. */
  private flushOrphans(): void {
    const { u32, heap } = this;
    const orphans: number[] = [];
    heap.lock();
    u32[this.orphansWord] = 0;
    const adopt = (c: number): void => {
      if (u32[(c + MCACHE_AT.owned) >>> 2] !== 0 || !this.hasParked(c)) return;
      u32[(c + MCACHE_AT.owned) >>> 2] = heap.mem.thread;
      orphans.push(c);
    };
    forEachMCache(heap, adopt, undefined);
    heap.unlock();
    for (const c of orphans) {
      for (let spc = FIRST_NOSCAN_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc += 2)
        this.releaseParked(slotIn(c, spc), spc);
      this.disown(c);
    }
  }

  // --- for messages

  /** The slots of the span class, as word indices, in all mcaches. */
  slotsOfAll(spanclass: number): number[] {
    const slots: number[] = [];
    forEachMCache(this.heap, (c) => slots.push(slotIn(c, spanclass)), undefined);
    return slots;
  }

  /**
   * Whether the block is on a list of its class. Other threads' lists may change meanwhile and lead anywhere, so a walk
   * ends after 2 * MAX_LISTED blocks, many times the length of a full list.
   */
  has(p: number, spanclass: number): boolean {
    const { u32 } = this;
    for (const i of this.slotsOfAll(spanclass)) {
      for (const head of [i + SLOT_FREE, i + SLOT_PARKED]) {
        let q = u32[head];
        for (let left = 2 * MAX_LISTED; left > 0 && q !== 0 && q !== undefined; left--) {
          if (q === p) return true;
          q = u32[q >>> 2];
        }
      }
    }
    return false;
  }
}
