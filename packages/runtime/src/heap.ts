/** The interfaces that types and profiling declare, over the allocator and the collector. */
import type { Allocator } from "@gort/allocator/internal";
import type { Collector } from "@gort/gc";
import type { Addr, LinearMemory } from "@gort/memory";
import { ROOT_PROFILING } from "@gort/memory/internal";
import type { MemProfileSampler, ProfArena } from "@gort/profiling";
import type { Heap, RefSlot } from "@gort/types";

/** Implements `Heap` of @gort/types. */
export class RuntimeHeap implements Heap {
  readonly mem: LinearMemory;
  readonly #allocator: Allocator;
  readonly #collector: Collector;
  /** Number of roots that were released because V8 has collected their handles. */
  collectedRefs = 0;

  constructor(allocator: Allocator, collector: Collector) {
    this.mem = allocator.mem;
    this.#allocator = allocator;
    this.#collector = collector;
  }

  malloc(size: number, typ: number, zero = true): Addr {
    return this.#allocator.mallocgc(size, typ, zero);
  }

  newType(size: number, mask: Uint32Array): number {
    return this.#allocator.newType(size, mask);
  }

  storePointer(slot: Addr, value: Addr): void {
    this.#collector.storePointer(slot, value);
  }

  swapPointer(slot: Addr, value: Addr): Addr {
    return this.#collector.barrier.swapPointer(slot, value) as Addr;
  }

  compareAndSwapPointer(slot: Addr, old: Addr, value: Addr): boolean {
    return this.#collector.barrier.compareAndSwapPointer(slot, old, value);
  }

  newRef(addr: Addr): RefSlot {
    return this.#collector.refs.alloc(addr) as number as RefSlot;
  }

  newSharedRef(addr: Addr): RefSlot {
    return this.#collector.refs.allocShared(addr) as number as RefSlot;
  }

  releaseRef(slot: RefSlot): void {
    this.#collector.refs.free(slot as number as Addr);
  }

  collectRef(slot: RefSlot): void {
    this.collectedRefs++;
    this.releaseRef(slot);
  }

  roundupsize(size: number, noscan: boolean): number {
    return this.#allocator.roundupsize(size, noscan);
  }

  writeBarrierEnabled(): boolean {
    return this.#collector.barrier.enabled;
  }
}

/**
 * Profile buckets in the linear memory, counted under BuckHashSys. The profile header of M 0 lies in the control block,
 * where every thread finds it through ROOT_PROFILING. A worker has buckets and a header of its own, because a frame
 * number belongs to one thread. The list of headers begins at that of M 0.
 */
export class LinearArena implements ProfArena {
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly #mem: LinearMemory;
  readonly #worker: boolean;

  constructor(mem: LinearMemory, worker: boolean) {
    this.#mem = mem;
    this.#worker = worker;
    this.u32 = mem.u32;
    this.f64 = mem.f64;
  }

  get bytes(): number {
    return this.#mem.stats.buckHashSys;
  }

  alloc(size: number): number {
    const addr = this.#mem.persistentAlloc(size, 8, "buckHashSys");
    if (addr === 0) throw new RangeError(`runtime: no memory left for profile buckets (${size} bytes)`);
    return addr;
  }

  header(size: number): number {
    return this.#worker ? this.alloc(size) : this.firstHeader(size);
  }

  firstHeader(size: number): number {
    const mem = this.#mem;
    return mem.makeRoot(ROOT_PROFILING, () => mem.reserveControl(size));
  }
}

/** The allocator as the owner of the memory profile's rate. */
export function memProfileSampler(allocator: Allocator): MemProfileSampler {
  return {
    get rate() {
      return allocator.memProfileRate;
    },
    set rate(rate) {
      allocator.setMemProfileRate(rate);
    },
  };
}
