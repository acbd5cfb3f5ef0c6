/**
 * The spans of each span class that no mcache holds: partial (with a free slot) and full lists, each in a swept and
 * an unswept version. Which of the two lists of a pair is the swept one flips when sweepgen moves by 2, so the
 * start of a sweep turns all swept spans into unswept ones without touching them.
 *
 *     cacheSpan    a span with a free slot, for an mcache:
 *       1. a swept partial span                            (no work)
 *       2. an unswept partial span, swept here             (has a free slot for certain)
 *       3. an unswept full span, swept here, if the sweep freed a slot; else it goes to full swept. At most
 *          SPAN_BUDGET are tried, to bound the time of one allocation
 *       4. a new span from the heap
 *     uncacheSpan  a span back from an mcache, to partial or full swept
 *
 * Lists are doubly linked through mspan.next and prev, and mspan.list names the list, so a span in the middle can be
 * taken out. Unlike Go, whose span sets are lock-free stacks of blocks: a lock a class costs 10 ns a span here, and
 * saves the blocks' memory. Each list is guarded by its mcentral's lock; a span on no list belongs to whoever took it.
 */
import { type LinearMemory, lock, unlock } from "@gort/memory";
import { fatalThrow } from "./errors.ts";
import type { AllocatorHooks } from "./hooks.ts";
import { MCENTRAL, MHEAP, MSPAN, NUM_SPAN_CLASSES, PAGE_SIZE } from "./layout.ts";
import { classPages, hex, type MHeap } from "./mheap.ts";

const S = MSPAN.offsets;
const C = MCENTRAL.offsets;

/** Unswept spans that cacheSpan tries before it takes a new one from the heap: Go's spanBudget. */
const SPAN_BUDGET = 100;

export class MCentral {
  readonly #heap: MHeap;
  readonly #mem: LinearMemory;
  readonly #u32: Uint32Array;
  readonly #hooks: AllocatorHooks;
  readonly #base: number;

  constructor(heap: MHeap) {
    this.#heap = heap;
    this.#mem = heap.mem;
    this.#u32 = heap.mem.u32;
    this.#hooks = heap.hooks;
    this.#base = heap.base + MHEAP.offsets.central;
  }

