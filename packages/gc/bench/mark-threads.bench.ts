/**
 * Marking a binary tree of 32-byte objects with one thread and with two, in turn, on a stopped heap. Nothing is swept.
 *
 *     pnpm build && node bench/mark-threads.bench.ts \
 *         [depth=19] [order=alloc|random] [marker=wasm|js] [reps=5]      (Node 22.18 or later)
 *
 * `processors` is the number of processors that the process had while two threads marked: its CPU time divided by the
 * time that passed. If it is much less than 2, another process had the second one, and the figure for two threads says
 * nothing.
 *
 * For Go's figure for the same tree (depth=22), take the concurrent phase, the second of three clock times, from this
 * output:
 *
 *     cd ../../benchmarks/go
 *     GOMAXPROCS=2 GODEBUG=gctrace=1 go run . -bench MarkAllocOrder -n 8388607      (or MarkRandom)
 */
import { Worker } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { MSPAN } from "@gort/allocator/internal";
import { createCollector } from "@gort/gc";
import { ParallelMarker } from "@gort/gc/testing";
import { buildTree } from "./tree.ts";

const args = Object.fromEntries(process.argv.slice(2).map((a) => a.split("=") as [string, string]));
const depth = Number(args.depth ?? 19);
const order = args.order ?? "alloc";
const marker = args.marker === "js" ? "js" : "wasm";
const reps = Number(args.reps ?? 5);
const n = 2 ** (depth + 1) - 1;

const a = createAllocator();
const gc = createCollector(a, { gogc: -1, marker });

const { u32 } = a.mem;
gc.refs.alloc(buildTree(a, depth, order));
const words = a.mem.persistentAlloc(8, 8, "otherSys");
a.share();
const helper = new Worker(new URL("../test/workers/marker.mjs", import.meta.url), {
  workerData: { memory: a.mem.memory, stop: words, scanned: words + 4, kind: marker },
  execArgv: [],
});
await new Promise((resolve) => helper.once("message", resolve));

/** Marks everything once and takes the marks away again. */
function mark(threads: number): { ns: number; processors: number } {
  const { heap, roots, marker: m } = gc;
  a.flushAll();
  heap.phase = 1;
  m.reset();
  roots.begin(m);
  while (roots.step(m));
  const cpu = process.cpuUsage();
  const from = performance.now();
  if (threads === 1) while (m.drain(64 << 10) > 0);
  else {
    const parallel = new ParallelMarker(m, marker);
    parallel.begin();
    parallel.finish();
  }
  const ms = performance.now() - from;
  const { user, system } = process.cpuUsage(cpu);
  if (m.bytesMarked !== n * 32) throw new Error(`marked ${m.bytesMarked} bytes, want ${n * 32}`);
  m.releaseWorkbufs();
  heap.phase = 0;
  heap.forEachSpan((span) => {
    const at = u32[(span + MSPAN.offsets.gcmarkBits) >>> 2] >>> 2;
    u32.fill(0, at, at + Math.ceil(u32[(span + MSPAN.offsets.nelems) >>> 2] / 32));
  });
  return { ns: (ms * 1e6) / n, processors: (user + system) / 1e3 / ms };
}

const times: Record<number, number[]> = { 1: [], 2: [] };
const share: number[] = [];
const processors: number[] = [];
for (let i = 0; i < reps; i++) {
  for (const threads of [1, 2]) {
    const before = u32[(words + 4) >>> 2];
    const took = mark(threads);
    times[threads].push(took.ns);
    // The helper notes what it did after the phase.
    if (threads === 2) {
      processors.push(took.processors);
      await new Promise((resolve) => setTimeout(resolve, 5));
      share.push((u32[(words + 4) >>> 2] - before) / (n * 32));
    }
  }
}
const text = (xs: number[], digits: number): string => xs.map((x) => x.toFixed(digits)).join(" ");
console.log(
  `${process.version} ${marker} ${order} 2^${depth + 1}-1: one thread ${text(times[1], 1)}; ` +
    `two ${text(times[2], 1)} ns/object; ` +
    `helper's share ${text(share, 2)}; processors ${text(processors, 1)}`,
);
u32[words >>> 2] = 1;
