/**
 * Tools to test a StatsSource with: `checkIdentities` walks every relation that holds in each snapshot
 * of a Go program, and `modelSource` is a small seeded heap that allocates and collects by itself.
 */

import { BY_SIZE_LENGTH, type MemStats } from "./memstats.ts";
import { type MetricsSource, type RawMetrics, TimeHistogram } from "./metrics.ts";
import { NUM_SIZE_CLASSES, PAUSE_RING, type RawStats, type StatsSource } from "./source.ts";

const PAGE = 8192;

/** Slot sizes of Go's size classes, bytes; class 0 is for large objects. */
export const CLASS_SIZES: readonly number[] = [
  0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416,
  448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200,
  3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384,
  18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
];

export interface IdentityContext {
  /** An earlier snapshot of the same source: counters must not have fallen since. */
  previous?: MemStats;
  /** GOGC in force when no memory limit binds; NextGC has a floor then. Negative: off. */
  gogc?: number;
  /** Unix ns; LastGC must not be later. */
  now?: bigint;
}

export interface Identity {
  readonly name: string;
  readonly relation: string;
  holds(m: MemStats, context: IdentityContext): boolean;
}

const lastIndex = (m: MemStats): number => (m.NumGC + PAUSE_RING - 1) % PAUSE_RING;
const sum = (values: Iterable<number>): number => {
  let s = 0;
  for (const v of values) s += v;
  return s;
};
const isPages = (bytes: number): boolean => bytes % PAGE === 0;
const rose = (c: IdentityContext, f: (p: MemStats) => boolean): boolean =>
  c.previous === undefined || f(c.previous);

