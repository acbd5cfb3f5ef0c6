/** The figures of runtime/metrics that MemStats does not have. What is not measured stays unknown. */
import { type Collector, newGCStats } from "@gort/gc";
import type { MetricsSource, RawMetrics } from "@gort/memstats/metrics";
import type { Scheduler } from "@gort/scheduler";
import { type G, Grunnable, Grunning, Gsyscall, Gwaiting } from "@gort/scheduler/internal";

/** Bytes of a goroutine's first stack of roots. */
const STACK_START = 2048;

export class RuntimeMetrics implements MetricsSource {
  readonly #collector: Collector;
  readonly #scheduler: Scheduler;
  readonly #gc = newGCStats();
  #runnable = 0;
  #running = 0;
  #syscall = 0;
  #waiting = 0;
  readonly #count = (g: G): void => {
    if (g.atomicstatus === Grunnable) this.#runnable++;
    else if (g.atomicstatus === Grunning) this.#running++;
    else if (g.atomicstatus === Gsyscall) this.#syscall++;
    else if (g.atomicstatus === Gwaiting) this.#waiting++;
  };

  constructor(collector: Collector, scheduler: Scheduler) {
    this.#collector = collector;
    this.#scheduler = scheduler;
  }

  fill(raw: RawMetrics): void {
    const collector = this.#collector;
    const gc = collector.readGCStats(this.#gc);
    raw.cgoCalls = this.#scheduler.numCgoCall();
    raw.gogc = collector.gcPercent;
    const limit = Number(collector.setMemoryLimit(-1));
    raw.memoryLimit = limit >= 2 ** 63 - 1024 ? Number.POSITIVE_INFINITY : limit;
    raw.heapLive = gc.heapMarked;
    raw.scanHeap = gc.heapScan;
    raw.scanStack = gc.stackScan;
    raw.scanGlobals = gc.globalsScan;
    raw.stackStartingSize = STACK_START;
    raw.gomaxprocs = this.#scheduler.gomaxprocs(0);
    raw.threads = 1;
    this.#runnable = this.#running = this.#syscall = this.#waiting = 0;
    this.#scheduler.forEachG(this.#count);
    raw.goroutinesRunnable = this.#runnable;
    raw.goroutinesRunning = this.#running;
    raw.goroutinesNotInGo = this.#syscall;
    raw.goroutinesWaiting = this.#waiting;
  }
}
