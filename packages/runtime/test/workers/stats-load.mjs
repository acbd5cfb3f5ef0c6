// Allocates and frees by hand in a runtime's heap until the word at `stop` is not 0.
import { workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachLinearMemory } from "@gort/memory";

const { memory, stop, size } = workerData;
const mem = attachLinearMemory(memory);
const a = createAllocator({ memory: mem });
const kept = [];
mem.kernel.add(stop + 4, 1);
for (let i = 0; mem.u32[stop >>> 2] === 0; i++) {
  for (let k = 0; k < 20; k++) a.free(a.malloc(size));
  kept.push(a.malloc(16 + ((i * 24) % 3000)));
  if (kept.length > 300) for (const p of kept.splice(0)) a.free(p);
  if (i < 500_000) a.mallocNoscan(1 + (i % 7));
  if (i % 64 === 0) a.free(a.malloc(100_000));
  if (i % 1000 === 0) a.flushAll();
}
for (const p of kept) a.free(p);
a.close();
