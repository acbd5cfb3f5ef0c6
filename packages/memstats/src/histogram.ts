/**
 * Go's histogram of durations. 160 buckets are each a quarter of a power of two wide. One bucket below them is for
 * negative times, and one above them for times from 2^47 ns (39 hours). Recording takes a few instructions. All
 * histograms have the same buckets, so two histograms can be compared or merged bucket by bucket.
 *
 *     index   0     1..4            5..8             ...  157..160                161
 *     from   -Inf   0 by 64 ns      256 by 64 ns     ...  2^46 by 2^44 ns         2^47 ns
 */

/** Buckets of a time histogram, the two open ones included. */
export const TIME_BUCKETS = 162;

/**
 * The first power of two (its exponent) with four buckets of its own. The four buckets below it have the same width.
 */
const FIRST = 8;
/** The last power of two with buckets of its own. */
const LAST = 46;
const TWO32 = 4294967296;

function timeBounds(): Float64Array {
  const bounds = new Float64Array(TIME_BUCKETS + 1);
  bounds[0] = Number.NEGATIVE_INFINITY;
  let i = 1;
  for (let sub = 0; sub < 4; sub++) bounds[i++] = (sub * 64) / 1e9;
  for (let e = FIRST; e <= LAST; e++) {
    for (let sub = 0; sub < 4; sub++) bounds[i++] = (2 ** e + sub * 2 ** (e - 2)) / 1e9;
  }
  bounds[i++] = 2 ** (LAST + 1) / 1e9;
  bounds[i] = Number.POSITIVE_INFINITY;
  return bounds;
}

/** The bounds in seconds: bucket i is [bounds[i], bounds[i + 1]). */
export const TIME_BOUNDS: Float64Array = timeBounds();

/** The bucket of a duration in ns. */
export function timeBucket(ns: number): number {
  if (ns < 0) return 0;
  if (ns < 256) return 1 + Math.floor(ns / 64);
  if (ns >= 2 ** (LAST + 1)) return TIME_BUCKETS - 1;
  const e = ns >= TWO32 ? 63 - Math.clz32(ns / TWO32) : 31 - Math.clz32(ns);
  // The two bits below the leading one.
  const sub = Math.floor(ns / 2 ** (e - 2)) & 3;
  return 5 + (e - FIRST) * 4 + sub;
}

export class TimeHistogram {
  /** The number of durations in each bucket. */
  readonly counts: Float64Array;

  /** @param counts the array for the counts, possibly in memory that threads share; default: a new array */
  constructor(counts: Float64Array = new Float64Array(TIME_BUCKETS)) {
    if (counts.length !== TIME_BUCKETS) {
      throw new RangeError(`metrics: a time histogram has ${TIME_BUCKETS} counts (got ${counts.length})`);
    }
    this.counts = counts;
  }

  /** Counts a duration, or `n` durations of about that length. */
  record(ns: number, n = 1): void {
    this.counts[timeBucket(ns)] += n;
  }
}
