/**
 * The mcache: a thread's allocator, which needs no lock.
 *
 * For each span class a slot holds a *run*: consecutive free slots [cur, end) of the cached span. An allocation is a
 * compare, an add and a store. When the run is used up, nextRun finds the next one in allocBits, and pays for all of
 * its objects at once:
 *
 *     allocBits of the run are set (gcmarkBits too while a collection marks: new objects are black; atomically, as
 *     other threads may mark objects of the span)
 *     span.allocCount, smallAllocCount, heapLive grow by the run
 *     the memory is cleared if span.needzero
 *     heapBits of the run are filled with the pattern of the type that asked for it (slot.typ)
 *     nextSample shrinks by the run's bytes
 *
 * A run never contains a sampled object but as its only one: it is cut where nextSample would reach zero, so the fast
 * path needs no sampling check. Bytes are charged before they are used, hence in another order than they are
 * allocated; the sampling process is memoryless, so its rate is the same.
 *
 * The next object of the same type therefore needs no pointer bits written. One of another type replaces the bits of its
 * own slot (setObjectBits).
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
  GCTYPE,
  MCACHE,
  MCACHE_SLOT,
  MHEAP,
  MIN_SIZE_FOR_HEADER,
  MSPAN,
  NUM_SPAN_CLASSES,
  TINY_SPAN_CLASS,
} from "./layout.ts";
import type { MCentral } from "./mcentral.ts";
import type { MHeap } from "./mheap.ts";
import { ctz, lowMask } from "./mpagealloc.ts";

const S_START_ADDR = MSPAN.offsets.startAddr >>> 2;
const S_NELEMS = MSPAN.offsets.nelems >>> 2;
const S_ELEMSIZE = MSPAN.offsets.elemsize >>> 2;
const S_ALLOC_COUNT = MSPAN.offsets.allocCount >>> 2;
const S_FREEINDEX = MSPAN.offsets.freeindex >>> 2;
const S_ALLOC_BITS = MSPAN.offsets.allocBits >>> 2;
const S_GCMARK_BITS = MSPAN.offsets.gcmarkBits >>> 2;
const S_NEEDZERO = MSPAN.offsets.needzero >>> 2;
const K = MCACHE_SLOT.offsets;
const SLOT_CUR = K.cur >>> 2;
export const SLOT_END = K.end >>> 2;
export const SLOT_ELEMSIZE = K.elemsize >>> 2;
export const SLOT_TYP = K.typ >>> 2;
export const SLOT_SPAN = K.span >>> 2;
export const SLOT_FREE = K.free >>> 2;
export const SLOT_NFREE = K.nfree >>> 2;
export const SLOT_WORDS = MCACHE_SLOT.size >>> 2;

/** Runs up to this many bytes are cleared with double stores: below it the call to the kernel costs more. */
const INLINE_CLEAR = 96;

export class MCache {
  /** Address of the MCACHE struct. */
  readonly base: number;
  /** Word index of the first slot. */
  readonly slots: number;
  private readonly central: MCentral;
  private readonly kernel: Kernel;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly heapLive: number;
  private readonly gcPhase: number;
  private readonly nextSample: number;
  private readonly smallAlloc: number;
  private readonly shared: number;
  /** Address of the word that is odd while counts and runs change. */
  private readonly version: number;
  private readonly heapBits: number;

  constructor(heap: MHeap, central: MCentral, base: number) {
    this.base = base;
    this.slots = (base + MCACHE.offsets.alloc) >>> 2;
    this.central = central;
    this.kernel = heap.mem.kernel;
    this.u32 = heap.mem.u32;
    this.f64 = heap.mem.f64;
    this.heapLive = heap.gcControl + GCCONTROL.offsets.heapLive;
    this.gcPhase = (heap.gcControl + GCCONTROL.offsets.gcPhase) >>> 2;
    this.nextSample = (base + MCACHE.offsets.nextSample) >>> 3;
    this.smallAlloc = (base + MCACHE.offsets.smallAllocCount) >>> 3;
    this.shared = (heap.base + MHEAP.offsets.shared) >>> 2;
    this.version = base + MCACHE.offsets.version;
    this.heapBits = heap.heapBitsBase >>> 2;
  }

