// Frees the blocks that it is given, and allocates as many of the same sizes, which it keeps.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachLinearMemory } from "@gort/memory";

const { memory, thread, free, sizes, checks } = workerData;
const a = createAllocator({ memory: attachLinearMemory(memory, { thread }), checks });
for (const p of free) a.free(p);
const blocks = sizes.map((n) => a.malloc(n));
const own = checks ? a.leakReport() : [];
a.close();
parentPort.postMessage({ blocks, own });
