/**
 * The package's own part of the work, over a source that costs next to nothing: the arithmetic of a snapshot, all
 * metrics by name, JSON, and the exporters' text.
 *
 *     pnpm build && node bench/exporters.bench.ts      (Node 22.18 or later)
 */
import { memStatsJSON, newMemStats, readMemStats } from "@gort/memstats";
import { createMetrics, newSample } from "@gort/memstats/metrics";
import { GoCollector, MetricsAll, renderFamilies } from "@gort/memstats/prometheus";
import { modelMetrics, modelSource } from "@gort/memstats/testing";

const ROUNDS = 9;

/** Median over the rounds of the microseconds that one call takes. */
function measure(calls: number, f: () => unknown): number {
  const rounds: number[] = [];
  for (let r = 0; r < ROUNDS; r++) {
    const from = performance.now();
    for (let i = 0; i < calls; i++) f();
    rounds.push(((performance.now() - from) * 1e3) / calls);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1];
}

const source = modelSource(1);
for (let i = 0; i < 1000; i++) source.step();
const m = newMemStats();
const metrics = createMetrics(source, modelMetrics(1));
const samples = metrics.all().map((d) => newSample(d.Name));
const go = { readMemStats: (to = newMemStats()) => readMemStats(source, to), metrics };
const collector = new GoCollector(go, { runtimeMetrics: [MetricsAll] });
const defaults = new GoCollector(go);

const rows: Record<string, number> = {
  Snapshot: measure(5000, () => readMemStats(source, m)),
  MetricsReadAll: measure(2000, () => metrics.read(samples)),
  JSON: measure(200, () => memStatsJSON(m)),
  ScrapeDefault: measure(200, () => renderFamilies(defaults.collect())),
  ScrapeAll: measure(200, () => renderFamilies(collector.collect())),
};
if (m.Mallocs === 0) throw new Error("the source did not work");
for (const [name, us] of Object.entries(rows)) console.log(`${name.padEnd(16)} ${us.toFixed(2)} us`);
