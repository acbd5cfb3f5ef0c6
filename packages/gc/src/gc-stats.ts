/**
 * The collector's figures that outlive a cycle, for MemStats, runtime/metrics and debug.GCStats. They are in linear
 * memory, so every thread that attaches to the memory reads the same ones.
 *
 * ## Who may touch what
 * The thread that runs the cycle writes them. Two parts have other writers. The facade writes the histograms of stops
 * and `cpu`, as it stops the world and knows the host's idle time. Any thread adds to the counts of finalizers,
 * atomically. Every thread may read.
 *
 * The figures of a cycle's end (number, pause, when it ended, CPU time) belong together. They are written between two
 * increments of `seq`. A reader copies them if `seq` is even and is the same before and after; otherwise it tries again
 * (seqlock.ts of memory). Single counters need no such care.
 *
 *     NumGC = n          =>  pauseNs[(n - 1) % 256], pauseEnd[(n - 1) % 256] are those of cycle n
 *     pauseTotalNs       =   sum of pauseNs, while n <= 256
 *     gcCpuNs            =   assistNs + dedicatedNs + pauseCpuNs: the numerator of gcCPUFraction, as in Go
 *     pauseCpuNs         =   sum of a cycle's pause times its GOMAXPROCS: in a stop no P does anything else
 *     numForcedGC        <=  numGC
 *     *Executed          <=  *Queued
 */
import { outOfMemory } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import {
  beginChange,
  defineStruct,
  endChange,
  f64s,
  ROOT_GCSTATS,
  stableVersion,
  unchanged,
} from "@gort/memory/internal";
import { GCState } from "./gc-state.ts";

const RING = 256;

/** Buckets of Go's histogram of durations; memstats decides which bucket a duration falls into. */
export const TIME_HISTOGRAM_BUCKETS = 162;

/** Figures kept over cycles; one block a memory, found through the root ROOT_GCSTATS. */
export const GCSTATS = defineStruct("gcStats", {
  /** Versions of the figures of a cycle's end, and of `cpu`: odd while a writer changes them. */
  seq: "u32",
  cpuSeq: "u32",
  numGC: "u32",
  numForcedGC: "u32",
  /**
   * The last cycle in which the limiter let the heap exceed its limit, so that the program does more than collect; 0:
   * none.
   */
  limiterLastEnabled: "u32",
  pauseTotalNs: "f64",
  /** CPU time of the collector without idle marking. */
  gcCpuNs: "f64",
  gcCPUFraction: "f64",
  /** CPU time by class: assists, background marking, idle marking, stops (all Ps wait in a stop). */
  assistNs: "f64",
  dedicatedNs: "f64",
  idleNs: "f64",
  pauseCpuNs: "f64",
  /**
   * All classes of CPU time at one moment, for threads that cannot ask the host for this thread's idle time: see
   * CPU_TIMES.
   */
  cpu: f64s(8),
  /** Bytes scanned by the last cycle. */
  heapScan: "f64",
  stackScan: "f64",
  globalsScan: "f64",
  /** Go's goal of the heap, in bytes: see goGoal. */
  goGoal: "f64",
  /** 64-bit integers. */
  finalizersQueued: f64s(1),
  finalizersExecuted: f64s(1),
  cleanupsQueued: f64s(1),
  cleanupsExecuted: f64s(1),
  /** Durations of stops of the world: until it was stopped, and in all; for collections and for other reasons. */
  stoppingGC: f64s(TIME_HISTOGRAM_BUCKETS),
  stoppingOther: f64s(TIME_HISTOGRAM_BUCKETS),
  pausesGC: f64s(TIME_HISTOGRAM_BUCKETS),
  pausesOther: f64s(TIME_HISTOGRAM_BUCKETS),
  /**
   * For cycle n at (n - 1) % 256: nanoseconds of its stops, and the end of the last one, a 64-bit integer since 1970.
   */
  pauseNs: f64s(RING),
  pauseEnd: f64s(RING),
});
const GCSTATS_AT = GCSTATS.offsets;

/**
 * Positions in `cpu`, in nanoseconds. `total` and `idle` are NaN where the host does not tell the event loop's idle
 * time.
 */
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

