// Allocates and frees until the word at `stop` is not 0: blocks of one class over and over, blocks that live for a
// while, tiny objects that are never freed, and large blocks.
import { workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachLinearMemory } from "@gort/memory";

const { memory, stop, started, size } = workerData;
const mem = attachLinearMemory(memory);
const a = createAllocator({ memory: mem });
const { u32, kernel } = mem;
const kept = [];
kernel.add(started, 1);
for (let i = 0; u32[stop >>> 2] === 0; i++) {
  for (let k = 0; k < 50; k++) a.free(a.malloc(size));
  kept.push(a.malloc(16 + ((i * 24) % 2000)));
  if (kept.length > 500) for (const p of kept.splice(0)) a.free(p);
  if (i < 1_000_000) a.mallocNoscan(1 + (i % 7));
  if (i % 64 === 0) a.free(a.malloc(100_000));
  if (i % 1000 === 0) a.flushAll();
}
for (const p of kept) a.free(p);
a.close();
