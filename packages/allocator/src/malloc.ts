import type { Addr, LinearMemory } from "@gort/memory";
import type { AllocatorHooks } from "./hooks.ts";
import type { HeapStats } from "./mstats.ts";

/** The allocator's whole interface; the class follows. */
export declare class Allocator {
  readonly mem: LinearMemory;
  readonly hooks: AllocatorHooks;

  /** Absolute addresses of the side tables and blocks (see layout.ts). */
  readonly heapBitsBase: number;
  readonly pageInfoBase: number;
  readonly pageSpanBase: number;
  /** GCCONTROL block: u32[(gcControl + GCCONTROL.offsets.heapLive) >>> 2]. */
  readonly gcControl: number;
  readonly mheap: number;
  /** Address that every zero-size allocation gets. Not a heap address (findObject gives 0). */
  readonly zerobase: Addr;

  /** size bytes, zeroed (unless zero is false and the object is large and noscan). typ: a GCTYPE, 0 = noscan. */
  mallocgc(size: number, typ: number, zero: boolean): Addr;
  mallocNoscan(size: number): Addr;
  /** One object of exactly the type's size. */
  mallocTyped(typ: number): Addr;
  /** ptrMask: bit i of the words = word i of the type is a pointer. Interned: same arguments, same address. */
  newType(size: number, ptrMask: Uint32Array | readonly number[]): number;
  /** Bytes that the block really holds for size: Go's roundupsize(size, noscan). */
  roundupsize(size: number, noscan: boolean): number;

  // --- gc
  /** Span that holds addr, 0 if none (manual spans included; check state). */
  spanOf(addr: Addr): Addr;
  /** Start of the slot of the allocated heap object that addr points into, or 0. With a header: the header. */
  findObject(addr: Addr): Addr;
  objIndex(span: Addr, addr: Addr): number;
  /** Number of span structs ever made; spanAt(i) is the i-th (state may be SPAN_DEAD). */
  readonly nspans: number;
  spanAt(i: number): Addr;
  /** Empties all mcaches: the runs' tails and the tiny blocks go back. Before sweepgen moves, and in readStats. */
  flushAll(): void;
  /**
   * Takes an unswept span (sweepgen == sg-2) off mcentral's unswept lists, sets its sweepgen to sg-1 and returns
   * it; 0 if there is none. The caller sweeps it and ends with spanSwept(span, nfreed, false).
   */
  nextSpanForSweep(): Addr;
  /**
   * The end of a sweep. Before: specials handled, gcmarkBits copied to allocBits, gcmarkBits cleared; nfreed is
   * allocCount - marked. Does the counters, heapLive excepted (the collector sets it when it marks), needzero,
   * freeindex, sweepgen = sg; then, unless preserve, frees the span if nothing is left in it (returns true) or puts
   * it on mcentral's swept lists.
   */
  spanSwept(span: Addr, nfreed: number, preserve: boolean): boolean;
  /** Span back to the heap: no objects left, on no list. */
  freeSpan(span: Addr): void;
  /** Pages for the collector itself (work buffers), counted in GCSys. Not zeroed. Returns the address. */
  allocManual(npages: number): Addr;
  freeManual(addr: Addr): void;

  // --- specials
  /** Attaches (kind, data, data2) to the object at addr. Returns the SPECIAL's address, 0 if kind is there already. */
  addSpecial(addr: Addr, kind: number, data: number, data2?: number): number;
  /** Detaches; returns its data, or -1 if there was none. For SPECIAL_CLEANUP give the data to tell which. */
  removeSpecial(addr: Addr, kind: number, data?: number): number;
  /** First special of addr with this kind, 0 if none. */
  findSpecial(addr: Addr, kind: number): number;
  /** Unlinks and frees the special; prev is the one before it in the span's list, 0 at the head. */
  freeSpecial(span: Addr, prev: number, special: number): void;

  // --- stacks
  /** A stack of n bytes, a power of two >= 2048. Not zeroed. */
  stackAlloc(n: number): Addr;
  stackFree(addr: Addr, n: number): void;

  // --- profile
  setMemProfileRate(rate: number): void;

  // --- statistics, memory
  /** Flushes, then fills out. */
  readStats(out: HeapStats): HeapStats;
  /** Returns up to nbytes of free pages to the OS, highest addresses first. Returns the bytes returned. */
  scavenge(nbytes: number): number;
  /** Returns all free pages to the OS (collect before). */
  freeOSMemory(): number;
}

export interface AllocatorOptions {
  maxMemory?: number;
  shared?: boolean;
  release?: boolean;
  kernel?: "wasm" | "js";
  /** A memory to use instead of making one. */
  memory?: LinearMemory;
  /** Seed of the memory profile's sampling. */
  seed?: number;
}

export declare function createAllocator(options?: AllocatorOptions): Allocator;
