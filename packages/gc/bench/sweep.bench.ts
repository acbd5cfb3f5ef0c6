/**
 * Sweeping in gc(), with all, half and a quarter of 2^22 objects of 32 bytes alive: nanoseconds for each span of 8 KiB
 * (256 objects; 252 in Go), the median of 7. If GO names a go command, Go's figure follows: the time from the end of
 * marking to the end of runtime.GC, at GOMAXPROCS=1.
 *
 *     pnpm build && node bench/sweep.bench.ts      (Node 22.18 or later)
 */
import { execFileSync } from "node:child_process";
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";

const N = 1 << 22;
const median = (xs: number[]): number => xs.sort((x, y) => x - y)[xs.length >>> 1];

const a = createAllocator();
let marked = 0;
const gc = createCollector(a, {
  gogc: -1,
  events: {
    markDone: () => {
      marked = performance.now();
    },
  },
});
const node = a.newType(32, [0b0011]);
const row = a.newType(8, [1]);

function sweep(every: number): number {
  const table = a.mallocgc((8 * N) / every, row, true);
  const ref = gc.refs.alloc(table);
  for (let i = 0; i < N; i++) {
    const p = a.mallocTyped(node);
    if (i % every === 0) gc.storePointer(table + 8 * (i / every), p);
  }
  gc.gc();
  const ns = (performance.now() - marked) * 1e6;
  if (gc.heap.heapMarked !== (N / every) * 40) throw new Error(`${gc.heap.heapMarked} bytes are alive`);
  gc.refs.free(ref);
  gc.gc();
  return ns / (N / 256);
}

const go = new Map<number, number[]>();
if (process.env.GO) {
  const source = new URL("go/sweep.go", import.meta.url).pathname;
  const env = { ...process.env, GOMAXPROCS: "1" };
  for (const line of execFileSync(process.env.GO, ["run", source], { env }).toString().trim().split("\n")) {
    const [every, ns] = line.split(" ").map(Number) as [number, number];
    go.set(every, [...(go.get(every) ?? []), ns / (N / 252)]);
  }
}
// Code is cold once in the life of a program.
for (let i = 0; i < 3; i++) sweep(2);
for (const every of [1, 2, 4]) {
  const ours = median(Array.from({ length: 7 }, () => sweep(every)));
  const theirs = go.get(every);
  console.log(
    `${process.version} sweep, 1/${every} alive: ${ours.toFixed(0)} ns a span` +
      (theirs === undefined
        ? ""
        : `; Go ${median(theirs).toFixed(0)}; ratio ${(ours / median(theirs)).toFixed(2)}`),
  );
}
