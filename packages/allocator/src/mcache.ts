/**
 * The mcache: a thread's allocator, which needs no lock.
 *
 * For each span class a slot holds a *run*: consecutive free slots [cur, end) of the cached span. An allocation is
 * a compare, an add and a store. When the run is used up, nextRun finds the next one in allocBits. It pays for all
 * objects of the run at once:
 *
 *     allocBits of the run are set
 *     span.allocCount, smallAllocCount, heapLive grow by the run
 *     the memory is cleared if span.needzero
 *     heapBits of the run are filled with the pattern of the type that asked for it (slot.typ)
 *     gcmarkBits of the run are set while a collection marks: new objects are black. They are set atomically, as other
 *     threads may mark objects of the span
 *     nextSample of the class shrinks by the run's bytes
 *
 * A sampled object is the only one of its run. A run is cut where nextSample would reach zero, so the fast path needs
 * no sampling check. Each class has a countdown of its own, since a run is charged before its objects are used. With
 * one countdown for all, the class that asks for the next run would take the rest of the countdown that this run
 * leaves.
 *
 * The next object of the same type needs no pointer bits written. An object of another type replaces the bits of
 * its own slot (mbitmap.ts).
 *
 * In a mark phase of a heap that threads share, a slot has no pointer bits until the program has it. Its run is
 * marked, so a marker on another thread may scan it at any time. If the slot had the bits of another type, a number
 * would be taken for a pointer: the marker reads the bits, the program gets the slot and stores a number, the marker
 * reads the word. So setRun clears the bits of the run. writeBits writes those of the objects that the program has got
 * from slot.bitless on: when the run ends or goes back, and before an object of another type. Until then the new
 * objects are black and have no bits, so that no marker scans them. What they refer to is marked all the same, since
 * it was reachable when marking began, or is new.
 *
 * In a fragmented span runs are short, and the price of a run would be paid for a few objects. So a run that ends
 * inside a word of allocBits claims all free slots of that word, and pays for them at once. slot.rest remembers
 * them. The runs that follow are cut from it (cutRest) and cost only clearing, pointer bits, marks and
 * smallAllocCount.
 *
 * returnTail undoes all of it for the objects that were not allocated. After flush every counter is exact.
 *
 * The log (recovery.ts) protects a run that is claimed or returned, and a span that leaves its slot.
 *
 * Rejected: Go's allocCache, one bit a call. It was measured at 2.5 times the cost, as each call reads and writes
 * five fields of the span.
 */
import { ctz32, popcount32 } from "@gort/base";
import type { Kernel } from "@gort/memory";
import {
  clearBits,
  clearBitsAtomically,
  lowMask,
  nextOne,
  nextZero,
  setBits,
  setBitsAtomically,
} from "./bits.ts";
import { closedError } from "./errors.ts";
import type { Sampler } from "./heap-sampler.ts";
import {
  FIRST_SMALL_SPAN_CLASS,
  GC_OFF,
  GCCONTROL_AT,
  HELD_WORDS,
  MCACHE_AT,
  MHEAP_AT,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  SLOT_BITLESS,
  SLOT_CUR,
  SLOT_ELEMSIZE,
  SLOT_END,
  SLOT_REST,
  SLOT_REST_WORD,
  SLOT_SPAN,
  SLOT_TYP,
  SLOT_WORDS,
  TINY_SPAN_CLASS,
} from "./layout.ts";
import { HeapBits } from "./mbitmap.ts";
import type { MCentral } from "./mcentral.ts";
import type { MHeap } from "./mheap.ts";
import type { RecoveryLog } from "./recovery.ts";
import { classToAllocNPages } from "./sizeclasses.generated.ts";

const SPAN_START_ADDR = MSPAN_AT.startAddr >>> 2;
const SPAN_NELEMS = MSPAN_AT.nelems >>> 2;
const SPAN_CLASS = MSPAN_AT.spanclass >>> 2;
const SPAN_ELEMSIZE = MSPAN_AT.elemsize >>> 2;
const SPAN_ALLOC_COUNT = MSPAN_AT.allocCount >>> 2;
const SPAN_FREEINDEX = MSPAN_AT.freeindex >>> 2;
const SPAN_ALLOC_BITS = MSPAN_AT.allocBits >>> 2;
const SPAN_GCMARK_BITS = MSPAN_AT.gcmarkBits >>> 2;
const SPAN_NEEDZERO = MSPAN_AT.needzero >>> 2;

