import { BY_SIZE_LENGTH, MemStats } from "./memstats.ts";
import { NUM_SIZE_CLASSES, newRawStats, PAUSE_RING, type RawStats, type StatsSource } from "./source.ts";

/** One record for all reads: the fill and the computation are one synchronous step. */
const scratch = newRawStats();

function clear(raw: RawStats): void {
  raw.heapInuse = raw.heapIdle = raw.heapReleased = 0;
  raw.classSizes.fill(0);
  raw.smallAllocCount.fill(0);
  raw.smallFreeCount.fill(0);
  raw.largeAllocCount = raw.largeAllocBytes = raw.largeFreeCount = raw.largeFreeBytes = raw.tinyAllocs = 0;
  raw.stackInuse = raw.osStackSys = 0;
  raw.mspanInuse = raw.mspanSys = raw.mcacheInuse = raw.mcacheSys = 0;
  raw.buckHashSys = raw.gcSys = raw.gcWorkBufInuse = raw.otherSys = 0;
  raw.nextGC = raw.numGC = raw.numForcedGC = raw.pauseTotalNs = raw.gcCPUFraction = 0;
  raw.enableGC = true;
  raw.pauseNs.fill(0);
  raw.pauseEndWords.fill(0);
}

/** A record for `readMemStats`; null while a read has it. */
let spare: MemStats | null = new MemStats();

/**
 * Takes a snapshot of `source`. With a `target` it allocates nothing but the bigint of `LastGC`, once after each
 * collection. Without a target it returns a new record.
 *
 * The target is the program's: an assignment may run code of the program (a setter, a Proxy), which may read statistics
 * too. So the snapshot is taken into a record of our own, and copied when it is complete.
 *
 * @throws TypeError if `target` is not a MemStats record
 */
export function readMemStats(source: StatsSource, target?: MemStats): MemStats {
  if (target === undefined) {
    const made = new MemStats();
    readRaw(source, made);
    return made;
  }
  if (
    target === null ||
    typeof target !== "object" ||
    !(target.PauseEnd instanceof BigUint64Array) ||
    !Array.isArray(target.BySize)
  ) {
    throw new TypeError(
      `memstats: target must be a MemStats (got ${target === null ? "null" : typeof target})`,
    );
  }
  const own = spare ?? new MemStats();
  spare = null;
  try {
    readRaw(source, own);
    copy(own, target);
  } finally {
    spare = own;
  }
  return target;
}

function copy(from: MemStats, to: MemStats): void {
  // Field by field: a loop over names takes 600 ns, this takes 13.
  to.Alloc = from.Alloc;
  to.TotalAlloc = from.TotalAlloc;
  to.Sys = from.Sys;
  to.Lookups = from.Lookups;
  to.Mallocs = from.Mallocs;
  to.Frees = from.Frees;
  to.HeapAlloc = from.HeapAlloc;
  to.HeapSys = from.HeapSys;
  to.HeapIdle = from.HeapIdle;
  to.HeapInuse = from.HeapInuse;
  to.HeapReleased = from.HeapReleased;
  to.HeapObjects = from.HeapObjects;
  to.StackInuse = from.StackInuse;
  to.StackSys = from.StackSys;
  to.MSpanInuse = from.MSpanInuse;
  to.MSpanSys = from.MSpanSys;
  to.MCacheInuse = from.MCacheInuse;
  to.MCacheSys = from.MCacheSys;
  to.BuckHashSys = from.BuckHashSys;
  to.GCSys = from.GCSys;
  to.OtherSys = from.OtherSys;
  to.NextGC = from.NextGC;
  to.LastGC = from.LastGC;
  to.PauseTotalNs = from.PauseTotalNs;
  to.NumGC = from.NumGC;
  to.NumForcedGC = from.NumForcedGC;
  to.GCCPUFraction = from.GCCPUFraction;
  to.EnableGC = from.EnableGC;
  to.DebugGC = from.DebugGC;
  to.PauseNs.set(from.PauseNs);
  to.PauseEnd.set(from.PauseEnd);
  const { BySize } = to;
  for (let i = 1; i < BY_SIZE_LENGTH; i++) {
    const entry = BySize[i];
    const { Size, Mallocs, Frees } = from.BySize[i];
    entry.Size = Size;
    entry.Mallocs = Mallocs;
    entry.Frees = Frees;
  }
}

