/**
 * What it costs to look: readMemStats with an empty heap and with a million objects, metrics.read of all names, and a
 * scrape of everything. Goals: readMemStats within 3 times Go's at GOMAXPROCS=1 and the same whatever the heap holds,
 * all metrics within 50 us, a scrape within 5 ms.
 *
 *     tsup && node bench/statistics.bench.ts          (Node 22.6+, or through any TypeScript runner)
 */
import { prometheusText } from "@gort/memstats/prometheus";
import { createRuntime, newMemStats, type Runtime } from "@gort/runtime";
import { newSample } from "@gort/runtime/metrics";

const ROUNDS = 9;

/** Median over the rounds of the microseconds that one call takes. */
function measure(calls: number, f: () => void): number {
  const rounds: number[] = [];
  for (let r = 0; r < ROUNDS; r++) {
    const from = performance.now();
    for (let i = 0; i < calls; i++) f();
    rounds.push(((performance.now() - from) * 1e3) / calls);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

/** A list of n objects of 32 bytes, held by a global root. */
function fill(rt: Runtime, n: number): void {
  const typ = rt.unsafe.newType(32, [1]);
  const head = rt.root(0 as never);
  for (let i = 0; i < n; i++) {
    const p = rt.unsafe.mallocTyped(typ);
    rt.unsafe.storePointer((p + 8) as never, head.ptr as never);
    head.ptr = p as never;
  }
}

const result: Record<string, number> = {};
for (const objects of [0, 1_000_000]) {
  const rt = createRuntime({ maxMemory: 1 << 30, gogc: 100, godebug: "" });
  fill(rt, objects);
  rt.gc();
  const m = newMemStats();
  const samples = rt.metrics.all().map((d) => newSample(d.Name));
  result[`ReadMemStats/${objects}`] = measure(2000, () => rt.readMemStats(m));
  result[`MetricsReadAll/${objects}`] = measure(1000, () => rt.metrics.read(samples));
  result[`Scrape/${objects}`] = measure(100, () => prometheusText(rt, { runtimeMetrics: [/./] }));
  if (m.HeapObjects !== objects) throw new Error(`${m.HeapObjects} objects, not ${objects}`);
  rt.close();
}
for (const [name, us] of Object.entries(result)) console.log(`${name.padEnd(24)} ${us.toFixed(2)} us`);
