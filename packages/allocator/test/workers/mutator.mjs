// A program on a collected heap: allocates objects, stamps them, forgets some and looks at the stamps of the others. It
// sweeps spans as its allocations need them. When `stopping` is odd, it empties its mcache, lists its objects in
// `table`, and waits until the word moves on.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memory, stopping, stopped, table, tableWords, seed } = workerData;
const mem = attachLinearMemory(memory);
const { u32, i32, kernel } = mem;
const a = createAllocator({ memory: mem, seed });
const sweep = (s, preserve) => a.spanSwept(s, a.sweepBits(s), preserve);
a.hooks.sweepSpan = (s) => void sweep(s, true);
a.hooks.sweepOne = () => {
  const s = a.nextSpanForSweep();
  if (s === 0) return -1;
  sweep(s, false);
  return 1;
};
a.hooks.reclaim = (npages) => {
  for (let k = 0; k < npages; k++) if (a.hooks.sweepOne() < 0) return;
};
let x = seed;
const random = (n) => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % n;
};
const types = [16, 32, 48, 512, 1024].map((size) => a.newType(size, [2]));
const objects = [];
const sizes = [];

function allocate() {
  const r = random(100);
  if (r < 45) {
    const k = random(types.length);
    const size = [16, 32, 48, 512, 1024][k];
    return [a.mallocTyped(types[k]), size];
  }
  const size = 16 + 8 * (r < 90 ? random(20) : r < 99 ? random(1500) : random(8000));
  return [a.mallocgc(size, 0, true), size];
}

function check(k) {
  const [p, size] = [objects[k], sizes[k]];
  for (const w of [0, (size >>> 2) - 2]) {
    if (u32[(p >>> 2) + w] !== (p ^ size) >>> 0)
      throw new Error(`object at ${p} of ${size} bytes was overwritten (seed ${seed})`);
  }
}

function make() {
  const [p, size] = allocate();
  for (let w = p >>> 2; w < (p + size) >>> 2; w++) {
    if (u32[w] !== 0) throw new Error(`object at ${p} of ${size} bytes is not clear (seed ${seed})`);
  }
  u32[p >>> 2] = p ^ size;
  u32[(p >>> 2) + (size >>> 2) - 2] = p ^ size;
  objects.push(p);
  sizes.push(size);
}

function forget(k) {
  check(k);
  objects[k] = objects[objects.length - 1];
  sizes[k] = sizes[sizes.length - 1];
  objects.pop();
  sizes.pop();
}

parentPort.postMessage("started");
for (;;) {
  make();
  if (random(1000) === 0) while (objects.length > 1000 && random(1500) !== 0) forget(random(objects.length));
  while (objects.length >= tableWords) forget(random(objects.length));
  const word = u32[stopping >>> 2];
  if ((word & 1) === 0) continue;
  for (let k = 0; k < objects.length; k++) check(k);
  a.flushAll();
  u32[table >>> 2] = objects.length;
  u32.set(objects, (table >>> 2) + 1);
  kernel.add(stopped, 1);
  Atomics.notify(i32, stopped >>> 2);
  Atomics.wait(i32, stopping >>> 2, word | 0);
  if (u32[stopping >>> 2] === 0xfffffffe) break;
}
a.close();
