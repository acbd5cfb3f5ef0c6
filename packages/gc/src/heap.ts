/**
 * The allocator's heap as the collector sees it: where the tables are, how a span is laid out, and memory for the
 * collector's own work. Everything that depends on the allocator's internals is named here.
 */

import type { Allocator } from "@gort/allocator";
import {
  classToAllocNPages,
  classToSize,
  GC_OFF,
  GCCONTROL_AT,
  HEAP_BITS_WORD_BYTES,
  MHEAP_AT,
  MSPAN_AT,
  PAGE_SHIFT,
  SPAN_IN_USE,
} from "@gort/allocator/internal";
import { isFatalError } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { buildClassTables, type ClassTables } from "./class-tables.ts";

export {
  classToSize,
  GC_MARK,
  GC_MARK_TERMINATION,
  GC_OFF,
  GCCONTROL_AT,
  GCTYPE_AT,
  MALLOC_HEADER_SIZE,
  MARK_BITS_ALIGN_SHIFT,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  NUM_SIZE_CLASSES,
  PAGE_INFO_CLASS,
  PAGE_INFO_MARK_WORD,
  PAGE_INFO_MARK_WORD_SHIFT,
  PAGE_INFO_MARKS_SHIFT,
  PAGE_INFO_OBJECTS,
  PAGE_SHIFT,
  SPECIAL_AT,
  SPECIAL_CLEANUP,
  SPECIAL_FINALIZER,
  SPECIAL_PROFILE,
  SPECIAL_WEAK,
  TINY_SPAN_CLASS,
} from "@gort/allocator/internal";

/** log2 of the bytes of heap that a word of heapBits describes: 32 slots of 8 bytes. */
export const HEAP_BITS_SHIFT = 31 - Math.clz32(HEAP_BITS_WORD_BYTES);

/** Size class of large objects: one object to a span. */
export const OBJ_LARGE_CLASS = 0;

/** Bytes taken from the heap at a time for grey objects. */
const WORK_BYTES = 64 << 10;

/** Computed once, since it checks a division for every size class. */
let classTables: ClassTables | undefined;

export class GCHeap {
  readonly allocator: Allocator;
  readonly mem: LinearMemory;
  readonly classes: ClassTables;
  /** Addresses of the side tables. */
  readonly pageInfo: number;
  readonly pageSpan: number;
  readonly heapBits: number;
  /** Address of the GCCONTROL block. */
  readonly control: number;
  /** Word index of MHEAP.shared, for hot paths. */
  readonly sharedWord: number;
  readonly workBytes = WORK_BYTES;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  /** For the report of a stale pointer: lines about the last owner of the memory at p, if allocations are traced. */
  describe: (p: number) => string = () => "";

  constructor(allocator: Allocator) {
    this.allocator = allocator;
    this.mem = allocator.mem;
    this.#u32 = allocator.mem.u32;
    this.#f64 = allocator.mem.f64;
    this.pageInfo = allocator.pageInfoBase;
    this.pageSpan = allocator.pageSpanBase;
    this.heapBits = allocator.heapBitsBase;
    this.control = allocator.gcControl;
    this.sharedWord = (allocator.mheap + MHEAP_AT.shared) >>> 2;
    classTables ??= buildClassTables(classToSize, classToAllocNPages);
    this.classes = classTables;
  }

  /** The lowest address that was ever heap, and the end of the highest. */
  get arenaStart(): number {
    return this.#u32[(this.allocator.mheap + MHEAP_AT.arenaStart) >>> 2];
  }
  get arenaEnd(): number {
    return this.#u32[(this.allocator.mheap + MHEAP_AT.arenaEnd) >>> 2];
  }

  /** Pages between the two. */
  heapPages(): number {
    return (this.arenaEnd - this.arenaStart) >>> PAGE_SHIFT;
  }

  /** Whether p lies in heap memory that no span uses. */
  isFreeHeapPage(p: number): boolean {
    return p >= this.arenaStart && p < this.arenaEnd && this.allocator.spanOf(p as never) === 0;
  }

