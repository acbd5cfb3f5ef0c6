/**
 * The figures of runtime/metrics that MemStats does not have, from the linear memory: the collector's block, the
 * scheduler's counters, the scavenger's times. A figure that is not measured stays unknown, and reads as bad:
 *
 *     /cpu/classes (idle, total, user)     under a clock of the program's own, and outside of Node, where the host does
 *                                          not report how long the event loop was idle
 *
 * CPU time. `total` is the time since the start times GOMAXPROCS. Each thread runs on one processor, and Node reports
 * how long its event loop was idle. A worker counts from its start on. The other processors are always idle, except in
 * a stop of the world, which counts for all. The collector measures its own time in slices and assists. The rest is
 * `user`: goroutines, and all other JavaScript of the threads.
 *
 *     total = gc/mark/assist + gc/mark/dedicated + gc/mark/idle + gc/pause + scavenge/* + idle + user
 *     idle  = idle time of all event loops + (total - time of all threads - stops of processors without a thread)
 *
 * M 0 learns from the host how long its own event loop and those of its workers were idle. So it publishes all classes
 * together: when a cycle ends, at each read on M 0, and once a second if other threads read too.
 */
import type { Scavenger } from "@gort/allocator/internal";
import type { Collector } from "@gort/gc";
import { CPU_TIMES, type GCRecord } from "@gort/gc/internal";
import type { MetricsSource, RawMetrics } from "@gort/memstats/metrics";
import type { SchedStats } from "./sched-stats.ts";
import type { RuntimeStats } from "./stats.ts";
import { type StopHistograms, stopHistograms } from "./stops.ts";
import type { WorkerTimes } from "./workers.ts";

/** Bytes of a goroutine's first stack of roots. */
const STACK_START = 2048;

type Utilization = { idle: number; active: number };
const host = (globalThis as { performance?: { eventLoopUtilization?(): Utilization } }).performance;

/** Milliseconds that this thread's event loop was idle; NaN where the host does not report it. */
function hostIdleMs(): number {
  return host?.eventLoopUtilization?.().idle ?? Number.NaN;
}

export interface CpuClassesParts {
  collector: Collector;
  scavenger: Scavenger;
  /** GOMAXPROCS. */
  procs: () => number;
  /** Monotonic nanoseconds. */
  nanotime: () => number;
  /** Whether `nanotime` is the host's time: only then can it be compared with the host's idle time. */
  hostTime: boolean;
  /** Times of the workers; null while there are none. */
  workers: () => WorkerTimes | null;
}

const noWorkers: WorkerTimes = { running: 0, ms: 0, idleMs: 0 };

/** Keeps the classes of CPU time, on M 0. */
export class CpuClasses {
  readonly #parts: CpuClassesParts;
  readonly #times = new Float64Array(8);
  readonly #hostIdleStart: number;
  // Integrals over time at the last publication, in ns.
  #last: number;
  #lastPause = 0;
  #lastWorkersNs = 0;
  #totalNs = 0;
  /** Time of processors without a thread. It falls while there are more threads than processors. */
  #otherIdleNs = 0;
  #idleNs = 0;

  constructor(parts: CpuClassesParts) {
    this.#parts = parts;
    this.#last = parts.nanotime();
    this.#hostIdleStart = parts.hostTime ? hostIdleMs() : Number.NaN;
  }

