/**
 * runtime/metrics: statistics by name, as Go's package of that name gives them.
 *
 * A metric is a row of one table: name, kind, whether it only grows, what it means, and how it is
 * computed from the snapshot. The snapshot has two parts: the counters of MemStats (`StatsSource`) and what
 * MemStats lacks (`MetricsSource`: CPU time, goroutines, queues, histograms). Whatever a source leaves at
 * NaN or null can't be told here, and reads as kind "bad", as an unknown name does.
 *
 * Unlike Go: a read takes the same snapshot as readMemStats, so that allocation figures don't lag behind.
 */

import { TIME_BOUNDS, type TimeHistogram } from "./histogram.ts";
import { MemStats } from "./memstats.ts";
import { readRaw } from "./read.ts";
import { NUM_SIZE_CLASSES, type RawStats, type StatsSource } from "./source.ts";

export type ValueKind = "bad" | "uint64" | "float64" | "float64-histogram";

/** Counts[i] observations in [Buckets[i], Buckets[i + 1]). Go's names of the fields. */
export interface Float64Histogram {
  Counts: Float64Array;
  Buckets: Float64Array;
}

/** What the metrics need beyond MemStats. NaN and null: not known here. Times are seconds of CPU or clock. */
export interface RawMetrics {
  cgoCalls: number;
  /** CPU time in each use; what is left of `cpuTotal` is the user's. */
  cpuMarkAssist: number;
  cpuMarkDedicated: number;
  cpuMarkIdle: number;
  cpuGCPause: number;
  cpuScavengeAssist: number;
  cpuScavengeBackground: number;
  cpuIdle: number;
  /** GOMAXPROCS integrated over time. */
  cpuTotal: number;
  cleanupsExecuted: number;
  cleanupsQueued: number;
  finalizersExecuted: number;
  finalizersQueued: number;
  /** GOGC in force; negative: off. */
  gogc: number;
  /** Bytes; Infinity: none. */
  memoryLimit: number;
  /** Bytes that the last collection marked. */
  heapLive: number;
  /** The cycle in which the CPU limiter was last on; 0: never. */
  limiterLastEnabled: number;
  /** Scannable bytes. */
  scanGlobals: number;
  scanHeap: number;
  scanStack: number;
  stackStartingSize: number;
  gomaxprocs: number;
  goroutinesCreated: number;
  /** Goroutines by state, the runtime's own included. */
  goroutinesNotInGo: number;
  goroutinesRunnable: number;
  goroutinesRunning: number;
  goroutinesWaiting: number;
  threads: number;
  mutexWait: number;
  /** Time that goroutines spent runnable before they ran. */
  schedLatencies: TimeHistogram | null;
  /** Time to stop the world, and the whole time that it was stopped, for collections and for other reasons. */
  stoppingGC: TimeHistogram | null;
  stoppingOther: TimeHistogram | null;
  pausesGC: TimeHistogram | null;
  pausesOther: TimeHistogram | null;
}

export interface MetricsSource {
  fill(raw: RawMetrics): void;
}

export function newRawMetrics(): RawMetrics {
  const unknown = Number.NaN;
  return {
    cgoCalls: unknown,
    cpuMarkAssist: unknown,
    cpuMarkDedicated: unknown,
    cpuMarkIdle: unknown,
    cpuGCPause: unknown,
    cpuScavengeAssist: unknown,
    cpuScavengeBackground: unknown,
    cpuIdle: unknown,
    cpuTotal: unknown,
    cleanupsExecuted: unknown,
    cleanupsQueued: unknown,
    finalizersExecuted: unknown,
    finalizersQueued: unknown,
    gogc: unknown,
    memoryLimit: unknown,
    heapLive: unknown,
    limiterLastEnabled: unknown,
    scanGlobals: unknown,
    scanHeap: unknown,
    scanStack: unknown,
    stackStartingSize: unknown,
    gomaxprocs: unknown,
    goroutinesCreated: unknown,
    goroutinesNotInGo: unknown,
    goroutinesRunnable: unknown,
    goroutinesRunning: unknown,
    goroutinesWaiting: unknown,
    threads: unknown,
    mutexWait: unknown,
    schedLatencies: null,
    stoppingGC: null,
    stoppingOther: null,
    pausesGC: null,
    pausesOther: null,
  };
}

