/**
 * Marking a binary tree of 32-byte objects in allocation order and in random order, one collection a line:
 *
 *     pnpm build && node bench/mark.bench.ts \
 *         [depth=19] [order=alloc|random] [marker=wasm|js] [reps=5]      (Node 22.18 or later)
 *
 * With `node --conditions=@gort/source` it runs on the sources. Check such figures on the built output.
 */
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";
import { buildTree } from "./tree.ts";

const args = Object.fromEntries(process.argv.slice(2).map((a) => a.split("=") as [string, string]));
const depth = Number(args.depth ?? 19);
const order = args.order ?? "alloc";
const reps = Number(args.reps ?? 5);
const marker = args.marker === "js" ? "js" : "wasm";
const n = 2 ** (depth + 1) - 1;

const a = createAllocator();
const gc = createCollector(a, { gogc: -1, marker });

gc.refs.alloc(buildTree(a, depth, order));
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
  `${process.version} ${marker} ${order} 2^${depth + 1}-1: mark ${text(times)} ns/object; ` +
    `sweep ${text(sweeps)} ns/span`,
);