/** Fills `target` and returns the counters from which it is computed, valid until the next read. */
export function readRaw(source: StatsSource, target: MemStats): RawStats {
  let { raw } = source;
  if (raw === undefined) {
    raw = scratch;
    clear(raw);
  }
  source.fill(raw);
  fromRaw(raw, target);
  return raw;
}

// A read of a BigUint64Array makes a bigint. Between two collections the value is the same, so one bigint serves.
let knownLow = 0;
let knownHigh = 0;
let known = 0n;

function bigintAt(raw: RawStats, i: number): bigint {
  const low = raw.pauseEndWords[2 * i];
  const high = raw.pauseEndWords[2 * i + 1];
  if (low !== knownLow || high !== knownHigh) {
    knownLow = low;
    knownHigh = high;
    known = raw.pauseEnd[i];
  }
  return known;
}

/** Computes the fields of `target` from the counters. */
function fromRaw(raw: RawStats, target: MemStats): void {
  const sizes = raw.classSizes;
  const allocs = raw.smallAllocCount;
  const frees = raw.smallFreeCount;
  let mallocs = raw.largeAllocCount + raw.tinyAllocs;
  let freed = raw.largeFreeCount + raw.tinyAllocs;
  let totalAlloc = raw.largeAllocBytes;
  let totalFree = raw.largeFreeBytes;
  for (let i = 1; i < NUM_SIZE_CLASSES; i++) {
    const na = allocs[i];
    const nf = frees[i];
    mallocs += na;
    freed += nf;
    totalAlloc += na * sizes[i];
    totalFree += nf * sizes[i];
  }
  const heapAlloc = totalAlloc - totalFree;
  const heapSys = raw.heapInuse + raw.heapIdle;
  const stackSys = raw.stackInuse + raw.osStackSys;
  const gcSys = raw.gcSys + raw.gcWorkBufInuse;

  target.Alloc = heapAlloc;
  target.TotalAlloc = totalAlloc;
  target.Sys = heapSys + stackSys + raw.mspanSys + raw.mcacheSys + raw.buckHashSys + gcSys + raw.otherSys;
  target.Lookups = 0;
  target.Mallocs = mallocs;
  target.Frees = freed;
  target.HeapAlloc = heapAlloc;
  target.HeapSys = heapSys;
  target.HeapIdle = raw.heapIdle;
  target.HeapInuse = raw.heapInuse;
  target.HeapReleased = raw.heapReleased;
  target.HeapObjects = mallocs - freed;
  target.StackInuse = raw.stackInuse;
  target.StackSys = stackSys;
  target.MSpanInuse = raw.mspanInuse;
  target.MSpanSys = raw.mspanSys;
  target.MCacheInuse = raw.mcacheInuse;
  target.MCacheSys = raw.mcacheSys;
  target.BuckHashSys = raw.buckHashSys;
  target.GCSys = gcSys;
  target.OtherSys = raw.otherSys;
  target.NextGC = raw.nextGC;
  if (raw.numGC === 0) {
    target.LastGC = 0n;
  } else {
    target.LastGC = bigintAt(raw, (raw.numGC + PAUSE_RING - 1) % PAUSE_RING);
  }
  target.PauseTotalNs = raw.pauseTotalNs;
  target.PauseNs.set(raw.pauseNs);
  target.PauseEnd.set(raw.pauseEnd);
  target.NumGC = raw.numGC;
  target.NumForcedGC = raw.numForcedGC;
  target.GCCPUFraction = raw.gcCPUFraction;
  target.EnableGC = raw.enableGC;
  target.DebugGC = false;
  const bySize = target.BySize;
  for (let i = 1; i < BY_SIZE_LENGTH; i++) {
    const entry = bySize[i];
    entry.Size = sizes[i];
    entry.Mallocs = allocs[i];
    entry.Frees = frees[i];
  }
}