/** `readGCStats` fills this. */
export interface GCStats {
  numGC: number;
  numForcedGC: number;
  /** For cycle n at (n - 1) % 256: nanoseconds that the world was stopped, and when that ended (since 1970). */
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

/** The figures of an ended cycle. Times are nanoseconds, of CPU time where the name says so. */
export interface CycleTimes {
  forced: boolean;
  /** Sum of the stops of the cycle, and the end of the last one. */
  pauseNs: number;
  pauseEnd: bigint;
  procs: number;
  assistNs: number;
  /** Background marking while the program ran. */
  dedicatedNs: number;
  idleNs: number;
  /** CPU time that was available since the start. */
  availableCpuNs: number;
}

/** GCSTATS, read and written by field. */
export class GCRecord {
  readonly #mem: LinearMemory;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #bi64: BigInt64Array;
  /** PACER and SWEEP have the inputs of the goal, which readers want with the figures. */
  readonly #state: GCState;
  /** Address of the block. */
  readonly base: number;

  /** @param base an existing block; 0: makes a new one, for all threads that attach later */
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

  /** The statistics of the memory's collector, or null if there is none. For threads that did not make it. */
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
  /**
   * Go's goal of the heap, in bytes, as of the last change. The collector's own goal may be another one: see
   * mgcpacer.ts. With a memory limit Go's goal moves with all other memory, and is computed by each reader.
   */
  get goGoal(): number {
    return this.#f(GCSTATS_AT.goGoal);
  }

  set goGoal(bytes: number) {
    this.#setF(GCSTATS_AT.goGoal, bytes);
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
  /** heapLive when the running cycle was triggered; 0 outside of a cycle. */
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
  /** Counts of a histogram, by bucket. To record a duration, add to its bucket. */
  histogram(name: GCHistogram): Float64Array {
    const at = (this.base + GCSTATS_AT[name]) >>> 3;
    return this.#f64.subarray(at, at + TIME_HISTOGRAM_BUCKETS);
  }

  /** Number of functions queued or run since the start. */
  finalizations(name: FinalizerCount): number {
    return Number(this.#bi64[(this.base + GCSTATS_AT[name]) >>> 3]);
  }

  /** Any thread may count. */
  countFinalization(name: FinalizerCount): void {
    Atomics.add(this.#bi64, (this.base + GCSTATS_AT[name]) >>> 3, 1n);
  }

  /** The program is over its limit, but the limiter puts the collection off. */
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

  /** Copies the classes that were published last. */
  readCpu(out: Float64Array): void {
    const at = (this.base + GCSTATS_AT.cpu) >>> 3;
    let v: number;
    do {
      v = stableVersion(this.#mem, this.base + GCSTATS_AT.cpuSeq);
      for (let i = 0; i < NUM_CPU_TIMES; i++) out[i] = this.#f64[at + i];
    } while (!unchanged(this.#mem, this.base + GCSTATS_AT.cpuSeq, v));
  }

  /** Sets the scan work of the cycle that ends, for the pacer. */
  setScan(heapScan: number, stackScan: number, globalsScan: number): void {
    this.#setF(GCSTATS_AT.heapScan, heapScan);
    this.#setF(GCSTATS_AT.stackScan, stackScan);
    this.#setF(GCSTATS_AT.globalsScan, globalsScan);
  }

  /** Records the end of a cycle. */
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
    // Below 1 in Go too: the program had time at least to ask for the figure.
    this.#setF(
      GCSTATS_AT.gcCPUFraction,
      Math.min(this.#f(GCSTATS_AT.gcCpuNs) / Math.max(1, r.availableCpuNs), 0.999999999),
    );
    endChange(this.#mem, this.base + GCSTATS_AT.seq);
  }

  /** Runs copy, which must have no other effect, until all that it read was of one moment. */
  readStable(copy: () => void): void {
    const at = this.base + GCSTATS_AT.seq;
    for (;;) {
      const v = stableVersion(this.#mem, at);
      copy();
      if (unchanged(this.#mem, at, v)) return;
    }
  }

  /** Version of the figures of a cycle's end: while it is the same even number, the figures are the same. */
  get version(): number {
    return this.#mem.kernel.load(this.base + GCSTATS_AT.seq);
  }

  /** Copies the rings. The ends are words, low word first, so that no bigint is made. */
  copyRings(pauseNs: Float64Array, pauseEndWords: Uint32Array): void {
    const ns = (this.base + GCSTATS_AT.pauseNs) >>> 3;
    const end = (this.base + GCSTATS_AT.pauseEnd) >>> 2;
    for (let i = 0; i < RING; i++) pauseNs[i] = this.#f64[ns + i];
    for (let i = 0; i < 2 * RING; i++) pauseEndWords[i] = this.#u32[end + i];
  }

  get pauseTotalNs(): number {
    return this.#f(GCSTATS_AT.pauseTotalNs);
  }

  /** Fills all fields but those that come from the heap. */
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
