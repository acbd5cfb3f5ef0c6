/**
 * Marking: from the roots to everything reachable, in bounded steps.
 *
 * ## Colours
 * White: the mark bit is clear. Grey: marked, and waiting in one of the two queues below. Black: marked and scanned. A
 * new object is born black: the allocator marks the runs that it hands out while marking is on.
 *
 * ## Two ways to wait
 * 1. *Small pointerful objects* (16 to 512 bytes, all in spans of one page) wait with their page. The first of them to
 *    be marked queues the page. When the page's turn comes, its marked and unscanned objects are scanned until there is
 *    none: objects of the page that are marked during the visit are part of it. Objects gather while their page waits
 *    in a FIFO queue. So a page is visited a few times, and a visit walks through memory in order. On a heap in random
 *    order this is 2.5 times faster than a stack of objects, which misses the cache at every step. In allocation order
 *    both are equal. If only one object of a page waits, the visit scans it without looking for others: the queue entry
 *    names it. Otherwise a linked list in random order, which never has more than one, would pay for a whole page at
 *    each link.
 * 2. *All other pointerful objects* wait in a stack of addresses: those of 8 bytes; those over 512 bytes, whose type is
 *    in a header; and large objects, whose type is in their span. Large objects are cut into oblets of 4 KiB, of which
 *    a bounded number waits at a time.
 *
 * A page is in the queue at most once, so a ring with a slot for every page cannot overflow: marking of small objects
 * never needs memory. The stack grows by pages of the heap. It can also use four thousand entries outside of the heap.
 * If no memory is left, the object stays marked and unscanned, and `overflow` is set. At the end `markOverflow` scans
 * all spans of such classes again. That is slow, but a collection does not fail for want of memory when it is needed
 * most. mark-state.ts draws all this.
 *
 * ## Twins
 * The state of marking is in linear memory (mark-state.ts), so every twin and every thread can go on with it. For a
 * thread alone there are mark-wasm.ts and mark-js.ts. In a heap that several threads may use (Allocator.share) every
 * thread marks with atomic operations: mark-parallel.ts and its kernel. mark-drainer.ts chooses; mark-share.ts spreads
 * the work. This file has what all of them share: roots and figures.
 *
 * ## Bounded steps
 * `drain(budget)` scans about `budget` bytes, and at most a page visit or an oblet more. Besides the bound of pauses,
 * speed asks for it: V8 runs a loop that never returns in code 1.5 times slower than a function called often (on-stack
 * replacement).
 *
 * Rejected: a stack of objects alone (2.5 times slower in random order); queueing pages LIFO (400 ns an object in
 * random order, as pages are visited for a single object); a small FIFO before the stack to prefetch (neither language
 * can prefetch, and an early load gains less in WebAssembly than pages do: 66 ns an object against 44 in random order,
 * and nothing in JS).
 *
 * Sources: Go's "Green Tea" collector (issue 73581); runtime/mgcmark.go, mgcmark_greenteagc.go; performance figures are
 * of bench/mark.bench.ts.
 */

import { throwFatal } from "@gort/base";
import type { ScanStats } from "./gc-trace.ts";
import { type GCHeap, MSPAN_AT, NUM_SIZE_CLASSES, PAGE_SHIFT } from "./heap.ts";
import { forEachPointerSlot, isMarked } from "./heap-walk.ts";
import { Drainer, type MarkerKind } from "./mark-drainer.ts";
import { MarkJS } from "./mark-js.ts";
import { MarkParallelJS } from "./mark-parallel.ts";
import { MarkShare } from "./mark-share.ts";
import {
  GCWORK_AT,
  MARK_AT,
  MarkState,
  SCAN_ROW_SHIFT,
  SCAN_ROW_WORDS,
  THREAD_LOST,
  WORK_OWNED,
} from "./mark-state.ts";
import { WorkBufs } from "./mgcwork.ts";

/** Marks from the roots that `shade`, `scanRoots` and `scanFinalizerObject` get. */
export class Marker {
  readonly #heap: GCHeap;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  /** The twins that shade, whichever twin drains: for a thread alone, and beside other threads. */
  readonly js: MarkJS;
  readonly atomic: MarkParallelJS;
  readonly #alone: Drainer;
  readonly #among: Drainer;
  readonly state: MarkState;
  readonly bufs: WorkBufs;
  /** The work of other threads. */
  readonly others: MarkShare;
  /** This thread's GCWORK. */
  readonly work: number;
  /** Word index of MHEAP.shared. */
  readonly #shared: number;

