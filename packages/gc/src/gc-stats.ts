/**
 * The collector's figures that outlive a cycle: what MemStats, runtime/metrics and debug.GCStats tell of it. They are
 * in linear memory, so every thread that attaches to the memory reads the same ones.
 *
 * ## Who may touch what The collector writes, on the thread that runs the cycle. Two parts have other writers: the
 * histograms of stops and `cpu` are the facade's, which stops the world and knows the host's idle time; the counts of
 * finalizers are the finalizer queue's. Anybody reads.
 *
 * What belongs together (a cycle's number, its pause, when it ended, its CPU time) is written between two increments of
 * `seq`. A reader copies it when seq is even and the same after as before, and tries again otherwise (seqlock.ts of
 * memory). Single counters need no such care.
 *
 *     NumGC = n          =>  pauseNs[(n - 1) % 256], pauseEnd[(n - 1) % 256] are those of cycle n
 *     pauseTotalNs       =   sum of pauseNs, while n <= 256
 *     gcCpuNs            =   assistNs + dedicatedNs + pauseCpuNs: what gcCPUFraction is made of, as in Go
 *     pauseCpuNs         =   sum of a cycle's pause times its GOMAXPROCS: in a stop no P does anything else
 *     numForcedGC        <=  numGC
 *     *Executed          <=  *Queued
 */
import { outOfMemory } from "@gort/base";
import { defineStruct, f64s, type LinearMemory } from "@gort/memory";
import { beginChange, endChange, ROOT_GCSTATS, stableVersion, unchanged } from "@gort/memory/internal";
import { GCState } from "./gc-state.ts";

const RING = 256;

/** Buckets of Go's histogram of durations; which one a duration falls into is for memstats to say. */
export const TIME_HISTOGRAM_BUCKETS = 162;

/** Figures kept over cycles; one a memory, found through the root ROOT_GCSTATS. */
export const GCSTATS = defineStruct("gcStats", {
  /** Versions of what a cycle's end writes, and of `cpu`: odd while a writer is at work. */
  seq: "u32",
  cpuSeq: "u32",
  numGC: "u32",
  numForcedGC: "u32",
  /** The cycle in whose time the program was last given more memory than its limit lest it only collects; 0: none. */
  limiterLastEnabled: "u32",
  pauseTotalNs: "f64",
  /** CPU time of the collector without idle marking. */
  gcCpuNs: "f64",
  gcCPUFraction: "f64",
  /** CPU time by class: assists, background marking, marking in idle time, stops (all Ps wait in them). */
  assistNs: "f64",
  dedicatedNs: "f64",
  idleNs: "f64",
  pauseCpuNs: "f64",
  /**
   * All classes of CPU time as of one moment, for threads that can't ask the host how idle this one is: see CPU_TIMES.
   */
  cpu: f64s(8),
  /** Bytes scanned by the last cycle. */
  heapScan: "f64",
  stackScan: "f64",
  globalsScan: "f64",
  finalizersQueued: "f64",
  finalizersExecuted: "f64",
  cleanupsQueued: "f64",
  cleanupsExecuted: "f64",
  /** Stops of the world: how long it took to stop it, how long it was stopped in all; for collections and otherwise. */
  stoppingGC: f64s(TIME_HISTOGRAM_BUCKETS),
  stoppingOther: f64s(TIME_HISTOGRAM_BUCKETS),
  pausesGC: f64s(TIME_HISTOGRAM_BUCKETS),
  pausesOther: f64s(TIME_HISTOGRAM_BUCKETS),
  /**
   * Of cycle n at (n - 1) % 256: nanoseconds of its stops, and when the last one ended, a 64-bit integer since 1970.
   */
  pauseNs: f64s(RING),
  pauseEnd: f64s(RING),
});
const GCSTATS_AT = GCSTATS.offsets;

