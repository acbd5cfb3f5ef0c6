/**
 * MemStats: the record that Go's `runtime.ReadMemStats` fills, field by field.
 *
 * Relations between the fields, which hold in every snapshot (identities.ts checks them line by line):
 *
 *     Sys       = HeapSys + StackSys + MSpanSys + MCacheSys + BuckHashSys + GCSys + OtherSys
 *     HeapSys   = HeapInuse + HeapIdle              HeapReleased is a part of HeapIdle
 *     HeapInuse >= HeapAlloc = Alloc                slots in use, against the spans that hold them
 *     Mallocs - Frees = HeapObjects                 tiny objects in a shared block are in both, at once
 *     LastGC    = PauseEnd[(NumGC + 255) % 256]     the first cycle is at index 0 of the rings
 *
 * The 64-bit counters are numbers, exact below 2^53 bytes, objects or nanoseconds. Two kinds of value lie above that.
 * Times since 1970 in nanoseconds (`LastGC`, `PauseEnd`) are bigints. `NextGC` with the collector off is the goal that
 * the memory limit sets, about 8.9e18 without a limit. It stays a number, rounded to a multiple of 1024: arithmetic on
 * it matters more than the last bytes of "never".
 *
 * Unlike Go: the rings are typed arrays, which have Go's fixed length and can be refilled without allocating.
 *
 * Sources: Go's mstats.go (fields, definitions); the identities were measured on Go 1.27.
 */

import { PAUSE_RING } from "./source.ts";

/** Objects of one size class. `Size` is the largest object of the class, bytes. */
export interface BySizeEntry {
  Size: number;
  Mallocs: number;
  Frees: number;
}

/** Entries of `BySize`: it ends at class 60 (18432 bytes), and [0] is always zero. */
export const BY_SIZE_LENGTH = 61;

export class MemStats {
  // In Go's order, which is the order of the JSON text.

  /** Bytes of allocated heap objects; the same as HeapAlloc. */
  Alloc = 0;
  /** Bytes allocated since the start; it never falls. */
  TotalAlloc = 0;
  /** Bytes obtained from the system in total: the sum of all Sys fields. */
  Sys = 0;
  /** Always 0. */
  Lookups = 0;
  /** Objects allocated since the start. */
  Mallocs = 0;
  /** Objects freed since the start. */
  Frees = 0;

  /** Bytes of heap objects: reachable ones, and those not yet swept. Slot sizes, not requested ones. */
  HeapAlloc = 0;
  /** Bytes of the heap obtained from the system. */
  HeapSys = 0;
  /** Bytes in unused spans. */
  HeapIdle = 0;
  /** Bytes in spans with at least one object. */
  HeapInuse = 0;
  /** Bytes of HeapIdle returned to the operating system. */
  HeapReleased = 0;
  /** Allocated heap objects. */
  HeapObjects = 0;

  /** Bytes in stack spans. */
  StackInuse = 0;
  /** Bytes of stacks obtained from the system. */
  StackSys = 0;
  /** Bytes of mspan structures in use. */
  MSpanInuse = 0;
  /** Bytes obtained for mspan structures. */
  MSpanSys = 0;
  /** Bytes of mcache structures in use. */
  MCacheInuse = 0;
  /** Bytes obtained for mcache structures. */
  MCacheSys = 0;
  /** Bytes of the profiles' buckets. */
  BuckHashSys = 0;
  /** Bytes of the collector's metadata and work buffers. */
  GCSys = 0;
  /** Bytes of all other memory that the runtime obtained. */
  OtherSys = 0;

  /** The heap size that the next cycle aims at. */
  NextGC = 0;
  /** When the last cycle ended, ns since 1970; 0n before the first. */
  LastGC = 0n;
  /** Nanoseconds in stop-the-world pauses since the start. */
  PauseTotalNs = 0;
  /** The pauses of the last 256 cycles, ns: cycle n (from 1) is at [(n + 255) % 256]. */
  PauseNs = new Float64Array(PAUSE_RING);
  /** When those cycles ended, ns since 1970. */
  PauseEnd = new BigUint64Array(PAUSE_RING);
  /** Completed cycles. */
  NumGC = 0;
  /** Cycles that the program asked for. */
  NumForcedGC = 0;
  /** Fraction of the available CPU time used by the collector since the start, [0, 1). */
  GCCPUFraction = 0;
  /** Always true, even with GOGC=off. */
  EnableGC = true;
  /** Always false. */
  DebugGC = false;

  /** Per size class, 61 entries; objects larger than class 60 count in no entry. */
  BySize: BySizeEntry[] = Array.from({ length: BY_SIZE_LENGTH }, () => ({ Size: 0, Mallocs: 0, Frees: 0 }));

  /**
   * For `JSON.stringify`: the same members in the same order, but `LastGC` and `PauseEnd` become numbers
   * and lose digits below 256 ns. `memStatsJSON` writes every digit.
   */
  toJSON(): object {
    return {
      ...this,
      LastGC: Number(this.LastGC),
      PauseNs: Array.from(this.PauseNs),
      PauseEnd: Array.from(this.PauseEnd, Number),
    };
  }
}

/** A record of zeros, which `readMemStats` can fill repeatedly. */
export function newMemStats(): MemStats {
  return new MemStats();
}
