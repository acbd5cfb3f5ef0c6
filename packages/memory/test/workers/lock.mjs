// Adds 20000 to a counter under the lock; now and then it stays inside long enough for others to sleep.
import { workerData } from "node:worker_threads";
import { attachLinearMemory, lock, unlock } from "@gort/memory";

const { memory, at } = workerData;
const mem = attachLinearMemory(memory);
for (let i = 0; i < 20_000; i++) {
  lock(mem, at);
  const v = mem.u32[(at + 8) >>> 2];
  if (i % 1000 === 0) for (let k = 0; k < 20_000; k++) mem.u32[(at + 12) >>> 2] = k;
  mem.u32[(at + 8) >>> 2] = v + 1;
  unlock(mem, at);
}
