// Allocates and frees blocks of many sizes and hands some over to the other threads through mailboxes. The thread that
// finds a block in a mailbox checks its stamps and frees it.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachLinearMemory } from "@gort/memory";

const { memory, mailboxes, nmailboxes, ops, seed, die, staticLockRanking } = workerData;
const mem = attachLinearMemory(memory, { staticLockRanking });
const a = createAllocator({ memory: mem });
const { u32, kernel } = mem;
let x = seed;
const random = (n) => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % n;
};
parentPort.postMessage({ id: a.id });

// A block: [words, stamp, ..., stamp]
const make = () => {
  const r = random(100);
  const words = 4 + (r < 80 ? random(60) : r < 99 ? random(1000) : random(12_000));
  const p = a.malloc(words * 4);
  u32[p >>> 2] = words;
  u32[(p >>> 2) + 1] = p ^ words;
  u32[(p >>> 2) + words - 1] = p;
  return p;
};
const drop = (p) => {
  const words = u32[p >>> 2];
  if (u32[(p >>> 2) + 1] !== (p ^ words) >>> 0 || u32[(p >>> 2) + words - 1] !== p) {
    throw new Error(`block at ${p} was overwritten (seed ${seed})`);
  }
  a.free(p);
};

const mine = [];
for (let i = 0; i < ops; i++) {
  if (die && i === ops >>> 1) process.exit(3);
  if (mine.length < 50 || random(2) === 0) mine.push(make());
  else {
    const k = random(mine.length);
    const p = mine[k];
    mine[k] = mine[mine.length - 1];
    mine.pop();
    if (random(3) === 0) {
      const other = kernel.xchg(mailboxes + 4 * random(nmailboxes), p) >>> 0;
      if (other !== 0) drop(other);
    } else drop(p);
  }
  if (i % 5000 === 4999) a.flushAll();
  if (i % 777 === 0) {
    const s = a.stackAlloc(2048 << random(4));
    a.stackFree(s, u32[(a.spanOf(s) + 24) >>> 2]);
  }
}
for (const p of mine) drop(p);
a.close();
parentPort.postMessage({ done: true });
