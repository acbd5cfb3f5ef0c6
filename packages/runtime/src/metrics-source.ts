/**
 * The figures of runtime/metrics that MemStats does not have. What is not measured stays unknown, and reads as bad:
 *
 *     /gc/limiter/last-enabled       no limiter of the collector's CPU time of Go's kind
 *     /sched/latencies               a clock reading for each time a goroutine becomes runnable costs more than the switch
 *     /sync/mutex/wait/total         as above; the mutex profile measures waits when it is on
 *     /cpu/classes (all but /gc)     outside of Node, where nobody says how long the event loop was idle, and under a
 *                                    clock of one's own
 *
 * CPU time. GOMAXPROCS processors for the time since the start are what there is (`total`). Of the one that is driven by
 * this thread's event loop, Node tells how long it was idle; the others are always idle but in a stop of the world, which
 * counts for all. The collector's own time is what it measures in slices and assists. The rest is the user's: goroutines,
 * and all other JavaScript of the thread.
 *
 *     total = gc/mark/assist + gc/mark/dedicated + gc/mark/idle + gc/pause + scavenge/* + idle + user
 *
 * As in Go, marking that is under way counts when its cycle ends.
 */
import type { Allocator } from "@gort/allocator/internal";
import type { Collector, GCStats } from "@gort/gc";
import type { MetricsSource, RawMetrics } from "@gort/memstats/metrics";
import type { Scheduler } from "@gort/scheduler";
import { type G, Grunnable, Grunning, Gsyscall, Gwaiting } from "@gort/scheduler/internal";
import type { WorldStops } from "./stops.ts";

/** Bytes of a goroutine's first stack of roots. */
const STACK_START = 2048;

type Utilization = { idle: number; active: number };
const host = (globalThis as { performance?: { eventLoopUtilization?(): Utilization } }).performance;

/** Milliseconds that this thread's event loop has had nothing to do; NaN where nobody can tell. */
function hostIdleMs(): number {
  return host?.eventLoopUtilization?.().idle ?? Number.NaN;
}

export interface RuntimeMetricsParts {
  allocator: Allocator;
  collector: Collector;
  scheduler: Scheduler;
  stops: WorldStops;
  /** The collector's figures, as of the read of MemStats that precedes each fill. */
  gcStats: GCStats;
  /** Monotonic nanoseconds. */
  nanotime: () => number;
  /** Whether `nanotime` is the host's time, so that its idle time can be compared. */
  hostTime: boolean;
}

export class RuntimeMetrics implements MetricsSource {
  readonly #parts: RuntimeMetricsParts;
  #runnable = 0;
  #running = 0;
  #syscall = 0;
  #waiting = 0;
  #finalizersQueued = 0;
  #finalizersExecuted = 0;
  #cleanupsQueued = 0;
  #cleanupsExecuted = 0;
  // CPU time of the collector, ns.
  #assistNs = 0;
  #dedicatedNs = 0;
  #pauseNs = 0;
  // CPU time of the scavenger, ns.
  #scavengeAssistNs = 0;
  #scavengeBackgroundNs = 0;
  // As of the last end of a cycle.
  #seenCycle = 0;
  #seenCpu = 0;
  #seenAssist = 0;
  #seenPause = 0;
  // Integrals over time, ns, as of the last fill.
  #last: number;
  #lastStopped = 0;
  #totalNs = 0;
  #otherIdleNs = 0;
  readonly #hostIdleStart: number;