  /** heapLive is shared by all threads: added to atomically once there may be several. */
  addHeapLive(n: number): void {
    if (this.u32[this.shared] !== 0) this.kernel.add(this.heapLive, n);
    else this.u32[this.heapLive >>> 2] = (this.u32[this.heapLive >>> 2] as number) + n;
  }

  /**
   * Begins and ends a change of what readers on other threads must see as one: a count of objects, and the run whose
   * rest they take off it. In between no lock is taken and nothing is thrown.
   */
  private flipVersion(): void {
    if (this.u32[this.shared] !== 0) this.kernel.add(this.version, 1);
  }

  /**
   * Gives the slot at word i a new run of the class. True: the run is a single object, to be sampled by the memory
   * profile. Throws the fatal error if the memory is exhausted; the slot is empty then.
   */
  nextRun(i: number, spanclass: number, typ: number): boolean {
    const u32 = this.u32;
    let s = u32[i + SLOT_SPAN] as number;
    while (true) {
      if (s !== 0) {
        const at = s >>> 2;
        const nelems = u32[at + S_NELEMS] as number;
        const bits = (u32[at + S_ALLOC_BITS] as number) >>> 2;
        const first = nextZero(u32, bits, u32[at + S_FREEINDEX] as number, nelems);
        if (first < nelems)
          return this.takeRun(i, spanclass, typ, s, first, nextOne(u32, bits, first, nelems));
        u32[at + S_FREEINDEX] = nelems;
        u32[i + SLOT_SPAN] = 0;
        this.central.uncacheSpan(s);
      }
      s = this.central.cacheSpan(spanclass);
      u32[i + SLOT_ELEMSIZE] = u32[(s >>> 2) + S_ELEMSIZE] as number;
      u32[i + SLOT_SPAN] = s;
    }
  }

  private takeRun(
    i: number,
    spanclass: number,
    typ: number,
    s: number,
    first: number,
    runEnd: number,
  ): boolean {
    const u32 = this.u32;
    const f64 = this.f64;
    const at = s >>> 2;
    const elemsize = u32[at + S_ELEMSIZE] as number;
    const nextSample = f64[this.nextSample] as number;
    let n = runEnd - first;
    let sampled = false;
    if (nextSample < n * elemsize) {
      n = Math.floor(nextSample / elemsize);
      if (n <= 0) {
        n = 1;
        sampled = true;
      }
    }
    const bytes = Math.imul(n, elemsize);
    f64[this.nextSample] = nextSample - bytes;

    setBits(u32, (u32[at + S_ALLOC_BITS] as number) >>> 2, first, n);
    if (u32[this.gcPhase] !== GC_OFF) setMarks(this.kernel, u32, u32[at + S_GCMARK_BITS] as number, first, n);
    u32[at + S_ALLOC_COUNT] = (u32[at + S_ALLOC_COUNT] as number) + n;
    u32[at + S_FREEINDEX] = first + n;
    this.addHeapLive(bytes);

    const cur = ((u32[at + S_START_ADDR] as number) + Math.imul(first, elemsize)) >>> 0;
    if (u32[at + S_NEEDZERO] !== 0) {
      if (bytes <= INLINE_CLEAR) for (let k = cur >>> 3, e = k + (bytes >>> 3); k < e; k++) f64[k] = 0;
      else this.kernel.zero(cur, bytes);
    }
    if ((spanclass & 1) === 0 && elemsize <= MIN_SIZE_FOR_HEADER) {
      u32[i + SLOT_TYP] = typ;
      this.fillTypeBits(cur, bytes, elemsize, typ);
    }
    this.flipVersion();
    const count = this.smallAlloc + (spanclass >>> 1);
    f64[count] = (f64[count] as number) + n;
    if (spanclass === TINY_SPAN_CLASS) this.foldTinyCount();
    u32[i + SLOT_CUR] = cur;
    u32[i + SLOT_END] = cur + bytes;
    this.flipVersion();
    return sampled;
  }

