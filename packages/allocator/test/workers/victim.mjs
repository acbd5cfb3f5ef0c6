// Fills its cache with everything that a thread can hold, takes a lock if it is asked to, and waits to be terminated.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator/internal";
import { attachLinearMemory, lock } from "@gort/memory";

const { memory, thread, lockAt } = workerData;
const a = createAllocator({ memory: attachLinearMemory(memory, { thread }) });
const blocks = [];
for (let i = 0; i < 3000; i++) blocks.push(a.malloc(8 << (i % 10)));
for (let i = 0; i < 3000; i += 2) a.free(blocks[i]);
a.stackFree(a.stackAlloc(4096), 4096);
a.mallocNoscan(3);
if (lockAt !== 0) lock(a.mem, lockAt);
parentPort.postMessage(blocks.filter((_, i) => i % 2 === 1));
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
