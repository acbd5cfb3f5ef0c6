/**
 * Throughput of two threads that allocate at once, beside that of one, on the built package.
 *
 *     pnpm build && node bench/threads.bench.ts [name ...]      (Node 22.18 or later)
 *
 * Each round runs the same number of operations in one worker, and then in both at once, in bursts of 4 MiB;
 * between two bursts everything is swept away, untimed, as in a heap of 4 MiB that is collected. "reuse": spans
 * without objects wait on the central lists for their class. "pages": they were given back, so that each burst
 * makes its spans of pages again. Printed: nanoseconds an operation in one thread; in two, as seen by each of them;
 * and the throughput of two as a multiple of one's (2.0 is all that two processors can do).
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type Allocator, createAllocator, GCCONTROL_AT } from "@gort/allocator/internal";
import { type Addr, attachLinearMemory } from "@gort/memory";

const ROUNDS = 9;
/** Operations of a round. */
const ROUND = 2 ** 22;

interface Bench {
  readonly name: string;
  /** Operations of a burst. */
  readonly n: number;
  run(a: Allocator, n: number): number;
}

const ring = new Uint32Array(64);

const benches: readonly Bench[] = [
  {
    name: "Malloc16",
    n: 2 ** 18,
    run(a, n) {
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocNoscan(16);
      return x;
    },
  },
  {
    name: "MallocP32",
    n: 2 ** 17,
    run(a, n) {
      const typ = a.newType(32, [3]);
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocTyped(typ);
      return x;
    },
  },
  {
    name: "Malloc1K",
    n: 2 ** 12,
    run(a, n) {
      let x = 0;
      for (let i = 0; i < n; i++) x ^= a.mallocNoscan(1024);
      return x;
    },
  },
  {
    name: "MallocFree64",
    n: 2 ** 17,
    // 64 blocks are in use at a time, as a block that is freed at once would never leave the cache's first entry.
    run(a, n) {
      ring.fill(0);
      for (let i = 0; i < n; i++) {
        const p = ring[i & 63] as Addr;
        if (p !== 0) a.free(p);
        ring[i & 63] = a.malloc(64);
      }
      for (const p of ring) a.free(p as Addr);
      return ring[0];
    },
  },
];

if (isMainThread) await measure();
else serve();

interface Job {
  readonly bench: number;
  readonly gate: number;
}

function serve(): void {
  const mem = attachLinearMemory(workerData.memory, { thread: workerData.thread });
  const a = createAllocator({ memory: mem });
  parentPort?.on("message", ({ bench, gate }: Job) => {
    const { run, n } = benches[bench];
    mem.kernel.add(gate, -1);
    while (mem.kernel.load(gate) > 0);
    const start = performance.now();
    run(a, n);
    const ms = performance.now() - start;
    a.flushAll();
    parentPort?.postMessage(ms);
  });
}

async function measure(): Promise<void> {
  const only = process.argv.slice(2);
  const [collected, manual] = [newHeap(), newHeap()];
  for (const [k, b] of benches.entries()) {
    const heap = b.name.startsWith("MallocFree") ? manual : collected;
    for (const mode of heap === manual ? ["lists"] : ["reuse", "pages"]) {
      if (only.length > 0 && !only.includes(b.name)) continue;
      const one: number[] = [];
      const two: number[] = [];
      for (let r = -3; r < ROUNDS; r++) {
        let alone = 0;
        let both = 0;
        // A burst of 1 KiB objects is short: fewer operations keep a round short too.
        const bursts = Math.min(64, ROUND / b.n);
        for (let i = 0; i < bursts; i++) alone += Math.max(...(await heap.run(1, k, mode)));
        for (let i = 0; i < bursts; i++) both += Math.max(...(await heap.run(2, k, mode)));
        if (r < 0) continue;
        one.push((alone * 1e6) / bursts / b.n);
        two.push((both * 1e6) / bursts / b.n);
      }
      const ratios = one.map((t, i) => (2 * t) / two[i]);
      console.log(
        `${`${b.name}/${mode}`.padEnd(20)} one ${median(one).toFixed(2)} ns/op, two ${median(two).toFixed(2)}, ` +
          `throughput ${median(ratios).toFixed(2)}x  ` +
          `(${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)})`,
      );
    }
  }
  process.exit(0);
}

function median(values: number[]): number {
  return [...values].sort((p, q) => p - q)[values.length >> 1];
}

interface Heap {
  /** The times of the benchmark in so many workers at once, in milliseconds. */
  run(threads: number, bench: number, mode: string): Promise<number[]>;
}

function newHeap(): Heap {
  const a = createAllocator({ maxMemory: 2 ** 30 });
  a.share();
  const gate = a.mem.persistentAlloc(64, 64, "otherSys") as number;
  const workers = [0, 1].map(() => {
    const thread = a.mem.registerThread();
    const worker = new Worker(new URL(import.meta.url), { workerData: { memory: a.mem.memory, thread } });
    return worker.on("error", (err) => {
      throw err;
    });
  });
  const sweepgen = (a.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
  /** All objects die. */
  const collect = (mode: string): void => {
    a.mem.u32[sweepgen] = a.mem.u32[sweepgen] + 2;
    a.mem.u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2] = 0;
    for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep())
      a.spanSwept(s, a.sweepBits(s), false);
    if (mode === "pages") a.heap.freeRetained(Number.POSITIVE_INFINITY);
  };
  return {
    async run(threads, bench, mode) {
      if (mode !== "lists") collect(mode);
      a.mem.kernel.store(gate, threads);
      return await Promise.all(
        workers.slice(0, threads).map(
          (w) =>
            new Promise<number>((resolve) => {
              w.once("message", resolve);
              w.postMessage({ bench, gate } satisfies Job);
            }),
        ),
      );
    },
  };
}
