/** How late the event loop comes to its turn while goroutines want all the time there is: `node bench/eventloop.mjs`. */
import { createScheduler } from "../dist/index.js";

const s = createScheduler();
const ms = Number(process.argv[2] ?? 3000);

function late(work) {
  return s.main(function* () {
    const delays = [];
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
    const q = (p) => delays[Math.floor(delays.length * p)].toFixed(2);
    return `${delays.length} turns, delay p50 ${q(0.5)} ms, p99 ${q(0.99)} ms, max ${delays.at(-1).toFixed(2)} ms`;
  });
}

console.log(
  "short steps:",
  await late(function* () {
    for (;;) yield* s.gosched();
  }),
);
console.log(
  "steps of 1 ms:",
  await late(function* () {
    for (;;) {
      const end = performance.now() + 1;
      while (performance.now() < end);
      yield* s.gosched();
    }
  }),
);
console.log(
  "mixed steps:",
  await late(function* () {
    for (let i = 0; ; i++) {
      const end = performance.now() + (i % 1000 === 0 ? 0.5 : 0);
      while (performance.now() < end);
      yield* s.gosched();
    }
  }),
);
