/**
 * MemStats of a plain Node process: V8's heap in Go's words, for programs that use no heap of gort.
 *
 * The meaning of each field here (a field that is not named is 0: V8 has no figure for it):
 *
 *   Alloc, HeapAlloc    used_heap_size: live objects and garbage not yet collected
 *   TotalAlloc          total_allocated_bytes where V8 counts it; else a lower bound, the growth of
 *                       used_heap_size between snapshots
 *   HeapSys             total_heap_size: the bytes that V8 has committed
 *   HeapInuse           the used part of the pages: total_heap_size less the available bytes of the spaces, rounded to
 *                       whole pages of 8 KiB
 *   HeapIdle            HeapSys - HeapInuse
 *   HeapReleased        committed, but not resident: total_heap_size - total_physical_size, at most HeapIdle
 *   GCSys               malloced_memory: V8's own structures
 *   OtherSys            all other resident memory of the process: code, native libraries, array buffers
 *   NextGC              0: V8 does not tell when it will collect
 *   NumGC, Pause*       collections that perf_hooks reported, scavenges included unless `minor` is false.
 *                       Node delivers the reports in a later turn of the event loop, so a collection of the
 *                       current turn is not yet counted. A pause is the whole collection as Node times it;
 *                       V8 may have done a part of it concurrently
 *   NumForcedGC         collections that the program asked for (`global.gc()`, a heap snapshot)
 *   GCCPUFraction       PauseTotalNs / time since the source was made
 *   Mallocs, Frees, HeapObjects, BySize   0: V8 counts bytes only
 *
 * The identities of MemStats hold, except the floor of NextGC.
 */

import type { RawStats, StatsSource } from "./source.ts";
import { PAUSE_RING } from "./source.ts";

const PAGE = 8192;

/** The parts of `node:v8` and `node:perf_hooks` that we use. `detail` is Node's for entries of type gc. */
interface HeapStatistics {
  total_heap_size: number;
  total_physical_size: number;
  used_heap_size: number;
  malloced_memory: number;
  total_allocated_bytes?: number;
}
interface SpaceStatistics {
  space_available_size: number;
}
interface GCEntry {
  startTime: number;
  duration: number;
  detail?: { kind?: number; flags?: number };
}
interface EntryList {
  getEntries(): GCEntry[];
}
interface Observer {
  observe(options: { entryTypes: string[] }): void;
  takeRecords(): GCEntry[];
  disconnect(): void;
}
interface NodeModules {
  "node:v8": { getHeapStatistics(): HeapStatistics; getHeapSpaceStatistics(): SpaceStatistics[] };
  "node:perf_hooks": {
    PerformanceObserver: new (callback: (list: EntryList) => void) => Observer;
    constants: Record<string, number>;
  };
}

function builtin<K extends keyof NodeModules>(name: K): NodeModules[K] {
  const load = (globalThis.process as { getBuiltinModule?: (id: string) => unknown } | undefined)
    ?.getBuiltinModule;
  const found = load?.(name) as NodeModules[K] | undefined;
  if (found === undefined)
    throw new TypeError(`memstats: the V8 source needs Node 20.16 or later (no ${name})`);
  return found;
}

export interface V8SourceOptions {
  /** Count scavenges of the young generation as collections too. Default true. */
  minor?: boolean;
}

export interface V8Source extends StatsSource {
  /** Stops watching collections. The figures of pauses then stay as they are. */
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * A source for `readMemStats` over this process. It counts collections that happen after this call.
 *
 * @throws TypeError outside of Node
 */
export function v8Source(options: V8SourceOptions = {}): V8Source {
  const v8 = builtin("node:v8");
  const { PerformanceObserver, constants } = builtin("node:perf_hooks");
  const minor = options.minor ?? true;
  const started = performance.now();
  const originNs = BigInt(Math.round(performance.timeOrigin * 1000)) * 1000n;

  const pauseNs = new Float64Array(PAUSE_RING);
  const pauseEnd = new BigUint64Array(PAUSE_RING);
  let numGC = 0;
  let numForced = 0;
  let pauseTotal = 0;
  let lastEnd = 0n;
  let totalAlloc = 0;
  let lastUsed = 0;

  const take = (entries: GCEntry[]): void => {
    for (const e of entries) {
      if (!minor && e.detail?.kind === constants.NODE_PERFORMANCE_GC_MINOR) continue;
      const i = numGC % PAUSE_RING;
      // A pause too short for the clock is still a pause: 1 ns marks the entry as used.
      const ns = Math.max(1, Math.round(e.duration * 1e6));
      const end = originNs + BigInt(Math.round((e.startTime + e.duration) * 1e6));
      // Entries of one batch may be out of order by a tick of the clock. LastGC must never fall.
      lastEnd = end > lastEnd ? end : lastEnd;
      pauseNs[i] = ns;
      pauseEnd[i] = lastEnd;
      pauseTotal += ns;
      numGC++;
      if (((e.detail?.flags ?? 0) & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0) numForced++;
    }
  };
  const observer = new PerformanceObserver((list) => take(list.getEntries()));
  observer.observe({ entryTypes: ["gc"] });

  const close = (): void => observer.disconnect();
  return {
    fill(raw: RawStats): void {
      take(observer.takeRecords());
      const h = v8.getHeapStatistics();
      const used = h.used_heap_size;
      if (h.total_allocated_bytes !== undefined) {
        totalAlloc = Math.max(totalAlloc, h.total_allocated_bytes, used);
      } else {
        totalAlloc += Math.max(0, used - lastUsed);
        lastUsed = used;
      }
      let available = 0;
      for (const space of v8.getHeapSpaceStatistics()) available += space.space_available_size;
      const sys = Math.ceil(Math.max(h.total_heap_size, used) / PAGE) * PAGE;
      const inuse = Math.min(sys, Math.ceil(Math.max(used, sys - available) / PAGE) * PAGE);
      const idle = sys - inuse;
      const released = Math.floor(Math.max(0, h.total_heap_size - h.total_physical_size) / PAGE) * PAGE;
      raw.heapInuse = inuse;
      raw.heapIdle = idle;
      raw.heapReleased = Math.min(released, idle);
      raw.largeAllocBytes = totalAlloc;
      raw.largeFreeBytes = totalAlloc - used;
      raw.gcSys = h.malloced_memory;
      raw.otherSys = Math.max(0, process.memoryUsage.rss() - h.total_physical_size - h.malloced_memory);
      raw.numGC = numGC;
      raw.numForcedGC = numForced;
      raw.pauseTotalNs = pauseTotal;
      raw.pauseNs.set(pauseNs);
      raw.pauseEnd.set(pauseEnd);
      const elapsedNs = (performance.now() - started) * 1e6;
      raw.gcCPUFraction = elapsedNs > 0 ? Math.min(pauseTotal / elapsedNs, 0.999999) : 0;
    },
    close,
    [Symbol.dispose]: close,
  };
}
