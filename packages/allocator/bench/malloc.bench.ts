/**
 * The allocation paths on the built package, with the collections a 4 MiB heap of garbage would have: every 4 MiB all
 * objects die and spans are swept as the allocator asks for them.
 *
 *     pnpm build && node bench/malloc.bench.ts [name ...]      (Node 22.18 or later)
 */
import {
  type Allocator,
  createAllocator,
  GCCONTROL_AT,
  MSPAN_AT,
  SPAN_IN_USE,
} from "@gort/allocator/internal";

const ROUNDS = 7;

/**
 * A heap whose objects die every 4 MiB.
 *
 *     lazy        all die; the allocator sweeps the spans it wants
 *     eager       all die, and all spans are swept at once, as when a background sweeper comes first
 *     fragmented  every fourth slot of every other span lives on
 */
type Mode = "lazy" | "eager" | "fragmented";

function churningAllocator(mode: Mode): Allocator {
  const a = createAllocator({ maxMemory: 1 << 30 });
  const { u32, f64 } = a.mem;
  const O = GCCONTROL_AT;
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
    if (mode === "fragmented") {
      for (let k = 0; k < a.nspans; k += 2) {
        const span = a.spanAt(k);
        if (u32[(span + MSPAN_AT.state) >>> 2] !== SPAN_IN_USE) continue;
        const marks = u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
        const allocs = u32[(span + MSPAN_AT.allocBits) >>> 2] >>> 2;
        const nwords = (u32[(span + MSPAN_AT.nelems) >>> 2] + 31) >>> 5;
        for (let w = 0; w < nwords; w++) u32[marks + w] = u32[allocs + w] & 0x11111111;
      }
    }
    u32[sweepgen] = u32[sweepgen] + 2;
    if (mode === "eager") sweepAll();
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
const modes: readonly Mode[] = ["lazy", "eager", "fragmented"];
for (const [b, mode] of benches.flatMap((b) => modes.map((mode) => [b, mode] as const))) {
  const name = mode === "lazy" ? b.name : `${b.name}/${mode}`;
  if (only.length > 0 && !only.includes(name)) continue;
  const a = churningAllocator(mode);
  b.run(a, b.n / 5);
  const samples: number[] = [];
  for (let r = 0; r < ROUNDS; r++) {
    const t = performance.now();
    b.run(a, b.n);
    samples.push(((performance.now() - t) * 1e6) / b.n);
  }
  samples.sort((p, q) => p - q);
  console.log(
    `${name.padEnd(24)} ${samples[ROUNDS >> 1].toFixed(2)} ns/op  ` +
      `(${samples[0].toFixed(2)}..${samples[ROUNDS - 1].toFixed(2)})`,
  );
}