  /**
   * @param kind which twin drains: see Drainer
   * @param work a GCWORK to share with another Marker of the same thread, for tests
   */
  constructor(heap: GCHeap, kind?: MarkerKind, work?: number) {
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#f64 = heap.mem.f64;
    this.#shared = heap.sharedWord;
    this.state = new MarkState(heap);
    this.bufs = new WorkBufs(this.state);
    this.work = work ?? this.state.newWork(WORK_OWNED);
    this.js = new MarkJS(this.state, this.bufs, this.work);
    this.atomic = new MarkParallelJS(this.state, this.bufs, this.work);
    this.others = new MarkShare(this.state, this.bufs, this.work);
    const onFallback = (err: unknown): void => this.onFallback(err);
    this.#alone = new Drainer(this, this.js, false, kind, onFallback);
    this.#among = new Drainer(this, this.atomic, true, kind, onFallback);
  }

  /** Called if the host refuses the WebAssembly twin. The TypeScript twin goes on in its place. */
  onFallback: (err: unknown) => void = () => {};

  /** Whether other threads may mark at the same time. */
  get shared(): boolean {
    return this.#u32[this.#shared] !== 0;
  }

  /** Which twin drains. */
  get kind(): MarkerKind {
    return (this.shared ? this.#among : this.#alone).kind;
  }

  /** Whether a pointer into a span that is not in use ends the program. */
  set invalidptr(on: boolean) {
    this.state.set(MARK_AT.invalidptr, on ? 1 : 0);
  }

  /** Whether some marked objects were not scanned: see markOverflow. */
  get overflow(): boolean {
    return this.state.get(MARK_AT.overflow) !== 0;
  }

  /** Whether a thread was lost while it marked. */
  get lost(): boolean {
    return (this.state.get(MARK_AT.overflow) & THREAD_LOST) !== 0;
  }

  #sum(field: number): number {
    let n = 0;
    this.state.forEachWork((w) => {
      n += this.#u32[(w + field) >>> 2];
    });
    return n;
  }

  /** Bytes of the slots of objects marked in this cycle. */
  get bytesMarked(): number {
    return this.#sum(GCWORK_AT.bytesMarked);
  }

  /** Bytes of heap that this thread has scanned in this cycle. */
  get scanned(): number {
    return this.#f64[(this.work + GCWORK_AT.heapScanWork) >>> 3];
  }

  /** Bytes of heap that all threads have scanned in this cycle. */
  get heapScanWork(): number {
    let n = 0;
    for (let w = this.state.get(MARK_AT.workers); w !== 0; w = this.#u32[(w + GCWORK_AT.next) >>> 2]) {
      n += this.#f64[(w + GCWORK_AT.heapScanWork) >>> 3];
    }
    return n;
  }

  /** Starts a cycle: no object is grey. */
  reset(): void {
    this.state.reset();
  }

  /** Whether this thread finds no grey object: neither in its hands nor on the list of workbufs. */
  get idle(): boolean {
    return this.state.isIdle(this.work) && this.bufs.noneFull;
  }

  /** Makes the object that p points into grey, if it is white. p may be 0, interior, or no heap address at all. */
  shade(p: number): void {
    if (this.#u32[this.#shared] === 0) this.js.shade(p);
    else this.atomic.shade(p);
  }

  /** Gives the memory of the stack, which is empty, back to the heap. */
  releaseWorkbufs(): void {
    if (!this.idle) throwFatal("gc: releasing workbufs of an unfinished mark");
    this.state.forEachWork((w) => this.state.releaseWork(w));
    this.bufs.release();
  }

  /** Scans until about `budget` bytes are scanned or this thread finds no grey object; returns the bytes scanned. */
  drain(budget: number): number {
    if (budget <= 0) return 0;
    const work = (this.#u32[this.#shared] === 0 ? this.#alone : this.#among).drain(budget);
    this.#addScanWork(work);
    return work;
  }

  #addScanWork(n: number): void {
    const at = (this.work + GCWORK_AT.heapScanWork) >>> 3;
    this.#f64[at] = this.#f64[at] + n;
  }

  /** How the objects of this cycle were scanned. Pages are scanned object by object: sparsely, in Go's terms. */
  scanStats(): ScanStats {
    return {
      sparse: this.#sum(GCWORK_AT.objsStacked),
      spanSparse: this.#sum(GCWORK_AT.objsByPage),
      spanDense: 0,
      spansSparse: this.#sum(GCWORK_AT.pagesVisited),
      spansDense: 0,
    };
  }

  /**
   * The same by size class, large objects (class 0) first; without classes of which nothing was scanned. Walks over all
   * spans.
   */
  classStats(): Map<number, ScanStats> {
    const u32 = this.#u32;
    const { state } = this;
    const stats = new Map<number, ScanStats>();
    for (let cls = 0; cls < NUM_SIZE_CLASSES; cls++) {
      stats.set(cls, {
        sparse: this.#sum(GCWORK_AT.classStacked + 4 * cls),
        spanSparse: 0,
        spanDense: 0,
        spansSparse: this.#sum(GCWORK_AT.classVisits + 4 * cls),
        spansDense: 0,
      });
    }
    const cycle = state.get(MARK_AT.cycle);
    this.#heap.forEachSpan((span) => {
      const spanclass = u32[(span + MSPAN_AT.spanclass) >>> 2];
      if (this.#heap.classes.byPage[spanclass] !== 1) return;
      const page = u32[(span + MSPAN_AT.startAddr) >>> 2] >>> PAGE_SHIFT;
      if ((u32[(state.pageState >>> 2) + page] & ~3) !== cycle) return;
      const row = (state.scanRows >>> 2) + (page << SCAN_ROW_SHIFT);
      const s = stats.get(spanclass >>> 1) as ScanStats;
      for (let k = 0; k < SCAN_ROW_WORDS; k++) {
        for (let x = u32[row + k]; x !== 0; x &= x - 1) s.spanSparse++;
      }
    });
    for (const [cls, s] of stats) if (s.sparse + s.spanSparse + s.spansSparse === 0) stats.delete(cls);
    return stats;
  }

