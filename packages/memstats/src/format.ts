/** Figures for people: two decimals, and the largest unit in which the figure is at least one. */

const BYTE_UNITS = ["B", "K", "M", "G", "T", "P"] as const;

/** `512B`, `1.50K`, `66.05M`, `2.00G`: units of 1024 bytes. A negative size keeps its sign. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) throw new RangeError(`memstats: size must be finite (got ${bytes})`);
  const sign = bytes < 0 ? "-" : "";
  let v = Math.abs(bytes);
  let i = 0;
  // 1023.996 would print as 1024.00, so it takes the next unit.
  while (i < BYTE_UNITS.length - 1 && Number(v.toFixed(i === 0 ? 0 : 2)) >= 1024) {
    v /= 1024;
    i++;
  }
  return `${sign}${i === 0 ? v.toFixed(0) : v.toFixed(2)}${BYTE_UNITS[i]}`;
}

/** Each unit, and its number in the next larger unit. */
const TIME_UNITS: readonly (readonly [string, number])[] = [
  ["ns", 1000],
  ["us", 1000],
  ["ms", 1000],
  ["s", 60],
  ["m", 60],
  ["h", Number.POSITIVE_INFINITY],
];

/** `850ns`, `83.37us`, `1.20ms`, `3.00s`, `1.50m`, `2.00h`, from nanoseconds. */
export function formatDuration(ns: number): string {
  if (!Number.isFinite(ns)) throw new RangeError(`memstats: duration must be finite (got ${ns})`);
  const sign = ns < 0 ? "-" : "";
  let v = Math.abs(ns);
  let i = 0;
  while (Number(v.toFixed(i === 0 ? 0 : 2)) >= TIME_UNITS[i][1]) {
    v /= TIME_UNITS[i][1];
    i++;
  }
  return `${sign}${i === 0 ? v.toFixed(0) : v.toFixed(2)}${TIME_UNITS[i][0]}`;
}
