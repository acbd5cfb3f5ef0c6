/**
 * The spans of each span class that no mcache holds: partial (with a free slot) and full lists, each in a swept and
 * an unswept version. Which list of a pair is the swept one flips when sweepgen moves by 2. So the start of a sweep
 * turns all swept spans into unswept ones without touching them.
 *
 *     cacheSpan    a span with a free slot, for an mcache:
 *       1. a swept partial span                            (no work)
 *       2. an unswept partial span, swept here             (has a free slot for certain)
 *       3. an unswept full span, swept here, if the sweep freed a slot; else it goes to full swept. At most
 *          SPAN_BUDGET are tried, to bound the time of one allocation
 *       4. a retained span of the class, without objects
 *       5. a new span from the heap
 *     uncacheSpan  a span back from an mcache, to partial or full swept, or back to the heap if it is empty
 *
 * Lists are doubly linked through mspan.next and prev. mspan.list names the list, so a span can be taken out of the
 * middle. The lists of a class are guarded by its mcentral's lock. A span on no list belongs to the thread that
 * took it off.
 *
 * A thread that takes an unswept span has to sweep it: takeUnswept, nextSpanForSweep and cacheSpan do so. Under the
 * list's lock, sweepgen changes to sg-1 and MCACHE.sweeping names the span. So an unswept span is on an unswept list,
 * or an mcache names it. If all unswept lists are empty and no mcache names a span, all is swept.
 *
 * Unlike Go, whose span sets are lock-free stacks of blocks. Every atomic operation is a call of the kernel here.
 * Such a set needs two for a push and three for a pop; a lock needs two for either. The set measured slower in one
 * thread and under contention (bench/spans.bench.ts), and it can't give up a span from its middle.
 */
import { hex, throwFatal } from "@gort/base";
import type { Addr } from "@gort/memory";
import type { AllocatorHooks } from "./hooks.ts";
import {
  FIRST_SMALL_SPAN_CLASS,
  GCCONTROL_AT,
  MCACHE_AT,
  MCACHE_SLOT_AT,
  MCENTRAL,
  MCENTRAL_AT,
  MHEAP_AT,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  PAGE_SHIFT,
} from "./layout.ts";
import type { MHeap } from "./mheap.ts";
import { classToAllocNPages } from "./sizeclasses.generated.ts";

/**
 * MHEAP.sweepCursor is sweepgen << PLACE_BITS | 2 * class + (partial ? 1 : 0): the lists before this place are known to
 * be empty in this sweep. Both are in one word, so that no thread takes the place of an earlier sweep for that of the
 * running one.
 */
const PLACE_BITS = 9;

/** Unswept spans that cacheSpan tries before it takes a new one from the heap: Go's spanBudget. */
const SPAN_BUDGET = 100;

// Word offsets of the fields that the lists touch.
const NEXT = MSPAN_AT.next >>> 2;
const PREV = MSPAN_AT.prev >>> 2;
const LIST = MSPAN_AT.list >>> 2;
const SPANCLASS = MSPAN_AT.spanclass >>> 2;
const ALLOC_COUNT = MSPAN_AT.allocCount >>> 2;
const NELEMS = MSPAN_AT.nelems >>> 2;
const SWEEPGEN = MSPAN_AT.sweepgen >>> 2;
const SLOT_SPAN = MCACHE_SLOT_AT.span >>> 2;

export class MCentral {
  private readonly heap: MHeap;
  private readonly u32: Uint32Array;
  private readonly hooks: AllocatorHooks;
  private readonly base: number;
  private readonly sweepgenWord: number;
  private readonly cursorWord: number;
  private readonly shared: number;
  /** Address of this thread's MCACHE.sweeping. */
  private sweeping = 0;

