/**
 * malloc and free by hand: pairs, and a trace with live blocks of mixed sizes.
 *
 *     pnpm build && node bench/manual.bench.ts      (Node 22.18 or later)
 */

import { createAllocator } from "@gort/allocator";
import type { Addr } from "@gort/memory";

const a = createAllocator({ maxMemory: 2 ** 30 });
let x = 88172645;
const random = (n: number): number => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % n;
};

function pairs(n: number, size: number): void {
  for (let i = 0; i < n; i++) a.free(a.malloc(size));
}

const LIVE = 10_000;
const blocks = new Uint32Array(LIVE);
const sizes = Uint16Array.from({ length: 4096 }, () =>
  random(10) < 7 ? 8 + random(120) : 128 + random(2000),
);

/** Each step frees a random block and allocates another in its place. */
function trace(n: number): void {
  for (let i = 0; i < n; i++) {
    const k = random(LIVE);
    if (blocks[k] !== 0) a.free(blocks[k] as Addr);
    blocks[k] = a.malloc(sizes[i & 4095]);
  }
}

function measure(name: string, n: number, f: (n: number) => void): void {
  f(n / 5);
  const samples: number[] = [];
  for (let r = 0; r < 7; r++) {
    const t = performance.now();
    f(n);
    samples.push(((performance.now() - t) * 1e6) / n);
  }
  samples.sort((p, q) => p - q);
  console.log(
    `${name.padEnd(20)} ${samples[3]?.toFixed(2)} ns/pair  (${samples[0]?.toFixed(2)}..${samples[6]?.toFixed(2)})`,
  );
}

measure("MallocFree16", 3e6, (n) => pairs(n, 16));
measure("MallocFree256", 3e6, (n) => pairs(n, 256));
measure("MallocFreeTrace", 2e6, trace);
