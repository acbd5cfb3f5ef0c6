/** What a million waiting goroutines take: `node --expose-gc bench/parked.mjs [N]`. */
import { createScheduler } from "../dist/index.js";

const n = Number(process.argv[2] ?? 1e6);
const s = createScheduler();
globalThis.gc?.();
const before = process.memoryUsage();
await s.main(function* () {
  const c = s.makeChan();
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
  console.log(
    `${n} goroutines: started in ${started.toFixed(0)} ms, ended in ${(performance.now() - t2).toFixed(0)} ms; ` +
      `${((after.heapUsed - before.heapUsed) / n).toFixed(0)} bytes of heap each, ${((after.rss - before.rss) / n).toFixed(0)} resident`,
  );
});
