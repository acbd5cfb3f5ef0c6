/**
 * MemStats over this runtime's memory: where each counter of `RawStats` is kept. All of them are in the linear memory, so
 * the same code serves the runtime's thread and others that have attached.
 */
import { classToSize, GCCONTROL, type HeapStats, newHeapStats } from "@gort/allocator/internal";
import { type GoalInputs, heapGoal, NO_MEMORY_LIMIT } from "@gort/gc";
import type { GCRecord } from "@gort/gc/internal";
import type { LinearMemory } from "@gort/memory";
import { PAUSE_RING, type RawStats, type StatsSource } from "@gort/memstats";

const C = GCCONTROL.offsets;

/** Where the heap's figures come from: the allocator of this thread, or a reader that has none. */
export interface HeapFigures {
  /** Address of the GCCONTROL block. */
  readonly gcControl: number;
  readStats(out: HeapStats): HeapStats;
}

/** Implements `StatsSource` of @gort/memstats. */
export class RuntimeStats implements StatsSource {
  readonly #f64: Float64Array;
  readonly #figures: HeapFigures;
  readonly #record: GCRecord;
  /** The heap's figures as of the last fill. */
  readonly heap: HeapStats = newHeapStats();
  // The collector's rings, copied when a cycle has ended since.
  readonly #pauseNs = new Float64Array(PAUSE_RING);
  readonly #pauseEndWords = new Uint32Array(2 * PAUSE_RING);
  #seen = -1;
  #numGC = 0;
  #numForcedGC = 0;
  #pauseTotalNs = 0;
  #gcCPUFraction = 0;
  readonly #copy = (): void => {
    const record = this.#record;
    this.#seen = record.version;
    this.#numGC = record.numGC;
    this.#numForcedGC = record.numForcedGC;
    this.#pauseTotalNs = record.pauseTotalNs;
    this.#gcCPUFraction = record.gcCPUFraction;
    record.copyRings(this.#pauseNs, this.#pauseEndWords);
  };

  constructor(mem: LinearMemory, figures: HeapFigures, record: GCRecord) {
    this.#f64 = mem.f64;
    this.#figures = figures;
    this.#record = record;
  }

  /** Bytes that the last cycle marked. */
  get heapMarked(): number {
    return this.#f64[(this.#figures.gcControl + C.heapMarked) >>> 3] as number;
  }

  /**
   * The goal of the heap. The collector keeps it, but where a memory limit decides it moves with all other memory, and has to
   * be computed: with bigints, as it may exceed 2^53.
   */
  #nextGC(): number {
    const record = this.#record;
    const { gcPercent, memoryLimit } = record;
    if (gcPercent >= 0 && memoryLimit === Number.POSITIVE_INFINITY) {
      return this.#f64[(this.#figures.gcControl + C.heapGoal) >>> 3] as number;
    }
    const h = this.heap;
    const inputs: GoalInputs = {
      gcPercent,
      heapMarked: this.heapMarked,
      stackScan: record.stackScan,
      globalsScan: record.globalsScan,
      memoryLimit: memoryLimit === Number.POSITIVE_INFINITY ? NO_MEMORY_LIMIT : BigInt(memoryLimit),
      mapped: h.sys - h.heapReleased,
      heapFree: h.heapIdle - h.heapReleased,
      heapAlloc: h.heapAlloc,
      sweepPending: record.sweepPending,
      triggered: record.triggered,
    };
    return heapGoal(inputs);
  }

  fill(raw: RawStats): void {
    const h = this.heap;
    this.#figures.readStats(h);
    raw.heapInuse = h.heapInuse;
    raw.heapIdle = h.heapIdle;
    raw.heapReleased = h.heapReleased;
    raw.classSizes.set(classToSize);
    raw.smallAllocCount.set(h.smallAllocCount);
    raw.smallFreeCount.set(h.smallFreeCount);
    raw.largeAllocCount = h.largeAllocCount;
    raw.largeAllocBytes = h.largeAlloc;
    raw.largeFreeCount = h.largeFreeCount;
    raw.largeFreeBytes = h.largeFree;
    raw.tinyAllocs = h.tinyAllocs;
    raw.stackInuse = h.stackInuse;
    raw.osStackSys = h.stackSys - h.stackInuse;
    raw.mspanInuse = h.mspanInuse;
    raw.mspanSys = h.mspanSys;
    raw.mcacheInuse = h.mcacheInuse;
    raw.mcacheSys = h.mcacheSys;
    raw.buckHashSys = h.buckHashSys;
    // Work buffers are pages of the heap, and the allocator has counted them here already.
    raw.gcSys = h.gcSys;
    raw.otherSys = h.otherSys;

    if (this.#record.version !== this.#seen) this.#record.readStable(this.#copy);
    raw.nextGC = this.#nextGC();
    raw.numGC = this.#numGC;
    raw.numForcedGC = this.#numForcedGC;
    raw.pauseTotalNs = this.#pauseTotalNs;
    raw.gcCPUFraction = this.#gcCPUFraction;
    raw.pauseNs.set(this.#pauseNs);
    raw.pauseEndWords.set(this.#pauseEndWords);
  }
}
