/** MemStats over this runtime's memory: where each counter of `RawStats` is kept. */
import { type Allocator, classToSize, type HeapStats, newHeapStats } from "@gort/allocator/internal";
import { type Collector, type GCStats, NO_MEMORY_LIMIT, newGCStats } from "@gort/gc";
import type { RawStats, StatsSource } from "@gort/memstats";
import type { WorldStops } from "./stops.ts";

/** Implements `StatsSource` of @gort/memstats. */
export class RuntimeStats implements StatsSource {
  readonly #allocator: Allocator;
  readonly #collector: Collector;
  readonly #heap: HeapStats = newHeapStats();
  /** The collector's figures as of the last fill. */
  readonly gc: GCStats = newGCStats();
  /** The ring of pause ends as words, so that copying it makes no bigints. */
  readonly #pauseEndWords = new Uint32Array(this.gc.pauseEnd.buffer);

  readonly #stops: WorldStops;
  /** Stops of the collector when `gc` was filled; its rings are not worth a copy for every snapshot. */
  #seenStops = -1;

  constructor(allocator: Allocator, collector: Collector, stops: WorldStops) {
    this.#allocator = allocator;
    this.#collector = collector;
    this.#stops = stops;
  }

  /**
   * The goal of the heap. The collector keeps it, but where a memory limit decides it moves with all other memory, and has to
   * be computed: with bigints, as it may exceed 2^53.
   */
  #nextGC(): number {
    const collector = this.#collector;
    const { gcPercent } = collector;
    if (gcPercent >= 0 && collector.setMemoryLimit(-1) === NO_MEMORY_LIMIT) return collector.heap.heapGoal;
    return Number(collector.nextGC());
  }

  fill(raw: RawStats): void {
    const h = this.#heap;
    this.#allocator.readStats(h);
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

    const { gc } = this;
    if (this.#seenStops !== this.#stops.gcStops || this.#stops.inGC) {
      this.#collector.readGCStats(gc);
      this.#seenStops = this.#stops.gcStops;
    }
    raw.nextGC = this.#nextGC();
    raw.numGC = gc.numGC;
    raw.numForcedGC = gc.numForcedGC;
    raw.pauseTotalNs = gc.pauseTotalNs;
    raw.gcCPUFraction = gc.gcCPUFraction;
    raw.enableGC = gc.enableGC;
    raw.pauseNs.set(gc.pauseNs);
    raw.pauseEndWords.set(this.#pauseEndWords);
  }
}
