/**
 * How late the event loop gets its turn while goroutines use all the time there is, on the built package.
 *
 *     pnpm build && node bench/event-loop.bench.ts [MS]      (Node 22.18 or later)
 */
import { createScheduler } from "@gort/scheduler";

const s = createScheduler();
const ms = Number(process.argv[2] ?? 3000);

/** Runs 16 goroutines of `work` for `ms` milliseconds and measures the time between two turns of the event loop. */
function delays(work: () => Generator<undefined, void, unknown>): Promise<string> {
  return s.main(function* () {
    const delays: number[] = [];
    let stop = false;
    let last = performance.now();
    const turn = () => {
      const now = performance.now();
      delays.push(now - last);
      last = now;
      if (!stop) setImmediate(turn);
    };
    setImmediate(turn);
    for (let i = 0; i < 16; i++) s.go(work);
    yield* s.sleep(ms);
    stop = true;
    delays.sort((a, b) => a - b);
    const q = (p: number) => delays[Math.floor(delays.length * p)].toFixed(2);
    const max = delays[delays.length - 1].toFixed(2);
    return `${delays.length} turns, delay p50 ${q(0.5)} ms, p99 ${q(0.99)} ms, max ${max} ms`;
  });
}

function* steps(msOfStep: (i: number) => number): Generator<undefined, void, unknown> {
  for (let i = 0; ; i++) {
    const end = performance.now() + msOfStep(i);
    while (performance.now() < end);
    yield* s.gosched();
  }
}

function* shortSteps(): Generator<undefined, void, unknown> {
  for (;;) yield* s.gosched();
}

console.log("short steps:", await delays(shortSteps));
console.log("steps of 1 ms:", await delays(() => steps(() => 1)));
console.log("mixed steps:", await delays(() => steps((i) => (i % 1000 === 0 ? 0.5 : 0))));
