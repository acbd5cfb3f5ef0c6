// One of several threads that change a heap which all of them collect.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachCollector } from "@gort/gc";
import { attachLinearMemory } from "@gort/memory";
import { MiniWorld } from "./mini-world.mjs";
import { play, Shadow, seeded } from "./shadow.mjs";

const { memory, block, id, procs, table, n, seed, changes, rounds, godebug, marker } = workerData;
const mem = attachLinearMemory(memory);
const world = new MiniWorld(mem, block, id, procs);
const a = createAllocator({ memory: mem, seed });
world.enter();
const gc = attachCollector(a, { world: world.world(), godebug, marker });
world.gc = gc;
const random = seeded(seed);
let objects = 0;
let foreign = 0;
for (let round = 0; round < rounds; round++) {
  const shadow = new Shadow({ a, gc, table, n, random, thread: id });
  play(shadow, world, gc, random, changes);
  gc.gc();
  objects = shadow.verify();
  foreign += shadow.foreign;
  for (const slot of shadow.refs) gc.refs.free(slot);
  a.stackFree(shadow.stack, 2048);
  gc.setStackRoots(() => {});
}
gc.threads.close();
world.gc = null;
a.close();
world.leave();
parentPort.postMessage({ objects, foreign });
