/**
 * Where marking starts: the slots that the program reaches without going through the heap.
 *
 *     globals       ranges of pointer slots that are registered once: a list of GLOBAL
 *     stacks        ranges [lo, top) of pointer slots in goroutines' stacks; the scheduler's callback names them
 *     ref slots     the RefTable: Refs and global roots
 *     finalizers    objects in the queue; and what objects with a finalizer refer to
 *
 * The stop that begins a cycle scans globals, stacks and the queue. Each thread scans the stacks of its own goroutines:
 * only it can name them. There can be many ref slots and specials, so `step` scans them while the program runs: the
 * barrier keeps what they held at the beginning. Any thread takes a step, by CAS of a cursor.
 */
import { outOfMemory } from "@gort/base";
import type { Addr } from "@gort/memory";
import { defineStruct } from "@gort/memory/internal";
import { stateWord, withStateLock } from "./gc-state.ts";
import { addRange, clearRanges, forEachRange, forEachThread } from "./gc-threads.ts";
import { type GCHeap, MSPAN_AT, SPECIAL_FINALIZER } from "./heap.ts";
import type { Finalizers } from "./mfinal.ts";
import type { Marker } from "./mgcmark.ts";
import { REF_BLOCK_BYTES, type RefTable } from "./ref-table.ts";
import type { RootsState } from "./state-views.ts";

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
  /** Offsets of the finalizers of a span. */
  readonly #offsets: number[] = [];

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
    let entry = this.#locked(() => this.#append(lo, hi - lo));
    return () => {
      if (entry !== 0) this.#locked(() => this.#remove(entry));
      entry = 0;
    };
  }

  /** Runs f while no other thread changes the list of globals. */
  #locked<R>(f: () => R): R {
    return this.#heap.shared ? withStateLock(this.#heap.mem, f) : f();
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
    state.globalsBytes = state.globalsBytes + bytes;
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
      state.globalsBytes = state.globalsBytes - u32[(e + GLOBAL_AT.bytes) >>> 2];
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

  /** Calls f with [lo, hi) of each range of globals, oldest first. The world is stopped. */
  #forEachGlobal(f: (lo: number, hi: number) => void): void {
    const u32 = this.#u32;
    for (let entry = this.#state.globals; entry !== 0; entry = u32[(entry + GLOBAL_AT.next) >>> 2]) {
      const lo = u32[(entry + GLOBAL_AT.lo) >>> 2];
      f(lo, lo + u32[(entry + GLOBAL_AT.bytes) >>> 2]);
    }
  }

  /** Bytes of globals and ref slots. */
  get globalsBytes(): number {
    return this.#refs.inuse * 8 + this.#state.globalsBytes;
  }

  /**
   * Scans what must be scanned while the world is stopped, and prepares the steps. Each other thread calls scanStacks
   * in the same stop.
   */
  begin(marker: Marker): void {
    const state = this.#state;
    state.resetScan();
    let bytes = 0;
    this.#forEachGlobal((lo, hi) => {
      marker.scanRoots(lo, hi);
      bytes += hi - lo;
    });
    state.addGlobalsScan(bytes);
    this.scanStacks(marker);
    this.#finalizers.forEachQueued((object) => marker.shade(object));
    this.restart();
  }

  /** Scans the stacks of this thread's goroutines. */
  scanStacks(marker: Marker): void {
    let bytes = 0;
    this.stacks((lo, hi) => {
      marker.scanRoots(lo, hi);
      bytes += hi - lo;
    });
    this.#state.addStackScan(bytes);
  }

  /** All ref slots and specials are to be scanned by steps. The world is stopped. */
  restart(): void {
    const state = this.#state;
    const { allocator, mem } = this.#heap;
    state.refBlock = this.#refs.firstBlock;
    state.spanCursor = 0;
    // Most programs set no finalizer. In a small heap the walk over the spans takes longer than marking.
    state.spanEnd = mem.u32[stateWord(mem, "anyFinalizer") >>> 2] === 0 ? 0 : allocator.nspans;
  }

  /** Scans one more piece. Returns its scan work in bytes, 0 if nothing was left. */
  step(marker: Marker): number {
    const state = this.#state;
    for (let block = state.refBlock; block !== 0; block = state.refBlock) {
      if (!state.takeRefBlock(block, this.#refs.nextBlock(block))) continue;
      marker.scanRoots(block + 8, block + REF_BLOCK_BYTES);
      state.addGlobalsScan(REF_BLOCK_BYTES - 8);
      return REF_BLOCK_BYTES;
    }
    for (let from = state.spanCursor; from !== state.spanEnd; from = state.spanCursor) {
      const end = Math.min(state.spanEnd, from + SPANS_PER_STEP);
      if (!state.takeSpans(from, end)) continue;
      for (let i = from; i < end; i++) {
        const span = this.#heap.liveSpan(i);
        if (span !== 0) this.forEachFinalizerObject(span, (base) => marker.scanFinalizerObject(base));
      }
      return (end - from) * SPAN_WORK;
    }
    return 0;
  }

  /** Whether step has nothing left to do. */
  get done(): boolean {
    const state = this.#state;
    return state.refBlock === 0 && state.spanCursor === state.spanEnd;
  }

  /** Calls f with the slot of each object of the span that has a finalizer. Other threads may set some meanwhile. */
  forEachFinalizerObject(span: number, f: (base: number) => void): void {
    const u32 = this.#heap.mem.u32;
    if (u32[(span + MSPAN_AT.specials) >>> 2] === 0) return;
    const offsets = this.#offsets;
    offsets.length = 0;
    this.#heap.allocator.specialOffsets(span as Addr, SPECIAL_FINALIZER, offsets);
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    for (const offset of offsets) f(this.#heap.objectBase(span, Math.floor(offset / size)));
  }

  /**
   * Calls f with every address that a root slot holds: for checks in a stop. Those in other threads' stacks are among
   * them if each other thread has called listStacks in this stop.
   */
  forEachRoot(f: (p: number) => void): void {
    const { mem } = this.#heap;
    const { u32 } = mem;
    const range = (lo: number, hi: number): void => {
      for (let a = lo; a < hi; a += 8) if (u32[a >>> 2] !== 0) f(u32[a >>> 2]);
    };
    this.#forEachGlobal(range);
    this.stacks(range);
    forEachThread(mem, (t) => forEachRange(mem, t, range));
    this.#finalizers.forEachQueued(f);
    for (let b = this.#refs.firstBlock; b !== 0; b = this.#refs.nextBlock(b))
      range(b + 8, b + REF_BLOCK_BYTES);
  }

  /** Writes the ranges of this thread's stacks into its GCTHREAD, for the check of another thread. */
  listStacks(thread: number): void {
    clearRanges(this.#heap.mem, thread);
    this.stacks((lo, hi) => addRange(this.#heap.mem, thread, lo, hi));
  }
}
