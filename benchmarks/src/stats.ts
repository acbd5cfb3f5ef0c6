// The statistics of a report. An observation is a process (one round), not a repetition inside it. Repetitions in one
// process share its memory layout and its compiled code, so they agree with each other more than with the next process.

/** The middle value, or the mean of the two middle ones if the number of values is even. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("median: no values");
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Distance between the largest and the smallest value, as a fraction of the median. 0 for one value. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** Our time divided by the peer's: under 1, gort is faster. */
export function ratio(ours: number, theirs: number): number {
  return ours / theirs;
}

/** Keeps four significant digits: more would be noise in the files of results. */
export function round4(value: number): number {
  return Number(value.toPrecision(4));
}
