/**
 * The table of metrics: a row for each, in ascending order of the names. A row says how the value is computed from a
 * snapshot, and by that its kind.
 */
import { TIME_BOUNDS, type TimeHistogram } from "./histogram.ts";
import type { MemStats } from "./memstats.ts";
import type { Description, Value, ValueKind } from "./metric-value.ts";
import type { RawMetrics } from "./raw-metrics.ts";
import { NUM_SIZE_CLASSES, type RawStats } from "./source.ts";

/** The figures of one moment: MemStats, the counters that it was computed from, and the figures that it lacks. */
export interface Snapshot {
  readonly raw: RawStats;
  readonly stats: MemStats;
  readonly more: RawMetrics;
}

/** Computes a metric's value. */
interface Reading {
  readonly kind: ValueKind;
  set(v: Value, s: Snapshot): void;
}

export interface Metric {
  readonly description: Description;
  readonly reading: Reading;
}

/** A metric that only grows. */
const cumulative = (name: string, reading: Reading, text: string): Metric =>
  metric(name, reading, text, true);

/** A metric that may fall. */
const current = (name: string, reading: Reading, text: string): Metric => metric(name, reading, text, false);

function metric(Name: string, reading: Reading, text: string, Cumulative: boolean): Metric {
  return { description: Object.freeze({ Name, Description: text, Kind: reading.kind, Cumulative }), reading };
}

const number = (kind: "uint64" | "float64", f: (s: Snapshot) => number): Reading => ({
  kind,
  set(v, s) {
    const n = f(s);
    v.$set(Number.isNaN(n) ? "bad" : kind, n);
  },
});

const uint = (f: (s: Snapshot) => number): Reading => number("uint64", f);
const float = (f: (s: Snapshot) => number): Reading => number("float64", f);

/** A histogram of durations. */
const times = (f: (s: Snapshot) => TimeHistogram | null): Reading => ({
  kind: "float64-histogram",
  set(v, s) {
    const h = f(s);
    if (h === null) {
      v.$set("bad", 0);
      return;
    }
    const to = v.$histogram(h.counts.length);
    to.Counts.set(h.counts);
    to.Buckets.set(TIME_BOUNDS);
  },
});

/** A histogram of sizes: bucket i holds the objects of class i + 1, the last bucket those with a span of their own. */
const sizes = (counts: (s: Snapshot) => Float64Array, large: (s: Snapshot) => number): Reading => ({
  kind: "float64-histogram",
  set(v, s) {
    const to = v.$histogram(NUM_SIZE_CLASSES);
    const from = counts(s);
    for (let c = 1; c < NUM_SIZE_CLASSES; c++) {
      to.Counts[c - 1] = from[c];
      to.Buckets[c] = s.raw.classSizes[c] + 1;
    }
    to.Counts[NUM_SIZE_CLASSES - 1] = large(s);
    to.Buckets[0] = 1;
    to.Buckets[NUM_SIZE_CLASSES] = Number.POSITIVE_INFINITY;
  },
});

const cpuGC = ({ more }: Snapshot): number =>
  more.cpuMarkAssist + more.cpuMarkDedicated + more.cpuMarkIdle + more.cpuGCPause;
const cpuScavenge = ({ more }: Snapshot): number => more.cpuScavengeAssist + more.cpuScavengeBackground;
const cpuUser = (s: Snapshot): number =>
  Math.max(0, s.more.cpuTotal - cpuGC(s) - cpuScavenge(s) - s.more.cpuIdle);
const goroutines = ({ more }: Snapshot): number =>
  more.goroutinesNotInGo + more.goroutinesRunnable + more.goroutinesRunning + more.goroutinesWaiting;

