/**
 * runtime_metrics.json: names, kinds, units and cumulativeness of all metrics, and the bounds of the histograms.
 *
 * Not counted: `godebug_non_default_behavior`, one metric for each of Go's compatibility settings; this
 * runtime has none of those behaviours to count.
 */

import { all, createMetrics, newSample } from "../src/metrics.ts";
import { modelMetrics, modelSource } from "../src/testing.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Vectors {
  kind_of_an_unknown_name: string;
  metrics: { name: string; kind: string; unit: string; cumulative: boolean; read_kind: string }[];
  histograms: {
    name: string;
    counts: number;
    buckets: number;
    first_bounds: (number | string)[];
    last_bounds: (number | string)[];
    ascending: boolean;
  }[];
}

export function run(vectors: unknown): Result {
  const v = vectors as Vectors;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const expectEqual = (what: string, got: unknown, want: unknown): void => {
    result.total++;
    if (JSON.stringify(got) === JSON.stringify(want)) result.passed++;
    else result.failures.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  };

  const stats = modelSource(1);
  stats.step();
  const metrics = createMetrics(stats, modelMetrics(1));
  const byName = new Map(all().map((d) => [d.Name, d]));
  expectEqual(
    "names in order",
    all().map((d) => d.Name),
    v.metrics.map((m) => m.name),
  );
  for (const want of v.metrics) {
    const got = byName.get(want.name);
    const sample = newSample(want.name);
    metrics.read([sample]);
    expectEqual(
      want.name,
      {
        kind: got?.Kind,
        unit: want.name.split(":").at(-1),
        cumulative: got?.Cumulative,
        read_kind: sample.Value.kind(),
      },
      { kind: want.kind, unit: want.unit, cumulative: want.cumulative, read_kind: want.read_kind },
    );
  }

  const unknown = newSample("/no/such/metric:things");
  metrics.read([unknown]);
  expectEqual("an unknown name", unknown.Value.kind(), v.kind_of_an_unknown_name);

  const bound = (x: number): number | string => (Number.isFinite(x) ? x : x > 0 ? "+Inf" : "-Inf");
  for (const want of v.histograms) {
    const sample = newSample(want.name);
    metrics.read([sample]);
    const { Counts, Buckets } = sample.Value.float64Histogram();
    const bounds = Array.from(Buckets, bound);
    expectEqual(
      want.name,
      {
        counts: Counts.length,
        buckets: Buckets.length,
        first_bounds: bounds.slice(0, want.first_bounds.length),
        last_bounds: bounds.slice(-want.last_bounds.length),
        ascending: Buckets.every((b, i) => i === 0 || b > Buckets[i - 1]),
      },
      {
        counts: want.counts,
        buckets: want.buckets,
        first_bounds: want.first_bounds,
        last_bounds: want.last_bounds,
        ascending: want.ascending,
      },
    );
  }
  return result;
}
