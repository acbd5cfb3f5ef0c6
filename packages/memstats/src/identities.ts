/**
 * The relations between the fields of MemStats, as a list that a test walks: each equation of memstats.ts and the
 * bounds that Go keeps.
 */
import { BY_SIZE_LENGTH, type MemStats } from "./memstats.ts";
import { PAUSE_RING } from "./source.ts";

const PAGE = 8192;

/** Slot sizes of Go's size classes, bytes; class 0 is for large objects. */
export const CLASS_SIZES: readonly number[] = [
  0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416,
  448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200,
  3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384,
  18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
];

export interface IdentityContext {
  /** An earlier snapshot of the same source: no counter may be lower than in it. */
  previous?: MemStats;
  /** GOGC in force when no memory limit binds; NextGC has a floor then. Negative: off. */
  gogc?: number;
  /** Nanoseconds since 1970; LastGC must not be later. */
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

/** Relations that hold exactly in every snapshot. The names are those of Go's recorded checks. */
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

/** The relations that do not hold in `m`, each with its figures; empty if all hold. */
export function checkIdentities(m: MemStats, context: IdentityContext = {}): string[] {
  return IDENTITIES.filter((identity) => !identity.holds(m, context)).map((identity) => {
    const figures = (identity.relation.match(/\b[A-Z][A-Za-z]+\b/g) ?? [])
      .filter((name) => typeof m[name as keyof MemStats] === "number")
      .map((name) => `${name}=${m[name as keyof MemStats]}`);
    return `${identity.name}: ${identity.relation} (${[...new Set(figures)].join(" ")})`;
  });
}
