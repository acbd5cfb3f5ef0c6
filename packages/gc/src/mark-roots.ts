/**
 * Where marking starts: the slots that the program reaches without going through the heap.
 *
 *     globals       ranges of pointer slots that are registered once: a list of GLOBAL
 *     stacks        ranges [lo, top) of pointer slots in goroutines' stacks; the scheduler's callback names them
 *     ref slots     the RefTable: Refs and global roots
 *     finalizers    objects in the queue; and what objects with a finalizer refer to
 *
 * The stop that begins a cycle scans globals, stacks and the queue. There can be many ref slots and specials, so `step`
 * scans them while the program runs: the barrier keeps what they held at the beginning.
 */
import { outOfMemory } from "@gort/base";
import { defineStruct } from "@gort/memory";
import type { RootsState } from "./gc-state.ts";
import { type GCHeap, MSPAN_AT, SPECIAL_AT, SPECIAL_FINALIZER } from "./heap.ts";
import type { Finalizers } from "./mfinal.ts";
import type { Marker } from "./mgcmark.ts";
import { REF_BLOCK_BYTES, type RefTable } from "./ref-table.ts";

/** Calls visit with [lo, hi) of each goroutine's live root slots; bounds are multiples of 8. */
export type StackRoots = (visit: (lo: number, hi: number) => void) => void;

/** Spans whose specials one step looks at, and the scan work in bytes that a span counts for: about 30 nanoseconds. */
const SPANS_PER_STEP = 512;
const SPAN_WORK = 64;

/** A range of globals. It has a length, since its end may be 2^32. In a free entry only `next` has a meaning. */
const GLOBAL = defineStruct("global", { next: "u32", lo: "u32", bytes: "u32" });
const GLOBAL_AT = GLOBAL.offsets;

/** Entries that are made at a time; a program registers few ranges. */
const GLOBALS_AT_ONCE = 32;

export class Roots {
  readonly #heap: GCHeap;
  readonly #u32: Uint32Array;
  readonly #refs: RefTable;
  readonly #finalizers: Finalizers;
  readonly #state: RootsState;
  /** The program's callback. It is a JavaScript function, so each thread has its own. */
  stacks: StackRoots = () => {};

  constructor(heap: GCHeap, refs: RefTable, finalizers: Finalizers, state: RootsState) {
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#refs = refs;
    this.#finalizers = finalizers;
    this.#state = state;
  }

  /** Bytes of stacks scanned in this cycle. */
  get stackScan(): number {
    return this.#state.stackScan;
  }

  /** Bytes of globals and ref slots scanned in this cycle. */
  get globalsScan(): number {
    return this.#state.globalsScan;
  }

  /** Registers [lo, hi) as roots: whole pointer slots outside of the heap. The function that it returns undoes it. */
  addGlobals(lo: number, hi: number): () => void {
    if (!(lo > 0 && hi >= lo) || lo % 8 !== 0 || hi % 8 !== 0) {
      throw new RangeError(`gc: globals must be a range of 8-byte slots (got [${lo}, ${hi}))`);
    }
    let entry = this.#append(lo, hi - lo);
    return () => {
      if (entry !== 0) this.#remove(entry);
      entry = 0;
    };
  }

