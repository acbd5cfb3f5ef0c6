import type { MemStats } from "../memstats.ts";
import type { DumpAlloc, DumpFrame, DumpGoroutine, DumpParams } from "./format.ts";

/** Something outside of the heap that points into it. */
export interface DumpRoot {
  description: string;
  /** An address; it may point into the middle of an object, or at none. */
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
  /** Object i's pointers that are not nil are [firstPointer[i], firstPointer[i + 1]) of the next two. */
  readonly firstPointer: Uint32Array;
  readonly pointers: Float64Array;
  readonly pointerOffsets: Float64Array;
  readonly roots: readonly DumpRoot[];
  readonly goroutines: readonly (DumpGoroutine & { frames: DumpFrame[] })[];
  readonly segments: readonly DumpSegment[];
  /** Objects with a finalizer, and those whose finalizer is queued: addresses. */
  readonly finalizers: readonly number[];
  readonly queuedFinalizers: readonly number[];
  readonly memStats: MemStats;
  readonly allocs: ReadonlyMap<number, DumpAlloc>;
  /** Of sampled objects: address, and the number of their allocation stack. */
  readonly samples: ReadonlyMap<number, number>;
  /** The object that an address points into, or -1. */
  find(address: number): number;
  /** Bytes of an object: a view of the dump. */
  contents(i: number): Uint8Array;
  /** The pointer at an offset of some contents. */
  pointerAt(contents: Uint8Array, offset: number): number;
}
