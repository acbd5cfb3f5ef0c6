/**
 * The mcache: a thread's allocator, which needs no lock.
 *
 * For each span class a slot holds a *run*: consecutive free slots [cur, end) of the cached span. An allocation is a
 * compare, an add and a store. When the run is used up, nextRun finds the next one in allocBits, and pays for all of
 * its objects at once:
 *
 *     allocBits of the run are set (gcmarkBits too while a collection marks: new objects are black)
 *     span.allocCount, smallAllocCount, heapLive grow by the run
 *     the memory is cleared if span.needzero, its heapBits are cleared if the class has pointers
 *     nextSample shrinks by the run's bytes
 *
 * A run never contains a sampled object but as its only one: it is cut where nextSample would reach zero, so the fast
 * path needs no sampling check. Bytes are charged before they are used, hence in another order than they are
 * allocated; the sampling process is memoryless, so its rate is the same.
 *
 * returnTail undoes all of it for the objects that were not allocated. After flush every counter is exact.
 *
 * Rejected: Go's allocCache, one bit a call. It was measured at 2.5 times the cost, as each call reads and writes five
 * fields of the span.
 */
import type { Kernel } from "@gort/memory";
import {
  GC_OFF,
  GCCONTROL,
  MCACHE,
  MCACHE_SLOT,
  MHEAP,
  MIN_SIZE_FOR_HEADER,
  MSPAN,
  NUM_SPAN_CLASSES,
} from "./layout.ts";
import type { MCentral } from "./mcentral.ts";
import type { MHeap } from "./mheap.ts";
import { ctz, lowMask } from "./mpagealloc.ts";

const S = MSPAN.offsets;
const K = MCACHE_SLOT.offsets;
const SLOT_CUR = K.cur >>> 2;
const SLOT_END = K.end >>> 2;
const SLOT_ELEMSIZE = K.elemsize >>> 2;
const SLOT_SPAN = K.span >>> 2;
export const SLOT_WORDS = MCACHE_SLOT.size >>> 2;

/** Runs up to this many bytes are cleared with double stores: below it the call to the kernel costs more. */
const INLINE_CLEAR = 96;

export class MCache {
  /** Address of the MCACHE struct. */
  readonly base: number;
  /** Word index of the first slot. */
  readonly slots: number;
  readonly #central: MCentral;
  readonly #kernel: Kernel;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #heapLive: number;
  readonly #gcPhase: number;
  readonly #nextSample: number;
  readonly #smallAlloc: number;
  readonly #nmcaches: number;
  readonly #heapBits: number;

  constructor(heap: MHeap, central: MCentral, base: number) {
    this.base = base;
    this.slots = (base + MCACHE.offsets.alloc) >>> 2;
    this.#central = central;
    this.#kernel = heap.mem.kernel;
    this.#u32 = heap.mem.u32;
    this.#f64 = heap.mem.f64;
    this.#heapLive = heap.gcControl + GCCONTROL.offsets.heapLive;
    this.#gcPhase = (heap.gcControl + GCCONTROL.offsets.gcPhase) >>> 2;
    this.#nextSample = (base + MCACHE.offsets.nextSample) >>> 3;
    this.#smallAlloc = (base + MCACHE.offsets.smallAllocCount) >>> 3;
    this.#nmcaches = (heap.base + MHEAP.offsets.nmcaches) >>> 2;
    this.#heapBits = heap.heapBitsBase >>> 2;
  }