  /** Whether the span holds something other than objects. */
  isManual(span: number): boolean {
    return this.#u32[(span + MSPAN_AT.state) >>> 2] !== SPAN_IN_USE;
  }

  /** Bytes in spans of objects. */
  get heapInUse(): number {
    return this.allocator.heap.counter("heapInUse");
  }

  /** Sets the limit that the allocator keeps with every span that it takes, whether or not a collection runs. */
  limitMemory(bytes: number): void {
    this.allocator.scavenger.memoryLimit = bytes;
  }

  /** Takes memory for grey objects from the heap: workBytes of it, or 0 if there is none. */
  allocWork(): number {
    try {
      return this.allocator.allocManual(WORK_BYTES >>> PAGE_SHIFT);
    } catch (err) {
      if (isFatalError(err)) return 0;
      throw err;
    }
  }

  freeWork(addr: number): void {
    this.allocator.freeManual(addr as never);
  }

  /** Calls f with every span of objects. */
  forEachSpan(f: (span: number) => void): void {
    const { allocator } = this;
    for (let i = 0; i < allocator.nspans; i++) {
      const span = allocator.spanAt(i);
      if (this.#u32[(span + MSPAN_AT.state) >>> 2] === SPAN_IN_USE) f(span);
    }
  }

  /** Address of span i, or 0 if it does not exist or holds no objects. */
  liveSpan(i: number): number {
    const span = this.allocator.spanAt(i);
    return this.#u32[(span + MSPAN_AT.state) >>> 2] === SPAN_IN_USE ? span : 0;
  }

  /** First byte of the object with index i. */
  objectBase(span: number, i: number): number {
    return this.#u32[(span + MSPAN_AT.startAddr) >>> 2] + i * this.#u32[(span + MSPAN_AT.elemsize) >>> 2];
  }

  // The control block. The allocator and the write barrier read gcPhase and writeBarrierEnabled at every step.

  /** Whether several threads may use the heap: then their collectors work at the same time. Once true, it stays so. */
  get shared(): boolean {
    return this.#u32[this.sharedWord] !== 0;
  }

  get heapLive(): number {
    return this.#u32[(this.control + GCCONTROL_AT.heapLive) >>> 2];
  }
  set heapLive(v: number) {
    this.#u32[(this.control + GCCONTROL_AT.heapLive) >>> 2] = v;
  }
  get phase(): number {
    return this.#u32[(this.control + GCCONTROL_AT.gcPhase) >>> 2];
  }
  /** Sets the phase, and with it the write barrier: on while marking. */
  set phase(v: number) {
    this.#u32[(this.control + GCCONTROL_AT.gcPhase) >>> 2] = v;
    this.#u32[(this.control + GCCONTROL_AT.writeBarrierEnabled) >>> 2] = v === GC_OFF ? 0 : 1;
  }
  get sweepgen(): number {
    return this.#u32[(this.control + GCCONTROL_AT.sweepgen) >>> 2];
  }
  set sweepgen(v: number) {
    this.#u32[(this.control + GCCONTROL_AT.sweepgen) >>> 2] = v;
  }
  get trigger(): number {
    return this.#f64[(this.control + GCCONTROL_AT.trigger) >>> 3];
  }
  set trigger(v: number) {
    this.#f64[(this.control + GCCONTROL_AT.trigger) >>> 3] = v;
  }
  get heapGoal(): number {
    return this.#f64[(this.control + GCCONTROL_AT.heapGoal) >>> 3];
  }
  set heapGoal(v: number) {
    this.#f64[(this.control + GCCONTROL_AT.heapGoal) >>> 3] = v;
  }
  get heapMarked(): number {
    return this.#f64[(this.control + GCCONTROL_AT.heapMarked) >>> 3];
  }
  set heapMarked(v: number) {
    this.#f64[(this.control + GCCONTROL_AT.heapMarked) >>> 3] = v;
  }
  get pagesSwept(): number {
    return this.#u32[(this.control + GCCONTROL_AT.pagesSwept) >>> 2];
  }
  set pagesSwept(v: number) {
    this.#u32[(this.control + GCCONTROL_AT.pagesSwept) >>> 2] = v;
  }
}
