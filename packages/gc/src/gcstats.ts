/** The collector's figures that outlive a cycle, in linear memory: what MemStats and debug.GCStats tell. */
import { defineStruct, type LinearMemory } from "@gort/memory";
import { throwFatal } from "./errors.ts";

/** Kept over cycles. The rings have 256 entries; cycle n (from 1) is at (n - 1) % 256. */
const GCSTATE = defineStruct("gcState", {
  /** Word and double positions are those of MemStats. */
  numGC: "u32",
  numForcedGC: "u32",
  pauseTotalNs: "f64",
  /** CPU time of the collector without idle marking, and with it, since the start. */
  gcCpuNs: "f64",
  gcIdleCpuNs: "f64",
  gcCPUFraction: "f64",
  /** Scan work of the last cycle. */
  heapScan: "f64",
  stackScan: "f64",
  globalsScan: "f64",
});
const G = GCSTATE.offsets;
const RING = 256;

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

/** The block in linear memory, and the ring of pauses. */
export class GCRecord {
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #bi64: BigInt64Array;
  readonly #state: number;
  /** 256 pauses as doubles, then 256 ends as 64-bit integers; an index of 8-byte words. */
  readonly #ring: number;

  constructor(mem: LinearMemory) {
    this.#u32 = mem.u32;
    this.#f64 = mem.f64;
    this.#bi64 = mem.bi64;
    this.#state = mem.reserveControl(GCSTATE.size);
    const ring = mem.persistentAlloc(RING * 16, 8, "gcSys");
    if (ring === 0) throwFatal("out of memory", "gc: no room for the pause rings");
    this.#ring = ring >>> 3;
  }

  #f(offset: number): number {
    return this.#f64[(this.#state + offset) >>> 3] as number;
  }

  #setF(offset: number, v: number): void {
    this.#f64[(this.#state + offset) >>> 3] = v;
  }

  get numGC(): number {
    return this.#u32[(this.#state + G.numGC) >>> 2] as number;
  }
  get numForcedGC(): number {
    return this.#u32[(this.#state + G.numForcedGC) >>> 2] as number;
  }
  get gcCPUFraction(): number {
    return this.#f(G.gcCPUFraction);
  }
  /** Bytes of heap, stacks and globals that the last cycle scanned. */
  get heapScan(): number {
    return this.#f(G.heapScan);
  }
  get stackScan(): number {
    return this.#f(G.stackScan);
  }
  get globalsScan(): number {
    return this.#f(G.globalsScan);
  }

  /** Before the pacer looks at it: the scan work of the cycle that ends. */
  setScan(heapScan: number, stackScan: number, globalsScan: number): void {
    this.#setF(G.heapScan, heapScan);
    this.#setF(G.stackScan, stackScan);
    this.#setF(G.globalsScan, globalsScan);
  }

  /** The next cycle has ended; counts it. */
  count(forced: boolean): number {
    const n = this.numGC + 1;
    this.#u32[(this.#state + G.numGC) >>> 2] = n;
    if (forced) this.#u32[(this.#state + G.numForcedGC) >>> 2] = this.numForcedGC + 1;
    return n;
  }

  /** The times of the cycle that was counted last. */
  addTimes(r: {
    pauseNs: number;
    pauseEnd: bigint;
    cpuNs: number;
    idleCpuNs: number;
    availableCpuNs: number;
  }): void {
    const slot = (this.numGC - 1) % RING;
    this.#f64[this.#ring + slot] = r.pauseNs;
    this.#bi64[this.#ring + RING + slot] = r.pauseEnd;
    this.#setF(G.pauseTotalNs, this.#f(G.pauseTotalNs) + r.pauseNs);
    this.#setF(G.gcCpuNs, this.#f(G.gcCpuNs) + r.cpuNs);
    this.#setF(G.gcIdleCpuNs, this.#f(G.gcIdleCpuNs) + r.idleCpuNs);
    // Below 1 in Go too: the program had at least the time to ask.
    this.#setF(G.gcCPUFraction, Math.min(this.#f(G.gcCpuNs) / Math.max(1, r.availableCpuNs), 0.999999999));
  }

  /** Fills everything but what is the heap's to tell. */
  read(out: GCStats): void {
    const n = this.numGC;
    out.numGC = n;
    out.numForcedGC = this.numForcedGC;
    for (let i = 0; i < RING; i++) {
      out.pauseNs[i] = this.#f64[this.#ring + i] as number;
      out.pauseEnd[i] = this.#bi64[this.#ring + RING + i] as bigint;
    }
    out.pauseTotalNs = this.#f(G.pauseTotalNs);
    out.gcCPUFraction = this.#f(G.gcCPUFraction);
    out.lastGC = n === 0 ? 0n : (out.pauseEnd[(n - 1) % RING] as bigint);
    out.enableGC = true;
    out.heapScan = this.heapScan;
    out.stackScan = this.stackScan;
    out.globalsScan = this.globalsScan;
    out.gcCpuNs = this.#f(G.gcCpuNs);
    out.gcIdleCpuNs = this.#f(G.gcIdleCpuNs);
  }
}
