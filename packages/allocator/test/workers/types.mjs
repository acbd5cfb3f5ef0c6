// While a mark phase is on: one thread allocates objects of two types by turns, pointers at the words where the other
// has numbers. The second thread scans the marked slots of the page at which the first works, as a marker does: it
// reads the pointer bits of a slot, then the words.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator, MSPAN } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memory, role, count, gate, at } = workerData;
const mem = attachLinearMemory(memory);
const { u32, kernel } = mem;
const a = createAllocator({ memory: mem });
const NUMBER = 0xdeadbeef;
kernel.add(gate, 1);
while (kernel.load(gate) < 2);
if (role === "allocate") {
  const types = [
    { typ: a.newType(32, [3]), numbers: [2, 3] },
    { typ: a.newType(32, [12]), numbers: [0, 1] },
  ];
  for (let i = 0; i < count; i++) {
    const { typ, numbers } = types[i & 1];
    const p = a.mallocTyped(typ);
    for (const w of numbers) u32[(p + 8 * w) >>> 2] = NUMBER;
    for (const w of [0, 1, 2, 3]) if (!numbers.includes(w)) u32[(p + 8 * w) >>> 2] = p;
    u32[at >>> 2] = p >>> 13;
  }
  a.flushAll();
  kernel.store(at, -1);
  parentPort.postMessage(count);
} else {
  let scanned = 0;
  for (let page = 0; (page = kernel.load(at)) !== -1; ) {
    if (page === 0) continue;
    const s = a.spanOf(page << 13);
    const marks = u32[(s + MSPAN.offsets.gcmarkBits) >>> 2];
    for (let i = 0; i < 256; i++) {
      if ((kernel.load(marks + ((i >>> 5) << 2)) & (1 << (i & 31))) === 0) continue;
      const slot = (page << 13) + 32 * i;
      const bits = u32[(a.heapBitsBase >>> 2) + (slot >>> 8)] >>> ((slot >>> 3) & 31);
      for (let w = 0; w < 4; w++) {
        if ((bits & (1 << w)) === 0) continue;
        scanned++;
        const p = u32[(slot + 8 * w) >>> 2];
        if (p === NUMBER) throw new Error(`the number in word ${w} of slot ${i} was taken for a pointer`);
      }
    }
  }
  parentPort.postMessage(scanned);
}
a.close();
