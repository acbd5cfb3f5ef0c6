/**
 * MemStats over this runtime's memory: the source of each counter of `RawStats`. All counters are in the linear
 * memory, so the same code serves the runtime's thread and threads that have attached.
 */
import { classToSize, GCCONTROL, type HeapStats, newHeapStats } from "@gort/allocator/internal";
import type { GoalInputs } from "@gort/gc";
import type { GCRecord } from "@gort/gc/internal";
import { heapGoal, NO_MEMORY_LIMIT } from "@gort/gc/internal";
import type { LinearMemory } from "@gort/memory";
import type { RawStats, StatsSource } from "@gort/memstats";
import { newRawStats } from "@gort/memstats/internal";
import type { WorldStops } from "./stops.ts";

const C = GCCONTROL.offsets;

/** The source of the heap's figures: the allocator of this thread, or a reader on a thread without one. */
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
  /** The heap's figures at the last fill. */
  readonly heap: HeapStats = newHeapStats();
  /** Shares the counts by class with `heap`. The collector's figures are copied if a cycle has ended since. */
  readonly raw: RawStats = {
    ...newRawStats(),
    smallAllocCount: this.heap.smallAllocCount,
    smallFreeCount: this.heap.smallFreeCount,
  };
  #seen = -1;
  readonly #copy = (): void => {
    const record = this.#record;
    const { raw } = this;
    this.#seen = record.version;
    raw.numGC = record.numGC;
    raw.numForcedGC = record.numForcedGC;
    raw.pauseTotalNs = record.pauseTotalNs;
    raw.gcCPUFraction = record.gcCPUFraction;
    record.copyRings(raw.pauseNs, raw.pauseEndWords);
  };

  constructor(mem: LinearMemory, figures: HeapFigures, record: GCRecord) {
    this.#f64 = mem.f64;
    this.#figures = figures;
    this.#record = record;
    this.raw.classSizes.set(classToSize);
  }

  /** Bytes that the last cycle marked. */
  get heapMarked(): number {
    return this.#f64[(this.#figures.gcControl + C.heapMarked) >>> 3];
  }

  /**
   * Go's goal of the heap, which the collector keeps. But if a memory limit decides, the goal moves with all other
   * memory and is computed here, with bigints, because it may exceed 2^53.
   */
  #nextGC(): number {
    const record = this.#record;
    const { gcPercent, memoryLimit } = record;
    if (gcPercent >= 0 && memoryLimit === Number.POSITIVE_INFINITY) return record.goGoal;
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

  /** @param raw the `raw` of this source */
  fill(raw: RawStats): void {
    const h = this.heap;
    this.#figures.readStats(h);
    raw.heapInuse = h.heapInuse;
    raw.heapIdle = h.heapIdle;
    raw.heapReleased = h.heapReleased;
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
    // Work buffers are pages of the heap, which the allocator counts in gcSys.
    raw.gcSys = h.gcSys;
    raw.otherSys = h.otherSys;

    if (this.#record.version !== this.#seen) this.#record.readStable(this.#copy);
    raw.nextGC = this.#nextGC();
  }
}

/**
 * The same figures, read in a stop of the world, unless it is stopped already. Only `fill` is in the stop. The record
 * of the program is filled after it, since an assignment to it may run code of the program.
 */
export class StoppedStats implements StatsSource {
  readonly #stops: WorldStops;
  readonly #stats: RuntimeStats;
  readonly raw: RawStats;

  constructor(stops: WorldStops, stats: RuntimeStats) {
    this.#stops = stops;
    this.#stats = stats;
    this.raw = stats.raw;
  }

  fill(raw: RawStats): void {
    const stops = this.#stops;
    if (stops.stopped) {
      this.#stats.fill(raw);
      return;
    }
    stops.stopTheWorld("read mem stats");
    try {
      this.#stats.fill(raw);
    } finally {
      stops.startTheWorld();
    }
  }
}