/** Runs up to this many bytes are cleared with double stores: below it the call to the kernel costs more. */
const INLINE_CLEAR = 96;

/** Bytes that a thread may allocate before heapLive shows them: 1.5 % of the smallest heap that is collected. */
const UNTOLD_LIVE = 64 << 10;

export class MCache {
  /** Address of the MCACHE struct. */
  readonly base: number;
  /** Word index of the first slot. */
  readonly slots: number;
  private readonly heap: MHeap;
  private readonly central: MCentral;
  private readonly kernel: Kernel;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly heapLive: number;
  private readonly gcPhase: number;
  /** f64 index of the countdown of span class 0. */
  private readonly nextSample: number;
  private readonly sampler: Sampler;
  /** f64 indices of the heap's sampling rate and of that of the countdowns. */
  private readonly heapRate: number;
  private readonly ownRate: number;
  private readonly smallAlloc: number;
  private readonly shared: number;
  private readonly untoldLive: number;
  private readonly log: RecoveryLog;
  /** Word index of the bit map of span classes that may have a span cached. */
  private readonly held: number;
  readonly heapBits: HeapBits;

  constructor(heap: MHeap, central: MCentral, base: number, sampler: Sampler) {
    this.base = base;
    this.sampler = sampler;
    this.heapRate = (heap.base + MHEAP_AT.memProfileRate) >>> 3;
    this.ownRate = (base + MCACHE_AT.sampleRate) >>> 3;
    this.slots = (base + MCACHE_AT.alloc) >>> 2;
    this.heap = heap;
    this.central = central;
    this.kernel = heap.mem.kernel;
    this.u32 = heap.mem.u32;
    this.f64 = heap.mem.f64;
    this.heapLive = heap.gcControl + GCCONTROL_AT.heapLive;
    this.gcPhase = (heap.gcControl + GCCONTROL_AT.gcPhase) >>> 2;
    this.nextSample = (base + MCACHE_AT.nextSample) >>> 3;
    this.smallAlloc = (base + MCACHE_AT.smallAllocCount) >>> 3;
    this.shared = (heap.base + MHEAP_AT.shared) >>> 2;
    this.untoldLive = (base + MCACHE_AT.untoldLive) >>> 2;
    this.log = heap.log;
    this.held = (base + MCACHE_AT.held) >>> 2;
    this.heapBits = new HeapBits(heap.mem.u32, heap.heapBitsBase);
  }

  /**
   * heapLive is shared by all threads. In a heap that several threads may use, each keeps up to UNTOLD_LIVE bytes
   * to itself. A word that all of them change at every run would move from processor to processor.
   */
  addHeapLive(n: number): void {
    const { u32 } = this;
    if (u32[this.shared] === 0) {
      u32[this.heapLive >>> 2] = u32[this.heapLive >>> 2] + n;
      return;
    }
    const untold = (u32[this.untoldLive] + n) | 0;
    u32[this.untoldLive] = untold;
    if (untold >= UNTOLD_LIVE || untold <= -UNTOLD_LIVE) this.tellLive();
  }

  private tellLive(): void {
    const untold = this.u32[this.untoldLive];
    if (untold === 0) return;
    this.u32[this.untoldLive] = 0;
    this.kernel.add(this.heapLive, untold);
  }

  /**
   * Gives the slot at word i a new run of the class. True: the run is a single object, to be sampled by the memory
   * profile. Throws the fatal error if the memory is exhausted; the slot is empty then.
   */
  nextRun(i: number, typ: number): boolean {
    const u32 = this.u32;
    if (u32[i + SLOT_BITLESS] !== 0) this.writeBits(i, u32[i + SLOT_CUR]);
    const rest = u32[i + SLOT_REST] | 0;
    if (rest !== 0) {
      this.cutRest(i, typ, rest);
      return false;
    }
    const { heap } = this;
    heap.operation.mustBeIdle("an allocation");
    let s = u32[i + SLOT_SPAN];
    let rescues = 0;
    while (true) {
      let used = 0;
      if (s !== 0) {
        const at = s >>> 2;
        const nelems = u32[at + SPAN_NELEMS] | 0;
        const count = u32[at + SPAN_ALLOC_COUNT] | 0;
        if (count === 0) return this.takeRun(i, typ, at, 0, nelems);
        const bits = u32[at + SPAN_ALLOC_BITS] >>> 2;
        const first = nextZero(u32, bits, u32[at + SPAN_FREEINDEX] | 0, nelems);
        if (first < nelems) return this.takeRun(i, typ, at, first, nextOne(u32, bits, first, nelems));
        // The span is full: no slot below freeindex is free.
        u32[at + SPAN_FREEINDEX] = nelems;
        used = s; // cacheSpan takes it out of the slot
      }
      if (i < this.slots) closedError(); // a slot of the nil page: see Allocator.close
      const spanclass = ((i - this.slots) / SLOT_WORDS) | 0;
      s = this.exchangeSpan(i, spanclass, used);
      if (s !== 0) continue;
      const npages = classToAllocNPages[spanclass >>> 1];
      if (!heap.rescue(npages, rescues++)) heap.throwOutOfMemory(npages);
      // The hook may have allocated from this slot, for another type.
      this.returnTail(i, spanclass);
      s = u32[i + SLOT_SPAN];
    }
  }

