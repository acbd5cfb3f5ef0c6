/** The figures of Go's `debug.ReadGCStats`, computed from a snapshot. */

import type { MemStats } from "./memstats.ts";
import { PAUSE_RING } from "./source.ts";

export interface GCStats {
  /** When the last cycle ended, ns since 1970; 0n before the first. */
  LastGC: bigint;
  NumGC: number;
  /** Nanoseconds in pauses since the start. */
  PauseTotal: number;
  /** Pauses in ns, most recent first; at most 256. */
  Pause: number[];
  /** The cycles' ends, ns since 1970, most recent first. */
  PauseEnd: bigint[];
  /** Minimum, evenly spaced quantiles, maximum, in ns; as many as the caller asked for. */
  PauseQuantiles: number[];
}

/**
 * The value at fraction `p` of an ascending list, by Go's rule: the element at floor(n * p) without interpolation, and
 * the last element for p = 1. 0 for an empty list.
 */
export function quantile(sorted: ArrayLike<number>, p: number): number {
  const n = sorted.length;
  return n === 0 ? 0 : sorted[Math.min(Math.floor(n * p), n - 1)];
}

/** The pauses in the ring, most recent first. */
export function recentPauses(m: MemStats): number[] {
  const n = Math.min(m.NumGC, PAUSE_RING);
  return Array.from({ length: n }, (_, i) => m.PauseNs[(m.NumGC - 1 - i) % PAUSE_RING]);
}

/**
 * The statistics of the collector in a snapshot.
 *
 * @param quantiles the number of quantiles: 5 are minimum, quartiles and maximum
 */
export function gcStats(m: MemStats, quantiles = 0): GCStats {
  if (!Number.isInteger(quantiles) || quantiles < 0) {
    throw new RangeError(`memstats: quantiles must be a whole number from 0 (got ${quantiles})`);
  }
  const pause = recentPauses(m);
  const sorted = Float64Array.from(pause).sort();
  return {
    LastGC: m.LastGC,
    NumGC: m.NumGC,
    PauseTotal: m.PauseTotalNs,
    Pause: pause,
    PauseEnd: pause.map((_, i) => m.PauseEnd[(m.NumGC - 1 - i) % PAUSE_RING]),
    PauseQuantiles: Array.from({ length: quantiles }, (_, i) =>
      quantile(sorted, quantiles === 1 ? 1 : i / (quantiles - 1)),
    ),
  };
}