  /** Brings the published figures up to date. */
  publish(): void {
    const { collector, scavenger, procs, nanotime, workers } = this.#parts;
    const { record, runningCycle: cycle } = collector;
    const t = this.#times;
    const n = procs();
    t[CPU_TIMES.markAssist] = record.assistNs;
    t[CPU_TIMES.markDedicated] = record.dedicatedNs;
    t[CPU_TIMES.markIdle] = record.idleNs;
    t[CPU_TIMES.pause] = record.pauseCpuNs;
    // All time of a stop-the-world cycle lies within its stop, which has not ended.
    if (cycle !== null && !cycle.stw) {
      t[CPU_TIMES.markAssist] += cycle.assistNs;
      t[CPU_TIMES.markDedicated] += cycle.backgroundNs;
      t[CPU_TIMES.markIdle] += cycle.idleNs;
      t[CPU_TIMES.pause] += cycle.pauseNs * cycle.procs;
    }
    t[CPU_TIMES.scavengeAssist] = scavenger.assistNs;
    t[CPU_TIMES.scavengeBackground] = scavenger.backgroundNs;
    const now = nanotime();
    const elapsed = now - this.#last;
    const paused = t[CPU_TIMES.pause] - this.#lastPause;
    const { running, ms, idleMs } = workers() ?? noWorkers;
    const threadsNs = elapsed + ms * 1e6 - this.#lastWorkersNs;
    this.#totalNs += elapsed * n;
    // A stop counts for all processors, so processors without a thread were not idle in it.
    const unused = elapsed * n - threadsNs - (paused * Math.max(0, n - 1 - running)) / n;
    this.#otherIdleNs += running === 0 ? Math.max(0, unused) : unused;
    this.#last = now;
    this.#lastPause = t[CPU_TIMES.pause];
    this.#lastWorkersNs = ms * 1e6;
    const idleNs = (hostIdleMs() - this.#hostIdleStart + idleMs) * 1e6 + this.#otherIdleNs;
    const known = !Number.isNaN(idleNs);
    // With more threads than processors the sum may fall by the error of its parts.
    if (known) this.#idleNs = Math.max(this.#idleNs, idleNs);
    t[CPU_TIMES.total] = known ? this.#totalNs : Number.NaN;
    t[CPU_TIMES.idle] = known ? this.#idleNs : Number.NaN;
    record.setCpu(t);
  }
}

/** Implements `MetricsSource` of @gort/memstats over the linear memory. Reads on any thread. */
export class RuntimeMetrics implements MetricsSource {
  readonly #record: GCRecord;
  readonly #stats: RuntimeStats;
  readonly #sched: SchedStats;
  readonly #refresh: () => void;
  readonly #histograms: StopHistograms;
  readonly #cpu = new Float64Array(8);

  /**
   * @param stats read just before each fill, as createMetrics does
   * @param refresh publishes the figures that only this thread knows
   */
  constructor(record: GCRecord, stats: RuntimeStats, sched: SchedStats, refresh: () => void) {
    this.#record = record;
    this.#stats = stats;
    this.#sched = sched;
    this.#refresh = refresh;
    this.#histograms = stopHistograms(record);
  }

  fill(raw: RawMetrics): void {
    this.#refresh();
    const record = this.#record;
    const cpu = this.#cpu;
    record.readCpu(cpu);
    raw.cpuMarkAssist = cpu[CPU_TIMES.markAssist] / 1e9;
    raw.cpuMarkDedicated = cpu[CPU_TIMES.markDedicated] / 1e9;
    raw.cpuMarkIdle = cpu[CPU_TIMES.markIdle] / 1e9;
    raw.cpuGCPause = cpu[CPU_TIMES.pause] / 1e9;
    raw.cpuScavengeAssist = cpu[CPU_TIMES.scavengeAssist] / 1e9;
    raw.cpuScavengeBackground = cpu[CPU_TIMES.scavengeBackground] / 1e9;
    raw.cpuIdle = cpu[CPU_TIMES.idle] / 1e9;
    raw.cpuTotal = cpu[CPU_TIMES.total] / 1e9;

    // Executed functions are read first, because they are part of the queued ones.
    raw.finalizersExecuted = record.finalizations("finalizersExecuted");
    raw.finalizersQueued = record.finalizations("finalizersQueued");
    raw.cleanupsExecuted = record.finalizations("cleanupsExecuted");
    raw.cleanupsQueued = record.finalizations("cleanupsQueued");

    const { stoppingGC, stoppingOther, pausesGC, pausesOther } = this.#histograms;
    raw.stoppingGC = stoppingGC;
    raw.stoppingOther = stoppingOther;
    raw.pausesGC = pausesGC;
    raw.pausesOther = pausesOther;

    raw.gogc = record.gcPercent;
    raw.memoryLimit = record.memoryLimit;
    raw.limiterLastEnabled = record.limiterLastEnabled;
    raw.heapLive = this.#stats.heapMarked;
    raw.scanHeap = record.heapScan;
    raw.scanStack = record.stackScan;
    raw.scanGlobals = record.globalsScan;
    raw.stackStartingSize = STACK_START;
    this.#sched.fill(raw);
  }
}
