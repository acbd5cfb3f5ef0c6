/**
 * Where marking starts: what the program can reach without going through the heap.
 *
 *     globals       ranges of pointer slots that are registered once
 *     stacks        ranges [lo, top) of pointer slots in goroutines' stacks, named by the scheduler's side
 *     ref slots     the RefTable: Refs and global roots
 *     finalizers    objects in the queue; and what objects with a finalizer refer to
 *
 * Globals, stacks and the queue are scanned in the stop that begins a cycle. Ref slots and specials can be many, so
 * they are scanned by `step` while the program runs: the barrier keeps what they held at the beginning.
 */
import { type GCHeap, MSPAN, SPECIAL, SPECIAL_FINALIZER } from "./heap.ts";
import type { Finalizers } from "./mfinal.ts";
import type { Marker } from "./mgcmark.ts";
import { REF_BLOCK_BYTES, type RefTable } from "./ref-table.ts";

/** Calls visit with [lo, hi) of each goroutine's live root slots; bounds are multiples of 8. */
export type StackRoots = (visit: (lo: number, hi: number) => void) => void;

/** Spans looked at for specials in one step, and what that costs in bytes of scan work: about 30 nanoseconds a span. */
const SPANS_PER_STEP = 512;
const SPAN_WORK = 64;

export class Roots {
  readonly #heap: GCHeap;
  readonly #refs: RefTable;
  readonly #finalizers: Finalizers;
  /** Pairs of lo, hi. */
  readonly #globals: number[] = [];
  stacks: StackRoots = () => {};
  /** Bytes of stack and of globals scanned in this cycle. */
  stackScan = 0;
  globalsScan = 0;
  #refBlock = 0;
  #spanCursor = 0;
  #spanEnd = 0;

  constructor(heap: GCHeap, refs: RefTable, finalizers: Finalizers) {
    this.#heap = heap;
    this.#refs = refs;
    this.#finalizers = finalizers;
  }

  /** Registers [lo, hi), whole pointer slots outside of the heap; the function it returns undoes it. */
  addGlobals(lo: number, hi: number): () => void {
    if (!(lo > 0 && hi >= lo) || lo % 8 !== 0 || hi % 8 !== 0) {
      throw new RangeError(`gc: globals must be a range of 8-byte slots (got [${lo}, ${hi}))`);
    }
    this.#globals.push(lo, hi);
    return () => {
      const i = this.#globals.findIndex((v, k) => k % 2 === 0 && v === lo && this.#globals[k + 1] === hi);
      if (i >= 0) this.#globals.splice(i, 2);
    };
  }

  /** Bytes of globals and ref slots. */
  get globalsBytes(): number {
    let n = this.#refs.inuse * 8;
    for (let i = 0; i < this.#globals.length; i += 2) n += this.#globals[i + 1] - this.#globals[i];
    return n;
  }

  /** Scans what must be scanned while the world is stopped, and sets up the rest. */
  begin(marker: Marker): void {
    this.stackScan = 0;
    this.globalsScan = 0;
    for (let i = 0; i < this.#globals.length; i += 2) {
      marker.scanRoots(this.#globals[i], this.#globals[i + 1]);
      this.globalsScan += this.#globals[i + 1] - this.#globals[i];
    }
    this.stacks((lo, hi) => {
      marker.scanRoots(lo, hi);
      this.stackScan += hi - lo;
    });
    this.#finalizers.forEachQueued((object) => marker.shade(object));
    this.#refBlock = this.#refs.firstBlock;
    this.#spanCursor = 0;
    this.#spanEnd = this.#heap.allocator.nspans;
  }

  /** Scans one piece more; gives what it took, in bytes of scan work, 0 if none was left. */
  step(marker: Marker): number {
    if (this.#refBlock !== 0) {
      marker.scanRoots(this.#refBlock + 8, this.#refBlock + REF_BLOCK_BYTES);
      this.globalsScan += REF_BLOCK_BYTES - 8;
      this.#refBlock = this.#refs.nextBlock(this.#refBlock);
      return REF_BLOCK_BYTES;
    }
    if (this.#spanCursor === this.#spanEnd) return 0;
    const from = this.#spanCursor;
    const end = Math.min(this.#spanEnd, this.#spanCursor + SPANS_PER_STEP);
    for (; this.#spanCursor < end; this.#spanCursor++) {
      const span = this.#heap.liveSpan(this.#spanCursor);
      if (span !== 0) this.forEachFinalizerObject(span, (base) => marker.scanFinalizerObject(base));
    }
    return (end - from) * SPAN_WORK;
  }

  /** Whether step has nothing left to do. */
  get done(): boolean {
    return this.#refBlock === 0 && this.#spanCursor === this.#spanEnd;
  }

  /** Calls f with the slot of each object of the span that has a finalizer. */
  forEachFinalizerObject(span: number, f: (base: number) => void): void {
    const u32 = this.#heap.mem.u32;
    const size = u32[(span + MSPAN.elemsize) >>> 2];
    for (let s = u32[(span + MSPAN.specials) >>> 2]; s !== 0; s = u32[(s + SPECIAL.next) >>> 2]) {
      if (u32[(s + SPECIAL.kind) >>> 2] !== SPECIAL_FINALIZER) continue;
      const i = Math.floor(u32[(s + SPECIAL.offset) >>> 2] / size);
      f(this.#heap.objectBase(span, i));
    }
  }

  /** Calls f with every address that a root slot holds: for checks. */
  forEachRoot(f: (p: number) => void): void {
    const u32 = this.#heap.mem.u32;
    const range = (lo: number, hi: number): void => {
      for (let a = lo; a < hi; a += 8) if (u32[a >>> 2] !== 0) f(u32[a >>> 2]);
    };
    for (let i = 0; i < this.#globals.length; i += 2) range(this.#globals[i], this.#globals[i + 1]);
    this.stacks(range);
    this.#finalizers.forEachQueued(f);
    for (let b = this.#refs.firstBlock; b !== 0; b = this.#refs.nextBlock(b))
      range(b + 8, b + REF_BLOCK_BYTES);
  }
}
