import type { TimeHistogram } from "./histogram.ts";

/**
 * The figures that the metrics need beyond MemStats. NaN and null mean that the source does not know the figure. Times
 * are seconds, of CPU time or of the clock.
 */
export interface RawMetrics {
  cgoCalls: number;
  /** CPU time of each use. The rest of `cpuTotal` is the program's own. */
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

/** A source of the figures that MemStats lacks. It writes the figures that it knows into `raw`. */
export interface MetricsSource {
  fill(raw: RawMetrics): void;
}

/** A record in which no figure is known. */
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