  /** Exchanges the used-up span of the slot for another; 0 if there is no memory. Sweeping runs in here. */
  private exchangeSpan(i: number, spanclass: number, used: number): number {
    const { u32, heap } = this;
    heap.operation.begin("an allocation");
    try {
      const s = this.central.cacheSpan(spanclass, used, i);
      if (s === 0) return 0;
      u32[i + SLOT_ELEMSIZE] = u32[(s >>> 2) + SPAN_ELEMSIZE];
      const held = this.held + (spanclass >>> 5);
      u32[held] = u32[held] | (1 << (spanclass & 31));
      u32[i + SLOT_SPAN] = s;
      heap.log.spanPlaced(s);
      heap.scavenger.checkLimit();
      return s;
    } finally {
      heap.operation.end();
    }
  }

  private takeRun(i: number, typ: number, at: number, first: number, runEnd: number): boolean {
    const u32 = this.u32;
    const f64 = this.f64;
    if (f64[this.ownRate] !== f64[this.heapRate]) this.restartSamples(); // sampler.stale
    const elemsize = u32[at + SPAN_ELEMSIZE];
    const countdown = this.nextSample + u32[at + SPAN_CLASS];
    const nextSample = f64[countdown];
    let n = runEnd - first;
    let sampled = false;
    if (nextSample < n * elemsize) {
      n = Math.floor(nextSample / elemsize);
      if (n <= 0) {
        n = 1;
        sampled = true;
      }
      runEnd = first + n;
    }
    const bits = u32[at + SPAN_ALLOC_BITS] >>> 2;
    const k = first >>> 5;
    const whole = runEnd === (u32[at + SPAN_NELEMS] | 0);
    const rest =
      whole || sampled ? 0 : this.freeAfter(at, bits + k, k, runEnd, nextSample - n * elemsize, elemsize);
    let claimed = n;
    if (u32[this.shared] !== 0) this.log.runClaimed(i, u32[at + SPAN_CLASS], first, n);
    if (rest === 0) {
      setBits(u32, bits, first, n);
      u32[at + SPAN_FREEINDEX] = runEnd;
    } else {
      claimed += popcount32(rest);
      // Before the bits. Recovery sets the bits of a rest. Bits without a rest would look like those of objects.
      u32[i + SLOT_REST_WORD] = k;
      u32[i + SLOT_REST] = rest;
      u32[bits + k] = u32[bits + k] | rest | (lowMask(n) << (first & 31));
      u32[at + SPAN_FREEINDEX] = Math.min((k + 1) << 5, u32[at + SPAN_NELEMS]);
    }
    const bytes = Math.imul(claimed, elemsize);
    f64[countdown] = sampled ? this.sampler.gap() : nextSample - bytes;
    u32[at + SPAN_ALLOC_COUNT] = u32[at + SPAN_ALLOC_COUNT] + claimed;
    this.addHeapLive(bytes);
    this.setRun(i, typ, at, first, n);
    return sampled;
  }

  /**
   * The free slots of a word of allocBits from runEnd on, as a mask. 0 if the run leaves the word, or if the next
   * sample is due in fewer bytes than these slots have.
   */
  private freeAfter(
    at: number,
    word: number,
    k: number,
    runEnd: number,
    nextSample: number,
    elemsize: number,
  ): number {
    const { u32 } = this;
    const left = (k + 1) * 32 - runEnd;
    if (left <= 0) return 0;
    let free = ~u32[word] & (-1 << (32 - left));
    const beyond = (k + 1) * 32 - u32[at + SPAN_NELEMS];
    if (beyond > 0) free &= -1 >>> beyond;
    if (free === 0 || nextSample < popcount32(free) * elemsize) return 0;
    return free;
  }