  /** Pointer bits of a run: one object of the type in each slot of elemsize bytes. */
  private fillTypeBits(addr: number, bytes: number, elemsize: number, typ: number): void {
    const { u32, heapBits } = this;
    const words = elemsize >>> 3;
    const first = addr >>> 3;
    const mask = u32[(typ + GCTYPE.offsets.mask0) >>> 2] as number;
    if (32 % words === 0) {
      // The pattern repeats within a word: build it once, write whole words between the edges.
      let pattern = mask;
      for (let w = words; w < 32; w *= 2) pattern |= pattern << w;
      fillPattern(u32, heapBits, first, bytes >>> 3, pattern);
      return;
    }
    clearBits(u32, heapBits, first, bytes >>> 3);
    for (let a = addr, end = addr + bytes; a < end; a += elemsize) orMask(u32, heapBits, a, typ);
  }

  /** Replaces the pointer bits of the slot at p by those of `size` bytes of the type, repeated. */
  setObjectBits(p: number, elemsize: number, typ: number, size: number): void {
    const { u32, heapBits } = this;
    clearBits(u32, heapBits, p >>> 3, elemsize >>> 3);
    const typeSize = u32[(typ + GCTYPE.offsets.size) >>> 2] as number;
    for (let a = p, end = p + size; a < end; a += typeSize) orMask(u32, heapBits, a, typ);
  }

  /** Gives the objects of the slot's run that were not allocated back to their span, which stays cached. */
  returnTail(i: number, spanclass: number): void {
    const u32 = this.u32;
    const f64 = this.f64;
    const cur = u32[i + SLOT_CUR] as number;
    const end = u32[i + SLOT_END] as number;
    if (cur === end) return;
    const at = (u32[i + SLOT_SPAN] as number) >>> 2;
    const elemsize = u32[i + SLOT_ELEMSIZE] as number;
    // end may be 0, which is 2^32.
    const n = ((end - cur) >>> 0) / elemsize;
    const first = (cur - (u32[at + S_START_ADDR] as number)) / elemsize;
    clearBits(u32, (u32[at + S_ALLOC_BITS] as number) >>> 2, first, n);
    // Whether or not they were marked at acquisition: nobody holds these slots, so they are white.
    clearMarks(this.kernel, u32, u32[at + S_GCMARK_BITS] as number, first, n);
    u32[at + S_ALLOC_COUNT] = (u32[at + S_ALLOC_COUNT] as number) - n;
    // Blocks freed by hand may have lowered it further.
    if (first < (u32[at + S_FREEINDEX] as number)) u32[at + S_FREEINDEX] = first;
    f64[this.nextSample] = (f64[this.nextSample] as number) + n * elemsize;
    this.addHeapLive(-n * elemsize);
    this.flipVersion();
    const count = this.smallAlloc + (spanclass >>> 1);
    f64[count] = (f64[count] as number) - n;
    u32[i + SLOT_END] = cur;
    this.flipVersion();
  }

  /** tinyCount is a word that would wrap: its value moves to the counter now and then. Between two flipVersion. */
  foldTinyCount(): void {
    const count = (this.base + MCACHE.offsets.tinyCount) >>> 2;
    const total = (this.base + MCACHE.offsets.tinyAllocs) >>> 3;
    this.f64[total] = (this.f64[total] as number) + (this.u32[count] as number);
    this.u32[count] = 0;
  }

  returnTails(): void {
    for (let spc = 2; spc < NUM_SPAN_CLASSES; spc++) this.returnTail(this.slots + spc * SLOT_WORDS, spc);
  }

