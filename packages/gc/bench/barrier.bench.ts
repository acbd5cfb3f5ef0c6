/**
 * A pointer store with the write barrier off and on, beside a plain store: nanoseconds a store.
 *
 *     pnpm build && node bench/barrier.bench.ts      (Node 22.18 or later)
 */
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";

const a = createAllocator();
const gc = createCollector(a, { gogc: -1 });
const node = a.newType(32, [0b0011]);
const { u32 } = a.mem;
const N = 1 << 16;
const objects = new Uint32Array(N);
const table = gc.refs.alloc(a.mallocgc(8 * N, a.newType(8, [1]), true));
for (let i = 0; i < N; i++) {
  objects[i] = a.mallocTyped(node);
  gc.storePointer(gc.refs.get(table) + 8 * i, objects[i]);
}

function plain(): void {
  for (let i = 0; i < N; i++) u32[objects[i] >>> 2] = objects[(i + 1) & (N - 1)]!;
}
function store(): void {
  for (let i = 0; i < N; i++) gc.storePointer(objects[i], objects[(i + 1) & (N - 1)]);
}
function time(f: () => void, reps = 200): number {
  let best = Number.POSITIVE_INFINITY;
  for (let k = 0; k < reps; k++) {
    const t = performance.now();
    f();
    best = Math.min(best, ((performance.now() - t) * 1e6) / N);
  }
  return best;
}
const p = time(plain);
const off = time(store);
gc.start();
const on = time(store);
console.log(
  `${process.version} store: plain ${p.toFixed(2)}, barrier off ${off.toFixed(2)}, on ${on.toFixed(2)} ns`,
);
