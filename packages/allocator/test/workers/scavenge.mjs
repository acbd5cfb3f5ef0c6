// Works on the figures of the scavenger that all threads share: adds times, and gives pages of a page cache back that
// count as stuck.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memory, gate, threads, rounds, role } = workerData;
const mem = attachLinearMemory(memory);
const { kernel } = mem;
let ms = 0;
const a = createAllocator({ memory: mem, clock: () => ms++ });
kernel.add(gate, 1);
while (kernel.load(gate) < threads);
for (let i = 0; i < rounds; i++) {
  if (role === "time") a.scavenger.background();
  else if (role === "limit") a.heap.scavenger.checkLimit();
  else {
    a.heap.lock();
    a.heap.scavenger.pagesUnclaimed(1, 1);
    a.heap.unlock();
  }
}
a.close();
parentPort.postMessage("done");