  /** Gives all spans back and drops the tiny block: what Go's releaseAll does. */
  flush(): void {
    const u32 = this.u32;
    for (let spc = 2; spc < NUM_SPAN_CLASSES; spc++) {
      const i = this.slots + spc * SLOT_WORDS;
      const s = u32[i + SLOT_SPAN] as number;
      if (s === 0) continue;
      this.returnTail(i, spc);
      this.flipVersion();
      u32[i + SLOT_CUR] = 0;
      u32[i + SLOT_END] = 0;
      this.flipVersion();
      u32[i + SLOT_SPAN] = 0;
      this.central.uncacheSpan(s);
    }
    u32[(this.base + MCACHE.offsets.tiny) >>> 2] = 0;
    this.flipVersion();
    this.foldTinyCount();
    this.flipVersion();
  }
}

/** Index of the first zero bit in [from, n) of the bit map at word `bits`; n if there is none. */
export function nextZero(u32: Uint32Array, bits: number, from: number, n: number): number {
  let i = from;
  while (i < n) {
    const w = ~(u32[bits + (i >>> 5)] as number) >>> (i & 31);
    if (w !== 0) {
      i += ctz(w);
      return Math.min(i, n);
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
      return Math.min(i, n);
    }
    i = (i | 31) + 1;
  }
  return n;
}

export function setBits(u32: Uint32Array, bits: number, first: number, n: number): void {
  let w = bits + (first >>> 5);
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
  let w = bits + (first >>> 5);
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

/**
 * Sets the mark bits of a run while other threads mark objects of the same span: words that the run doesn't fill are
 * changed atomically. One that it fills holds nobody else's bits, and nobody has pointers to the run's objects yet.
 */
function setMarks(kernel: Kernel, u32: Uint32Array, marks: number, first: number, n: number): void {
  for (let i = first, end = first + n; i < end; ) {
    const bit = i & 31;
    const width = Math.min(32 - bit, end - i);
    const w = marks + ((i >>> 5) << 2);
    if (width === 32) u32[w >>> 2] = 0xffffffff;
    else kernel.or(w, lowMask(width) << bit);
    i += width;
  }
}

/**
 * Clears bits that may be set, without a store where none is. Their neighbours may be set at the same time: by markers, and
 * by frees of other threads in a heap that is used by hand (manual.ts).
 */
function clearMarks(kernel: Kernel, u32: Uint32Array, marks: number, first: number, n: number): void {
  for (let i = first, end = first + n; i < end; ) {
    const bit = i & 31;
    const width = Math.min(32 - bit, end - i);
    const mask = lowMask(width) << bit;
    const w = marks + ((i >>> 5) << 2);
    if (((u32[w >>> 2] as number) & mask) !== 0) kernel.and(w, ~mask);
    i += width;
  }
}

/** ORs the pointer mask of one object of the type at address a into the bit map at word `bits`. */
function orMask(u32: Uint32Array, bits: number, a: number, typ: number): void {
  const mask = (u32[(typ + GCTYPE.offsets.maskAddr) >>> 2] as number) >>> 2;
  const nwords = ((u32[(typ + GCTYPE.offsets.ptrdata) >>> 2] as number) + 255) >>> 8;
  const shift = (a >>> 3) & 31;
  const w = bits + (a >>> 8);
  for (let k = 0; k < nwords; k++) {
    const m = u32[mask + k] as number;
    u32[w + k] = (u32[w + k] as number) | (m << shift);
    const rest = shift === 0 ? 0 : m >>> (32 - shift);
    if (rest !== 0) u32[w + k + 1] = (u32[w + k + 1] as number) | rest;
  }
}

/** Bits [first, first+n) become those of the pattern, whose period divides 32 and which begins at a multiple of it. */
function fillPattern(u32: Uint32Array, bits: number, first: number, n: number, pattern: number): void {
  let w = bits + (first >>> 5);
  const bit = first & 31;
  const head = bit + n <= 32 ? lowMask(n) << bit : -1 << bit;
  u32[w] = ((u32[w] as number) & ~head) | (pattern & head);
  let left = n - (32 - bit);
  for (w++; left >= 32; left -= 32) u32[w++] = pattern;
  if (left > 0) u32[w] = ((u32[w] as number) & ~lowMask(left)) | (pattern & lowMask(left));
}
