/**
 * runtime_metrics.json against a runtime: every name with its kind and bounds, and the kind that a read gives.
 *
 * Not counted: the read kind of metrics that cannot be measured here (`notMeasured`, which the documentation
 * lists): they read as an unknown name does; and `godebug_non_default_behavior`, counters of Go's compatibility
 * settings, of which there are none here.
 */
import { createRuntime } from "../src/index.ts";
import { newSample, notMeasured } from "../src/metrics.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Vectors {
  kind_of_an_unknown_name: string;
  metrics: { name: string; kind: string; cumulative: boolean; read_kind: string }[];
  histograms: {
    name: string;
    counts: number;
    buckets: number;
    first_bounds: (number | string)[];
    last_bounds: (number | string)[];
    ascending: boolean;
  }[];
}

export async function run(vectors: unknown): Promise<Result> {
  const v = vectors as Vectors;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const expectEqual = (what: string, got: unknown, want: unknown): void => {
    result.total++;
    if (JSON.stringify(got) === JSON.stringify(want)) result.passed++;
    else result.failures.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  };
  const rt = createRuntime({ maxMemory: 64 << 20, gogc: 100, godebug: "", stderr: () => {} });
  try {
    rt.gc();
    const all = rt.metrics.all();
    const samples = new Map(v.metrics.map((m) => [m.name, newSample(m.name)]));
    rt.metrics.read([...samples.values()]);
    expectEqual(
      "names in order",
      all.map((d) => d.Name),
      v.metrics.map((m) => m.name),
    );
    for (const want of v.metrics) {
      const d = all.find((x) => x.Name === want.name);
      expectEqual(
        want.name,
        { kind: d?.Kind, cumulative: d?.Cumulative },
        { kind: want.kind, cumulative: want.cumulative },
      );
      const kind = samples.get(want.name)!.Value.kind();
      if (notMeasured.includes(want.name)) continue;
      expectEqual(`${want.name} reads`, kind, want.read_kind);
    }
    const unknown = newSample("/no/such/metric:things");
    rt.metrics.read([unknown]);
    expectEqual("an unknown name", unknown.Value.kind(), v.kind_of_an_unknown_name);
    for (const name of notMeasured) {
      const sample = newSample(name);
      rt.metrics.read([sample]);
      expectEqual(`${name} is not measured`, sample.Value.kind(), v.kind_of_an_unknown_name);
    }
    const bound = (x: number): number | string => (Number.isFinite(x) ? x : x > 0 ? "+Inf" : "-Inf");
    for (const want of v.histograms) {
      if (notMeasured.includes(want.name)) continue;
      const { Counts, Buckets } = samples.get(want.name)!.Value.float64Histogram();
      const bounds = Array.from(Buckets, bound);
      const got = {
        counts: Counts.length,
        buckets: Buckets.length,
        first_bounds: bounds.slice(0, want.first_bounds.length),
        last_bounds: bounds.slice(-want.last_bounds.length),
        ascending: Buckets.every((b, i) => i === 0 || b > Buckets[i - 1]),
      };
      const { name, ...expected } = want;
      expectEqual(name, got, {
        counts: expected.counts,
        buckets: expected.buckets,
        first_bounds: expected.first_bounds,
        last_bounds: expected.last_bounds,
        ascending: expected.ascending,
      });
    }
  } finally {
    rt.close();
  }
  return result;
}
