// Does whatever a program by hand may do with the heap, at random, until the word `stop` is set or its thread is
// terminated: blocks of all sizes, which it stamps, hands to other threads and checks before it frees them; stacks;
// specials; objects that it leaves behind; flushes, and pages for the operating system.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator, SPECIAL_CLEANUP } from "@gort/allocator/internal";
import { attachLinearMemory } from "@gort/memory";

const { memory, thread, mailboxes, nmailboxes, stop, seed, staticLockRanking } = workerData;
const mem = attachLinearMemory(memory, { thread, staticLockRanking });
const { u32, kernel } = mem;
const a = createAllocator({ memory: mem, seed });
let x = seed;
const random = (n) => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % n;
};

// A block: [words, stamp, ..., stamp]
const stamp = (p, words) => {
  u32[p >>> 2] = words;
  u32[(p >>> 2) + 1] = p ^ words;
  u32[(p >>> 2) + words - 1] = p;
  return p;
};
const check = (p) => {
  const words = u32[p >>> 2];
  if (u32[(p >>> 2) + 1] !== (p ^ words) >>> 0 || u32[(p >>> 2) + words - 1] !== p) {
    throw new Error(`block at ${p} was overwritten (seed ${seed})`);
  }
};
const drop = (p) => {
  check(p);
  a.free(p);
};
const size = () => {
  const r = random(1000);
  if (r < 800) return 4 + random(60);
  if (r < 980) return 4 + random(2000);
  return r < 999 ? 4 + random(20_000) : 4 + random(500_000);
};

const mine = [];
const stacks = [];
let left = 3000; // objects that it leaves behind
const typ = a.newType(48, [0b101]);
const take = () => {
  const p = mine.splice(random(mine.length), 1)[0];
  return p;
};
const acts = [
  () => {
    const words = size();
    mine.push(stamp(random(4) === 0 ? a.calloc(words, 4) : a.malloc(4 * words), words));
  },
  () => mine.length > 20 && drop(take()),
  () => {
    if (mine.length < 20) return;
    const other = kernel.xchg(mailboxes + 4 * random(nmailboxes), take()) >>> 0;
    if (other !== 0) drop(other);
  },
  () => {
    if (mine.length < 20) return;
    const p = take();
    check(p);
    let words = size();
    let q = p;
    try {
      q = a.realloc(p, 4 * words);
    } catch (err) {
      words = u32[p >>> 2];
      if (err.code !== "ERR_GORT_OUT_OF_MEMORY") throw err;
    }
    mine.push(stamp(q, words));
  },
  () => {
    if (stacks.length > 8) for (const [p, n] of stacks.splice(0, 6)) a.stackFree(p, n);
    const n = 2048 << random(6);
    stacks.push([a.stackAlloc(n), n]);
  },
  () => mine.length > 20 && a.addSpecial(mine[random(mine.length)], SPECIAL_CLEANUP, random(1000)),
  () => left-- > 0 && (random(2) === 0 ? a.mallocTyped(typ) : a.mallocNoscan(1 + random(12))),
  () => random(20) === 0 && a.flushAll(),
  () => random(200) === 0 && a.scavenge(random(1 << 20)),
];
// How often each: blocks come and go.
const dice = [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8];
// Loads koffi: a thread that is terminated while it loads a native library ends the process.
if (!mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
parentPort.postMessage("started");
while (u32[stop >>> 2] === 0) {
  try {
    acts[dice[random(dice.length)]]();
    if (mine.length > 2000) for (const p of mine.splice(0, 1000)) drop(p);
  } catch (err) {
    if (err.code !== "ERR_GORT_OUT_OF_MEMORY") throw err;
    for (const p of mine.splice(0, mine.length >>> 1)) drop(p);
  }
}
for (const p of mine) drop(p);
for (const [p, n] of stacks) a.stackFree(p, n);
a.close();