// biome-ignore format: one or two lines a metric
export const METRICS: readonly Metric[] = [
  cumulative("/cgo/go-to-c-calls:calls", uint((s) => s.more.cgoCalls),
    "Calls into WebAssembly or native code so far."),
  cumulative("/cpu/classes/gc/mark/assist:cpu-seconds", float((s) => s.more.cpuMarkAssist),
    "CPU time that goroutines spent assisting the collector."),
  cumulative("/cpu/classes/gc/mark/dedicated:cpu-seconds", float((s) => s.more.cpuMarkDedicated),
    "CPU time of marking on processors set aside for it."),
  cumulative("/cpu/classes/gc/mark/idle:cpu-seconds", float((s) => s.more.cpuMarkIdle),
    "CPU time of marking on processors that had nothing else to do."),
  cumulative("/cpu/classes/gc/pause:cpu-seconds", float((s) => s.more.cpuGCPause),
    "CPU time with the world stopped by the collector: the pause times GOMAXPROCS."),
  cumulative("/cpu/classes/gc/total:cpu-seconds", float(cpuGC),
    "CPU time of the collector: the sum of /cpu/classes/gc."),
  cumulative("/cpu/classes/idle:cpu-seconds", float((s) => s.more.cpuIdle), "CPU time available but not used."),
  cumulative("/cpu/classes/scavenge/assist:cpu-seconds", float((s) => s.more.cpuScavengeAssist),
    "CPU time spent returning memory while allocating."),
  cumulative("/cpu/classes/scavenge/background:cpu-seconds", float((s) => s.more.cpuScavengeBackground),
    "CPU time spent returning memory in the background."),
  cumulative("/cpu/classes/scavenge/total:cpu-seconds", float(cpuScavenge),
    "CPU time spent returning memory: the sum of /cpu/classes/scavenge."),
  cumulative("/cpu/classes/total:cpu-seconds", float((s) => s.more.cpuTotal),
    "CPU time available to the program: GOMAXPROCS over time, the sum of /cpu/classes."),
  cumulative("/cpu/classes/user:cpu-seconds", float(cpuUser), "CPU time of the program's own code."),
  cumulative("/gc/cleanups/executed:cleanups", uint((s) => s.more.cleanupsExecuted), "Cleanups that have run."),
  cumulative("/gc/cleanups/queued:cleanups", uint((s) => s.more.cleanupsQueued), "Cleanups that were queued to run."),
  cumulative("/gc/cycles/automatic:gc-cycles", uint((s) => s.stats.NumGC - s.stats.NumForcedGC),
    "Cycles that the runtime began."),
  cumulative("/gc/cycles/forced:gc-cycles", uint((s) => s.stats.NumForcedGC), "Cycles that the program asked for."),
  cumulative("/gc/cycles/total:gc-cycles", uint((s) => s.stats.NumGC), "All completed cycles."),
  cumulative("/gc/finalizers/executed:finalizers", uint((s) => s.more.finalizersExecuted),
    "Finalizers that have run."),
  cumulative("/gc/finalizers/queued:finalizers", uint((s) => s.more.finalizersQueued),
    "Finalizers that were queued to run."),
  current("/gc/gogc:percent", uint((s) => (s.more.gogc < 0 ? 2 ** 64 : s.more.gogc)),
    "GOGC in force; 2^64 when off."),
  current("/gc/gomemlimit:bytes", uint((s) => Math.min(s.more.memoryLimit, 2 ** 63)),
    "Memory limit in force; 2^63 when none."),
  cumulative("/gc/heap/allocs-by-size:bytes", sizes((s) => s.raw.smallAllocCount, (s) => s.raw.largeAllocCount),
    "Allocations by the size of their slot, tiny objects in a shared block aside."),
  cumulative("/gc/heap/allocs:bytes", uint((s) => s.stats.TotalAlloc), "Bytes allocated so far."),
  cumulative("/gc/heap/allocs:objects", uint((s) => s.stats.Mallocs - s.raw.tinyAllocs),
    "Objects allocated so far, tiny ones in a shared block aside."),
  cumulative("/gc/heap/frees-by-size:bytes", sizes((s) => s.raw.smallFreeCount, (s) => s.raw.largeFreeCount),
    "Frees by the size of their slot, tiny objects in a shared block aside."),
  cumulative("/gc/heap/frees:bytes", uint((s) => s.stats.TotalAlloc - s.stats.HeapAlloc), "Bytes freed so far."),
  cumulative("/gc/heap/frees:objects", uint((s) => s.stats.Frees - s.raw.tinyAllocs),
    "Objects freed so far, tiny ones in a shared block aside."),
  current("/gc/heap/goal:bytes", uint((s) => s.stats.NextGC), "The heap size that the next cycle aims at."),
  current("/gc/heap/live:bytes", uint((s) => s.more.heapLive), "Bytes that the last cycle marked."),
  current("/gc/heap/objects:objects", uint((s) => s.stats.HeapObjects),
    "Objects in the heap, live or not yet swept."),
  cumulative("/gc/heap/tiny/allocs:objects", uint((s) => s.raw.tinyAllocs),
    "Tiny objects that were put into a block begun earlier."),
  current("/gc/limiter/last-enabled:gc-cycle", uint((s) => s.more.limiterLastEnabled),
    "The cycle in which the CPU limiter was last on; 0 if never."),
  cumulative("/gc/pauses:seconds", times((s) => s.more.pausesGC),
    "Pauses of the collector; the same as /sched/pauses/total/gc:seconds."),
  current("/gc/scan/globals:bytes", uint((s) => s.more.scanGlobals), "Bytes of globals that are scanned."),
  current("/gc/scan/heap:bytes", uint((s) => s.more.scanHeap), "Bytes of the heap that are scanned."),
  current("/gc/scan/stack:bytes", uint((s) => s.more.scanStack),
    "Bytes of stacks that were scanned in the last cycle."),
  current("/gc/scan/total:bytes", uint((s) => s.more.scanGlobals + s.more.scanHeap + s.more.scanStack),
    "All bytes that are scanned: the sum of /gc/scan."),
  current("/gc/stack/starting-size:bytes", uint((s) => s.more.stackStartingSize), "Stack size of a new goroutine."),
  current("/memory/classes/heap/free:bytes", uint((s) => s.stats.HeapIdle - s.stats.HeapReleased),
    "Free pages that could be returned to the system, but were not."),
  current("/memory/classes/heap/objects:bytes", uint((s) => s.stats.HeapAlloc), "Objects, live or not yet swept."),
  current("/memory/classes/heap/released:bytes", uint((s) => s.stats.HeapReleased),
    "Free pages that were returned to the system."),
  current("/memory/classes/heap/stacks:bytes", uint((s) => s.stats.StackInuse), "Stacks of goroutines."),
  current("/memory/classes/heap/unused:bytes", uint((s) => s.stats.HeapInuse - s.stats.HeapAlloc),
    "Free slots in spans that hold objects."),
  current("/memory/classes/metadata/mcache/free:bytes", uint((s) => s.stats.MCacheSys - s.stats.MCacheInuse),
    "Memory for mcaches that is not in use."),
  current("/memory/classes/metadata/mcache/inuse:bytes", uint((s) => s.stats.MCacheInuse), "mcaches in use."),
  current("/memory/classes/metadata/mspan/free:bytes", uint((s) => s.stats.MSpanSys - s.stats.MSpanInuse),
    "Memory for mspans that is not in use."),
  current("/memory/classes/metadata/mspan/inuse:bytes", uint((s) => s.stats.MSpanInuse), "mspans in use."),
  current("/memory/classes/metadata/other:bytes", uint((s) => s.stats.GCSys),
    "The collector's metadata and work buffers."),
  current("/memory/classes/os-stacks:bytes", uint((s) => s.stats.StackSys - s.stats.StackInuse),
    "Stacks that the system's threads brought with them."),
  current("/memory/classes/other:bytes", uint((s) => s.stats.OtherSys), "Everything else that the runtime uses."),
  current("/memory/classes/profiling/buckets:bytes", uint((s) => s.stats.BuckHashSys), "Buckets of profiles."),
  current("/memory/classes/total:bytes", uint((s) => s.stats.Sys),
    "All memory of the runtime: the sum of /memory/classes."),
  current("/sched/gomaxprocs:threads", uint((s) => s.more.gomaxprocs),
    "GOMAXPROCS: threads that can run goroutines at the same time."),
  cumulative("/sched/goroutines-created:goroutines", uint((s) => s.more.goroutinesCreated),
    "Goroutines started so far."),
  current("/sched/goroutines/not-in-go:goroutines", uint((s) => s.more.goroutinesNotInGo),
    "Goroutines in a system call or in foreign code."),
  current("/sched/goroutines/runnable:goroutines", uint((s) => s.more.goroutinesRunnable),
    "Goroutines that are ready to run."),
  current("/sched/goroutines/running:goroutines", uint((s) => s.more.goroutinesRunning),
    "Goroutines that are running."),
  current("/sched/goroutines/waiting:goroutines", uint((s) => s.more.goroutinesWaiting),
    "Goroutines that wait for something."),
  current("/sched/goroutines:goroutines", uint(goroutines), "All goroutines, the runtime's own included."),
  cumulative("/sched/latencies:seconds", times((s) => s.more.schedLatencies),
    "Time that goroutines were runnable before they ran."),
  cumulative("/sched/pauses/stopping/gc:seconds", times((s) => s.more.stoppingGC),
    "Time to stop the world for a collection."),
  cumulative("/sched/pauses/stopping/other:seconds", times((s) => s.more.stoppingOther),
    "Time to stop the world for other reasons."),
  cumulative("/sched/pauses/total/gc:seconds", times((s) => s.more.pausesGC),
    "Time with the world stopped for a collection."),
  cumulative("/sched/pauses/total/other:seconds", times((s) => s.more.pausesOther),
    "Time with the world stopped for other reasons."),
  current("/sched/threads/total:threads", uint((s) => s.more.threads), "Threads that the runtime owns."),
  cumulative("/sync/mutex/wait/total:seconds", float((s) => s.more.mutexWait),
    "Time that goroutines were blocked on a Mutex or RWMutex."),
];