  #of(spanclass: number): number {
    return this.#base + spanclass * MCENTRAL.size;
  }

  partialSwept(spanclass: number): number {
    return this.#of(spanclass) + C.partial + ((this.#heap.sweepgen >>> 1) & 1) * 4;
  }

  partialUnswept(spanclass: number): number {
    return this.#of(spanclass) + C.partial + (1 - ((this.#heap.sweepgen >>> 1) & 1)) * 4;
  }

  fullSwept(spanclass: number): number {
    return this.#of(spanclass) + C.full + ((this.#heap.sweepgen >>> 1) & 1) * 4;
  }

  fullUnswept(spanclass: number): number {
    return this.#of(spanclass) + C.full + (1 - ((this.#heap.sweepgen >>> 1) & 1)) * 4;
  }

  push(list: number, s: number): void {
    const u32 = this.#u32;
    const central = this.#of(u32[(s + S.spanclass) >>> 2] as number);
    lock(this.#mem, central + C.lock);
    const head = u32[list >>> 2] as number;
    u32[(s + S.next) >>> 2] = head;
    u32[(s + S.prev) >>> 2] = 0;
    u32[(s + S.list) >>> 2] = list;
    if (head !== 0) u32[(head + S.prev) >>> 2] = s;
    u32[list >>> 2] = s;
    unlock(this.#mem, central + C.lock);
  }

  /** The first span of the list, taken off it; 0 if it is empty. */
  pop(list: number, spanclass: number): number {
    const u32 = this.#u32;
    if (u32[list >>> 2] === 0) return 0; // read without the lock: a span pushed this moment is found next time
    const central = this.#of(spanclass);
    lock(this.#mem, central + C.lock);
    const s = u32[list >>> 2] as number;
    if (s !== 0) this.#unlink(s, list);
    unlock(this.#mem, central + C.lock);
    return s;
  }

  #unlink(s: number, list: number): void {
    const u32 = this.#u32;
    const next = u32[(s + S.next) >>> 2] as number;
    const prev = u32[(s + S.prev) >>> 2] as number;
    if (prev === 0) u32[list >>> 2] = next;
    else u32[(prev + S.next) >>> 2] = next;
    if (next !== 0) u32[(next + S.prev) >>> 2] = prev;
    u32[(s + S.next) >>> 2] = 0;
    u32[(s + S.prev) >>> 2] = 0;
    u32[(s + S.list) >>> 2] = 0;
  }

  /** Takes the span off the list it is on. False if it is on none (an mcache or a sweeper holds it). */
  remove(s: number): boolean {
    const u32 = this.#u32;
    const central = this.#of(u32[(s + S.spanclass) >>> 2] as number);
    lock(this.#mem, central + C.lock);
    const list = u32[(s + S.list) >>> 2] as number;
    if (list !== 0) this.#unlink(s, list);
    unlock(this.#mem, central + C.lock);
    return list !== 0;
  }

  cacheSpan(spanclass: number): number {
    const u32 = this.#u32;
    this.#hooks.deductSweepCredit(classPages(spanclass) * PAGE_SIZE, 0);
    let s = this.pop(this.partialSwept(spanclass), spanclass);
    if (s === 0) s = this.#sweepForFree(spanclass);
    if (s === 0) s = this.#heap.alloc(classPages(spanclass), spanclass);
    if ((u32[(s + S.allocCount) >>> 2] as number) >= (u32[(s + S.nelems) >>> 2] as number)) {
      fatalThrow("mcentral.cacheSpan: span has no free objects", `span ${hex(s)}`);
    }
    u32[(s + S.sweepgen) >>> 2] = this.#heap.sweepgen + 3;
    return s;
  }

  #sweepForFree(spanclass: number): number {
    const u32 = this.#u32;
    for (let budget = SPAN_BUDGET; budget > 0; budget--) {
      const s = this.pop(this.partialUnswept(spanclass), spanclass);
      if (s === 0) break;
      this.#sweep(s);
      if ((u32[(s + S.allocCount) >>> 2] as number) < (u32[(s + S.nelems) >>> 2] as number)) return s;
      this.push(this.fullSwept(spanclass), s);
    }
    for (let budget = SPAN_BUDGET; budget > 0; budget--) {
      const s = this.pop(this.fullUnswept(spanclass), spanclass);
      if (s === 0) break;
      this.#sweep(s);
      if ((u32[(s + S.allocCount) >>> 2] as number) < (u32[(s + S.nelems) >>> 2] as number)) return s;
      this.push(this.fullSwept(spanclass), s);
    }
    return 0;
  }

  #sweep(s: number): void {
    const u32 = this.#u32;
    u32[(s + S.sweepgen) >>> 2] = this.#heap.sweepgen - 1;
    this.#hooks.sweepSpan(s as never);
    if (u32[(s + S.sweepgen) >>> 2] !== this.#heap.sweepgen) {
      fatalThrow("mcentral.cacheSpan: the span was not swept", `span ${hex(s)}`);
    }
  }

  uncacheSpan(s: number): void {
    const u32 = this.#u32;
    const spanclass = u32[(s + S.spanclass) >>> 2] as number;
    u32[(s + S.sweepgen) >>> 2] = this.#heap.sweepgen;
    const full = (u32[(s + S.allocCount) >>> 2] as number) >= (u32[(s + S.nelems) >>> 2] as number);
    this.push(full ? this.fullSwept(spanclass) : this.partialSwept(spanclass), s);
  }

  /** An unswept span of any class for the sweeper, off its list and marked as being swept; 0 if there is none. */
  nextSpanForSweep(): number {
    const u32 = this.#u32;
    const { sweepgen } = this.#heap;
    const cursor = (this.#heap.base + MHEAP.offsets.sweepCursor) >>> 2;
    const cursorGen = (this.#heap.base + MHEAP.offsets.sweepCursorGen) >>> 2;
    if (u32[cursorGen] !== sweepgen) {
      u32[cursorGen] = sweepgen;
      u32[cursor] = 0;
    }
    // The cursor is 2 * class + (full first): lists before it are known to be empty in this sweep.
    for (let i = u32[cursor] as number; i < 2 * NUM_SPAN_CLASSES; i++) {
      const spanclass = i >>> 1;
      const list = (i & 1) === 0 ? this.fullUnswept(spanclass) : this.partialUnswept(spanclass);
      const s = this.pop(list, spanclass);
      if (s !== 0) {
        u32[(s + S.sweepgen) >>> 2] = sweepgen - 1;
        u32[cursor] = i;
        return s;
      }
    }
    u32[cursor] = 2 * NUM_SPAN_CLASSES;
    return 0;
  }
}
