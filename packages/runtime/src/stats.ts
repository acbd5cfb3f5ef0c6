/** MemStats over this runtime's memory: where each counter of `RawStats` is kept. */
import { type Allocator, classToSize, type HeapStats, newHeapStats } from "@gort/allocator/internal";
import { type Collector, type GCStats, newGCStats } from "@gort/gc";
import type { RawStats, StatsSource } from "@gort/memstats";

/** Implements `StatsSource` of @gort/memstats. */
export class RuntimeStats implements StatsSource {
  readonly #allocator: Allocator;
  readonly #collector: Collector;
  readonly #heap: HeapStats = newHeapStats();
  /** The collector's figures as of the last fill. */
  readonly gc: GCStats = newGCStats();
  /** The ring of pause ends as words, so that copying it makes no bigints. */
  readonly #pauseEndWords = new Uint32Array(this.gc.pauseEnd.buffer);

  constructor(allocator: Allocator, collector: Collector) {
    this.#allocator = allocator;
    this.#collector = collector;
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

    const gc = this.#collector.readGCStats(this.gc);
    raw.nextGC = Number(gc.nextGC);
    raw.numGC = gc.numGC;
    raw.numForcedGC = gc.numForcedGC;
    raw.pauseTotalNs = gc.pauseTotalNs;
    raw.gcCPUFraction = gc.gcCPUFraction;
    raw.enableGC = gc.enableGC;
    raw.pauseNs.set(gc.pauseNs);
    raw.pauseEndWords.set(this.#pauseEndWords);
  }
}
