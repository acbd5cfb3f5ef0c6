// Adds and removes specials of its own objects, in a span where other threads do the same, and lists all of them in
// between. An offset that is not one of the objects, or is out of order, is an error; and so is a list without the
// special of the last object, which stays.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator, MSPAN, SPECIAL_CLEANUP } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memory, objects, gate, threads, rounds } = workerData;
const mem = attachLinearMemory(memory, { staticLockRanking: true });
const { u32, kernel } = mem;
const a = createAllocator({ memory: mem });
const span = a.spanOf(objects[0]);
const all = new Set(workerData.all.map((p) => p - u32[(span + MSPAN.offsets.startAddr) >>> 2]));
const last = Math.max(...all);

function list() {
  const offsets = [];
  a.specialOffsets(span, SPECIAL_CLEANUP, offsets);
  let before = -1;
  for (const offset of offsets) {
    if (!all.has(offset) || offset < before) throw new Error(`a special at ${offset} after ${before}`);
    before = offset;
  }
  if (before !== last) throw new Error(`the list ends at ${before}, not ${last}`);
}

kernel.add(gate, 1);
while (kernel.load(gate) < threads);
for (let r = 0; r < rounds; r++) {
  const p = objects[r % objects.length];
  a.addSpecial(p, SPECIAL_CLEANUP, r);
  list();
  if (a.removeSpecial(p, SPECIAL_CLEANUP, r) !== r) throw new Error(`the special of ${p} is gone`);
}
a.close();
parentPort.postMessage("done");
