import type { Addr, LinearMemory } from "@gort/memory";

declare const refSlotBrand: unique symbol;

/** The number of a root in a heap; never 0. */
export type RefSlot = number & { readonly [refSlotBrand]: true };

/**
 * The operations of a heap that the typed layer needs. An allocator with a collector provides them; so does
 * `createBumpHeap`, which never frees.
 */
export interface Heap {
  readonly mem: LinearMemory;
  /**
   * Allocates `size` bytes. They are zeroed unless `zero` is false; that is for memory without pointers, which the
   * caller fills at once. `typ` is a result of `newType`, or 0 for memory without pointers. An allocation of n times
   * the type's size is an array of n values. Size 0 gives an address that may be shared. The call is not a safepoint:
   * no collection frees anything before it returns.
   */
  malloc(size: number, typ: number, zero?: boolean): Addr;
  /**
   * Describes objects of `size` bytes: bit i of `mask` (word i >>> 5, bit i & 31) is set if the 8-byte word i holds a
   * pointer. Each thread calls it once per type. The result is the same for equal types in every thread of the heap.
   */
  newType(size: number, mask: Uint32Array): number;
  /**
   * Writes an address into a pointer slot in the heap, with the write barrier of the collector. The address may lie
   * inside of an object, or outside of the heap (data that is never freed).
   */
  storePointer(slot: Addr, value: Addr): void;
  /**
   * As storePointer, in one step for all threads: returns the old address. A heap of one thread needs neither this
   * method nor the next.
   */
  swapPointer?(slot: Addr, value: Addr): Addr;
  /** As storePointer, in one step for all threads, if the slot holds `old`. Returns whether it did. */
  compareAndSwapPointer?(slot: Addr, old: Addr, value: Addr): boolean;
  /** Roots the object that `addr` points into, at its start or inside of it. */
  newRef(addr: Addr): RefSlot;
  /**
   * As newRef, for a root that passes from thread to thread: it outlives the thread that makes it, and any thread may
   * release it. Default: newRef.
   */
  newSharedRef?(addr: Addr): RefSlot;
  releaseRef(slot: RefSlot): void;
  /** As releaseRef, for a root whose handles V8 has collected. V8 calls it in a task. Default: releaseRef. */
  collectRef?(slot: RefSlot): void;
  /** Usable bytes of an allocation of `size` bytes, up to which append may grow. 0 for 0. */
  roundupsize(size: number, noscan: boolean): number;
  /**
   * Whether `storePointer` does more than the store. If it is false, arrays with pointers are copied in one piece.
   * Without this method they are copied pointer by pointer.
   */
  writeBarrierEnabled?(): boolean;
}

/** `heap.swapPointer`, or the same for a heap of one thread. */
export function exchangePointer(heap: Heap, slot: Addr, value: Addr): Addr {
  if (heap.swapPointer !== undefined) return heap.swapPointer(slot, value);
  const old = heap.mem.u32[slot >>> 2] as Addr;
  heap.storePointer(slot, value);
  return old;
}

/** `heap.compareAndSwapPointer`, or the same for a heap of one thread. */
export function exchangePointerIf(heap: Heap, slot: Addr, old: Addr, value: Addr): boolean {
  if (heap.compareAndSwapPointer !== undefined) return heap.compareAndSwapPointer(slot, old, value);
  if (heap.mem.u32[slot >>> 2] !== (old as number)) return false;
  heap.storePointer(slot, value);
  return true;
}
