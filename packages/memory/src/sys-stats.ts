/**
 * Byte counters by purpose, as Go's sysMemStat (mstats.go). Each counter is an f64 slot of the control block, so every
 * thread of the memory reads and changes the same figures. A lock of their own, `statsLock`, guards changes.
 *
 *     sys = heapSys + stackSys + mspanSys + mcacheSys + buckHashSys + gcSys + otherSys
 *     heapReleased is a part of heapSys
 */
import { STATS_LOCK, type SysStatName, sysStatAddr, sysStatNames } from "./layout.ts";
import { lock, unlock } from "./lock.ts";
import type { LockMemory } from "./lockrank.ts";

/** The part of a LinearMemory that SysStats uses. */
interface CounterMemory extends LockMemory {
  readonly f64: Float64Array;
}

/** f64 indices of the counters that add up to sys. Allocations under a memory limit read them. */
const SYS_INDICES = sysStatNames
  .filter((name) => name !== "heapReleased")
  .map((name) => sysStatAddr(name) >>> 3);

/** The byte counters of one memory. */
export class SysStats {
  readonly #mem: CounterMemory;
  constructor(mem: CounterMemory) {
    this.#mem = mem;
  }
  get(name: SysStatName): number {
    return this.#mem.f64[sysStatAddr(name) >>> 3];
  }
  /**
   * Adds n, which may be negative. Any thread may call it.
   *
   * @throws Error if the counter would fall below 0
   */
  add(name: SysStatName, n: number): void {
    if (typeof n !== "number") {
      throw new TypeError(`memory: stats.add needs a number of bytes (got ${String(n)})`);
    }
    const mem = this.#mem;
    const i = sysStatAddr(name) >>> 3;
    if (mem.shared) lock(mem, STATS_LOCK);
    const v = mem.f64[i] + n;
    if (v >= 0) mem.f64[i] = v;
    if (mem.shared) unlock(mem, STATS_LOCK);
    if (v < 0) throw new Error(`memory: sysStat ${name} underflow: ${v - n} + ${n}`);
  }
  get heapSys(): number {
    return this.get("heapSys");
  }
  get heapReleased(): number {
    return this.get("heapReleased");
  }
  get stackSys(): number {
    return this.get("stackSys");
  }
  get mspanSys(): number {
    return this.get("mspanSys");
  }
  get mcacheSys(): number {
    return this.get("mcacheSys");
  }
  get buckHashSys(): number {
    return this.get("buckHashSys");
  }
  get gcSys(): number {
    return this.get("gcSys");
  }
  get otherSys(): number {
    return this.get("otherSys");
  }
  /** MemStats.Sys: all counters except heapReleased, which is a part of heapSys. */
  get sys(): number {
    const { f64 } = this.#mem;
    let total = 0;
    for (let k = 0; k < SYS_INDICES.length; k++) total += f64[SYS_INDICES[k]];
    return total;
  }
}