/** Positions in `cpu`. Nanoseconds; `total` and `idle` are NaN where nobody knows how long the event loop was idle. */
export const CPU_TIMES = Object.freeze({
  total: 0,
  idle: 1,
  markAssist: 2,
  markDedicated: 3,
  markIdle: 4,
  pause: 5,
  scavengeAssist: 6,
  scavengeBackground: 7,
});
const NUM_CPU_TIMES = 8;

export type GCHistogram = "stoppingGC" | "stoppingOther" | "pausesGC" | "pausesOther";
export type FinalizerCount =
  | "finalizersQueued"
  | "finalizersExecuted"
  | "cleanupsQueued"
  | "cleanupsExecuted";

/** What `readGCStats` fills. */
export interface GCStats {
  numGC: number;
  numForcedGC: number;
  /** Of cycle n at (n - 1) % 256: nanoseconds that the world was stopped, and when that ended (since 1970). */
  readonly pauseNs: Float64Array;
  readonly pauseEnd: BigInt64Array;
  pauseTotalNs: number;
  gcCPUFraction: number;
  /** The heap goal: MemStats.NextGC. */
  nextGC: bigint;
  /** End of the last cycle since 1970, 0n before the first. */
  lastGC: bigint;
  enableGC: boolean;
  heapLive: number;
  heapMarked: number;
  heapScan: number;
  stackScan: number;
  globalsScan: number;
  gcCpuNs: number;
  gcIdleCpuNs: number;
}

export function newGCStats(): GCStats {
  return {
    numGC: 0,
    numForcedGC: 0,
    pauseNs: new Float64Array(RING),
    pauseEnd: new BigInt64Array(RING),
    pauseTotalNs: 0,
    gcCPUFraction: 0,
    nextGC: 0n,
    lastGC: 0n,
    enableGC: true,
    heapLive: 0,
    heapMarked: 0,
    heapScan: 0,
    stackScan: 0,
    globalsScan: 0,
    gcCpuNs: 0,
    gcIdleCpuNs: 0,
  };
}

/** A cycle that has ended. Times are nanoseconds, of CPU time where the name says so. */
export interface CycleTimes {
  forced: boolean;
  /** All stops of the cycle together, and when the last one ended. */
  pauseNs: number;
  pauseEnd: bigint;
  procs: number;
  assistNs: number;
  /** Background marking with the program running. */
  dedicatedNs: number;
  idleNs: number;
  /** What there was since the start. */
  availableCpuNs: number;
}

/** The block in linear memory. */
export class GCRecord {
  readonly #mem: LinearMemory;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #bi64: BigInt64Array;
  /** What the goal depends on, which is read with the figures. */
  readonly #state: GCState;
  /** Its address. */
  readonly base: number;

  /** @param base a block that exists; 0: makes a new one, for all who attach later */
  constructor(mem: LinearMemory, base = 0) {
    this.#mem = mem;
    this.#u32 = mem.u32;
    this.#f64 = mem.f64;
    this.#bi64 = mem.bi64;
    this.#state = new GCState(mem);
    this.base = base;
    if (base !== 0) return;
    const block = mem.persistentAlloc(GCSTATS.size, 64, "gcSys");
    if (block === 0) outOfMemory("gc: no room for the collector's statistics");
    this.base = block;
    this.#setF(GCSTATS_AT.cpu + 8 * CPU_TIMES.total, Number.NaN);
    this.#setF(GCSTATS_AT.cpu + 8 * CPU_TIMES.idle, Number.NaN);
    mem.setRoot(ROOT_GCSTATS, block);
  }

  /** The statistics of the collector that works on the memory, or null: for threads that did not make it. */
  static attach(mem: LinearMemory): GCRecord | null {
    const base = mem.root(ROOT_GCSTATS);
    return base === 0 ? null : new GCRecord(mem, base);
  }

