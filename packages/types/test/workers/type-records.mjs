// Draws the numbers of `n` types in an order of its own, at once with other workers.
import { parentPort, workerData } from "node:worker_threads";
import { attachLinearMemory } from "@gort/memory";
import { int, pointer, struct } from "@gort/types";
import { TypeRecords } from "@gort/types/internal";

const { memory, gate, workers, n, seed } = workerData;
const mem = attachLinearMemory(memory);
const records = new TypeRecords(mem);
let s = seed >>> 0 || 1;
const random = (max) => {
  s ^= s << 13;
  s ^= s >>> 17;
  s ^= s << 5;
  return (s >>> 0) % max;
};
const order = Array.from({ length: n }, (_, i) => i);
for (let i = n - 1; i > 0; i--) {
  const k = random(i + 1);
  [order[i], order[k]] = [order[k], order[i]];
}
mem.kernel.add(gate, 1);
while (mem.kernel.load(gate) < workers);
const ids = {};
for (const i of order) {
  const T = struct(`R${i}`, { x: int, next: pointer(() => T) });
  ids[T.name] = records.idOf(T);
}
parentPort.postMessage(ids);
