/**
 * `@gort/runtime/attach`: a runtime's statistics, read on another thread. All counters are in the linear memory. So the
 * reader needs no message from the runtime's thread, and answers while that thread is busy.
 *
 *     // runtime's thread                                     // worker thread
 *     new Worker(url, { workerData: rt.shareStats() });       const go = attachStats(workerData);
 *                                                             prometheusText(go);
 *
 * Such a reader does not stop the world. Related figures are read together, and counters never fall: mstats.ts of the
 * allocator and gc-stats.ts of the collector say how. Three figures lag behind, because only the runtime's threads
 * know them. CPU time by class lags by a second at most. Goroutines by state and calls into native code lag until the
 * end of the running slice (10 ms) of each thread.
 */
import { HeapReader } from "@gort/allocator/internal";
import { GCRecord } from "@gort/gc/internal";
import type { WasmMemory } from "@gort/memory";
import { attachLinearMemory } from "@gort/memory/internal";
import type { GCStats, MemStats } from "@gort/memstats";
import { createMetrics, gcStats, readMemStats } from "@gort/memstats/internal";
import type { Metrics } from "@gort/memstats/metrics";
import { RuntimeMetrics } from "./metrics-source.ts";
import { SchedStats } from "./sched-stats.ts";
import { RuntimeStats } from "./stats.ts";

/** The result of `rt.shareStats()`: post it to a worker, or pass it as workerData. */
export interface SharedStats {
  readonly memory: WasmMemory | SharedArrayBuffer;
  /** The result of the runtime's `version()`. */
  readonly version: string;
}

/** A runtime's statistics on another thread. Exporters accept it as they accept a runtime. */
export class AttachedStats {
  readonly metrics: Metrics;
  readonly #stats: RuntimeStats;
  readonly #sched: SchedStats;
  readonly #version: string;

  /** For attachStats. */
  constructor(shared: SharedStats) {
    const { memory, version } = shared;
    const buffer = (memory as { buffer?: unknown }).buffer ?? memory;
    if (typeof SharedArrayBuffer === "undefined" || !(buffer instanceof SharedArrayBuffer)) {
      throw new TypeError("attach: needs what rt.shareStats() gave (got no shared memory)");
    }
    // Readers get no thread number: there may be any number of them, and the memory does not learn when one ends.
    const mem = attachLinearMemory(memory, { thread: 0 });
    const record = GCRecord.attach(mem);
    const sched = SchedStats.attach(mem);
    if (record === null || sched === null) {
      throw new TypeError("attach: needs the memory of a runtime (got one without its statistics)");
    }
    this.#stats = new RuntimeStats(mem, new HeapReader(mem), record);
    this.#sched = sched;
    this.#version = version;
    this.metrics = createMetrics(this.#stats, new RuntimeMetrics(record, this.#stats, sched, () => {}));
  }

  /** Fills `m`, or a new record, with a snapshot. The runtime goes on working meanwhile. */
  readMemStats(m?: MemStats): MemStats {
    return readMemStats(this.#stats, m);
  }

  /** The collector's figures: pauses, their quantiles. */
  readGCStats(quantiles = 0): GCStats {
    return gcStats(this.readMemStats(), quantiles);
  }

  /** Goroutines that exist, those of the runtime itself not counted. */
  numGoroutine(): number {
    return this.#sched.goroutines;
  }

  /** The runtime's version: the label of go_info. */
  version(): string {
    return this.#version;
  }
}

/**
 * Attaches to the statistics of a runtime on another thread.
 *
 * @throws TypeError if `shared` is not what `rt.shareStats()` gave
 */
export function attachStats(shared: SharedStats): AttachedStats {
  if (shared === null || typeof shared !== "object") {
    throw new TypeError(
      `attach: needs what rt.shareStats() gave (got ${shared === null ? "null" : typeof shared})`,
    );
  }
  if (shared.memory === undefined || typeof shared.version !== "string") {
    throw new TypeError(
      "attach: needs what rt.shareStats() gave (got an object without its memory and version)",
    );
  }
  return new AttachedStats(shared);
}
