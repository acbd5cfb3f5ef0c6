/**
 * The page allocator alone, in a heap of almost 4 GiB: the largest there is.
 *
 *     pnpm build && node bench/pagealloc.bench.ts      (Node 22.18 or later)
 *
 * Full of spans of many sizes, of which a quarter was freed at random. Each step frees one more span, looks for a
 * run of n pages (timed), gives it back and allocates in place of the span that was freed: what is found is checked
 * to be free and the lowest that a search from the bottom finds, for some of the steps.
 */
import { createAllocator } from "@gort/allocator/internal";

const CHUNK = 512;
const CHUNKS = 940;
const FIRST = 64 * CHUNK;
const STEPS = 20_000;

const a = createAllocator({ maxMemory: 2 ** 32, release: false });
const { pages } = a.heap;
let x = 12345;
const random = (n: number): number => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % n;
};

/** Mostly small spans, as in a heap of small objects; one in a hundred is large. */
function spanPages(): number {
  const r = random(100);
  if (r < 70) return 1;
  if (r < 90) return 2 + random(7);
  return r < 99 ? 9 + random(56) : 256 + random(512);
}

pages.grow(FIRST, CHUNKS * CHUNK);
const live: [page: number, npages: number][] = [];
while (true) {
  const n = spanPages();
  const p = pages.alloc(n);
  if (p === 0) break;
  live.push([p, n]);
}
function takeRandom(): [page: number, npages: number] {
  const k = random(live.length);
  const span = live[k];
  live[k] = live.at(-1) as [number, number];
  live.pop();
  return span;
}
let free = 0;
for (let k = live.length >>> 2; k > 0; k--) {
  const [p, n] = takeRandom();
  pages.free(p, n);
  free += n;
}
console.log(`${live.length} spans, ${free} of ${CHUNKS * CHUNK} pages free`);

/** First fit by looking at every page. */
function naive(n: number): number {
  let run = 0;
  for (let p = FIRST; p < FIRST + CHUNKS * CHUNK; p++) {
    run = pages.isAllocated(p) ? 0 : run + 1;
    if (run === n) return p - n + 1;
  }
  return 0;
}

function steps(n: number, count: number, check: boolean): number[] {
  const times: number[] = [];
  for (let k = 0; k < count; k++) {
    const [freed, size] = takeRandom();
    pages.free(freed, size);
    const want = check && k % 1000 === 0 ? naive(n) : -1;
    const start = performance.now();
    const p = pages.alloc(n);
    times.push((performance.now() - start) * 1e3);
    if (p === 0 || (want >= 0 && p !== want)) throw new Error(`run of ${n} pages: found ${p}, not ${want}`);
    pages.free(p, n);
    const again = pages.alloc(size);
    if (again === 0) throw new Error(`no room for the span of ${size} pages that was freed`);
    live.push([again, size]);
  }
  return times.sort((p, q) => p - q);
}

for (const n of [1, 4, 16, 64, 256]) steps(n, 2000, false);
for (const n of [1, 4, 16, 64, 256]) {
  const times = steps(n, STEPS, true);
  const at = (part: number): string => times[Math.floor(STEPS * part)].toFixed(2);
  console.log(
    `run of ${String(n).padStart(3)} pages: median ${at(0.5)} us, p99 ${at(0.99)}, worst ${at(0.99999)}`,
  );
}
