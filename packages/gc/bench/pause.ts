/**
 * How long the collector keeps a program waiting: a live heap of small objects, and a program that allocates and rewires
 * it, with a safepoint every 64 allocations. Prints quantiles of the time of these 64 allocations with their safepoint.
 *
 *     pause.ts [live=1024 (MiB)] [seconds=10] [mode=0 (gcstoptheworld)]
 */
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";

const args = Object.fromEntries(process.argv.slice(2).map((a) => a.split("=") as [string, string]));
const live = Number(args.live ?? 1024) * 2 ** 20;
const seconds = Number(args.seconds ?? 10);
const n = Math.floor(live / 32);

const a = createAllocator();
let lines = "";
const gc = createCollector(a, {
  gogc: -1,
  godebug: `gctrace=1,gcstoptheworld=${args.mode ?? 0}`,
  stderr: (t) => (lines += t),
});
const node = a.newType(32, [0b0011]);
const row = a.newType(8, [1]);

// Chains of 1024 objects below a table: each step replaces one.
const chains = Math.floor(n / 1024);
const table = gc.refs.alloc(a.mallocgc(8 * chains, row, true));
const chain = (): number => {
  let list = 0;
  for (let i = 0; i < 1024; i++) {
    const p = a.mallocTyped(node);
    gc.storePointer(p, list);
    list = p;
  }
  return list;
};
for (let i = 0; i < chains; i++) gc.storePointer(gc.refs.get(table) + 8 * i, chain());
gc.gc();
gc.setGCPercent(100);

let x = 1;
const next = (k: number): number => {
  x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  return Math.floor((x / 2 ** 32) * k);
};
const us = new Float32Array(2 ** 24);
let steps = 0;
const t0 = performance.now();
let last = t0;
let at = next(chains);
let head = 0;
let length = 0;
const building = gc.refs.alloc(0);
while (last - t0 < seconds * 1000) {
  head = gc.refs.get(building);
  for (let i = 0; i < 64; i++) {
    const p = a.mallocTyped(node);
    gc.storePointer(p, head);
    head = p;
  }
  gc.storePointer(building, head);
  length += 64;
  if (length === 1024) {
    gc.storePointer(gc.refs.get(table) + 8 * at, head);
    gc.storePointer(building, 0);
    at = next(chains);
    length = 0;
  }
  gc.pollSafepoint();
  const t = performance.now();
  us[steps++ & (2 ** 24 - 1)] = (t - last) * 1000;
  last = t;
}
const sorted = us.subarray(0, Math.min(steps, us.length)).sort();
const q = (f: number): string =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * f))]!.toFixed(0);
console.log(lines.split("\n").slice(-4).join("\n"));
console.log(
  `${process.version} live ${live / 2 ** 20} MiB: ${steps} steps of 64 objects, microseconds p50 ${q(0.5)} p99 ${q(0.99)} ` +
    `p99.9 ${q(0.999)} p99.99 ${q(0.9999)} max ${q(1)}; ${gc.readGCStats().numGC - 1} cycles`,
);