  /** heapLive is shared by all threads: added to atomically once there is more than one. */
  addHeapLive(n: number): void {
    if ((this.#u32[this.#nmcaches] as number) > 1) this.#kernel.add(this.#heapLive, n);
    else this.#u32[this.#heapLive >>> 2] = (this.#u32[this.#heapLive >>> 2] as number) + n;
  }

  /**
   * Gives the slot at word i a new run of the class. True: the run is a single object, to be sampled by the memory
   * profile. Throws the fatal error if the memory is exhausted; the slot is empty then.
   */
  nextRun(i: number, spanclass: number): boolean {
    const u32 = this.#u32;
    let s = u32[i + SLOT_SPAN] as number;
    while (true) {
      if (s !== 0) {
        const at = s >>> 2;
        const nelems = u32[at + (S.nelems >>> 2)] as number;
        const bits = (u32[at + (S.allocBits >>> 2)] as number) >>> 2;
        const first = nextZero(u32, bits, u32[at + (S.freeindex >>> 2)] as number, nelems);
        if (first < nelems) return this.#takeRun(i, spanclass, s, first, nextOne(u32, bits, first, nelems));
        u32[at + (S.freeindex >>> 2)] = nelems;
        u32[i + SLOT_SPAN] = 0;
        this.#central.uncacheSpan(s);
      }
      s = this.#central.cacheSpan(spanclass);
      u32[i + SLOT_ELEMSIZE] = u32[(s + S.elemsize) >>> 2] as number;
      u32[i + SLOT_SPAN] = s;
    }
  }

  #takeRun(i: number, spanclass: number, s: number, first: number, runEnd: number): boolean {
    const u32 = this.#u32;
    const f64 = this.#f64;
    const at = s >>> 2;
    const elemsize = u32[at + (S.elemsize >>> 2)] as number;
    const nextSample = f64[this.#nextSample] as number;
    let n = runEnd - first;
    let sampled = false;
    if (nextSample < n * elemsize) {
      n = Math.floor(nextSample / elemsize);
      if (n <= 0) {
        n = 1;
        sampled = true;
      }
    }
    const bytes = n * elemsize;
    f64[this.#nextSample] = nextSample - bytes;

    setBits(u32, (u32[at + (S.allocBits >>> 2)] as number) >>> 2, first, n);
    if (u32[this.#gcPhase] !== GC_OFF)
      setBits(u32, (u32[at + (S.gcmarkBits >>> 2)] as number) >>> 2, first, n);
    u32[at + (S.allocCount >>> 2)] = (u32[at + (S.allocCount >>> 2)] as number) + n;
    u32[at + (S.freeindex >>> 2)] = first + n;
    const count = this.#smallAlloc + (spanclass >>> 1);
    f64[count] = (f64[count] as number) + n;
    this.addHeapLive(bytes);

    const cur = (u32[at + (S.startAddr >>> 2)] as number) + first * elemsize;
    if (u32[at + (S.needzero >>> 2)] !== 0) {
      if (bytes <= INLINE_CLEAR) for (let k = cur / 8, e = k + bytes / 8; k < e; k++) f64[k] = 0;
      else this.#kernel.zero(cur, bytes);
    }
    if ((spanclass & 1) === 0 && elemsize <= MIN_SIZE_FOR_HEADER) {
      clearBits(u32, this.#heapBits, cur / 8, bytes / 8);
    }
    u32[i + SLOT_CUR] = cur;
    u32[i + SLOT_END] = cur + bytes;
    return sampled;
  }

  /** Gives the objects of the slot's run that were not allocated back to their span, which stays cached. */
  returnTail(i: number, spanclass: number): void {
    const u32 = this.#u32;
    const f64 = this.#f64;
    const cur = u32[i + SLOT_CUR] as number;
    const end = u32[i + SLOT_END] as number;
    if (cur === end) return;
    const at = (u32[i + SLOT_SPAN] as number) >>> 2;
    const elemsize = u32[i + SLOT_ELEMSIZE] as number;
    const n = (end - cur) / elemsize;
    const first = (cur - (u32[at + (S.startAddr >>> 2)] as number)) / elemsize;
    clearBits(u32, (u32[at + (S.allocBits >>> 2)] as number) >>> 2, first, n);
    // Whether or not they were marked at acquisition: nobody holds these slots, so they are white.
    clearBits(u32, (u32[at + (S.gcmarkBits >>> 2)] as number) >>> 2, first, n);
    u32[at + (S.allocCount >>> 2)] = (u32[at + (S.allocCount >>> 2)] as number) - n;
    u32[at + (S.freeindex >>> 2)] = first;
    const count = this.#smallAlloc + (spanclass >>> 1);
    f64[count] = (f64[count] as number) - n;
    f64[this.#nextSample] = (f64[this.#nextSample] as number) + n * elemsize;
    this.addHeapLive(-n * elemsize);
    u32[i + SLOT_END] = cur;
  }

  returnTails(): void {
    for (let spc = 2; spc < NUM_SPAN_CLASSES; spc++) this.returnTail(this.slots + spc * SLOT_WORDS, spc);
  }

  /** Gives all spans back and drops the tiny block: what Go's releaseAll does. */
  flush(): void {
    const u32 = this.#u32;
    for (let spc = 2; spc < NUM_SPAN_CLASSES; spc++) {
      const i = this.slots + spc * SLOT_WORDS;
      const s = u32[i + SLOT_SPAN] as number;
      if (s === 0) continue;
      this.returnTail(i, spc);
      u32[i + SLOT_CUR] = 0;
      u32[i + SLOT_END] = 0;
      u32[i + SLOT_SPAN] = 0;
      this.#central.uncacheSpan(s);
    }
    u32[(this.base + MCACHE.offsets.tiny) >>> 2] = 0;
    u32[(this.base + MCACHE.offsets.tinyoffset) >>> 2] = 0;
  }
}

/** Index of the first zero bit in [from, n) of the bit map at word `bits`; n if there is none. */
export function nextZero(u32: Uint32Array, bits: number, from: number, n: number): number {
  let i = from;
  while (i < n) {
    const w = ~(u32[bits + (i >>> 5)] as number) >>> (i & 31);
    if (w !== 0) {
      i += ctz(w);
      return i < n ? i : n;
    }
    i = (i | 31) + 1;
  }
  return n;
}

/** Index of the first one bit in [from, n); n if there is none. */
export function nextOne(u32: Uint32Array, bits: number, from: number, n: number): number {
  let i = from;
  while (i < n) {
    const w = (u32[bits + (i >>> 5)] as number) >>> (i & 31);
    if (w !== 0) {
      i += ctz(w);
      return i < n ? i : n;
    }
    i = (i | 31) + 1;
  }
  return n;
}

export function setBits(u32: Uint32Array, bits: number, first: number, n: number): void {
  let w = bits + Math.floor(first / 32);
  const bit = first & 31;
  if (bit + n <= 32) {
    u32[w] = (u32[w] as number) | (lowMask(n) << bit);
    return;
  }
  u32[w] = (u32[w] as number) | (-1 << bit);
  let left = n - (32 - bit);
  for (w++; left >= 32; left -= 32) u32[w++] = 0xffffffff;
  if (left > 0) u32[w] = (u32[w] as number) | lowMask(left);
}

export function clearBits(u32: Uint32Array, bits: number, first: number, n: number): void {
  let w = bits + Math.floor(first / 32);
  const bit = first & 31;
  if (bit + n <= 32) {
    u32[w] = (u32[w] as number) & ~(lowMask(n) << bit);
    return;
  }
  u32[w] = (u32[w] as number) & ~(-1 << bit);
  let left = n - (32 - bit);
  for (w++; left >= 32; left -= 32) u32[w++] = 0;
  if (left > 0) u32[w] = (u32[w] as number) & ~lowMask(left);
}