  #f(offset: number): number {
    return this.#f64[(this.base + offset) >>> 3];
  }

  #setF(offset: number, v: number): void {
    this.#f64[(this.base + offset) >>> 3] = v;
  }

  #u(offset: number): number {
    return this.#u32[(this.base + offset) >>> 2];
  }

  #setU(offset: number, v: number): void {
    this.#u32[(this.base + offset) >>> 2] = v;
  }

  #add(offset: number, n: number): void {
    this.#setF(offset, this.#f(offset) + n);
  }

  get numGC(): number {
    return this.#u(GCSTATS_AT.numGC);
  }
  get numForcedGC(): number {
    return this.#u(GCSTATS_AT.numForcedGC);
  }
  get gcCPUFraction(): number {
    return this.#f(GCSTATS_AT.gcCPUFraction);
  }
  /** Bytes of heap, stacks and globals that the last cycle scanned. */
  get heapScan(): number {
    return this.#f(GCSTATS_AT.heapScan);
  }
  get stackScan(): number {
    return this.#f(GCSTATS_AT.stackScan);
  }
  get globalsScan(): number {
    return this.#f(GCSTATS_AT.globalsScan);
  }
  get limiterLastEnabled(): number {
    return this.#u(GCSTATS_AT.limiterLastEnabled);
  }
  /** GOGC, -1 when off. */
  get gcPercent(): number {
    return this.#state.pacer.gcPercent;
  }
  /** Bytes, Infinity when there is none; exact below 2^53. */
  get memoryLimit(): number {
    return this.#state.pacer.limitBytes;
  }
  /** heapLive when the running cycle was triggered, else 0. */
  get triggered(): number {
    return this.#state.pacer.triggered;
  }
  get sweepPending(): boolean {
    return this.#state.sweep.pending;
  }
  get assistNs(): number {
    return this.#f(GCSTATS_AT.assistNs);
  }
  get dedicatedNs(): number {
    return this.#f(GCSTATS_AT.dedicatedNs);
  }
  get idleNs(): number {
    return this.#f(GCSTATS_AT.idleNs);
  }
  get pauseCpuNs(): number {
    return this.#f(GCSTATS_AT.pauseCpuNs);
  }
  /** Counts of a histogram, bucket by bucket; writing to it is recording. */
  histogram(name: GCHistogram): Float64Array {
    const at = (this.base + GCSTATS_AT[name]) >>> 3;
    return this.#f64.subarray(at, at + TIME_HISTOGRAM_BUCKETS);
  }

  /** Functions queued or run since the start. */
  finalizations(name: FinalizerCount): number {
    return this.#f(GCSTATS_AT[name]);
  }

  countFinalization(name: FinalizerCount): void {
    this.#add(GCSTATS_AT[name], 1);
  }

  /** The program is over its limit and is not collected, so that it gets something done. */
  noteLimited(): void {
    this.#setU(GCSTATS_AT.limiterLastEnabled, this.numGC + 1);
  }

  /** Publishes the classes of CPU time, in the order of CPU_TIMES. */
  setCpu(times: Float64Array): void {
    const at = (this.base + GCSTATS_AT.cpu) >>> 3;
    beginChange(this.#mem, this.base + GCSTATS_AT.cpuSeq);
    for (let i = 0; i < NUM_CPU_TIMES; i++) this.#f64[at + i] = times[i];
    endChange(this.#mem, this.base + GCSTATS_AT.cpuSeq);
  }

  /** Copies what was published last. */
  readCpu(out: Float64Array): void {
    const at = (this.base + GCSTATS_AT.cpu) >>> 3;
    let v: number;
    do {
      v = stableVersion(this.#mem, this.base + GCSTATS_AT.cpuSeq);
      for (let i = 0; i < NUM_CPU_TIMES; i++) out[i] = this.#f64[at + i];
    } while (!unchanged(this.#mem, this.base + GCSTATS_AT.cpuSeq, v));
  }

  /** Before the pacer looks at it: the scan work of the cycle that ends. */
  setScan(heapScan: number, stackScan: number, globalsScan: number): void {
    this.#setF(GCSTATS_AT.heapScan, heapScan);
    this.#setF(GCSTATS_AT.stackScan, stackScan);
    this.#setF(GCSTATS_AT.globalsScan, globalsScan);
  }

  /** The next cycle has ended. */
  endCycle(r: CycleTimes): void {
    beginChange(this.#mem, this.base + GCSTATS_AT.seq);
    const n = this.numGC + 1;
    this.#setU(GCSTATS_AT.numGC, n);
    if (r.forced) this.#setU(GCSTATS_AT.numForcedGC, this.numForcedGC + 1);
    const slot = (n - 1) % RING;
    this.#f64[((this.base + GCSTATS_AT.pauseNs) >>> 3) + slot] = r.pauseNs;
    this.#bi64[((this.base + GCSTATS_AT.pauseEnd) >>> 3) + slot] = r.pauseEnd;
    this.#add(GCSTATS_AT.pauseTotalNs, r.pauseNs);
    this.#add(GCSTATS_AT.gcCpuNs, r.assistNs + r.dedicatedNs + r.pauseNs * r.procs);
    this.#add(GCSTATS_AT.assistNs, r.assistNs);
    this.#add(GCSTATS_AT.dedicatedNs, r.dedicatedNs);
    this.#add(GCSTATS_AT.idleNs, r.idleNs);
    this.#add(GCSTATS_AT.pauseCpuNs, r.pauseNs * r.procs);
    // Below 1 in Go too: the program had at least the time to ask.
    this.#setF(
      GCSTATS_AT.gcCPUFraction,
      Math.min(this.#f(GCSTATS_AT.gcCpuNs) / Math.max(1, r.availableCpuNs), 0.999999999),
    );
    endChange(this.#mem, this.base + GCSTATS_AT.seq);
  }

  /** Runs copy, which must have no other effect, until what it has seen was of one moment. */
  readStable(copy: () => void): void {
    const at = this.base + GCSTATS_AT.seq;
    for (;;) {
      const v = stableVersion(this.#mem, at);
      copy();
      if (unchanged(this.#mem, at, v)) return;
    }
  }

  /** Which cycle's end the figures are of: while it is the same even number, they are the same too. */
  get version(): number {
    return this.#mem.kernel.load(this.base + GCSTATS_AT.seq);
  }

  /** Copies the rings; the ends as words, low word first, for which no bigint is made. */
  copyRings(pauseNs: Float64Array, pauseEndWords: Uint32Array): void {
    const ns = (this.base + GCSTATS_AT.pauseNs) >>> 3;
    const end = (this.base + GCSTATS_AT.pauseEnd) >>> 2;
    for (let i = 0; i < RING; i++) pauseNs[i] = this.#f64[ns + i];
    for (let i = 0; i < 2 * RING; i++) pauseEndWords[i] = this.#u32[end + i];
  }

  get pauseTotalNs(): number {
    return this.#f(GCSTATS_AT.pauseTotalNs);
  }

  /** Fills everything but what is the heap's to tell. */
  read(out: GCStats): void {
    this.readStable(() => {
      const n = this.numGC;
      out.numGC = n;
      out.numForcedGC = this.numForcedGC;
      const ns = (this.base + GCSTATS_AT.pauseNs) >>> 3;
      const end = (this.base + GCSTATS_AT.pauseEnd) >>> 3;
      for (let i = 0; i < RING; i++) {
        out.pauseNs[i] = this.#f64[ns + i];
        out.pauseEnd[i] = this.#bi64[end + i];
      }
      out.pauseTotalNs = this.pauseTotalNs;
      out.gcCPUFraction = this.gcCPUFraction;
      out.lastGC = n === 0 ? 0n : out.pauseEnd[(n - 1) % RING];
      out.gcCpuNs = this.#f(GCSTATS_AT.gcCpuNs);
      out.gcIdleCpuNs = this.idleNs;
    });
    out.enableGC = true;
    out.heapScan = this.heapScan;
    out.stackScan = this.stackScan;
    out.globalsScan = this.globalsScan;
  }
}
