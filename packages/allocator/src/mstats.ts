/**
 * The allocator's figures, in the form that readStats fills without allocating.
 *
 * ## Reading while other threads allocate
 * A shared heap has one mcache for each thread, and no reader stops the threads. A reader makes one snapshot
 * nevertheless:
 *
 * 1. It holds the heap lock. So no span goes back, and no pages are taken from the system or released: heapSys and
 *    the bytes of stacks are those of one moment. (Small spans are made without the lock, and emptied ones
 *    retained.)
 * 2. It adds up the allocations of each mcache. Counts are charged for whole runs, so the rest of the current run
 *    is subtracted. A count and its run change together between two increments of the mcache's version. The reader
 *    tries again if the version was odd or has changed.
 * 3. Then it adds up heapInUse. The rest is idle: heapIdle = heapSys - heapInuse.
 * 4. Only then it adds up the frees. A class may have more frees by then than allocations in step 2, since objects
 *    were allocated in between. Such a class counts as empty.
 *
 * So each count is a value that its counter really had while the snapshot was taken. No count falls from one snapshot
 * to the next. With live = allocs - frees of a class
 *
 *     0 <= live <= live at the end of step 2        hence heapAlloc <= heapInuse
 *
 * with one exception. If, within step 3, one thread makes a span and another retains it between the reads of their
 * two mcaches, heapInuse misses the span. If that shows, the snapshot is taken again.
 */
import type { LinearMemory } from "@gort/memory";
import { ROOT_ALLOCATOR, stableVersion, unchanged } from "@gort/memory/internal";
import { defaultHooks } from "./hooks.ts";
import {
  FIRST_NOSCAN_SPAN_CLASS,
  FIRST_SMALL_SPAN_CLASS,
  MCACHE_AT,
  MHEAP_AT,
  NUM_SPAN_CLASSES,
  SLOT_CREDIT,
  SLOT_ELEMSIZE,
  SLOT_END,
  SLOT_GRANTED,
  SLOT_REUSED,
  SLOT_WORDS,
} from "./layout.ts";
import { forEachMCache } from "./mcache-list.ts";
import { MHeap } from "./mheap.ts";
import { classToSize, NUM_SIZE_CLASSES } from "./sizeclasses.generated.ts";

/**
 * All figures are bytes or counts since the memory was made. verifyHeap compares them with the heap. Identities:
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

/** The most snapshots that are taken: one in millions has to be taken twice. */
const MAX_SNAPSHOTS = 100;

/** Allocations of one mcache, until they are known to be of one moment. */
const allocated = new Float64Array(NUM_SIZE_CLASSES);

/**
 * Sums the mcaches' counters and reads the heap's. exact: the unused slots of other threads' current runs do not
 * count as allocated; the caller's own mcache is flushed.
 */
export function fillStats(heap: MHeap, out: HeapStats, exact: boolean): HeapStats {
  const shared = heap.mem.u32[(heap.base + MHEAP_AT.shared) >>> 2] !== 0;
  if (!shared) {
    sumAllocs(heap, out);
    sumInUse(heap, out);
    sumFrees(heap, out);
    addUnsettled(heap, out);
    return fillBytes(heap, out);
  }
  heap.lock();
  try {
    for (let left = MAX_SNAPSHOTS; ; left--) {
      if (exact) sumExactAllocs(heap, out);
      else sumAllocs(heap, out);
      sumInUse(heap, out);
      sumFrees(heap, out);
      if (exact) cutFrees(out);
      fillBytes(heap, out);
      if (!exact || out.heapAlloc <= out.heapInuse || left === 0) return out;
    }
  } finally {
    heap.unlock();
  }
}

/** Sums allocation counts, including the unused slots of current runs. */
function sumAllocs(heap: MHeap, out: HeapStats): void {
  clearAllocs(out);
  forEachMCache(heap, addAllocs, out);
}

function clearAllocs(out: HeapStats): void {
  out.tinyAllocs = 0;
  out.largeAlloc = 0;
  out.largeAllocCount = 0;
}

