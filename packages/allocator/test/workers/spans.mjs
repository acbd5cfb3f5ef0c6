// Takes spans off one central list and puts them back, and writes down each operation with its begin and end on a clock
// that all threads share: [operation, span, begin, end]. One operation in eight asks for a certain span.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memory, spans, spanclass, clock, gate, threads, ops, seed } = workerData;
const mem = attachLinearMemory(memory);
const { kernel } = mem;
const { central } = createAllocator({ memory: mem });
const list = central.partialSwept(spanclass);
const log = new Int32Array(4 * ops);
let n = 0;
const now = () => kernel.add(clock, 1);
const record = (op, span, begin) => {
  log.set([op, span, begin, now()], n);
  n += 4;
};
let x = seed;
const random = (k) => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % k;
};

kernel.add(gate, 1);
while (kernel.load(gate) < threads);
const held = [];
while (n < log.length) {
  const r = random(16);
  if (held.length > 0 && (r < 8 || held.length > 3)) {
    const s = held.splice(random(held.length), 1)[0];
    const begin = now();
    central.push(list, s);
    record(1, s, begin);
  } else if (r < 14) {
    const begin = now();
    const s = central.pop(list, spanclass);
    record(0, s, begin);
    if (s !== 0) held.push(s);
  } else {
    const s = spans[random(spans.length)];
    if (held.includes(s)) continue;
    const begin = now();
    const taken = central.remove(s);
    record(taken ? 2 : 3, s, begin);
    if (taken) held.push(s);
  }
}
parentPort.postMessage({ log, held });
