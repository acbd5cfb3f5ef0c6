/**
 * Memory that a million waiting goroutines take, on the built package.
 *
 *     pnpm build && node --expose-gc bench/parked.bench.ts [N]      (Node 22.18 or later)
 */
import { createScheduler } from "@gort/scheduler";

const n = Number(process.argv[2] ?? 1e6);
const s = createScheduler();
globalThis.gc?.();
const before = process.memoryUsage();
await s.main(function* () {
  const c = s.makeChan<number>();
  function* waiter() {
    yield* c.recv();
  }
  const t = performance.now();
  for (let i = 0; i < n; i++) {
    s.go(waiter);
    if (i % 1000 === 999) yield* s.gosched();
  }
  yield* s.gosched();
  const started = performance.now() - t;
  globalThis.gc?.();
  const after = process.memoryUsage();
  const t2 = performance.now();
  c.close();
  while (s.numGoroutine() > 1) yield* s.gosched();
  const ended = performance.now() - t2;
  const heap = (after.heapUsed - before.heapUsed) / n;
  const resident = (after.rss - before.rss) / n;
  console.log(`${n} goroutines: started in ${started.toFixed(0)} ms, ended in ${ended.toFixed(0)} ms`);
  console.log(`each: ${heap.toFixed(0)} bytes of heap, ${resident.toFixed(0)} resident`);
});