function addAllocs(c: number, out: HeapStats, heap: MHeap): void {
  const { u32, f64 } = heap.mem;
  out.tinyAllocs += f64[(c + MCACHE_AT.tinyAllocs) >>> 3] + u32[(c + MCACHE_AT.tinyCount) >>> 2];
  addLargeAllocs(c, out, f64);
  addCounts(heap, c, out.smallAllocCount, (c + MCACHE_AT.smallAllocCount) >>> 3);
}

function addLargeAllocs(c: number, out: HeapStats, f64: Float64Array): void {
  out.largeAlloc += f64[(c + MCACHE_AT.largeAlloc) >>> 3];
  out.largeAllocCount += f64[(c + MCACHE_AT.largeAllocCount) >>> 3];
}

/**
 * Adds the counts of an mcache by class. The first mcache of the list sets them instead: to clear them before would
 * make readMemStats a tenth dearer.
 */
function addCounts(heap: MHeap, c: number, counts: Float64Array, at: number): void {
  const { u32, f64 } = heap.mem;
  if (c !== u32[(heap.base + MHEAP_AT.mcaches) >>> 2]) addTo(counts, f64, at);
  else for (let k = 1; k < NUM_SIZE_CLASSES; k++) counts[k] = f64[at + k];
}

function addTo(counts: Float64Array, f64: Float64Array, at: number): void {
  for (let k = 1; k < NUM_SIZE_CLASSES; k++) counts[k] = counts[k] + f64[at + k];
}

/** Adds the blocks that the only thread has freed by hand and reused since it settled its accounts: freed.ts. */
function addUnsettled(heap: MHeap, out: HeapStats): void {
  const { u32 } = heap.mem;
  const c = u32[(heap.base + MHEAP_AT.mcaches) >>> 2];
  if (c === 0 || u32[(heap.base + MHEAP_AT.freedByHand) >>> 2] === 0) return;
  let i = ((c + MCACHE_AT.alloc) >>> 2) + FIRST_NOSCAN_SPAN_CLASS * SLOT_WORDS;
  for (let k = 1; k < NUM_SIZE_CLASSES; k++, i += 2 * SLOT_WORDS) {
    const freed = u32[i + SLOT_GRANTED] - u32[i + SLOT_CREDIT];
    out.smallAllocCount[k] = out.smallAllocCount[k] + u32[i + SLOT_REUSED];
    out.smallFreeCount[k] = out.smallFreeCount[k] + freed;
  }
}

/** Sums allocation counts without the unused slots of current runs, which other threads change at the same time. */
function sumExactAllocs(heap: MHeap, out: HeapStats): void {
  clearAllocs(out);
  out.smallAllocCount.fill(0);
  forEachMCache(heap, addExactAllocs, out);
}

function addExactAllocs(c: number, out: HeapStats, heap: MHeap): void {
  let tiny: number;
  let v: number;
  do {
    v = stableVersion(heap.mem, c + MCACHE_AT.version);
    tiny = readAllocated(heap, c);
  } while (!unchanged(heap.mem, c + MCACHE_AT.version, v));
  out.tinyAllocs += tiny;
  addLargeAllocs(c, out, heap.mem.f64);
  addTo(out.smallAllocCount, allocated, 0);
}

function sumFrees(heap: MHeap, out: HeapStats): void {
  out.largeFree = 0;
  out.largeFreeCount = 0;
  forEachMCache(heap, addFrees, out);
}

function addFrees(c: number, out: HeapStats, heap: MHeap): void {
  const { f64 } = heap.mem;
  out.largeFree += f64[(c + MCACHE_AT.largeFree) >>> 3];
  out.largeFreeCount += f64[(c + MCACHE_AT.largeFreeCount) >>> 3];
  addCounts(heap, c, out.smallFreeCount, (c + MCACHE_AT.smallFreeCount) >>> 3);
}

/** Step 4: limits the frees of a class to the allocations that were seen. */
function cutFrees(out: HeapStats): void {
  out.largeFree = Math.min(out.largeFree, out.largeAlloc);
  out.largeFreeCount = Math.min(out.largeFreeCount, out.largeAllocCount);
  for (let k = 1; k < NUM_SIZE_CLASSES; k++) {
    out.smallFreeCount[k] = Math.min(out.smallFreeCount[k], out.smallAllocCount[k]);
  }
}