  #append(lo: number, bytes: number): number {
    const u32 = this.#u32;
    const state = this.#state;
    if (state.globalsFree === 0) this.#makeEntries();
    const entry = state.globalsFree;
    state.globalsFree = u32[(entry + GLOBAL_AT.next) >>> 2];
    u32[(entry + GLOBAL_AT.next) >>> 2] = 0;
    u32[(entry + GLOBAL_AT.lo) >>> 2] = lo;
    u32[(entry + GLOBAL_AT.bytes) >>> 2] = bytes;
    if (state.globals === 0) state.globals = entry;
    else u32[(state.globalsTail + GLOBAL_AT.next) >>> 2] = entry;
    state.globalsTail = entry;
    return entry;
  }

  /** Takes an entry off the list. Does nothing if it is not on the list: a later collector has a list of its own. */
  #remove(entry: number): void {
    const u32 = this.#u32;
    const state = this.#state;
    for (let prev = 0, e = state.globals; e !== 0; prev = e, e = u32[(e + GLOBAL_AT.next) >>> 2]) {
      if (e !== entry) continue;
      const next = u32[(e + GLOBAL_AT.next) >>> 2];
      if (prev === 0) state.globals = next;
      else u32[(prev + GLOBAL_AT.next) >>> 2] = next;
      if (next === 0) state.globalsTail = prev;
      this.#freeEntry(e);
      return;
    }
  }

  #freeEntry(entry: number): void {
    const u32 = this.#u32;
    u32[(entry + GLOBAL_AT.next) >>> 2] = this.#state.globalsFree;
    u32[(entry + GLOBAL_AT.lo) >>> 2] = 0;
    u32[(entry + GLOBAL_AT.bytes) >>> 2] = 0;
    this.#state.globalsFree = entry;
  }

  #makeEntries(): void {
    const block = this.#heap.mem.persistentAlloc(GLOBALS_AT_ONCE * GLOBAL.size, 8, "otherSys");
    if (block === 0) outOfMemory("gc: no room for more globals");
    for (let k = GLOBALS_AT_ONCE - 1; k >= 0; k--) this.#freeEntry(block + k * GLOBAL.size);
  }

  /** Calls f with [lo, hi) of each range of globals, oldest first. */
  #forEachGlobal(f: (lo: number, hi: number) => void): void {
    const u32 = this.#u32;
    for (let entry = this.#state.globals; entry !== 0; entry = u32[(entry + GLOBAL_AT.next) >>> 2]) {
      const lo = u32[(entry + GLOBAL_AT.lo) >>> 2];
      f(lo, lo + u32[(entry + GLOBAL_AT.bytes) >>> 2]);
    }
  }

  /** Bytes of globals and ref slots. */
  get globalsBytes(): number {
    let n = this.#refs.inuse * 8;
    this.#forEachGlobal((lo, hi) => {
      n += hi - lo;
    });
    return n;
  }

  /** Scans what must be scanned while the world is stopped, and prepares the steps. */
  begin(marker: Marker): void {
    const state = this.#state;
    state.stackScan = 0;
    state.globalsScan = 0;
    this.#forEachGlobal((lo, hi) => {
      marker.scanRoots(lo, hi);
      state.globalsScan += hi - lo;
    });
    this.stacks((lo, hi) => {
      marker.scanRoots(lo, hi);
      state.stackScan += hi - lo;
    });
    this.#finalizers.forEachQueued((object) => marker.shade(object));
    state.refBlock = this.#refs.firstBlock;
    state.spanCursor = 0;
    state.spanEnd = this.#heap.allocator.nspans;
  }

  /** Scans one more piece. Returns its scan work in bytes, 0 if nothing was left. */
  step(marker: Marker): number {
    const state = this.#state;
    const block = state.refBlock;
    if (block !== 0) {
      marker.scanRoots(block + 8, block + REF_BLOCK_BYTES);
      state.globalsScan += REF_BLOCK_BYTES - 8;
      state.refBlock = this.#refs.nextBlock(block);
      return REF_BLOCK_BYTES;
    }
    const from = state.spanCursor;
    if (from === state.spanEnd) return 0;
    const end = Math.min(state.spanEnd, from + SPANS_PER_STEP);
    for (let i = from; i < end; i++) {
      const span = this.#heap.liveSpan(i);
      if (span !== 0) this.forEachFinalizerObject(span, (base) => marker.scanFinalizerObject(base));
      state.spanCursor = i + 1;
    }
    return (end - from) * SPAN_WORK;
  }

  /** Whether step has nothing left to do. */
  get done(): boolean {
    const state = this.#state;
    return state.refBlock === 0 && state.spanCursor === state.spanEnd;
  }

  /** Calls f with the slot of each object of the span that has a finalizer. */
  forEachFinalizerObject(span: number, f: (base: number) => void): void {
    const u32 = this.#heap.mem.u32;
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    for (let s = u32[(span + MSPAN_AT.specials) >>> 2]; s !== 0; s = u32[(s + SPECIAL_AT.next) >>> 2]) {
      if (u32[(s + SPECIAL_AT.kind) >>> 2] !== SPECIAL_FINALIZER) continue;
      const i = Math.floor(u32[(s + SPECIAL_AT.offset) >>> 2] / size);
      f(this.#heap.objectBase(span, i));
    }
  }

  /** Calls f with every address that a root slot holds: for checks. */
  forEachRoot(f: (p: number) => void): void {
    const u32 = this.#heap.mem.u32;
    const range = (lo: number, hi: number): void => {
      for (let a = lo; a < hi; a += 8) if (u32[a >>> 2] !== 0) f(u32[a >>> 2]);
    };
    this.#forEachGlobal(range);
    this.stacks(range);
    this.#finalizers.forEachQueued(f);
    for (let b = this.#refs.firstBlock; b !== 0; b = this.#refs.nextBlock(b))
      range(b + 8, b + REF_BLOCK_BYTES);
  }
}
