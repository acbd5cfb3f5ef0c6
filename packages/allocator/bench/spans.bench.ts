/**
 * How mcentral should keep its spans: the linked lists under a lock that it has, beside a span set as Go's, blocks
 * of slots whose two ends move by atomic operations. One operation takes a span and puts it back; in between some
 * work may be done, as an mcache fills the span. Both variants run in turn, in one thread and in two at once.
 *
 *     pnpm build && node bench/spans.bench.ts      (Node 22.18 or later)
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { attachLinearMemory, createLinearMemory, type LinearMemory, lock, unlock } from "@gort/memory";

const ROUNDS = 9;
const N = 100_000;
const SPANS = 1024;
const SPAN_BYTES = 96;
const BLOCK = 512;
/** More than there are spans, so that a slot is empty again when its turn comes. */
const SLOTS = 2048;

interface SpanSet {
  push(s: number): void;
  /** 0 if there is none. */
  pop(): number;
}

/** mcentral's list: next, prev and list are the first words of a span. The lock is at `at`, the head behind it. */
function lockedList(mem: LinearMemory, at: number): SpanSet {
  const { u32 } = mem;
  const head = (at + 4) >>> 2;
  return {
    push(s) {
      lock(mem, at);
      const first = u32[head];
      const i = s >>> 2;
      u32[i] = first;
      u32[i + 1] = 0;
      u32[i + 2] = head << 2;
      if (first !== 0) u32[(first >>> 2) + 1] = s;
      u32[head] = s;
      unlock(mem, at);
    },
    pop() {
      if (u32[head] === 0) return 0;
      lock(mem, at);
      const s = u32[head];
      if (s !== 0) {
        const i = s >>> 2;
        const next = u32[i];
        u32[head] = next;
        if (next !== 0) u32[(next >>> 2) + 1] = 0;
        u32[i] = 0;
        u32[i + 1] = 0;
        u32[i + 2] = 0;
      }
      unlock(mem, at);
      return s;
    },
  };
}

/**
 * `at` holds how many spans were ever pushed, `at + 4` how many popped; 64 bytes on is a spine of blocks of slots, used
 * round and round (Go frees a block that was emptied and takes a new one).
 */
function spanSet(mem: LinearMemory, at: number): SpanSet {
  const { u32, kernel } = mem;
  const spine = (at + 64) >>> 2;
  const slot = (i: number): number => {
    const k = i & (SLOTS - 1);
    return u32[spine + (k >>> Math.log2(BLOCK))] + 4 * (k & (BLOCK - 1));
  };
  return {
    push(s) {
      // Full as long as a pop of the last round has its slot but has not emptied it.
      const k = slot(kernel.add(at, 1));
      while (kernel.cas(k, 0, s) !== 0);
    },
    pop() {
      let n = u32[(at + 4) >>> 2];
      while (true) {
        if (n === u32[at >>> 2]) return 0;
        const was = kernel.cas(at + 4, n, n + 1) >>> 0;
        if (was === n) break;
        n = was;
      }
      // Empty as long as a push has its slot but has not filled it.
      let s = 0;
      while ((s = kernel.xchg(slot(n), 0)) === 0);
      return s;
    },
  };
}

const variants = { list: lockedList, set: spanSet } as const;
type Variant = keyof typeof variants;

function work(n: number): number {
  let x = n;
  for (let i = 0; i < n; i++) x = (Math.imul(x, 1103515245) + 12345) | 0;
  return x;
}

interface Job {
  readonly variant: Variant;
  readonly between: number;
  readonly gate: number;
}

if (isMainThread) await measure();
else serve();

function serve(): void {
  const mem = attachLinearMemory(workerData.memory);
  const sets = { list: lockedList(mem, workerData.list), set: spanSet(mem, workerData.set) };
  let sum = 0;
  parentPort?.on("message", ({ variant, between, gate }: Job) => {
    const set = sets[variant];
    mem.kernel.add(gate, -1);
    while (mem.kernel.load(gate) > 0);
    const start = performance.now();
    for (let i = 0; i < N; i++) {
      const s = set.pop();
      if (s === 0) throw new Error("a span was lost");
      sum ^= work(between);
      set.push(s);
    }
    parentPort?.postMessage([((performance.now() - start) * 1e6) / N, sum]);
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((p, q) => p - q)[values.length >> 1];
}

async function measure(): Promise<void> {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const at = {
    list: mem.persistentAlloc(64, 64, "otherSys"),
    set: mem.persistentAlloc(256, 64, "otherSys"),
  };
  for (let b = 0; b < SLOTS / BLOCK; b++) {
    mem.u32[((at.set + 64) >>> 2) + b] = mem.persistentAlloc(4 * BLOCK, 64, "otherSys");
  }
  for (const variant of ["list", "set"] as const) {
    const set = variants[variant](mem, at[variant]);
    for (let i = 0; i < SPANS; i++) set.push(mem.persistentAlloc(SPAN_BYTES, 8, "otherSys"));
  }
  const gate = mem.persistentAlloc(64, 64, "otherSys");
  const workers = [0, 1].map(() => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { memory: mem.memory, ...at } });
    return worker.on("error", (err) => {
      throw err;
    });
  });
  const run = async (threads: number, variant: Variant, between: number): Promise<number> => {
    mem.kernel.store(gate, threads);
    const times = workers.slice(0, threads).map(
      (w) =>
        new Promise<number>((resolve) => {
          w.once("message", ([ns]: [number]) => resolve(ns));
          w.postMessage({ variant, between, gate } satisfies Job);
        }),
    );
    return Math.max(...(await Promise.all(times)));
  };
  for (const between of [0, 200]) {
    for (const threads of [1, 2]) {
      const times: Record<Variant, number[]> = { list: [], set: [] };
      for (let r = -2; r < ROUNDS; r++) {
        for (const variant of ["list", "set"] as const) {
          const ns = await run(threads, variant, between);
          if (r >= 0) times[variant].push(ns);
        }
      }
      const ratio = median(times.set.map((t, i) => t / times.list[i]));
      console.log(
        `${threads} thread(s), ${String(between).padStart(3)} steps of work: ` +
          `list ${median(times.list).toFixed(1)} ns, ` +
          `set ${median(times.set).toFixed(1)} ns, set/list ${ratio.toFixed(2)}`,
      );
    }
  }
  process.exit(0);
}