/** What a metric is. Go's names of the fields. */
export interface Description {
  readonly Name: string;
  readonly Description: string;
  readonly Kind: ValueKind;
  /** Whether it only grows. */
  readonly Cumulative: boolean;
}

/** A metric's value. The accessor of another kind than its own throws. */
export class Value {
  #kind: ValueKind = "bad";
  #number = 0;
  #histogram: Float64Histogram | undefined;

  kind(): ValueKind {
    return this.#kind;
  }

  /** Exact below 2^53; above lie only "no limit" (2^63) and "off" (2^64). */
  uint64(): number {
    if (this.#kind !== "uint64") throw new TypeError("metrics: called uint64 on non-uint64 metric value");
    return this.#number;
  }

  float64(): number {
    if (this.#kind !== "float64") throw new TypeError("metrics: called float64 on non-float64 metric value");
    return this.#number;
  }

  /** Filled again by the next read of the same sample: copy it to keep it. */
  float64Histogram(): Float64Histogram {
    if (this.#kind !== "float64-histogram" || this.#histogram === undefined) {
      throw new TypeError("metrics: called float64Histogram on non-float64-histogram metric value");
    }
    return this.#histogram;
  }

  /** @internal */
  $set(kind: ValueKind, n: number): void {
    this.#kind = kind;
    this.#number = n;
  }

  /** A histogram with so many buckets to fill in; the one of the last read if it fits. @internal */
  $histogram(counts: number): Float64Histogram {
    this.#kind = "float64-histogram";
    if (this.#histogram?.Counts.length !== counts) {
      this.#histogram = { Counts: new Float64Array(counts), Buckets: new Float64Array(counts + 1) };
    }
    return this.#histogram;
  }
}

/** One metric to read. Go's names of the fields. */
export interface Sample {
  Name: string;
  Value: Value;
}

/** A sample of the metric, to give to `read`. */
export function newSample(name: string): Sample {
  return { Name: name, Value: new Value() };
}

interface Snapshot {
  readonly raw: RawStats;
  readonly m: MemStats;
  readonly x: RawMetrics;
}

type Row = readonly [
  name: string,
  kind: ValueKind,
  cumulative: boolean,
  text: string,
  set: (v: Value, s: Snapshot) => void,
];

const uint =
  (f: (s: Snapshot) => number) =>
  (v: Value, s: Snapshot): void => {
    const n = f(s);
    v.$set(Number.isNaN(n) ? "bad" : "uint64", n);
  };
const float =
  (f: (s: Snapshot) => number) =>
  (v: Value, s: Snapshot): void => {
    const n = f(s);
    v.$set(Number.isNaN(n) ? "bad" : "float64", n);
  };
const times =
  (f: (s: Snapshot) => TimeHistogram | null) =>
  (v: Value, s: Snapshot): void => {
    const h = f(s);
    if (h === null) {
      v.$set("bad", 0);
      return;
    }
    const to = v.$histogram(h.counts.length);
    to.Counts.set(h.counts);
    to.Buckets.set(TIME_BOUNDS);
  };
/** Bucket i holds the objects of class i + 1; the last one those with a span of their own. */
const sizes =
  (counts: (s: Snapshot) => Float64Array, large: (s: Snapshot) => number) =>
  (v: Value, s: Snapshot): void => {
    const to = v.$histogram(NUM_SIZE_CLASSES);
    const from = counts(s);
    for (let c = 1; c < NUM_SIZE_CLASSES; c++) {
      to.Counts[c - 1] = from[c];
      to.Buckets[c] = s.raw.classSizes[c] + 1;
    }
    to.Counts[NUM_SIZE_CLASSES - 1] = large(s);
    to.Buckets[0] = 1;
    to.Buckets[NUM_SIZE_CLASSES] = Number.POSITIVE_INFINITY;
  };

const cpuGC = ({ x }: Snapshot): number =>
  x.cpuMarkAssist + x.cpuMarkDedicated + x.cpuMarkIdle + x.cpuGCPause;
const cpuScavenge = ({ x }: Snapshot): number => x.cpuScavengeAssist + x.cpuScavengeBackground;
const goroutines = ({ x }: Snapshot): number =>
  x.goroutinesNotInGo + x.goroutinesRunnable + x.goroutinesRunning + x.goroutinesWaiting;

// biome-ignore format: one row a metric
const TABLE: readonly Row[] = [
  ["/cgo/go-to-c-calls:calls", "uint64", true, "Calls into WebAssembly or native code so far.", uint((s) => s.x.cgoCalls)],
  ["/cpu/classes/gc/mark/assist:cpu-seconds", "float64", true, "CPU time that goroutines spent assisting the collector.", float((s) => s.x.cpuMarkAssist)],
  ["/cpu/classes/gc/mark/dedicated:cpu-seconds", "float64", true, "CPU time of marking on processors set aside for it.", float((s) => s.x.cpuMarkDedicated)],
  ["/cpu/classes/gc/mark/idle:cpu-seconds", "float64", true, "CPU time of marking on processors that had nothing else to do.", float((s) => s.x.cpuMarkIdle)],
  ["/cpu/classes/gc/pause:cpu-seconds", "float64", true, "CPU time with the world stopped by the collector: the pause times GOMAXPROCS.", float((s) => s.x.cpuGCPause)],
  ["/cpu/classes/gc/total:cpu-seconds", "float64", true, "CPU time of the collector: the sum of /cpu/classes/gc.", float(cpuGC)],
  ["/cpu/classes/idle:cpu-seconds", "float64", true, "CPU time available but not used.", float((s) => s.x.cpuIdle)],
  ["/cpu/classes/scavenge/assist:cpu-seconds", "float64", true, "CPU time spent returning memory while allocating.", float((s) => s.x.cpuScavengeAssist)],
  ["/cpu/classes/scavenge/background:cpu-seconds", "float64", true, "CPU time spent returning memory in the background.", float((s) => s.x.cpuScavengeBackground)],
  ["/cpu/classes/scavenge/total:cpu-seconds", "float64", true, "CPU time spent returning memory: the sum of /cpu/classes/scavenge.", float(cpuScavenge)],
  ["/cpu/classes/total:cpu-seconds", "float64", true, "CPU time available to the program: GOMAXPROCS over time, the sum of /cpu/classes.", float((s) => s.x.cpuTotal)],
  ["/cpu/classes/user:cpu-seconds", "float64", true, "CPU time of the program's own code.", float((s) => Math.max(0, s.x.cpuTotal - cpuGC(s) - cpuScavenge(s) - s.x.cpuIdle))],
  ["/gc/cleanups/executed:cleanups", "uint64", true, "Cleanups that have run.", uint((s) => s.x.cleanupsExecuted)],
  ["/gc/cleanups/queued:cleanups", "uint64", true, "Cleanups that were queued to run.", uint((s) => s.x.cleanupsQueued)],
  ["/gc/cycles/automatic:gc-cycles", "uint64", true, "Cycles that the runtime began.", uint((s) => s.m.NumGC - s.m.NumForcedGC)],
  ["/gc/cycles/forced:gc-cycles", "uint64", true, "Cycles that the program asked for.", uint((s) => s.m.NumForcedGC)],
  ["/gc/cycles/total:gc-cycles", "uint64", true, "All completed cycles.", uint((s) => s.m.NumGC)],
  ["/gc/finalizers/executed:finalizers", "uint64", true, "Finalizers that have run.", uint((s) => s.x.finalizersExecuted)],
  ["/gc/finalizers/queued:finalizers", "uint64", true, "Finalizers that were queued to run.", uint((s) => s.x.finalizersQueued)],
  ["/gc/gogc:percent", "uint64", false, "GOGC in force; 2^64 when off.", uint((s) => (s.x.gogc < 0 ? 2 ** 64 : s.x.gogc))],
  ["/gc/gomemlimit:bytes", "uint64", false, "Memory limit in force; 2^63 when none.", uint((s) => Math.min(s.x.memoryLimit, 2 ** 63))],
  ["/gc/heap/allocs-by-size:bytes", "float64-histogram", true, "Allocations by the size of their slot, tiny objects in a shared block aside.", sizes((s) => s.raw.smallAllocCount, (s) => s.raw.largeAllocCount)],
  ["/gc/heap/allocs:bytes", "uint64", true, "Bytes allocated so far.", uint((s) => s.m.TotalAlloc)],
  ["/gc/heap/allocs:objects", "uint64", true, "Objects allocated so far, tiny ones in a shared block aside.", uint((s) => s.m.Mallocs - s.raw.tinyAllocs)],
  ["/gc/heap/frees-by-size:bytes", "float64-histogram", true, "Frees by the size of their slot, tiny objects in a shared block aside.", sizes((s) => s.raw.smallFreeCount, (s) => s.raw.largeFreeCount)],
  ["/gc/heap/frees:bytes", "uint64", true, "Bytes freed so far.", uint((s) => s.m.TotalAlloc - s.m.HeapAlloc)],
  ["/gc/heap/frees:objects", "uint64", true, "Objects freed so far, tiny ones in a shared block aside.", uint((s) => s.m.Frees - s.raw.tinyAllocs)],
  ["/gc/heap/goal:bytes", "uint64", false, "The heap size that the next cycle aims at.", uint((s) => s.m.NextGC)],
  ["/gc/heap/live:bytes", "uint64", false, "Bytes that the last cycle marked.", uint((s) => s.x.heapLive)],
  ["/gc/heap/objects:objects", "uint64", false, "Objects in the heap, live or not yet swept.", uint((s) => s.m.HeapObjects)],
  ["/gc/heap/tiny/allocs:objects", "uint64", true, "Tiny objects that were put into a block begun earlier.", uint((s) => s.raw.tinyAllocs)],
  ["/gc/limiter/last-enabled:gc-cycle", "uint64", false, "The cycle in which the CPU limiter was last on; 0 if never.", uint((s) => s.x.limiterLastEnabled)],
  ["/gc/pauses:seconds", "float64-histogram", true, "Pauses of the collector; the same as /sched/pauses/total/gc:seconds.", times((s) => s.x.pausesGC)],
  ["/gc/scan/globals:bytes", "uint64", false, "Bytes of globals that are scanned.", uint((s) => s.x.scanGlobals)],
  ["/gc/scan/heap:bytes", "uint64", false, "Bytes of the heap that are scanned.", uint((s) => s.x.scanHeap)],
  ["/gc/scan/stack:bytes", "uint64", false, "Bytes of stacks that were scanned in the last cycle.", uint((s) => s.x.scanStack)],
  ["/gc/scan/total:bytes", "uint64", false, "All bytes that are scanned: the sum of /gc/scan.", uint((s) => s.x.scanGlobals + s.x.scanHeap + s.x.scanStack)],
  ["/gc/stack/starting-size:bytes", "uint64", false, "Stack size of a new goroutine.", uint((s) => s.x.stackStartingSize)],
  ["/memory/classes/heap/free:bytes", "uint64", false, "Free pages that could be returned to the system, but were not.", uint((s) => s.m.HeapIdle - s.m.HeapReleased)],
  ["/memory/classes/heap/objects:bytes", "uint64", false, "Objects, live or not yet swept.", uint((s) => s.m.HeapAlloc)],
  ["/memory/classes/heap/released:bytes", "uint64", false, "Free pages that were returned to the system.", uint((s) => s.m.HeapReleased)],
  ["/memory/classes/heap/stacks:bytes", "uint64", false, "Stacks of goroutines.", uint((s) => s.m.StackInuse)],
  ["/memory/classes/heap/unused:bytes", "uint64", false, "Free slots in spans that hold objects.", uint((s) => s.m.HeapInuse - s.m.HeapAlloc)],
  ["/memory/classes/metadata/mcache/free:bytes", "uint64", false, "Memory for mcaches that is not in use.", uint((s) => s.m.MCacheSys - s.m.MCacheInuse)],
  ["/memory/classes/metadata/mcache/inuse:bytes", "uint64", false, "mcaches in use.", uint((s) => s.m.MCacheInuse)],
  ["/memory/classes/metadata/mspan/free:bytes", "uint64", false, "Memory for mspans that is not in use.", uint((s) => s.m.MSpanSys - s.m.MSpanInuse)],
  ["/memory/classes/metadata/mspan/inuse:bytes", "uint64", false, "mspans in use.", uint((s) => s.m.MSpanInuse)],
  ["/memory/classes/metadata/other:bytes", "uint64", false, "The collector's metadata and work buffers.", uint((s) => s.m.GCSys)],
  ["/memory/classes/os-stacks:bytes", "uint64", false, "Stacks that the system's threads brought with them.", uint((s) => s.m.StackSys - s.m.StackInuse)],
  ["/memory/classes/other:bytes", "uint64", false, "Everything else that the runtime uses.", uint((s) => s.m.OtherSys)],
  ["/memory/classes/profiling/buckets:bytes", "uint64", false, "Buckets of profiles.", uint((s) => s.m.BuckHashSys)],
  ["/memory/classes/total:bytes", "uint64", false, "All memory of the runtime: the sum of /memory/classes.", uint((s) => s.m.Sys)],
  ["/sched/gomaxprocs:threads", "uint64", false, "GOMAXPROCS: threads that can run goroutines at the same time.", uint((s) => s.x.gomaxprocs)],
  ["/sched/goroutines-created:goroutines", "uint64", true, "Goroutines started so far.", uint((s) => s.x.goroutinesCreated)],
  ["/sched/goroutines/not-in-go:goroutines", "uint64", false, "Goroutines in a system call or in foreign code.", uint((s) => s.x.goroutinesNotInGo)],
  ["/sched/goroutines/runnable:goroutines", "uint64", false, "Goroutines that are ready to run.", uint((s) => s.x.goroutinesRunnable)],
  ["/sched/goroutines/running:goroutines", "uint64", false, "Goroutines that are running.", uint((s) => s.x.goroutinesRunning)],
  ["/sched/goroutines/waiting:goroutines", "uint64", false, "Goroutines that wait for something.", uint((s) => s.x.goroutinesWaiting)],
  ["/sched/goroutines:goroutines", "uint64", false, "All goroutines, the runtime's own included.", uint(goroutines)],
  ["/sched/latencies:seconds", "float64-histogram", true, "Time that goroutines were runnable before they ran.", times((s) => s.x.schedLatencies)],
  ["/sched/pauses/stopping/gc:seconds", "float64-histogram", true, "Time to stop the world for a collection.", times((s) => s.x.stoppingGC)],
  ["/sched/pauses/stopping/other:seconds", "float64-histogram", true, "Time to stop the world for other reasons.", times((s) => s.x.stoppingOther)],
  ["/sched/pauses/total/gc:seconds", "float64-histogram", true, "Time with the world stopped for a collection.", times((s) => s.x.pausesGC)],
  ["/sched/pauses/total/other:seconds", "float64-histogram", true, "Time with the world stopped for other reasons.", times((s) => s.x.pausesOther)],
  ["/sched/threads/total:threads", "uint64", false, "Threads that the runtime owns.", uint((s) => s.x.threads)],
  ["/sync/mutex/wait/total:seconds", "float64", true, "Time that goroutines were blocked on a Mutex or RWMutex.", float((s) => s.x.mutexWait)],
];

const BY_NAME = new Map(TABLE.map((row) => [row[0], row]));

const DESCRIPTIONS: readonly Description[] = TABLE.map(([Name, Kind, Cumulative, text]) =>
  Object.freeze({ Name, Description: text, Kind, Cumulative }),
);

/** All metrics in ascending order of their names. */
export function all(): Description[] {
  return [...DESCRIPTIONS];
}

export interface Metrics {
  /** The descriptions of all metrics, in ascending order of their names. */
  all(): Description[];
  /** Fills the samples' values, all from one snapshot. Unknown names get kind "bad". */
  read(samples: Sample[]): void;
}

/** Metrics over the sources; without the second one, what only it knows reads as "bad". */
export function createMetrics(stats: StatsSource, more?: MetricsSource): Metrics {
  const m = new MemStats();
  const unknown = newRawMetrics();
  const x = newRawMetrics();
  return {
    all,
    read(samples: Sample[]): void {
      if (!Array.isArray(samples))
        throw new TypeError(`metrics: read needs a list of samples (got ${typeof samples})`);
      for (const sample of samples) {
        if (typeof sample?.Value?.$set === "function") continue;
        throw new TypeError(`metrics: read needs samples made by newSample (got ${typeof sample})`);
      }
      const raw = readRaw(stats, m);
      Object.assign(x, unknown);
      more?.fill(x);
      const snapshot = { raw, m, x };
      for (const sample of samples) {
        const row = BY_NAME.get(sample.Name);
        if (row === undefined) sample.Value.$set("bad", 0);
        else row[4](sample.Value, snapshot);
      }
    },
  };
}

export { TIME_BOUNDS, TIME_BUCKETS, TimeHistogram, timeBucket } from "./histogram.ts";
