/**
 * Marking a binary tree of 32-byte objects in allocation order and in random order, one collection a line:
 *
 *     node --conditions=@gort/source --experimental-strip-types bench/mark.ts [depth=19] [order=alloc|random] [marker=wasm|js] [reps=5]
 *
 * Give the built output the last word: figures from sources run through a loader are the same code, but check.
 */
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";

const args = Object.fromEntries(process.argv.slice(2).map((a) => a.split("=") as [string, string]));
const depth = Number(args.depth ?? 19);
const order = args.order ?? "alloc";
const reps = Number(args.reps ?? 5);
const marker = args.marker === "js" ? "js" : "wasm";
const n = 2 ** (depth + 1) - 1;

const a = createAllocator();
const gc = createCollector(a, { gogc: -1, marker });
const node = a.newType(32, [0b0011]);
const { u32 } = a.mem;

function build(d: number): number {
  const l = d === 0 ? 0 : build(d - 1);
  const r = d === 0 ? 0 : build(d - 1);
  const p = a.mallocTyped(node);
  u32[p >>> 2] = l;
  u32[(p + 8) >>> 2] = r;
  return p;
}

function buildRandom(): number {
  const perm = new Uint32Array(n);
  for (let i = 0; i < n; i++) perm[i] = a.mallocTyped(node);
  let x = 12345;
  for (let i = n - 1; i > 0; i--) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    const j = x % (i + 1);
    const t = perm[i]!;
    perm[i] = perm[j]!;
    perm[j] = t;
  }
  for (let i = 0; 2 * i + 2 < n; i++) {
    u32[perm[i]! >>> 2] = perm[2 * i + 1]!;
    u32[(perm[i]! + 8) >>> 2] = perm[2 * i + 2]!;
  }
  return perm[0]!;
}

gc.refs.alloc(order === "random" ? buildRandom() : build(depth));
const times: number[] = [];
const sweeps: number[] = [];
for (let i = 0; i < reps; i++) {
  const before = gc.readGCStats().pauseTotalNs;
  const t = performance.now();
  gc.gc();
  const total = performance.now() - t;
  const markNs = gc.readGCStats().pauseTotalNs - before;
  times.push(markNs / n);
  sweeps.push((total * 1e6 - markNs) / (n / 256));
  if (gc.heap.heapMarked !== n * 32) throw new Error(`marked ${gc.heap.heapMarked} bytes, want ${n * 32}`);
}
const text = (xs: number[]): string => xs.map((x) => x.toFixed(1)).join(" ");
console.log(
  `${process.version} ${marker} ${order} 2^${depth + 1}-1: mark ${text(times)} ns/object; sweep ${text(sweeps)} ns/span`,
);
