/** The allocator's figures, in the form that readStats fills without allocating. */
import { NUM_SIZE_CLASSES } from "./sizeclasses.generated.ts";

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