  /** Cuts the next run from the slots that were claimed with the last one. */
  private cutRest(i: number, typ: number, rest: number): void {
    const { u32 } = this;
    const low = rest & (0 - rest);
    const carried = (rest + low) | 0; // the lowest ones in a row give way to a one after them
    const run = rest & ~carried;
    const n = Math.clz32(low) - Math.clz32(run) + 1;
    const first = (u32[i + SLOT_REST_WORD] << 5) + 31 - Math.clz32(low);
    const at = u32[i + SLOT_SPAN] >>> 2;
    if (u32[this.shared] !== 0) this.log.runClaimed(i, u32[at + SPAN_CLASS], first, n);
    u32[i + SLOT_REST] = rest & carried;
    this.setRun(i, typ, at, first, n);
  }

  /**
   * Makes these n slots the run of the slot: cleared, with the pointer bits of the type, and black in a mark phase.
   */
  private setRun(i: number, typ: number, at: number, first: number, n: number): void {
    const { u32, f64 } = this;
    const elemsize = u32[at + SPAN_ELEMSIZE];
    const spanclass = u32[at + SPAN_CLASS];
    const bytes = Math.imul(n, elemsize);
    const cur = (u32[at + SPAN_START_ADDR] + Math.imul(first, elemsize)) >>> 0;
    if (u32[at + SPAN_NEEDZERO] !== 0) {
      if (bytes <= INLINE_CLEAR) clearInline(f64, cur >>> 3, bytes >>> 3);
      else this.kernel.zero(cur, bytes);
    }
    const shared = u32[this.shared] !== 0; // asked here: a call for each run costs
    const marking = u32[this.gcPhase] !== GC_OFF;
    if ((spanclass & 1) === 0 && elemsize <= MIN_SIZE_FOR_HEADER) {
      u32[i + SLOT_TYP] = typ;
      if (shared && marking) this.heapBits.clear(cur, bytes);
      else this.heapBits.fillRun(cur, bytes, elemsize, typ);
    }
    // After the memory is complete: a marker may scan what is marked.
    if (marking) setBitsAtomically(this.kernel, u32[at + SPAN_GCMARK_BITS], first, n);
    if (shared) this.log.beginCounts();
    const count = this.smallAlloc + (spanclass >>> 1);
    f64[count] = f64[count] + n;
    if (spanclass === TINY_SPAN_CLASS) this.foldTinyCount();
    u32[i + SLOT_CUR] = cur;
    u32[i + SLOT_END] = cur + bytes;
    if (!shared) return;
    if (marking && (spanclass & 1) === 0 && elemsize <= MIN_SIZE_FOR_HEADER) u32[i + SLOT_BITLESS] = cur;
    this.log.endCounts();
  }

  /** Writes the pointer bits of the slot at p, the last of the run that the program has got. */
  setObject(i: number, p: number, elemsize: number, typ: number, size: number): void {
    const { u32 } = this;
    const bitless = u32[i + SLOT_BITLESS] !== 0;
    if (bitless) this.writeBits(i, p);
    this.heapBits.setObject(p, elemsize, typ, size);
    if (bitless) u32[i + SLOT_BITLESS] = p + elemsize;
  }

  /** Writes the pointer bits of the objects from `bitless` up to `end`. */
  writeBits(i: number, end: number): void {
    const { u32 } = this;
    const from = u32[i + SLOT_BITLESS];
    // The end may be 0, which is 2^32.
    const bytes = (end - from) >>> 0;
    if (bytes !== 0) this.heapBits.fillRun(from, bytes, u32[i + SLOT_ELEMSIZE], u32[i + SLOT_TYP]);
    u32[i + SLOT_BITLESS] = 0;
  }

  /**
   * Whether slot idx of the span, at p, was claimed for runs of the mcache's slot at word i and is not handed out
   * yet.
   */
  isUnused(i: number, s: number, p: number, idx: number): boolean {
    const { u32 } = this;
    if (u32[i + SLOT_SPAN] !== s) return false;
    // The run's end may be 0, which is 2^32.
    const cur = u32[i + SLOT_CUR];
    if (p >= cur && p - cur < (u32[i + SLOT_END] - cur) >>> 0) return true;
    return u32[i + SLOT_REST_WORD] === idx >>> 5 && ((u32[i + SLOT_REST] >>> (idx & 31)) & 1) !== 0;
  }

