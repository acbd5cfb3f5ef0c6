/**
 * The page allocator alone: a heap of almost 4 GiB full of spans of one page, of which random ones are freed; then runs of
 * n pages are looked for, taken and given back.
 *
 *     tsup && node bench/pagealloc.bench.ts          (Node 22.6+, or through any TypeScript runner)
 */
import { createAllocator } from "@gort/allocator/internal";

const a = createAllocator({ maxMemory: 2 ** 32, release: false });
const { pages } = a.heap;
const CHUNK = 512;
const first = 64 * CHUNK;
const chunks = 940;
pages.grow(first, chunks * CHUNK);
pages.alloc(chunks * CHUNK);
let x = 12345;
const random = (n: number): number => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % n;
};
let freed = 0;
for (let i = 0; i < chunks * CHUNK; i++) {
  if (random(2) === 0) {
    pages.free(first + i, 1);
    freed++;
  }
}
console.log(`${freed} of ${chunks * CHUNK} pages free, at random`);
/** Takes up to N runs of n pages; the time of each, and how many there were. */
function take(n: number, N: number): [us: number, found: number] {
  const taken: number[] = [];
  const t = performance.now();
  for (let k = 0; k < N; k++) {
    const p = pages.alloc(n);
    if (p === 0) break;
    taken.push(p);
  }
  const us = ((performance.now() - t) * 1000) / Math.max(1, taken.length);
  for (const p of taken) pages.free(p, n);
  pages.cleanUp();
  return [us, taken.length];
}

take(1, 20_000);
take(3, 5000);
for (const n of [1, 2, 3, 4, 6, 8, 10, 12, 16]) {
  const [us, found] = take(n, 2000);
  console.log(`run of ${String(n).padStart(2)}: ${us.toFixed(2)} us, ${found} found`);
}
