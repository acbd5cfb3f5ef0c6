/**
 * runtime/metrics: statistics by name, as Go's package of that name gives them.
 *
 * A metric is a row of one table (metrics-table.ts): name, kind, whether it only grows, its meaning, and how it is
 * computed from a snapshot. A snapshot has two parts: the counters of MemStats (`StatsSource`), and the figures that
 * MemStats lacks (`MetricsSource`: CPU time, goroutines, queues, histograms). A figure that the source leaves at NaN or
 * null is not known, and reads as kind "bad", as an unknown name does.
 *
 * Unlike Go: a read takes the same snapshot as readMemStats, so that allocation figures do not lag behind.
 */

import { MemStats } from "./memstats.ts";
import type { Description, Sample } from "./metric-value.ts";
import { METRICS } from "./metrics-table.ts";
import { type MetricsSource, newRawMetrics } from "./raw-metrics.ts";
import { readRaw } from "./read.ts";
import type { StatsSource } from "./source.ts";

// Sources and their histograms
export { TIME_BOUNDS, TIME_BUCKETS, TimeHistogram, timeBucket } from "./histogram.ts";
// Descriptions, samples and values
export {
  type Description,
  type Float64Histogram,
  newSample,
  type Sample,
  Value,
  type ValueKind,
} from "./metric-value.ts";
export { type MetricsSource, newRawMetrics, type RawMetrics } from "./raw-metrics.ts";

const READINGS = new Map(METRICS.map((m) => [m.description.Name, m.reading]));

/** All metrics in ascending order of their names. */
export function all(): Description[] {
  return METRICS.map((m) => m.description);
}

export interface Metrics {
  /** The descriptions of all metrics, in ascending order of their names. */
  all(): Description[];
  /** Fills the samples' values, all from one snapshot. Unknown names get kind "bad". */
  read(samples: Sample[]): void;
}

/** Metrics over the sources. Without `more`, the figures that MemStats lacks read as "bad". */
export function createMetrics(stats: StatsSource, more?: MetricsSource): Metrics {
  const memStats = new MemStats();
  const unknown = newRawMetrics();
  const figures = newRawMetrics();
  return {
    all,
    read(samples: Sample[]): void {
      if (!Array.isArray(samples))
        throw new TypeError(`metrics: read needs a list of samples (got ${typeof samples})`);
      // Code of the program may run in an access to its objects, and it may read metrics. So the samples are read
      // before the figures, which all reads share.
      const wanted = samples.map((sample): Sample => {
        const value = sample?.Value;
        if (typeof value?.$set === "function") return { Name: sample.Name, Value: value };
        throw new TypeError(`metrics: read needs samples made by newSample (got ${typeof sample})`);
      });
      const raw = readRaw(stats, memStats);
      Object.assign(figures, unknown);
      more?.fill(figures);
      const snapshot = { raw, stats: memStats, more: figures };
      for (const { Name, Value } of wanted) {
        const reading = READINGS.get(Name);
        if (reading === undefined) Value.$set("bad", 0);
        else reading.set(Value, snapshot);
      }
    },
  };
}