/** Exact in every snapshot; the names are those of Go's recorded checks. */
export const IDENTITIES: readonly Identity[] = [
  { name: "alloc", relation: "Alloc == HeapAlloc", holds: (m) => m.Alloc === m.HeapAlloc },
  {
    name: "sys_sum",
    relation: "Sys == HeapSys+StackSys+MSpanSys+MCacheSys+BuckHashSys+GCSys+OtherSys",
    holds: (m) =>
      m.Sys === m.HeapSys + m.StackSys + m.MSpanSys + m.MCacheSys + m.BuckHashSys + m.GCSys + m.OtherSys,
  },
  {
    name: "heap_sys",
    relation: "HeapSys == HeapInuse+HeapIdle",
    holds: (m) => m.HeapSys === m.HeapInuse + m.HeapIdle,
  },
  {
    name: "objects",
    relation: "HeapObjects == Mallocs-Frees",
    holds: (m) => m.HeapObjects === m.Mallocs - m.Frees,
  },
  { name: "released", relation: "HeapReleased <= HeapIdle", holds: (m) => m.HeapReleased <= m.HeapIdle },
  { name: "inuse", relation: "HeapAlloc <= HeapInuse", holds: (m) => m.HeapAlloc <= m.HeapInuse },
  { name: "stack_sys", relation: "StackSys >= StackInuse", holds: (m) => m.StackSys >= m.StackInuse },
  { name: "mspan", relation: "MSpanInuse <= MSpanSys", holds: (m) => m.MSpanInuse <= m.MSpanSys },
  { name: "mcache", relation: "MCacheInuse <= MCacheSys", holds: (m) => m.MCacheInuse <= m.MCacheSys },
  { name: "total_ge_alloc", relation: "TotalAlloc >= HeapAlloc", holds: (m) => m.TotalAlloc >= m.HeapAlloc },
  {
    name: "mono_total",
    relation: "TotalAlloc, Mallocs, Frees, NumGC, NumForcedGC, PauseTotalNs, LastGC never decrease",
    holds: (m, c) =>
      rose(
        c,
        (p) =>
          m.TotalAlloc >= p.TotalAlloc &&
          m.Mallocs >= p.Mallocs &&
          m.Frees >= p.Frees &&
          m.NumGC >= p.NumGC &&
          m.NumForcedGC >= p.NumForcedGC &&
          m.PauseTotalNs >= p.PauseTotalNs &&
          m.LastGC >= p.LastGC,
      ),
  },
  {
    name: "mono_meta",
    relation: "MSpanSys, MCacheSys, BuckHashSys never decrease",
    holds: (m, c) =>
      rose(
        c,
        (p) => m.MSpanSys >= p.MSpanSys && m.MCacheSys >= p.MCacheSys && m.BuckHashSys >= p.BuckHashSys,
      ),
  },
  {
    name: "constants",
    relation: "Lookups == 0 && EnableGC && !DebugGC",
    holds: (m) => m.Lookups === 0 && m.EnableGC && !m.DebugGC,
  },
  { name: "forced", relation: "NumForcedGC <= NumGC", holds: (m) => m.NumForcedGC <= m.NumGC },
  {
    name: "last_gc",
    relation: "LastGC == PauseEnd[(NumGC+255)%256], 0 before the first cycle",
    holds: (m) => m.LastGC === (m.NumGC === 0 ? 0n : m.PauseEnd[lastIndex(m)]),
  },
  {
    name: "last_gc_past",
    relation: "LastGC <= now",
    holds: (m, c) => c.now === undefined || m.LastGC <= c.now,
  },
  {
    name: "pause_pos",
    relation: "NumGC == 0 || PauseNs[(NumGC+255)%256] > 0",
    holds: (m) => m.NumGC === 0 || m.PauseNs[lastIndex(m)] > 0,
  },
  {
    name: "pause_total",
    relation: "NumGC > 256 || PauseTotalNs == sum of PauseNs",
    holds: (m) => m.NumGC > PAUSE_RING || m.PauseTotalNs === sum(m.PauseNs),
  },
  {
    name: "pause_total_wrapped",
    relation: "PauseTotalNs >= sum of PauseNs",
    holds: (m) => m.PauseTotalNs >= sum(m.PauseNs),
  },
  {
    name: "pause_unused",
    relation: "PauseNs[i] == PauseEnd[i] == 0 for i >= NumGC",
    holds: (m) => {
      for (let i = m.NumGC; i < PAUSE_RING; i++) if (m.PauseNs[i] !== 0 || m.PauseEnd[i] !== 0n) return false;
      return true;
    },
  },
  {
    name: "pause_ring_order",
    relation: "PauseEnd ascends from the oldest to the newest entry",
    holds: (m) => {
      let before = 0n;
      for (let n = Math.max(0, m.NumGC - PAUSE_RING); n < m.NumGC; n++) {
        const end = m.PauseEnd[n % PAUSE_RING];
        if (end < before) return false;
        before = end;
      }
      return true;
    },
  },
  {
    name: "fraction",
    relation: "0 <= GCCPUFraction < 1",
    holds: (m) => m.GCCPUFraction >= 0 && m.GCCPUFraction < 1,
  },
  {
    name: "bysize_sizes",
    relation: "BySize[i].Size == size of class i, for all 61 entries",
    holds: (m) => m.BySize.length === BY_SIZE_LENGTH && m.BySize.every((b, i) => b.Size === CLASS_SIZES[i]),
  },
  {
    name: "bysize_zero",
    relation: "BySize[0] is {0, 0, 0}",
    holds: (m) => m.BySize[0].Size === 0 && m.BySize[0].Mallocs === 0 && m.BySize[0].Frees === 0,
  },
  {
    name: "bysize_frees",
    relation: "BySize[i].Frees <= BySize[i].Mallocs",
    holds: (m) => m.BySize.every((b) => b.Frees <= b.Mallocs),
  },
  {
    name: "bysize_mallocs_sum",
    relation: "sum BySize.Mallocs <= Mallocs",
    holds: (m) => m.BySize.reduce((s, b) => s + b.Mallocs, 0) <= m.Mallocs,
  },
  {
    name: "bysize_bytes",
    relation: "sum Size*Mallocs <= TotalAlloc and sum Size*(Mallocs-Frees) <= HeapAlloc",
    holds: (m) =>
      m.BySize.reduce((s, b) => s + b.Size * b.Mallocs, 0) <= m.TotalAlloc &&
      m.BySize.reduce((s, b) => s + b.Size * (b.Mallocs - b.Frees), 0) <= m.HeapAlloc,
  },
  {
    name: "pages",
    relation: "HeapInuse, HeapIdle, HeapSys are multiples of 8192",
    holds: (m) => isPages(m.HeapInuse) && isPages(m.HeapIdle) && isPages(m.HeapSys),
  },
  { name: "stack_pages", relation: "StackInuse is a multiple of 8192", holds: (m) => isPages(m.StackInuse) },
  {
    name: "released_pages",
    relation: "HeapReleased is a multiple of 8192",
    holds: (m) => isPages(m.HeapReleased),
  },
  {
    name: "next_gc_min",
    relation: "NextGC >= 4 MiB*GOGC/100",
    holds: (m, c) =>
      c.gogc === undefined || c.gogc < 0 || m.NextGC >= Math.floor((4 * 1024 * 1024 * c.gogc) / 100),
  },
  {
    name: "counters",
    relation: "every count and size is a whole number, not negative",
    holds: (m) =>
      Object.entries(m).every(
        ([k, v]) => typeof v !== "number" || k === "GCCPUFraction" || (Number.isInteger(v) && v >= 0),
      ),
  },
];