  /** Shades every slot of a range of root slots. */
  scanRoots(lo: number, hi: number): void {
    const u32 = this.#u32;
    const shader = this.shared ? this.atomic : this.js;
    for (let w = lo >>> 2, end = hi >>> 2; w < end; w += 2) {
      const p = u32[w];
      if (p !== 0) shader.shade(p);
    }
  }

  /**
   * Shades the objects that the object at base (its slot) refers to, but not the object itself: what a finalizer's
   * object refers to has to live.
   */
  scanFinalizerObject(base: number): void {
    const heap = this.#heap;
    const u32 = this.#u32;
    const span = u32[(heap.pageSpan >>> 2) + (base >>> PAGE_SHIFT)];
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    forEachPointerSlot(heap, span, base, (slot) => {
      const p = u32[slot >>> 2];
      if (p !== 0 && !(p >= base && p - base < size)) this.shade(p);
    });
    this.#addScanWork(size);
  }

  /**
   * After an overflow of the stack: scans every marked object of the classes that use it, repeatedly, until no further
   * object overflows. Every round marks more, so it ends. After the loss of a thread all waiting work is dropped, and
   * every marked object of any class is scanned once more. The objects that the thread had in hand are among them. The
   * world is stopped, or no other thread marks.
   */
  markOverflow(): void {
    const { state, lost } = this;
    if (lost) state.dropWork();
    while (this.overflow) {
      state.set(MARK_AT.overflow, 0);
      this.#rescan(lost);
    }
    if (lost) this.#recount();
  }

  #rescan(everything: boolean): void {
    const u32 = this.#u32;
    this.#heap.forEachSpan((span) => {
      const spanclass = u32[(span + MSPAN_AT.spanclass) >>> 2];
      if ((spanclass & 1) !== 0) return;
      if (!everything && this.#heap.classes.byPage[spanclass] === 1) return;
      const base = u32[(span + MSPAN_AT.startAddr) >>> 2];
      const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
      const nelems = u32[(span + MSPAN_AT.nelems) >>> 2];
      for (let i = 0; i < nelems; i++) {
        if (!isMarked(this.#heap, span, i)) continue;
        forEachPointerSlot(this.#heap, span, base + i * size, (slot) => this.shade(u32[slot >>> 2]));
        while (!this.idle) this.drain(1 << 20);
      }
    });
  }

  /** Counts the marked bytes by the mark bits: the count of a lost thread is lost. */
  #recount(): void {
    const u32 = this.#u32;
    let bytes = 0;
    this.#heap.forEachSpan((span) => {
      const nelems = u32[(span + MSPAN_AT.nelems) >>> 2];
      for (let i = 0; i < nelems; i++) {
        if (isMarked(this.#heap, span, i)) bytes += u32[(span + MSPAN_AT.elemsize) >>> 2];
      }
    });
    this.state.forEachWork((w) => {
      u32[(w + GCWORK_AT.bytesMarked) >>> 2] = 0;
    });
    const black = this.#heap.heapLive - this.state.get(MARK_AT.liveAtStart);
    u32[(this.work + GCWORK_AT.bytesMarked) >>> 2] = bytes - black;
  }
}
