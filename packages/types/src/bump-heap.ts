/**
 * The smallest heap: an arena that allocates upwards and frees nothing. It serves tests of typed code, and programs
 * that build their data once. It rounds sizes by Go's classes, so capacities grow as in Go.
 */

import { FatalError } from "@gort/base";
import type { Addr, LinearMemory } from "@gort/memory";
import { createLinearMemory } from "@gort/memory/internal";
import type { Heap, RefSlot } from "./heap.ts";

/** Slot sizes of Go's size classes, bytes; class 0 is for large objects. */
const CLASS_SIZES: readonly number[] = [
  0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416,
  448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200,
  3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384,
  18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
];
const PAGE = 8192;
/** The largest request for a slot of a class; larger requests get whole pages. */
const LARGEST_SMALL = 32760;
/** Bytes of the header of an object with pointers that is larger than INLINE_BITMAP_MAX, up to LARGEST_SMALL. */
const HEADER = 8;
const INLINE_BITMAP_MAX = 512;

/** Usable bytes of an allocation of `size` bytes, by Go's size classes. */
export function roundUpToClass(size: number, noscan: boolean): number {
  if (size > LARGEST_SMALL) return Math.ceil(size / PAGE) * PAGE;
  const header = !noscan && size > INLINE_BITMAP_MAX ? HEADER : 0;
  const need = size + header;
  let lo = 0;
  let hi = CLASS_SIZES.length - 1;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (CLASS_SIZES[mid] >= need) hi = mid;
    else lo = mid + 1;
  }
  return CLASS_SIZES[lo] - header;
}

export interface BumpHeapOptions {
  /** Bytes to reserve; 64 MiB by default. */
  maxMemory?: number;
  /** Use this memory instead of a new one. */
  mem?: LinearMemory;
}

/** A list whose indices no setter on `Array.prototype` intercepts. */
function ownList(): number[] {
  return Object.setPrototypeOf([], null) as number[];
}

export class BumpHeap implements Heap {
  readonly mem: LinearMemory;
  #next: number;
  readonly #end: number;
  readonly #zerobase: Addr;
  /** Size and mask of type i + 1. */
  readonly #types: { size: number; mask: Uint32Array }[] = [];
  /** Address of root i + 1; 0 if it is free. */
  readonly #refs: number[] = ownList();
  readonly #freeRefs: number[] = ownList();
  #allocated = 0;

  constructor(options: BumpHeapOptions = {}) {
    const { mem, maxMemory = 64 * 1024 * 1024 } = options;
    this.mem = mem ?? createLinearMemory({ maxMemory });
    const size = Math.floor((this.mem.unreserved - 65536) / 65536) * 65536;
    const base = this.mem.sysReserve(size);
    this.mem.sysMap(base, size, "heapSys");
    this.mem.sysUsed(base, size);
    this.#zerobase = base;
    this.#next = base + 16;
    this.#end = base + size;
  }

  /** Bytes allocated so far. */
  get allocated(): number {
    return this.#allocated;
  }

  /** Roots not yet released. */
  get liveRefs(): number {
    return this.#refs.length - this.#freeRefs.length;
  }

  malloc(size: number, typ: number, _zero?: boolean): Addr {
    if (!Number.isInteger(size) || size < 0) {
      throw new RangeError(`types: size must be a whole number of bytes (got ${size})`);
    }
    if (typ !== 0 && this.#types[typ - 1] === undefined)
      throw new TypeError(`types: unknown type (got ${typ})`);
    if (size === 0) return this.#zerobase;
    const addr = this.#next;
    const next = addr + Math.ceil(size / 8) * 8;
    if (next > this.#end) {
      throw new FatalError(
        "fatal",
        "ERR_GORT_OUT_OF_MEMORY",
        "runtime: out of memory",
        `runtime: cannot allocate ${size} bytes (${this.#end - addr} of ${this.mem.size} left)`,
      );
    }
    this.#next = next;
    this.#allocated += next - addr;
    return addr as Addr;
  }

  newType(size: number, mask: Uint32Array): number {
    return this.#types.push({ size, mask: mask.slice() });
  }

  storePointer(slot: Addr, value: Addr): void {
    this.mem.u32[slot >>> 2] = value;
  }

  swapPointer(slot: Addr, value: Addr): Addr {
    return (this.mem.kernel.xchg(slot, value) >>> 0) as Addr;
  }

  compareAndSwapPointer(slot: Addr, old: Addr, value: Addr): boolean {
    return this.mem.kernel.cas(slot, old, value) >>> 0 === (old as number);
  }

  writeBarrierEnabled(): boolean {
    return false;
  }

  newRef(addr: Addr): RefSlot {
    const refs = this.#refs;
    const unused = this.#freeRefs;
    if (unused.length === 0) {
      refs[refs.length] = addr;
      return refs.length as RefSlot;
    }
    const free = unused[unused.length - 1];
    unused.length--;
    refs[free - 1] = addr;
    return free as RefSlot;
  }

  releaseRef(slot: RefSlot): void {
    if (!(this.#refs[slot - 1] > 0))
      throw new FatalError("throw", "ERR_GORT_REF_STATE", "release of a free root", `slot=${slot}`);
    this.#refs[slot - 1] = 0;
    this.#freeRefs[this.#freeRefs.length] = slot;
  }

  roundupsize(size: number, noscan: boolean): number {
    return roundUpToClass(size, noscan);
  }
}

/** An arena: nothing is freed before the whole heap is dropped. */
export function createBumpHeap(options: BumpHeapOptions = {}): BumpHeap {
  return new BumpHeap(options);
}
