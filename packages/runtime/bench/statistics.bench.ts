/**
 * What it costs to look: readMemStats, metrics.read of all names and a scrape of everything, in an empty heap, with
 * objects and with goroutines. Goals: readMemStats within 3 times Go's at GOMAXPROCS=1 and the same whatever the heap
 * holds, all metrics within 50 us, a scrape within 5 ms.
 *
 *     pnpm build && node bench/statistics.bench.ts      (Node 22.18 or later)
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
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1];
}

/** A list of n objects of 32 bytes, held by a global root. */
function fill(rt: Runtime, n: number): void {
  const typ = rt.unsafe.newType(32, [1]);
  const head = rt.root(0 as never);
  for (let i = 0; i < n; i++) {
    const p = rt.unsafe.mallocTyped(typ);
    rt.unsafe.storePointer((p + 8) as never, head.ptr);
    head.ptr = p as never;
  }
}

interface Row {
  objects: number;
  goroutines: number;
}

// The first row warms up.
const rows: Row[] = [0, 0, 100_000, 1_000_000].map((objects) => ({ objects, goroutines: 0 }));
rows.push({ objects: 0, goroutines: 100_000 });

for (const [i, { objects, goroutines }] of rows.entries()) {
  const rt = createRuntime({ maxMemory: 1 << 30, gogc: 100, godebug: "" });
  await rt.main(function* () {
    const never = rt.makeChan<number>();
    for (let i = 0; i < goroutines; i++) {
      rt.go(function* () {
        yield* never.recv();
      });
    }
    yield* rt.gosched();
    fill(rt, objects);
    rt.gc();
    const m = newMemStats();
    const samples = rt.metrics.all().map((d) => newSample(d.Name));
    const us = {
      ReadMemStats: measure(5000, () => rt.readMemStats(m)),
      MetricsReadAll: measure(2000, () => rt.metrics.read(samples)),
      Scrape: measure(100, () => prometheusText(rt, { runtimeMetrics: [/./] })),
    };
    if (m.HeapObjects < objects || rt.numGoroutine() !== goroutines + 1) {
      throw new Error(`${m.HeapObjects} objects and ${rt.numGoroutine()} goroutines`);
    }
    const times = Object.entries(us).map(([name, t]) => `${name} ${t.toFixed(2)} us`);
    if (i > 0) console.log(`${objects} objects, ${goroutines} goroutines: ${times.join(", ")}`);
  });
  rt.close();
}
