/**
 * The pacer under a steady load: 64 MiB of chains of 64 objects of 32 bytes. The program replaces one chain at a time
 * and then computes for a while (`work` rounds of arithmetic). Printed: marking's share of the processor while it runs
 * (Go aims at 25 %), and how far the heap goes over its goal. If GO names a go command, Go's figures follow, at
 * GOMAXPROCS=1.
 *
 *     pnpm build && node bench/pacing.bench.ts [work=2000] [seconds=5]      (Node 22.18 or later)
 */
import { execFileSync } from "node:child_process";
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";

const args = Object.fromEntries(process.argv.slice(2).map((a) => a.split("=") as [string, string]));
const work = Number(args.work ?? 2000);
const seconds = Number(args.seconds ?? 5);
const CHAINS = (64 << 20) / 64 / 32;

/** From gctrace lines: CPU of marking in percent of its time, from the sixth cycle on: before, the heap grows. */
function utilization(trace: string): { cycles: number; percent: number } {
  let cpu = 0;
  let clock = 0;
  let cycles = 0;
  for (const m of trace.matchAll(/^gc (\d+) .*: \S+\+(\S+)\+\S+ ms clock, \S+?\+([^/]+)\/([^/]+)\/.* P$/gm)) {
    if (Number(m[1]) <= 5) continue;
    cycles++;
    clock += Number(m[2]);
    cpu += Number(m[3]) + Number(m[4]);
  }
  return { cycles, percent: (100 * cpu) / clock };
}

const a = createAllocator();
let trace = "";
let cycles = 0;
const gc = createCollector(a, {
  godebug: "gctrace=1",
  stderr: (text) => {
    trace += text;
  },
  events: {
    markDone: () => {
      cycles++;
    },
  },
});
const node = a.newType(32, [0b0011]);
const table = gc.refs.alloc(a.mallocgc(8 * CHAINS, a.newType(8, [1]), true));
function step(at: number): void {
  let head = 0;
  for (let i = 0; i < 64; i++) {
    const p = a.mallocTyped(node);
    gc.storePointer(p, head);
    head = p;
  }
  gc.storePointer(gc.refs.get(table) + 8 * at, head);
  gc.pollSafepoint();
}
function compute(x: number): number {
  for (let i = 0; i < work; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return x;
}
for (let i = 0; i < CHAINS; i++) step(i);
let peak = 0;
let steps = 0;
let x = 1;
const from = performance.now();
while (performance.now() - from < seconds * 1000) {
  for (let k = 0; k < 16; k++) {
    step(Math.floor(((x >>> 0) / 2 ** 32) * CHAINS));
    // While sweeping goes on the goal has a floor that follows the heap.
    if (cycles > 5) peak = Math.max(peak, gc.heap.heapLive / gc.heap.heapGoal);
    x = compute(x);
    steps++;
  }
}
const ours = utilization(trace);
console.log(
  `${process.version} ${((steps * 2048) / seconds / 1e6).toFixed(0)} MB/s, ${ours.cycles} cycles: ` +
    `marking takes ${ours.percent.toFixed(0)} % ` +
    `of the processor, heap at most ${(100 * peak).toFixed(0)} % of its goal`,
);
if (process.env.GO) {
  const source = new URL("go/pacing.go", import.meta.url).pathname;
  const env = { ...process.env, GOMAXPROCS: "1", GODEBUG: "gctrace=1" };
  const out = execFileSync("sh", ["-c", `"$GO" run "${source}" ${work} ${seconds} 2>&1`], { env }).toString();
  const theirs = utilization(out);
  console.log(`${out.match(/^go .*$/m)?.[0]}, ${theirs.cycles} cycles: ${theirs.percent.toFixed(0)} %`);
}