  constructor(heap: MHeap) {
    this.heap = heap;
    this.u32 = heap.mem.u32;
    this.shared = (heap.base + MHEAP_AT.shared) >>> 2;
    this.hooks = heap.hooks;
    this.base = heap.base + MHEAP_AT.central;
    heap.freeRetained = (npages) => this.freeRetained(npages);
    this.cursorWord = (heap.base + MHEAP_AT.sweepCursor) >>> 2;
    this.sweepgenWord = (heap.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
  }

  /** The mcache of this thread. */
  bind(mcache: number): void {
    this.sweeping = mcache + MCACHE_AT.sweeping;
  }

  /** 0 or 4: which of a pair of lists is the swept one. */
  private sweptSide(): number {
    return (this.u32[this.sweepgenWord] & 2) << 1;
  }

  // The addresses of the four lists' heads.

  partialSwept(spanclass: number): number {
    return this.base + spanclass * MCENTRAL.size + MCENTRAL_AT.partial + this.sweptSide();
  }

  partialUnswept(spanclass: number): number {
    return this.base + spanclass * MCENTRAL.size + MCENTRAL_AT.partial + (4 - this.sweptSide());
  }

  fullSwept(spanclass: number): number {
    return this.base + spanclass * MCENTRAL.size + MCENTRAL_AT.full + this.sweptSide();
  }

  fullUnswept(spanclass: number): number {
    return this.base + spanclass * MCENTRAL.size + MCENTRAL_AT.full + (4 - this.sweptSide());
  }

  empty(spanclass: number): number {
    return this.base + spanclass * MCENTRAL.size + MCENTRAL_AT.empty;
  }

  /**
   * Retains a swept span without objects for its class. False for a span of several pages, which is seldom wanted
   * again: the caller frees it.
   *
   * swept: the caller is a sweep, which meets the spans from the last used to the first. It appends them, so that
   * they are used again in this order: the memory used last is likeliest to be in the processor's cache.
   */
  retain(s: number, swept: boolean): boolean {
    const { u32, heap } = this;
    const at = s >>> 2;
    const spanclass = u32[at + SPANCLASS];
    if (classToAllocNPages[spanclass >>> 1] !== 1) return false;
    const list = this.empty(spanclass);
    const tail = list + (MCENTRAL_AT.emptyTail - MCENTRAL_AT.empty);
    this.lock(spanclass);
    heap.counters.retain(1);
    const last = u32[tail >>> 2];
    if (swept && last !== 0) {
      u32[at + NEXT] = 0;
      u32[at + PREV] = last;
      u32[at + LIST] = list;
      u32[(last >>> 2) + NEXT] = s;
      u32[tail >>> 2] = s;
    } else {
      this.link(s, list);
      if (last === 0) u32[tail >>> 2] = s;
    }
    heap.log.spanPlaced(s);
    this.unlock(spanclass);
    return true;
  }

  /** Takes a retained span; 0 if the class has none. */
  private takeRetained(spanclass: number): number {
    if (this.u32[this.empty(spanclass) >>> 2] === 0) return 0;
    this.lock(spanclass);
    const s = this.unlinkRetained(this.base + spanclass * MCENTRAL.size);
    if (s !== 0) this.heap.log.spanMoves(s);
    this.unlock(spanclass);
    return s;
  }

  private unlinkRetained(central: number): number {
    const { u32 } = this;
    const list = central + MCENTRAL_AT.empty;
    const s = this.unlinkFirst(list);
    if (s === 0) return 0;
    if (u32[list >>> 2] === 0) u32[(central + MCENTRAL_AT.emptyTail) >>> 2] = 0;
    this.heap.counters.unretain(1);
    return s;
  }

  /** See MHeap.freeRetained. */
  private freeRetained(npages: number): boolean {
    const { u32, heap } = this;
    const all = npages === Number.POSITIVE_INFINITY;
    let freed = 0;
    for (let spc = FIRST_SMALL_SPAN_CLASS; spc < NUM_SPAN_CLASSES && freed < npages; spc++) {
      if (!all && u32[this.empty(spc) >>> 2] === 0) continue;
      // A span goes from the list to the heap inside of one lock. A thread that finds the list empty under this
      // lock finds the pages in the heap.
      this.lock(spc);
      const central = this.base + spc * MCENTRAL.size;
      for (let s = 0; freed < npages && (s = this.unlinkRetained(central)) !== 0; freed++) heap.freeSpan(s);
      this.unlock(spc);
    }
    return freed > 0;
  }

  push(list: number, s: number): void {
    const { u32, heap } = this;
    const at = s >>> 2;
    const central = this.base + u32[at + SPANCLASS] * MCENTRAL.size;
    heap.acquire(central);
    this.link(s, list);
    heap.log.spanPlaced(s);
    heap.release(central);
  }

  private link(s: number, list: number): void {
    const { u32 } = this;
    const at = s >>> 2;
    const head = u32[list >>> 2];
    u32[at + NEXT] = head;
    u32[at + PREV] = 0;
    u32[at + LIST] = list;
    if (head !== 0) u32[(head >>> 2) + PREV] = s;
    u32[list >>> 2] = s;
  }

  /** Takes the first span off the list; 0 if it is empty. */
  pop(list: number, spanclass: number): number {
    const { u32, heap } = this;
    if (u32[list >>> 2] === 0) return 0; // read without the lock: a span pushed this moment is found next time
    const central = this.base + spanclass * MCENTRAL.size;
    heap.acquire(central);
    const s = this.unlinkFirst(list);
    if (s !== 0) heap.log.spanMoves(s);
    heap.release(central);
    return s;
  }

  private unlinkFirst(list: number): number {
    const { u32 } = this;
    const s = u32[list >>> 2];
    if (s === 0) return 0;
    const at = s >>> 2;
    const next = u32[at + NEXT];
    u32[list >>> 2] = next;
    if (next !== 0) u32[(next >>> 2) + PREV] = 0;
    u32[at + NEXT] = 0;
    u32[at + LIST] = 0;
    return s;
  }

  private unlink(s: number, list: number): void {
    const { u32 } = this;
    const at = s >>> 2;
    const next = u32[at + NEXT];
    const prev = u32[at + PREV];
    if (prev === 0) u32[list >>> 2] = next;
    else u32[(prev >>> 2) + NEXT] = next;
    if (next !== 0) u32[(next >>> 2) + PREV] = prev;
    u32[at + NEXT] = 0;
    u32[at + PREV] = 0;
    u32[at + LIST] = 0;
  }

  /** Takes the span off its list. False if it is on none: an mcache or a sweeper holds it. */
  remove(s: number): boolean {
    const { u32, heap } = this;
    const central = this.base + u32[(s >>> 2) + SPANCLASS] * MCENTRAL.size;
    heap.acquire(central);
    const list = u32[(s >>> 2) + LIST];
    if (list !== 0) {
      heap.log.spanMoves(s);
      this.unlink(s, list);
    }
    heap.release(central);
    return list !== 0;
  }

  /**
   * Takes an unswept span off its list, to sweep it. False if it is not unswept, or if another thread has taken it.
   */
  takeUnswept(s: number): boolean {
    const { u32, heap } = this;
    const at = s >>> 2;
    const central = this.base + u32[at + SPANCLASS] * MCENTRAL.size;
    heap.acquire(central);
    const list = u32[at + LIST];
    const taken = list !== 0 && u32[at + SWEEPGEN] === (u32[this.sweepgenWord] - 2) >>> 0;
    if (taken) {
      this.beginSweep(s);
      this.unlink(s, list);
    }
    heap.release(central);
    return taken;
  }

  /** Takes the first span off an unswept list, to sweep it; 0 if the list is empty. */
  private takeFirstUnswept(list: number, central: number): number {
    const { u32, heap } = this;
    if (u32[list >>> 2] === 0) return 0;
    heap.acquire(central);
    const s = u32[list >>> 2];
    if (s !== 0) {
      this.beginSweep(s);
      this.unlinkFirst(list);
    }
    heap.release(central);
    return s;
  }

  /** The unswept span is going to leave its list. Called under the list's lock. */
  private beginSweep(s: number): void {
    const { u32, heap } = this;
    // A full barrier: a thread that finds the list without the span must find the span in this mcache.
    if (u32[this.shared] !== 0) heap.mem.kernel.xchg(this.sweeping, s);
    heap.log.spanMoves(s);
    u32[(s >>> 2) + SWEEPGEN] = u32[this.sweepgenWord] - 1;
  }

  /** The sweep of a span is done, but for the place where the span belongs. */
  setSwept(s: number): void {
    const { u32 } = this;
    const sweepgen = u32[this.sweepgenWord];
    // Atomic: a thread that waits for the span (see takeUnswept) finds its bits as the sweep has left them.
    if (u32[this.shared] !== 0) this.heap.mem.kernel.store(s + MSPAN_AT.sweepgen, sweepgen);
    else u32[(s >>> 2) + SWEEPGEN] = sweepgen;
  }

  /** The span that this thread has taken is swept, and is where it belongs. */
  endSweep(): void {
    if (this.u32[this.shared] !== 0) this.heap.mem.kernel.store(this.sweeping, 0);
  }

  lock(spanclass: number): void {
    this.heap.acquire(this.base + spanclass * MCENTRAL.size);
  }

  unlock(spanclass: number): void {
    this.heap.release(this.base + spanclass * MCENTRAL.size);
  }

  /**
   * A block was freed by hand in a span that is on a list. Moves a full span to the partial list. True: the span is
   * empty and on no list, and the caller frees it. Called with the class's lock.
   */
  blockReturned(s: number, allocCount: number): boolean {
    const { u32 } = this;
    const at = s >>> 2;
    const list = u32[at + LIST];
    const partial = this.partialSwept(u32[at + SPANCLASS]);
    if (allocCount === 0) {
      this.heap.log.spanMoves(s);
      this.unlink(s, list);
      return true;
    }
    if (list !== partial) {
      this.unlink(s, list);
      this.link(s, partial);
    }
    return false;
  }

  /**
   * A span for the mcache's slot at word `slot`, in exchange for the used-up one, all of whose slots are handed out
   * (0: the slot has none). 0 if the memory is exhausted; the slot has no span then.
   */
  cacheSpan(spanclass: number, used: number, slot: number): number {
    const { u32 } = this;
    const npages = classToAllocNPages[spanclass >>> 1];
    this.hooks.deductSweepCredit(npages << PAGE_SHIFT, 0);
    let s = this.exchange(spanclass, used, slot);
    if (s === 0) s = this.sweepForFree(spanclass);
    if (s === 0) s = this.takeRetained(spanclass);
    if (s === 0) s = this.heap.alloc(npages, spanclass);
    if (s === 0) return 0;
    const at = s >>> 2;
    if (u32[at + ALLOC_COUNT] >= u32[at + NELEMS]) {
      throwFatal("mcentral.cacheSpan: span has no free objects", `span ${hex(s)}`);
    }
    u32[at + SWEEPGEN] = u32[this.sweepgenWord] + 3;
    return s;
  }

  /**
   * Step 1, and step 4 if no span of the class is unswept. It holds the lock once; each list by itself would take
   * it again.
   */
  private exchange(spanclass: number, used: number, slot: number): number {
    const { u32, heap } = this;
    const central = this.base + spanclass * MCENTRAL.size;
    heap.acquire(central);
    const sweepgen = u32[this.sweepgenWord];
    const side = (sweepgen & 2) << 1;
    if (used !== 0) {
      u32[(used >>> 2) + SWEEPGEN] = sweepgen;
      this.link(used, central + MCENTRAL_AT.full + side);
      u32[slot + SLOT_SPAN] = 0;
    }
    let s = this.unlinkFirst(central + MCENTRAL_AT.partial + side);
    const unswept = central + 4 - side;
    if (
      s === 0 &&
      u32[(unswept + MCENTRAL_AT.partial) >>> 2] === 0 &&
      u32[(unswept + MCENTRAL_AT.full) >>> 2] === 0
    ) {
      s = this.unlinkRetained(central);
    }
    if (s !== 0) heap.log.spanMoves(s);
    heap.release(central);
    return s;
  }

  /** Sweeps until a span has a free slot; 0 if there is none within the budget. */
  private sweepForFree(spanclass: number): number {
    const partial = this.sweepList(this.partialUnswept(spanclass), spanclass);
    return partial !== 0 ? partial : this.sweepList(this.fullUnswept(spanclass), spanclass);
  }

  private sweepList(list: number, spanclass: number): number {
    const { u32 } = this;
    for (let budget = SPAN_BUDGET; budget > 0; budget--) {
      const s = this.takeFirstUnswept(list, this.base + spanclass * MCENTRAL.size);
      if (s === 0) return 0;
      const at = s >>> 2;
      const sweepgen = u32[this.sweepgenWord];
      this.hooks.sweepSpan(s as Addr);
      if (u32[at + SWEEPGEN] !== sweepgen) {
        throwFatal("mcentral.cacheSpan: the span was not swept", `span ${hex(s)}`);
      }
      if (u32[at + ALLOC_COUNT] < u32[at + NELEMS]) return s;
      this.push(this.fullSwept(spanclass), s);
    }
    return 0;
  }

  /** Takes a swept span back: to the full list, to the partial one, or to the heap if it is empty. */
  uncacheSpan(s: number): void {
    const { u32 } = this;
    const at = s >>> 2;
    const spanclass = u32[at + SPANCLASS];
    u32[at + SWEEPGEN] = u32[this.sweepgenWord];
    if (u32[at + ALLOC_COUNT] === 0) {
      if (!this.retain(s, false)) this.heap.freeSpan(s);
      return;
    }
    const full = u32[at + ALLOC_COUNT] >= u32[at + NELEMS];
    this.push(full ? this.fullSwept(spanclass) : this.partialSwept(spanclass), s);
  }

  /**
   * Takes an unswept span of any class for the sweeper, off its list and marked as being swept; 0 if there is none.
   */
  nextSpanForSweep(): number {
    const { u32, cursorWord } = this;
    const sweepgen = u32[this.sweepgenWord];
    const sweep = sweepgen << PLACE_BITS;
    const unswept = 4 - ((sweepgen & 2) << 1);
    const cursor = u32[cursorWord] ^ sweep;
    for (let i = cursor >>> PLACE_BITS === 0 ? cursor : 0; i < 2 * NUM_SPAN_CLASSES; i++) {
      const central = this.base + (i >>> 1) * MCENTRAL.size;
      const list = central + ((i & 1) === 0 ? MCENTRAL_AT.full : MCENTRAL_AT.partial) + unswept;
      if (u32[list >>> 2] === 0) continue; // most lists: no call for them
      const s = this.takeFirstUnswept(list, central);
      if (s === 0) continue;
      u32[cursorWord] = sweep | i;
      return s;
    }
    u32[cursorWord] = sweep | (2 * NUM_SPAN_CLASSES);
    return 0;
  }
}
