/**
 * The source of the figures. The owner of a heap, a collector and stacks implements `StatsSource`: one method that
 * writes primary counters into a record, which the reader owns and reuses. The reader computes all figures that follow
 * from other counters (Mallocs, HeapSys, Sys, ...), as Go does. So a source cannot contradict itself.
 *
 * Rules for a source:
 * - `fill` is called with the world stopped, or on the only thread. It writes one consistent snapshot. It flushes
 *   caches whose counters lag (Go flushes every mcache first).
 * - It writes every field that it knows and leaves the others alone: they keep 0.
 * - It allocates nothing.
 * - With a record of its own (`raw`) it writes the fields that have changed since the last fill.
 */

/** Size classes of Go's allocator; class 0 stands for large objects. */
export const NUM_SIZE_CLASSES = 68;

/** Entries of the rings of the latest pauses. */
export const PAUSE_RING = 256;

/**
 * The primary counters. A Go `uint64` of nanoseconds since 1970 does not fit a number, so `pauseEnd` and
 * `pauseEndWords` are two views of one buffer; a source writes either.
 */
export interface RawStats {
  // -- pages of the heap, bytes --
  /** Bytes in spans with at least one object. */
  heapInuse: number;
  /** Bytes in free pages, released or not. */
  heapIdle: number;
  /** The part of `heapIdle` that was returned to the operating system, or never touched. */
  heapReleased: number;

  // -- objects, since the start --
  /** Bytes of a slot of each size class; [0] is 0. */
  readonly classSizes: Uint32Array;
  /** Objects allocated in each class; a block of tiny objects counts once. [0] is unused. */
  readonly smallAllocCount: Float64Array;
  readonly smallFreeCount: Float64Array;
  /** Objects with a span of their own, and their bytes (whole pages). */
  largeAllocCount: number;
  largeAllocBytes: number;
  largeFreeCount: number;
  largeFreeBytes: number;
  /** Tiny objects that were added to a block that already existed. No class counts them. */
  tinyAllocs: number;

  // -- other memory, bytes --
  /** Goroutine stacks. */
  stackInuse: number;
  /** Stacks that the operating system's threads brought with them. */
  osStackSys: number;
  mspanInuse: number;
  mspanSys: number;
  mcacheInuse: number;
  mcacheSys: number;
  /** Profile buckets. */
  buckHashSys: number;
  /** The collector's metadata. */
  gcSys: number;
  /** Pages of the heap that the collector uses as work buffers; not in heapInuse, added to GCSys. */
  gcWorkBufInuse: number;
  otherSys: number;

  // -- the collector --
  nextGC: number;
  numGC: number;
  numForcedGC: number;
  pauseTotalNs: number;
  gcCPUFraction: number;
  enableGC: boolean;
  /** Ring of the pauses of each cycle, ns: cycle n (from 1) is at (n + 255) % 256. */
  readonly pauseNs: Float64Array;
  /** Ring of the ends of the cycles, nanoseconds since 1970. */
  readonly pauseEnd: BigUint64Array;
  /** The same buffer as `pauseEnd` in 32-bit words (low word first on every platform we run on). */
  readonly pauseEndWords: Uint32Array;
}

export interface StatsSource {
  /** Writes a snapshot into `raw`; see the rules above. */
  fill(raw: RawStats): void;
  /**
   * A record that the source owns. Each fill gets it as the last fill left it, so the source writes only the fields
   * that have changed. Without it, `fill` gets a record of zeros.
   */
  readonly raw?: RawStats;
}

/** A record of zeros, with `enableGC` true as it always is in Go. */
export function newRawStats(): RawStats {
  const pauseEnd = new BigUint64Array(PAUSE_RING);
  return {
    heapInuse: 0,
    heapIdle: 0,
    heapReleased: 0,
    classSizes: new Uint32Array(NUM_SIZE_CLASSES),
    smallAllocCount: new Float64Array(NUM_SIZE_CLASSES),
    smallFreeCount: new Float64Array(NUM_SIZE_CLASSES),
    largeAllocCount: 0,
    largeAllocBytes: 0,
    largeFreeCount: 0,
    largeFreeBytes: 0,
    tinyAllocs: 0,
    stackInuse: 0,
    osStackSys: 0,
    mspanInuse: 0,
    mspanSys: 0,
    mcacheInuse: 0,
    mcacheSys: 0,
    buckHashSys: 0,
    gcSys: 0,
    gcWorkBufInuse: 0,
    otherSys: 0,
    nextGC: 0,
    numGC: 0,
    numForcedGC: 0,
    pauseTotalNs: 0,
    gcCPUFraction: 0,
    enableGC: true,
    pauseNs: new Float64Array(PAUSE_RING),
    pauseEnd,
    pauseEndWords: new Uint32Array(pauseEnd.buffer),
  };
}
