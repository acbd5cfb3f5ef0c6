import type { MemStats } from "../memstats.ts";
import type { DumpAlloc, DumpFrame, DumpGoroutine, DumpParams } from "./format.ts";

/** A pointer into the heap from outside of it. */
export interface DumpRoot {
  description: string;
  /** An address. It may point into the middle of an object, or to no object. */
  to: number;
}

/** Memory of globals. */
export interface DumpSegment {
  kind: "data" | "bss";
  address: number;
  contents: Uint8Array;
  pointers: readonly number[];
}

/** A dump in memory. Objects are numbered from 0 in ascending order of their addresses. */
export interface HeapDump {
  readonly params: DumpParams;
  readonly objectCount: number;
  readonly addresses: Float64Array;
  /** Bytes of the slot. */
  readonly sizes: Float64Array;
  /** Pointer slots of each object, nil ones included. */
  readonly pointerSlots: Uint32Array;
  /**
   * The pointers of object i that are not nil are the elements firstPointer[i] up to firstPointer[i + 1] of the next
   * two columns.
   */
  readonly firstPointer: Uint32Array;
  readonly pointers: Float64Array;
  readonly pointerOffsets: Float64Array;
  readonly roots: readonly DumpRoot[];
  readonly goroutines: readonly (DumpGoroutine & { frames: DumpFrame[] })[];
  readonly segments: readonly DumpSegment[];
  /** Addresses of objects with a finalizer. The second list has those whose finalizer is queued. */
  readonly finalizers: readonly number[];
  readonly queuedFinalizers: readonly number[];
  readonly memStats: MemStats;
  readonly allocs: ReadonlyMap<number, DumpAlloc>;
  /** Sampled objects: from the address to the number of the allocation stack. */
  readonly samples: ReadonlyMap<number, number>;
  /** The object that an address points into, or -1. */
  find(address: number): number;
  /** The bytes of an object: a view of the dump. */
  contents(i: number): Uint8Array;
  /** The pointer at an offset of some contents. */
  pointerAt(contents: Uint8Array, offset: number): number;
}
