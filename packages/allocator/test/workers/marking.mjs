// While a mark phase is on: one thread allocates into spans whose other objects the second thread marks. Both work at
// the same time, span by span in the same order. Each object is marked once, so that a lost mark stays lost.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator, MSPAN } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memory, role, survivors, count, gate, at } = workerData;
const mem = attachLinearMemory(memory);
const { u32, kernel } = mem;
const a = createAllocator({ memory: mem });
kernel.add(gate, 1);
while (kernel.load(gate) < 2);
if (role === "allocate") {
  const made = new Uint32Array(count);
  for (let i = 0, page = 0; i < count; i++) {
    const p = a.mallocNoscan(16);
    made[i] = p;
    if (p >>> 13 !== page) {
      page = p >>> 13;
      kernel.store(at, page);
      for (let spin = 0; spin < 100; spin++) kernel.load(at); // as long as the other thread takes to come
    }
  }
  a.flushAll();
  kernel.store(at, -1);
  parentPort.postMessage(made);
} else {
  const byPage = new Map();
  for (const p of survivors) {
    const list = byPage.get(p >>> 13);
    if (list === undefined) byPage.set(p >>> 13, [p]);
    else list.push(p);
  }
  const mark = (objects) => {
    for (const p of objects) {
      const s = a.spanOf(p);
      const i = a.objIndex(s, p);
      kernel.or(u32[(s + MSPAN.offsets.gcmarkBits) >>> 2] + ((i >>> 5) << 2), 1 << (i & 31));
    }
  };
  for (let page = 0, last = 0; page !== -1; last = page) {
    while ((page = kernel.load(at)) === last);
    mark(byPage.get(page) ?? []);
    byPage.delete(page);
  }
  for (const objects of byPage.values()) mark(objects);
  parentPort.postMessage(null);
}
a.close();
