/**
 * The allocation paths on the built package, with the collections a 4 MiB heap of garbage would have: every 4 MiB all
 * objects die and spans are swept as the allocator asks for them.
 *
 *     tsup && node bench/malloc.bench.ts [name ...]          (Node 22.6+, or through any TypeScript runner)
 */
import { type Allocator, createAllocator, GCCONTROL } from "@gort/allocator/internal";

const ROUNDS = 7;

/**
 * A heap whose objects all die every 4 MiB. eager: all spans are swept at once and go back to the heap, as they do when a
 * background sweeper comes before the allocator; otherwise the allocator sweeps what it wants.
 */
export function churningAllocator(eager: boolean): Allocator {
  const a = createAllocator({ maxMemory: 1 << 30 });
  const { u32, f64 } = a.mem;
  const O = GCCONTROL.offsets;
  const live = (a.gcControl + O.heapLive) >>> 2;
  const sweepgen = (a.gcControl + O.sweepgen) >>> 2;
  f64[(a.gcControl + O.trigger) >>> 3] = 4 << 20;
  a.hooks.sweepSpan = (s) => void a.spanSwept(s, a.sweepBits(s), true);
  let cycle = false;
  const sweepAll = (): void => {
    for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep())
      a.spanSwept(s, a.sweepBits(s), false);
  };
  const collect = (): void => {
    cycle = true;
    a.flushAll();
    sweepAll();
    u32[sweepgen] = (u32[sweepgen] as number) + 2;
    if (eager) sweepAll();
    u32[live] = 0;
    cycle = false;
  };
  a.hooks.gcTrigger = () => {
    if (!cycle) collect();
  };
  return a;
}

interface Bench {
  readonly name: string;
  readonly n: number;
  run(a: Allocator, n: number): number;
}

const type32 = (a: Allocator): number => a.newType(32, [3]);

const benches: readonly Bench[] = [
  {
    name: "Malloc16",
    n: 5e6,
    run(a, n) {
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocNoscan(16);
      return x;
    },
  },
  {
    name: "MallocP32",
    n: 5e6,
    run(a, n) {
      const typ = type32(a);
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocTyped(typ);
      return x;
    },
  },
  {
    name: "MallocgcP32",
    n: 5e6,
    run(a, n) {
      const typ = type32(a);
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocgc(32, typ, true);
      return x;
    },
  },
  {
    name: "Malloc1K",
    n: 1e6,
    run(a, n) {
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocNoscan(1024);
      return x;
    },
  },
  {
    name: "Malloc8Tiny",
    n: 5e6,
    run(a, n) {
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocNoscan(8);
      return x;
    },
  },
  {
    name: "MallocP1K",
    n: 1e6,
    run(a, n) {
      const typ = a.newType(1024, new Uint32Array(4).fill(0xffffffff));
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocTyped(typ);
      return x;
    },
  },
  {
    name: "Malloc64K",
    n: 2e4,
    run(a, n) {
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocgc(65536, 0, true);
      return x;
    },
  },
];

const only = globalThis.process.argv.slice(2);
for (const [b, eager] of benches.flatMap((b) => [[b, false] as const, [b, true] as const])) {
  const name = eager ? `${b.name}/eager` : b.name;
  if (only.length > 0 && !only.includes(name)) continue;
  const a = churningAllocator(eager);
  b.run(a, b.n / 5);
  const samples: number[] = [];
  for (let r = 0; r < ROUNDS; r++) {
    const t = performance.now();
    b.run(a, b.n);
    samples.push(((performance.now() - t) * 1e6) / b.n);
  }
  samples.sort((p, q) => p - q);
  console.log(
    `${name.padEnd(20)} ${(samples[ROUNDS >> 1] as number).toFixed(2)} ns/op  (${(samples[0] as number).toFixed(2)}..${(samples[ROUNDS - 1] as number).toFixed(2)})`,
  );
}