/** The relations that `m` breaks, with its figures; empty when all hold. */
export function checkIdentities(m: MemStats, context: IdentityContext = {}): string[] {
  return IDENTITIES.filter((identity) => !identity.holds(m, context)).map((identity) => {
    const figures = (identity.relation.match(/\b[A-Z][A-Za-z]+\b/g) ?? [])
      .filter((name) => typeof m[name as keyof MemStats] === "number")
      .map((name) => `${name}=${m[name as keyof MemStats]}`);
    return `${identity.name}: ${identity.relation} (${[...new Set(figures)].join(" ")})`;
  });
}

/** A source that can be made to work; every figure is that of one consistent imaginary process. */
export interface ModelSource extends StatsSource {
  /** A few allocations, frees, pages and stacks; a cycle when the goal is reached. */
  step(): void;
  /** One collection now. */
  collect(forced: boolean): void;
  /** Unix ns of the model's clock. */
  readonly now: bigint;
  random(): number;
}

/** mulberry32: small, seedable, good enough to choose sizes. */
function generator(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function modelSource(seed: number): ModelSource {
  const random = generator(seed);
  const upTo = (n: number): number => Math.floor(random() * n);
  const allocs = new Float64Array(NUM_SIZE_CLASSES);
  const frees = new Float64Array(NUM_SIZE_CLASSES);
  const pauseNs = new Float64Array(PAUSE_RING);
  const pauseEnd = new BigUint64Array(PAUSE_RING);
  let now = 1_700_000_000_000_000_000n;
  let largeAllocs = 0;
  let largeAllocBytes = 0;
  let largeFrees = 0;
  let largeFreeBytes = 0;
  let tiny = 0;
  let numGC = 0;
  let forcedGC = 0;
  let pauseTotal = 0;
  let fraction = 0;
  let nextGC = 4 << 20;
  let inuse = 0;
  let idle = 4 << 20;
  let released = 4 << 20;
  let stacks = 4 * PAGE;
  let mspanSys = 16384;
  let buckets = 0;
  const large: number[] = [];

  const heapAlloc = (): number => {
    let n = largeAllocBytes - largeFreeBytes;
    for (let i = 1; i < NUM_SIZE_CLASSES; i++) n += (allocs[i] - frees[i]) * CLASS_SIZES[i];
    return n;
  };
  const settlePages = (): void => {
    const need = Math.ceil(heapAlloc() / PAGE) * PAGE + upTo(8) * PAGE;
    const total = inuse + idle;
    inuse = need;
    idle = need > total ? upTo(16) * PAGE : total - need;
    released = Math.min(released, idle);
  };

  const source: ModelSource = {
    random,
    get now() {
      return now;
    },
    step() {
      now += BigInt(1 + upTo(1_000_000));
      for (let k = upTo(40); k > 0; k--) {
        const c = 1 + upTo(NUM_SIZE_CLASSES - 1);
        allocs[c] += 1 + upTo(20);
        if (c === 2) tiny += upTo(30);
      }
      if (random() < 0.1) {
        const bytes = (5 + upTo(100)) * PAGE;
        large.push(bytes);
        largeAllocs++;
        largeAllocBytes += bytes;
      }
      if (random() < 0.05) stacks = (4 + upTo(64)) * PAGE;
      if (random() < 0.02) mspanSys += 16384;
      if (random() < 0.02) buckets += 4096;
      settlePages();
      if (heapAlloc() > nextGC) source.collect(false);
    },
    collect(forced) {
      now += BigInt(1000 + upTo(1_000_000));
      for (let i = 1; i < NUM_SIZE_CLASSES; i++) frees[i] += Math.floor((allocs[i] - frees[i]) * random());
      while (large.length > 0 && random() < 0.6) {
        largeFrees++;
        largeFreeBytes += large.pop()!;
      }
      const pause = 1 + upTo(200_000);
      pauseNs[numGC % PAUSE_RING] = pause;
      pauseEnd[numGC % PAUSE_RING] = now;
      pauseTotal += pause;
      numGC++;
      if (forced) forcedGC++;
      fraction = random() * 0.25;
      nextGC = Math.max(4 << 20, 2 * heapAlloc());
      settlePages();
      released = Math.min(idle, upTo(idle / PAGE + 1) * PAGE);
    },
    fill(raw: RawStats) {
      raw.heapInuse = inuse;
      raw.heapIdle = idle;
      raw.heapReleased = released;
      raw.classSizes.set(CLASS_SIZES);
      raw.smallAllocCount.set(allocs);
      raw.smallFreeCount.set(frees);
      raw.largeAllocCount = largeAllocs;
      raw.largeAllocBytes = largeAllocBytes;
      raw.largeFreeCount = largeFrees;
      raw.largeFreeBytes = largeFreeBytes;
      raw.tinyAllocs = tiny;
      raw.stackInuse = stacks;
      raw.mspanInuse = 160 * Math.floor(mspanSys / 320);
      raw.mspanSys = mspanSys;
      raw.mcacheInuse = 2 * 2296;
      raw.mcacheSys = 16072;
      raw.buckHashSys = buckets;
      raw.gcSys = 3 << 20;
      raw.gcWorkBufInuse = (numGC % 4) * 32768;
      raw.otherSys = 1 << 20;
      raw.nextGC = nextGC;
      raw.numGC = numGC;
      raw.numForcedGC = forcedGC;
      raw.pauseTotalNs = pauseTotal;
      raw.gcCPUFraction = fraction;
      raw.pauseNs.set(pauseNs);
      raw.pauseEnd.set(pauseEnd);
    },
  };
  return source;
}

/** A MetricsSource that knows everything: figures that are told apart by their values. */
export function modelMetrics(seed: number): MetricsSource & { gogc: number } {
  const random = generator(seed);
  const histogram = (): TimeHistogram => {
    const h = new TimeHistogram();
    for (let i = 0; i < 100; i++) h.record(Math.floor(1e9 ** random()));
    return h;
  };
  const figures = {
    schedLatencies: histogram(),
    stoppingGC: histogram(),
    stoppingOther: histogram(),
    pausesGC: histogram(),
    pausesOther: histogram(),
  };
  const source = {
    gogc: 100,
    fill(raw: RawMetrics): void {
      let n = 1;
      for (const key of Object.keys(raw) as (keyof RawMetrics)[]) {
        if (typeof raw[key] === "number") (raw as unknown as Record<string, number>)[key] = n++;
      }
      Object.assign(raw, figures, {
        gogc: source.gogc,
        memoryLimit: Number.POSITIVE_INFINITY,
        cpuTotal: 1000,
      });
    },
  };
  return source;
}
