/**
 * The binary trees of the benchmarks game, with a safepoint after each tree:
 *
 *     pnpm build && node bench/binary-trees.bench.ts [depth=18] [mode=0] [trace=0]      (Node 22.18 or later)
 *
 * `mode` is gcstoptheworld, `trace` is gctrace.
 */
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";
import type { Addr } from "@gort/memory";

const args = Object.fromEntries(process.argv.slice(2).map((a) => a.split("=") as [string, string]));
const max = Number(args.depth ?? 18);

const a = createAllocator();
const gc = createCollector(a, { godebug: `gcstoptheworld=${args.mode ?? 0},gctrace=${args.trace ?? 0}` });
const node = a.newType(16, [0b11]);
const { u32 } = a.mem;
const stack = a.stackAlloc(2048);
let sp = stack as number;
gc.setStackRoots((visit) => visit(stack, sp));

function bottomUp(depth: number): Addr {
  const l = depth === 0 ? 0 : bottomUp(depth - 1);
  const r = depth === 0 ? 0 : bottomUp(depth - 1);
  const p = a.mallocTyped(node);
  // Initialising stores: nobody has seen the object.
  u32[p >>> 2] = l;
  u32[(p + 8) >>> 2] = r;
  return p;
}

function check(p: number): number {
  const l = u32[p >>> 2];
  return l === 0 ? 1 : 1 + check(l) + check(u32[(p + 8) >>> 2]);
}

const from = performance.now();
const cpu = process.cpuUsage();
let nodes = check(bottomUp(max + 1));
gc.pollSafepoint();
const long = bottomUp(max);
u32[sp >>> 2] = long;
u32[(sp + 4) >>> 2] = 0;
sp += 8;
for (let d = 4; d <= max; d += 4) {
  const n = 1 << (max - d + 4);
  for (let i = 0; i < n; i++) {
    nodes += check(bottomUp(d));
    gc.pollSafepoint();
  }
}
nodes += check(u32[stack >>> 2]);
const ms = performance.now() - from;
const used = process.cpuUsage(cpu);
const s = gc.readGCStats();
console.log(
  `${process.version} depth ${max}: ${ms.toFixed(0)} ms ` +
    `(CPU ${((used.user + used.system) / 1000).toFixed(0)}), ${nodes} nodes, ` +
    `${s.numGC} cycles, pauses ${(s.pauseTotalNs / 1e6).toFixed(1)} ms, GC CPU ${(100 * s.gcCPUFraction).toFixed(0)} %`,
);
