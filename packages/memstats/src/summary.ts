import { formatBytes, formatDuration } from "./format.ts";
import { quantile, recentPauses } from "./gcstats.ts";
import type { MemStats } from "./memstats.ts";

/**
 * One line about the collector (broken here in two):
 *
 *     NumGC:39 Pause:83.37us Pause(Avg):91.02us Overhead:3.01% Alloc:66.05M Sys:72.20M Alloc(Rate):1.20G/s
 *     Histogram:140.10us 200.00us 212.51us
 *
 * Pause is the pause of the last cycle. The average and the histogram (95 %, 99 %, longest) cover the last 256 cycles.
 * Overhead is the share of the elapsed time spent in pauses. Before the first cycle the line has the memory figures
 * only.
 *
 * @param elapsedMs milliseconds since the program's start: the rates refer to this time
 */
export function summary(m: MemStats, elapsedMs: number): string {
  if (!(elapsedMs >= 0) || elapsedMs === Number.POSITIVE_INFINITY) {
    throw new RangeError(`memstats: elapsedMs must be finite and not negative (got ${elapsedMs})`);
  }
  const rate = elapsedMs > 0 ? m.TotalAlloc / (elapsedMs / 1000) : 0;
  const memory = `Alloc:${formatBytes(m.Alloc)} Sys:${formatBytes(m.Sys)} Alloc(Rate):${formatBytes(rate)}/s`;
  if (m.NumGC === 0) return memory;
  const pauses = recentPauses(m);
  const sorted = Float64Array.from(pauses).sort();
  const average = pauses.reduce((a, b) => a + b, 0) / pauses.length;
  const overhead = elapsedMs > 0 ? (m.PauseTotalNs / (elapsedMs * 1e6)) * 100 : 0;
  const histogram = [0.95, 0.99, 1].map((p) => formatDuration(quantile(sorted, p))).join(" ");
  return (
    `NumGC:${m.NumGC} Pause:${formatDuration(pauses[0])} Pause(Avg):${formatDuration(average)} ` +
    `Overhead:${overhead.toFixed(2)}% ${memory} Histogram:${histogram}`
  );
}