  readonly #count = (g: G): void => {
    if (g.atomicstatus === Grunnable) this.#runnable++;
    else if (g.atomicstatus === Grunning) this.#running++;
    else if (g.atomicstatus === Gsyscall) this.#syscall++;
    else if (g.atomicstatus === Gwaiting) this.#waiting++;
  };

  constructor(parts: RuntimeMetricsParts) {
    this.#parts = parts;
    this.#last = parts.nanotime();
    this.#hostIdleStart = parts.hostTime ? hostIdleMs() : Number.NaN;
    parts.stops.onGC = () => this.#afterStop();
    this.#watchAssists();
    this.#watchFinalizers();
    this.#watchScavenger();
  }

  /** While a cycle marks, the collector's hook in the allocator is where goroutines assist. */
  #watchAssists(): void {
    const { allocator, collector, nanotime } = this.#parts;
    const { hooks } = allocator;
    const { gcTrigger } = hooks;
    hooks.gcTrigger = (addr) => {
      if (!collector.marking) return gcTrigger(addr);
      const from = nanotime();
      gcTrigger(addr);
      this.#assistNs += nanotime() - from;
    };
  }

  /** Memory goes back in the background, and when the heap grows beyond its goal; freeOSMemory counts in neither, as in Go. */
  #watchScavenger(): void {
    const { allocator, nanotime } = this.#parts;
    const { scavenger, heap } = allocator;
    const { background } = scavenger;
    const { afterGrowth } = heap;
    scavenger.background = () => {
      const from = nanotime();
      const result = background.call(scavenger);
      this.#scavengeBackgroundNs += nanotime() - from;
      return result;
    };
    heap.afterGrowth = (n) => {
      const from = nanotime();
      afterGrowth(n);
      this.#scavengeAssistNs += nanotime() - from;
    };
  }

  #watchFinalizers(): void {
    const { finalizers } = this.#parts.collector;
    const { queueFinalizer, queueCleanup, done } = finalizers;
    finalizers.queueFinalizer = (id, object) => {
      this.#finalizersQueued++;
      queueFinalizer.call(finalizers, id, object);
    };
    finalizers.queueCleanup = (id) => {
      this.#cleanupsQueued++;
      queueCleanup.call(finalizers, id);
    };
    finalizers.done = (f) => {
      if (f.kind === "finalizer") this.#finalizersExecuted++;
      else this.#cleanupsExecuted++;
      done.call(finalizers, f);
    };
  }

  /** After a stop of the collector: if it was the last one of a cycle, what the cycle's marking took is known. */
  #afterStop(): void {
    const { collector, scheduler, stops, gcStats } = this.#parts;
    const procs = scheduler.gomaxprocs(0);
    this.#pauseNs += (stops.gcStoppedNs - this.#lastStopped) * procs;
    this.#otherIdle(procs);
    collector.readGCStats(gcStats);
    if (gcStats.numGC === this.#seenCycle) return;
    this.#seenCycle = gcStats.numGC;
    const cpu = gcStats.gcCpuNs - this.#seenCpu;
    const assist = this.#assistNs - this.#seenAssist;
    const pause = this.#pauseNs - this.#seenPause;
    // In a cycle of one stop all of the marking lies within the pause.
    this.#dedicatedNs += Math.max(0, cpu - assist - pause);
    this.#seenCpu = gcStats.gcCpuNs;
    this.#seenAssist = this.#assistNs;
    this.#seenPause = this.#pauseNs;
  }

  /** Brings the integrals up to date: all time of `procs` processors, and what those without a thread were idle. */
  #otherIdle(procs: number): void {
    const { nanotime, stops } = this.#parts;
    const now = nanotime();
    const elapsed = now - this.#last;
    const stopped = stops.gcStoppedNs - this.#lastStopped;
    this.#totalNs += elapsed * procs;
    this.#otherIdleNs += Math.max(0, elapsed - stopped) * (procs - 1);
    this.#last = now;
    this.#lastStopped = stops.gcStoppedNs;
  }

  fill(raw: RawMetrics): void {
    const { collector, scheduler, stops, gcStats: gc } = this.#parts;
    const procs = scheduler.gomaxprocs(0);
    this.#otherIdle(procs);
    raw.cpuMarkAssist = this.#assistNs / 1e9;
    raw.cpuMarkDedicated = this.#dedicatedNs / 1e9;
    raw.cpuMarkIdle = gc.gcIdleCpuNs / 1e9;
    raw.cpuGCPause = this.#pauseNs / 1e9;
    raw.cpuScavengeAssist = this.#scavengeAssistNs / 1e9;
    raw.cpuScavengeBackground = this.#scavengeBackgroundNs / 1e9;
    const hostIdleNs = (hostIdleMs() - this.#hostIdleStart) * 1e6;
    if (!Number.isNaN(hostIdleNs)) {
      raw.cpuIdle = (hostIdleNs + this.#otherIdleNs) / 1e9;
      raw.cpuTotal = this.#totalNs / 1e9;
    }

    raw.finalizersQueued = this.#finalizersQueued;
    raw.finalizersExecuted = this.#finalizersExecuted;
    raw.cleanupsQueued = this.#cleanupsQueued;
    raw.cleanupsExecuted = this.#cleanupsExecuted;

    raw.stoppingGC = stops.stoppingGC;
    raw.stoppingOther = stops.stoppingOther;
    raw.pausesGC = stops.pausesGC;
    raw.pausesOther = stops.pausesOther;

    raw.gogc = collector.gcPercent;
    const limit = Number(collector.setMemoryLimit(-1));
    raw.memoryLimit = limit >= 2 ** 63 - 1024 ? Number.POSITIVE_INFINITY : limit;
    raw.heapLive = gc.heapMarked;
    raw.scanHeap = gc.heapScan;
    raw.scanStack = gc.stackScan;
    raw.scanGlobals = gc.globalsScan;
    raw.stackStartingSize = STACK_START;

    raw.cgoCalls = scheduler.numCgoCall();
    raw.gomaxprocs = procs;
    raw.threads = 1;
    // biome-ignore lint/complexity/useLiteralKeys: the counter of goroutine numbers is private, and it is all that counts them
    raw.goroutinesCreated = scheduler["goidgen"] - 1;
    this.#runnable = this.#running = this.#syscall = this.#waiting = 0;
    scheduler.forEachG(this.#count);
    raw.goroutinesRunnable = this.#runnable;
    raw.goroutinesRunning = this.#running;
    raw.goroutinesNotInGo = this.#syscall;
    raw.goroutinesWaiting = this.#waiting;
  }
}