  /** Returns the unused slots of the slot's run and rest to their span, which stays cached. */
  returnTail(i: number, spanclass: number): void {
    const u32 = this.u32;
    const f64 = this.f64;
    const cur = u32[i + SLOT_CUR];
    const end = u32[i + SLOT_END];
    const rest = u32[i + SLOT_REST];
    if (u32[i + SLOT_BITLESS] !== 0) this.writeBits(i, cur);
    if (cur === end && rest === 0) return;
    const at = u32[i + SLOT_SPAN] >>> 2;
    const elemsize = u32[i + SLOT_ELEMSIZE];
    const allocs = u32[at + SPAN_ALLOC_BITS] >>> 2;
    // A block freed by hand may have lowered freeindex further.
    let free = u32[at + SPAN_FREEINDEX];
    let n = 0;
    if (rest !== 0) {
      n = popcount32(rest);
      const k = u32[i + SLOT_REST_WORD];
      u32[allocs + k] = u32[allocs + k] & ~rest;
      free = Math.min(free, nextOne(u32, i + SLOT_REST, 0, 32) + (k << 5));
      u32[i + SLOT_REST] = 0;
    }
    if (cur !== end) {
      // end may be 0, which is 2^32.
      const tail = ((end - cur) >>> 0) / elemsize;
      const first = (cur - u32[at + SPAN_START_ADDR]) / elemsize;
      this.log.runReturned(i, spanclass, first, tail, end);
      clearBits(u32, allocs, first, tail);
      // Whether or not they were marked: the slots hold no objects, so they become white.
      clearBitsAtomically(this.kernel, u32, u32[at + SPAN_GCMARK_BITS], first, tail);
      free = Math.min(free, first);
      n += tail;
      this.log.beginCounts();
      const count = this.smallAlloc + (spanclass >>> 1);
      f64[count] = f64[count] - tail;
      u32[i + SLOT_END] = cur;
      this.log.endCounts();
    }
    u32[at + SPAN_FREEINDEX] = free;
    u32[at + SPAN_ALLOC_COUNT] = u32[at + SPAN_ALLOC_COUNT] - n;
    f64[this.nextSample + spanclass] = f64[this.nextSample + spanclass] + n * elemsize;
    this.addHeapLive(-n * elemsize);
  }

  /**
   * Moves tinyCount, a word that would wrap, to the counter. Called between beginCounts and endCounts of the log.
   */
  foldTinyCount(): void {
    const count = (this.base + MCACHE_AT.tinyCount) >>> 2;
    const total = (this.base + MCACHE_AT.tinyAllocs) >>> 3;
    this.f64[total] = this.f64[total] + this.u32[count];
    this.u32[count] = 0;
  }

  /**
   * Draws the countdowns anew, as the rate has changed. Unused slots go back first: the next run charges them
   * again.
   */
  restartSamples(): void {
    this.returnTails();
    this.sampler.restart();
  }

  returnTails(): void {
    for (let spc = FIRST_SMALL_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc++)
      this.returnTail(this.slots + spc * SLOT_WORDS, spc);
  }

  private flushClass(spc: number): void {
    const u32 = this.u32;
    const i = this.slots + spc * SLOT_WORDS;
    const s = u32[i + SLOT_SPAN];
    if (s === 0) return;
    this.returnTail(i, spc);
    this.log.beginCounts();
    u32[i + SLOT_CUR] = 0;
    u32[i + SLOT_END] = 0;
    this.log.endCounts();
    this.heap.log.spanMoves(s);
    u32[i + SLOT_SPAN] = 0;
    this.central.uncacheSpan(s);
  }

  /** Gives all spans back and drops the tiny block: what Go's releaseAll does. */
  flush(): void {
    const u32 = this.u32;
    for (let w = 0; w < HELD_WORDS; w++) {
      let bits = u32[this.held + w];
      if (bits === 0) continue;
      for (; bits !== 0; bits &= bits - 1) this.flushClass((w << 5) + ctz32(bits));
      u32[this.held + w] = 0; // last: recovery of a thread that is killed here must find the rest
    }
    this.tellLive();
    u32[(this.base + MCACHE_AT.tiny) >>> 2] = 0;
    this.log.beginCounts();
    this.foldTinyCount();
    this.log.endCounts();
  }
}

/** n doubles from index w on become 0. */
function clearInline(f64: Float64Array, w: number, n: number): void {
  const end = w + n;
  for (; w + 4 <= end; w += 4) {
    f64[w] = 0;
    f64[w + 1] = 0;
    f64[w + 2] = 0;
    f64[w + 3] = 0;
  }
  for (; w < end; w++) f64[w] = 0;
}
