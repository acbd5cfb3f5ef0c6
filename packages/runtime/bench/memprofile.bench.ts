/**
 * What the memory profile costs allocation: the loops of the benchmarks Malloc16, MallocP32 and Malloc1K with the
 * profile off (rate 0) and on (512 KiB, the default), in turns of a few milliseconds in one process, so that both meet
 * the same code, heap and machine. A line is the median over the pairs, with the quarters around it. The goal is a
 * ratio of at most 1.02.
 *
 *     pnpm build && node bench/memprofile.bench.ts [pairs] [rate] [budget]      (Node 22.18 or later)
 */
import { createRuntime } from "@gort/runtime";

const pairs = Number(process.argv[2] ?? 200);
const rate = Number(process.argv[3] ?? 512 << 10);
/** Allocations between two safepoints, as in the benchmarks. */
const BATCH = 1024;

const budget = process.argv[4];
const rt = createRuntime({
  godebug: "",
  ...(budget === undefined ? {} : { memProfileBudget: Number(budget) }),
});
const { allocator, unsafe } = rt;
const node32 = unsafe.newType(32, [0, 1]);
let sink = 0;

const loops: Record<string, { n: number; allocate: (count: number) => void }> = {
  Malloc16: {
    n: 1 << 20,
    allocate: (count) => {
      for (let i = 0; i < count; i++) sink = allocator.mallocNoscan(16);
    },
  },
  MallocP32: {
    n: 1 << 20,
    allocate: (count) => {
      for (let i = 0; i < count; i++) sink = allocator.mallocTyped(node32);
    },
  },
  Malloc1K: {
    n: 1 << 18,
    allocate: (count) => {
      for (let i = 0; i < count; i++) sink = allocator.mallocNoscan(1024);
    },
  },
};

function time({ n, allocate }: (typeof loops)[string], rateBytes: number): number {
  rt.memProfileRate = rateBytes;
  const from = performance.now();
  for (let left = n; left > 0; left -= BATCH) {
    allocate(BATCH);
    rt.safepoint();
  }
  return ((performance.now() - from) * 1e6) / n;
}

function quantile(sorted: number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

for (const [name, loop] of Object.entries(loops)) {
  const ratios: number[] = [];
  const off: number[] = [];
  const on: number[] = [];
  for (let i = -10; i < pairs; i++) {
    // Who is first changes from pair to pair.
    const first = time(loop, i % 2 === 0 ? 0 : rate);
    const second = time(loop, i % 2 === 0 ? rate : 0);
    const [without, with_] = i % 2 === 0 ? [first, second] : [second, first];
    if (i < 0) continue; // the compiler is at work
    off.push(without);
    on.push(with_);
    ratios.push(with_ / without);
  }
  for (const list of [ratios, off, on]) list.sort((a, b) => a - b);
  const of = (list: number[]) => quantile(list, 0.5).toFixed(2);
  console.log(
    `${name.padEnd(10)} off ${of(off)} ns, on ${of(on)} ns, ratio ${quantile(ratios, 0.5).toFixed(3)} ` +
      `(${quantile(ratios, 0.25).toFixed(3)} to ${quantile(ratios, 0.75).toFixed(3)}; ` +
      `of the sums ${(sum(on) / sum(off)).toFixed(3)})`,
  );
}
if (sink === 0) throw new Error("nothing was allocated");
rt.close();

function sum(list: number[]): number {
  return list.reduce((a, b) => a + b, 0);
}