/** The heap's pages. Spans are made without the lock, so the sums may be off by a span or two. */
function sumInUse(heap: MHeap, out: HeapStats): void {
  out.heapSys = heap.mem.stats.heapSys;
  out.heapInuse = Math.min(heap.counter("heapInUse"), out.heapSys);
  out.heapIdle = out.heapSys - out.heapInuse;
  out.heapReleased = Math.min(heap.counter("heapReleased"), out.heapIdle);
}

/** Fills `allocated` with the objects that were cut from runs. The result is the number of tiny ones. */
function readAllocated(heap: MHeap, c: number): number {
  const { u32, f64 } = heap.mem;
  const at = (c + MCACHE_AT.smallAllocCount) >>> 3;
  for (let k = 1; k < NUM_SIZE_CLASSES; k++) allocated[k] = f64[at + k];
  let i = ((c + MCACHE_AT.alloc) >>> 2) + FIRST_SMALL_SPAN_CLASS * SLOT_WORDS;
  for (let spc = FIRST_SMALL_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc++, i += SLOT_WORDS) {
    const cur = u32[i];
    const end = u32[i + SLOT_END];
    if (cur === end) continue;
    // end may be 0, which is 2^32.
    const rest = ((end - cur) >>> 0) / u32[i + SLOT_ELEMSIZE];
    allocated[spc >>> 1] = allocated[spc >>> 1] - rest;
  }
  return f64[(c + MCACHE_AT.tinyAllocs) >>> 3] + u32[(c + MCACHE_AT.tinyCount) >>> 2];
}

/**
 * Fills in the bytes by use, most of which are kept under the heap lock, and the figures that follow from the
 * counts.
 */
function fillBytes(heap: MHeap, out: HeapStats): HeapStats {
  const { stats } = heap.mem;
  let mallocs = out.largeAllocCount;
  let frees = out.largeFreeCount;
  out.totalAlloc = out.largeAlloc;
  out.totalFree = out.largeFree;
  for (let k = 1; k < NUM_SIZE_CLASSES; k++) {
    const size = classToSize[k];
    const a = out.smallAllocCount[k];
    const f = out.smallFreeCount[k];
    mallocs += a;
    frees += f;
    out.totalAlloc += a * size;
    out.totalFree += f * size;
  }
  out.heapObjects = mallocs - frees;
  out.mallocs = mallocs + out.tinyAllocs;
  out.frees = frees + out.tinyAllocs;
  out.heapAlloc = out.totalAlloc - out.totalFree;
  out.stackInuse = heap.counter("stackInUse");
  out.stackSys = stats.stackSys;
  out.mspanInuse = heap.structs.inUseBytes;
  out.mspanSys = stats.mspanSys;
  out.mcacheInuse = heap.cachealloc.inuse;
  out.mcacheSys = stats.mcacheSys;
  out.buckHashSys = stats.buckHashSys;
  out.gcSys = stats.gcSys;
  out.otherSys = stats.otherSys;
  out.sys =
    out.heapSys + out.stackSys + out.mspanSys + out.mcacheSys + out.buckHashSys + out.gcSys + out.otherSys;
  return out;
}

/** Reads the figures of a heap that other threads allocate from; has no mcache and changes nothing. */
export class HeapReader {
  readonly #heap: MHeap;
  /** Address of the GCCONTROL block. */
  readonly gcControl: number;

  /** @throws TypeError if the memory has no allocator, or one that was not shared */
  constructor(mem: LinearMemory) {
    const root = mem.root(ROOT_ALLOCATOR);
    if (root === 0) throw new TypeError("allocator: memory has no allocator");
    this.#heap = new MHeap(mem, defaultHooks(), root);
    this.gcControl = this.#heap.gcControl;
    if (mem.u32[(this.#heap.base + MHEAP_AT.shared) >>> 2] === 0) {
      throw new TypeError(
        "allocator: memory has an allocator that was not shared: call its share() before reading from another thread",
      );
    }
  }

  readStats(out: HeapStats): HeapStats {
    return fillStats(this.#heap, out, true);
  }
}
