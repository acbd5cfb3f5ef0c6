/** The allocator's figures, in the form that readStats fills without allocating. */
import { MCACHE, MHEAP } from "./layout.ts";
import type { MHeap } from "./mheap.ts";
import { classToSize, NUM_SIZE_CLASSES } from "./sizeclasses.generated.ts";

/**
 * All figures are bytes or counts since the memory was made. Identities that verifyHeap checks:
 *
 *     mallocs   = sum smallAllocCount + largeAllocCount + tinyAllocs
 *     frees     = sum smallFreeCount + largeFreeCount + tinyAllocs
 *     heapAlloc = totalAlloc - totalFree
 *     heapSys   = heapInuse + heapIdle         heapReleased <= heapIdle
 *     sys       = heapSys + stackSys + mspanSys + mcacheSys + buckHashSys + gcSys + otherSys
 */
export interface HeapStats {
  mallocs: number;
  frees: number;
  totalAlloc: number;
  totalFree: number;
  heapAlloc: number;
  heapObjects: number;
  heapSys: number;
  heapInuse: number;
  heapIdle: number;
  heapReleased: number;
  stackInuse: number;
  stackSys: number;
  mspanInuse: number;
  mspanSys: number;
  mcacheInuse: number;
  mcacheSys: number;
  buckHashSys: number;
  gcSys: number;
  otherSys: number;
  sys: number;
  tinyAllocs: number;
  largeAlloc: number;
  largeAllocCount: number;
  largeFree: number;
  largeFreeCount: number;
  /** Objects by size class; index 0 is unused. */
  readonly smallAllocCount: Float64Array;
  readonly smallFreeCount: Float64Array;
}

export function newHeapStats(): HeapStats {
  return {
    mallocs: 0,
    frees: 0,
    totalAlloc: 0,
    totalFree: 0,
    heapAlloc: 0,
    heapObjects: 0,
    heapSys: 0,
    heapInuse: 0,
    heapIdle: 0,
    heapReleased: 0,
    stackInuse: 0,
    stackSys: 0,
    mspanInuse: 0,
    mspanSys: 0,
    mcacheInuse: 0,
    mcacheSys: 0,
    buckHashSys: 0,
    gcSys: 0,
    otherSys: 0,
    sys: 0,
    tinyAllocs: 0,
    largeAlloc: 0,
    largeAllocCount: 0,
    largeFree: 0,
    largeFreeCount: 0,
    smallAllocCount: new Float64Array(NUM_SIZE_CLASSES),
    smallFreeCount: new Float64Array(NUM_SIZE_CLASSES),
  };
}

const M = MCACHE.offsets;

/** Sums the mcaches' counters and reads the heap's. Exact if every mcache was flushed. */
export function fillStats(heap: MHeap, out: HeapStats): HeapStats {
  const { u32, f64 } = heap.mem;
  const { stats } = heap.mem;
  out.tinyAllocs = 0;
  out.largeAlloc = 0;
  out.largeAllocCount = 0;
  out.largeFree = 0;
  out.largeFreeCount = 0;
  out.smallAllocCount.fill(0);
  out.smallFreeCount.fill(0);
  let c = u32[(heap.base + MHEAP.offsets.mcaches) >>> 2] as number;
  for (; c !== 0; c = u32[(c + M.next) >>> 2] as number) {
    out.tinyAllocs += (f64[(c + M.tinyAllocs) >>> 3] as number) + (u32[(c + M.tinyCount) >>> 2] as number);
    out.largeAlloc += f64[(c + M.largeAlloc) >>> 3] as number;
    out.largeAllocCount += f64[(c + M.largeAllocCount) >>> 3] as number;
    out.largeFree += f64[(c + M.largeFree) >>> 3] as number;
    out.largeFreeCount += f64[(c + M.largeFreeCount) >>> 3] as number;
    for (let k = 1; k < NUM_SIZE_CLASSES; k++) {
      const a = out.smallAllocCount[k] as number;
      const f = out.smallFreeCount[k] as number;
      out.smallAllocCount[k] = a + (f64[((c + M.smallAllocCount) >>> 3) + k] as number);
      out.smallFreeCount[k] = f + (f64[((c + M.smallFreeCount) >>> 3) + k] as number);
    }
  }
  let mallocs = out.largeAllocCount;
  let frees = out.largeFreeCount;
  out.totalAlloc = out.largeAlloc;
  out.totalFree = out.largeFree;
  for (let k = 1; k < NUM_SIZE_CLASSES; k++) {
    const size = classToSize[k] as number;
    const a = out.smallAllocCount[k] as number;
    const f = out.smallFreeCount[k] as number;
    mallocs += a;
    frees += f;
    out.totalAlloc += a * size;
    out.totalFree += f * size;
  }
  out.heapObjects = mallocs - frees;
  out.mallocs = mallocs + out.tinyAllocs;
  out.frees = frees + out.tinyAllocs;
  out.heapAlloc = out.totalAlloc - out.totalFree;
  out.heapInuse = heap.counter("heapInUse");
  out.heapReleased = heap.counter("heapReleased");
  out.heapIdle = heap.counter("heapFree") + out.heapReleased;
  out.heapSys = stats.heapSys;
  out.stackInuse = heap.counter("stackInUse");
  out.stackSys = stats.stackSys;
  out.mspanInuse = heap.spanalloc.inuse;
  out.mspanSys = stats.mspanSys;
  out.mcacheInuse = heap.cachealloc.inuse;
  out.mcacheSys = stats.mcacheSys;
  out.buckHashSys = stats.buckHashSys;
  out.gcSys = stats.gcSys;
  out.otherSys = stats.otherSys;
  out.sys = stats.sys;
  return out;
}
