// Attaches, allocates a little and closes.
import { workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachLinearMemory } from "@gort/memory";

const a = createAllocator({ memory: attachLinearMemory(workerData.memory) });
a.free(a.malloc(100));
a.close();
