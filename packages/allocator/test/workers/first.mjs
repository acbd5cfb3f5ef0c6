// Makes an allocator over each of the memories, at the same time as the other threads do. Posts its mcache's address in
// each memory, or the error's message.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memories, gates, threads } = workerData;
const results = memories.map((memory, k) => {
  const mem = attachLinearMemory(memory);
  mem.kernel.add(gates[k], 1);
  while (mem.kernel.load(gates[k]) < threads);
  try {
    return createAllocator({ memory: mem }).cache.base;
  } catch (err) {
    return err.message;
  }
});
parentPort.postMessage(results);
