import type { Addr, LinearMemory } from "@gort/memory";

declare const refSlotBrand: unique symbol;

/** A root that a heap handed out; never 0. */
export type RefSlot = number & { readonly [refSlotBrand]: true };

/**
 * What the typed layer needs of a heap. An allocator with a collector provides it; so does `createBumpHeap`,
 * which never frees.
 */
export interface Heap {
  readonly mem: LinearMemory;
  /**
   * `size` bytes, zeroed unless `zero` is false (then only for memory without pointers, which the caller
   * fills at once). `typ` is what `newType` gave, or 0 for memory without pointers; an allocation of n
   * times the type's size is an array of it. Size 0 gives an address that may be shared. It is not a
   * safepoint: no collection frees anything before it returns.
   */
  malloc(size: number, typ: number, zero?: boolean): Addr;
  /**
   * Describes objects of `size` bytes: bit i of `mask` (word i >>> 5, bit i & 31) is set where the 8-byte word
   * i holds a pointer. Called once a type.
   */
  newType(size: number, mask: Uint32Array): number;
  /**
   * Writes an address into a pointer slot in the heap, with the write barrier that the collector asks for. The
   * address may lie inside of an object, or outside of the heap (data that is never freed).
   */
  storePointer(slot: Addr, value: Addr): void;
  /** Roots the object that `addr` points into, at its start or inside of it. */
  newRef(addr: Addr): RefSlot;
  releaseRef(slot: RefSlot): void;
  /** As releaseRef, for a root whose handles V8 has collected: in a task of its own. Default: releaseRef. */
  collectRef?(slot: RefSlot): void;
  /** Bytes usable by an allocation of `size` bytes: the capacity that append may take. 0 for 0. */
  roundupsize(size: number, noscan: boolean): number;
  /**
   * Whether `storePointer` has anything to do beyond the store. Where it is false, arrays with pointers are
   * copied in one piece. Without this method they are copied pointer by pointer.
   */
  writeBarrierEnabled?(): boolean;
}
