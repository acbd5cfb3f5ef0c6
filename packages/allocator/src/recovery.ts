/**
 * Recovery of the mcache of a thread that was killed.
 *
 * ## Why
 * A crash or worker.terminate() ends a thread between any two stores. The objects that it allocated stay allocated. But
 * its mcache also holds free slots, free pages, span structs, blocks of bits and freed blocks. Another thread takes all
 * of them over, so that a program that ends its workers does not leak, and so that the counters stay exact.
 *
 * ## What can be recovered
 * Inside a lock, nothing: the state under the lock may be half changed. Allocator.threadExited names the lock.
 *
 * Outside of locks a thread changes only its own mcache, and a span that no list and no slot names: one that it is
 * making, or moving from one place to another. So it keeps a log in its mcache (RECOVERY_LOG in layout.ts). The log is
 * written ahead: an entry stands before the change that it protects. There is one entry of each sort:
 *
 *     a span that moves        spanMoves, under the lock of its old place ... spanPlaced, under that of its new place
 *     a span that is made      beginSpan, structTaken, bitsTaken, pagesChosen, pagesTaken, pagesCounted ... spanPlaced
 *     a run that is claimed    runClaimed ... the next change of the version
 *     a run that goes back     runReturned ... the next change of the version
 *
 * The version is the mcache's word that is odd while counts and the ends of a run change (beginCounts, endCounts).
 * Readers of statistics use it too: see mstats.ts.
 *
 * The thread that takes over calls recoverMCache. By the log it completes or undoes the unfinished changes:
 *
 *     a span that was made     is completed as far as it was begun, and freed: its struct, bits and pages are back
 *     a span that moved        is counted anew and goes to the list where it belongs
 *     a large span being freed is freed
 *     a span being swept       goes back as it is: what the sweep had not reached stays allocated until the next one
 *     a span in a slot         is counted anew
 *     a run                    that was being claimed is free again; one that was going back is whole again
 *
 * ## What is lost
 * - A block that was on its way to or from a list of freed blocks keeps its slot. A piece of stack on such a way stays
 *   in use.
 * - Pages of a span that was being made are lost in two cases: another thread emptied the page cache between the same
 *   two stores, or they were the last pages of the cache.
 * - heapLive, and the count of tiny objects, may be off by those of one run.
 *
 * A heap that one thread has alone writes no log where that saves work: no thread could take over.
 * test/killed-at-any-store.test.ts kills a thread at every store of every operation.
 */
import { popcount32 } from "@gort/base";
import type { Addr, Kernel, LinearMemory } from "@gort/memory";
import type { Allocator } from "./allocator.ts";
import { clearBits, setBits } from "./bits.ts";
import {
  FIRST_NOSCAN_SPAN_CLASS,
  FIRST_SMALL_SPAN_CLASS,
  LOG_PAGES_COUNTED,
  LOG_PAGES_TAKEN,
  MCACHE_AT,
  MHEAP_AT,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  PAGE_SIZE,
  RECOVERY_LOG_AT,
  SLOT_BITLESS,
  SLOT_END,
  SLOT_FREE,
  SLOT_NFREE,
  SLOT_REST,
  SLOT_REST_WORD,
  SLOT_SPAN,
  SLOT_WORDS,
  SPAN_DEAD,
  SPAN_IN_USE,
  SPAN_MANUAL,
} from "./layout.ts";
import { SpanPlan } from "./span-plan.ts";

// Words from the first of the log; doubles from its first.
const LOG_SPAN = RECOVERY_LOG_AT.span >>> 2;
const LOG_PLAN = RECOVERY_LOG_AT.plan >>> 2;
const LOG_NPAGES = RECOVERY_LOG_AT.npages >>> 2;
const LOG_BITS = RECOVERY_LOG_AT.bits >>> 2;
const LOG_PAGE = RECOVERY_LOG_AT.page >>> 2;
const LOG_SCAVENGED = RECOVERY_LOG_AT.scavenged >>> 2;
const LOG_PROGRESS = RECOVERY_LOG_AT.progress >>> 2;
const LOG_RUN_SLOT = RECOVERY_LOG_AT.runSlot >>> 2;
const LOG_RUN_VERSION = RECOVERY_LOG_AT.runVersion >>> 2;
const LOG_RUN = RECOVERY_LOG_AT.run >>> 2;
const LOG_RUN_END = RECOVERY_LOG_AT.runEnd >>> 2;
const LOG_RUN_COUNT = RECOVERY_LOG_AT.runCount >>> 3;
const LOG_COUNTS = RECOVERY_LOG_AT.counts >>> 3;

/** The log of one thread. It writes; recoverMCache reads. */
export class RecoveryLog {
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly kernel: Kernel;
  /** Word index of MHEAP.shared. */
  private readonly shared: number;
  private mcache = 0;
  /** Word index of the log. */
  private log = 0;
  /** Address of the mcache's version. */
  private version = 0;
  /** f64 index of the mcache's smallAllocCount. */
  private smallAlloc = 0;

  /** mheap: address of the MHEAP struct. */
  constructor(mem: LinearMemory, mheap: number) {
    this.u32 = mem.u32;
    this.f64 = mem.f64;
    this.kernel = mem.kernel;
    this.shared = (mheap + MHEAP_AT.shared) >>> 2;
  }

  /** The log is that of this mcache. */
  bind(mcache: number): void {
    this.mcache = mcache;
    this.log = (mcache + MCACHE_AT.recoveryLog) >>> 2;
    this.version = mcache + MCACHE_AT.version;
    this.smallAlloc = (mcache + MCACHE_AT.smallAllocCount) >>> 3;
  }

  // --- a span that is made: its struct, bits and pages, from the mcache's stock to the finished span

  /** A span is going to be made. Keeps the counters as they were. */
  beginSpan(plan: SpanPlan): void {
    const { u32, f64, log, mcache } = this;
    if (u32[this.shared] === 0) return;
    u32[log + LOG_PLAN] = plan.code;
    u32[log + LOG_NPAGES] = plan.npages;
    u32[log + LOG_BITS] = 0;
    u32[log + LOG_PAGE] = 0;
    u32[log + LOG_PROGRESS] = 0;
    const counts = (log >>> 1) + LOG_COUNTS;
    f64[counts] = f64[(mcache + MCACHE_AT.heapInUse) >>> 3];
    f64[counts + 1] = f64[(mcache + MCACHE_AT.heapFree) >>> 3];
    f64[counts + 2] = f64[(mcache + MCACHE_AT.heapReleased) >>> 3];
    if (plan.spanclass >= FIRST_SMALL_SPAN_CLASS) return;
    f64[counts + 3] = f64[(mcache + MCACHE_AT.largeAlloc) >>> 3];
    f64[counts + 4] = f64[(mcache + MCACHE_AT.largeAllocCount) >>> 3];
  }

  /** The struct is going to leave the mcache's list. */
  structTaken(s: number): void {
    if (this.u32[this.shared] !== 0) this.u32[this.log + LOG_SPAN] = s;
  }

  /** The block of bits is going to leave the mcache's list. (Logged always: a store costs less than the check.) */
  bitsTaken(bits: number): void {
    this.u32[this.log + LOG_BITS] = bits;
  }

  /** These pages of the page cache are going to be taken. Recovery looks whether they were. */
  pagesChosen(page: number, scavenged: number): void {
    const { u32, log } = this;
    u32[log + LOG_SCAVENGED] = scavenged;
    u32[log + LOG_PAGE] = page;
  }

  /** The pages are out of the page cache; the counters do not say so yet. */
  pagesTaken(): void {
    this.u32[this.log + LOG_PROGRESS] = LOG_PAGES_TAKEN;
  }

  /** The pages were taken from the page allocator, and the counters say so: under the heap lock. */
  pagesCounted(page: number): void {
    this.u32[this.log + LOG_PAGE] = page;
    this.u32[this.log + LOG_PROGRESS] = LOG_PAGES_COUNTED;
  }

  // --- a span that moves

  /**
   * The span is going to be in no list and no slot. Called under the lock of the list that it leaves, or before it
   * leaves its slot.
   */
  spanMoves(s: number): void {
    const { u32, f64, log, mcache } = this;
    if (u32[this.shared] === 0) return;
    if (u32[(s + MSPAN_AT.spanclass) >>> 2] < FIRST_SMALL_SPAN_CLASS) {
      const counts = (log >>> 1) + LOG_COUNTS;
      f64[counts + 3] = f64[(mcache + MCACHE_AT.largeFree) >>> 3];
      f64[counts + 4] = f64[(mcache + MCACHE_AT.largeFreeCount) >>> 3];
    }
    u32[log + LOG_PLAN] = 0;
    u32[log + LOG_SPAN] = s;
  }

  /** The span has its place: called under the lock of the list or the heap that has it, or when a slot has it. */
  spanPlaced(s: number): void {
    const { u32, log } = this;
    if (u32[this.shared] !== 0 && u32[log + LOG_SPAN] === s) u32[log + LOG_SPAN] = 0;
  }

  // --- a run

  /** The n slots from `first` on of the span in the mcache's slot at word i are going to be its run. */
  runClaimed(i: number, spanclass: number, first: number, n: number): void {
    if (this.u32[this.shared] !== 0) this.logRun(i, spanclass, first, n, 0);
  }

  /** The last n slots of the run, from `first` to the address `end`, are going back. */
  runReturned(i: number, spanclass: number, first: number, n: number, end: number): void {
    // An end of 0 is 2^32. In the log 0 stands for a claim, so 1 stands for 2^32.
    if (this.u32[this.shared] !== 0) this.logRun(i, spanclass, first, n, end || 1);
  }

  private logRun(i: number, spanclass: number, first: number, n: number, end: number): void {
    const { u32, f64, log } = this;
    u32[log + LOG_RUN_SLOT] = 0; // from here on the entry is not the previous run's
    u32[log + LOG_RUN] = (first << 16) | n;
    u32[log + LOG_RUN_END] = end;
    u32[log + LOG_RUN_VERSION] = u32[this.version >>> 2];
    f64[(log >>> 1) + LOG_RUN_COUNT] = f64[this.smallAlloc + (spanclass >>> 1)];
    u32[log + LOG_RUN_SLOT] = i;
  }

  /**
   * Begins a change that readers on other threads must see as one: of a count of objects, and of the run whose unused
   * slots they subtract from it. Until endCounts the thread takes no lock and throws nothing.
   */
  beginCounts(): void {
    if (this.u32[this.shared] !== 0) this.kernel.add(this.version, 1);
  }

  endCounts(): void {
    if (this.u32[this.shared] !== 0) this.kernel.add(this.version, 1);
  }
}

/**
 * Puts the mcache of `dead`, an allocator made over it, in order. Its owner must have been killed outside of locks.
 * Afterwards the mcache is as between two operations, and a flush empties it.
 */
export function recoverMCache(dead: Allocator): void {
  const { u32 } = dead.mem;
  const { base, slots } = dead.cache;
  const log = base + MCACHE_AT.recoveryLog;
  const s = u32[(log + RECOVERY_LOG_AT.span) >>> 2];
  recountFree(dead);
  if (s !== 0) {
    if (u32[(log + RECOVERY_LOG_AT.plan) >>> 2] !== 0) finishMaking(dead, s, log);
    else finishMoving(dead, s, log);
    u32[(log + RECOVERY_LOG_AT.span) >>> 2] = 0;
  }
  recoverRun(dead, log);
  for (let spc = FIRST_SMALL_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc++) {
    recoverSlot(dead, slots + spc * SLOT_WORDS);
  }
  dead.central.endSweep();
}

/** Undoes the change of a run that may have been going on. */
function recoverRun(dead: Allocator, log: number): void {
  const { u32, f64, kernel } = dead.mem;
  const { base } = dead.cache;
  const word = (offset: number): number => u32[(log + offset) >>> 2];
  const i = word(RECOVERY_LOG_AT.runSlot);
  const s = i === 0 ? 0 : u32[i + SLOT_SPAN];
  u32[(log + RECOVERY_LOG_AT.runSlot) >>> 2] = 0;
  const changes = (u32[(base + MCACHE_AT.version) >>> 2] - word(RECOVERY_LOG_AT.runVersion)) >>> 0;
  if (s === 0 || changes > 1) return;
  const spanclass = u32[(s + MSPAN_AT.spanclass) >>> 2];
  const count = ((base + MCACHE_AT.smallAllocCount) >>> 3) + (spanclass >>> 1);
  f64[count] = f64[(log + RECOVERY_LOG_AT.runCount) >>> 3];
  const end = word(RECOVERY_LOG_AT.runEnd);
  if (end !== 0) {
    // It was going back: cur is unchanged, and recoverSlot sets the bits, as for every run.
    u32[i + SLOT_END] = end === 1 ? 0 : end;
    return;
  }
  u32[i] = 0;
  u32[i + SLOT_END] = 0;
  u32[i + SLOT_BITLESS] = 0;
  const first = word(RECOVERY_LOG_AT.run) >>> 16;
  const n = word(RECOVERY_LOG_AT.run) & 0xffff;
  clearBits(u32, u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2, first, n);
  for (let k = first; k < first + n; k++) {
    kernel.and(u32[(s + MSPAN_AT.gcmarkBits) >>> 2] + ((k >>> 5) << 2), ~(1 << (k & 31)));
  }
}

/** Marks the slots that the mcache holds as allocated in their span, as they are between two operations. */
function recoverSlot(dead: Allocator, i: number): void {
  const { u32 } = dead.mem;
  const s = u32[i + SLOT_SPAN];
  if (s === 0) return;
  const bits = u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2;
  const cur = u32[i];
  if (u32[i + SLOT_BITLESS] !== 0) dead.cache.writeBits(i, cur);
  if (cur === 0) u32[i + SLOT_END] = 0;
  const n = (((u32[i + SLOT_END] - cur) >>> 0) / u32[(s + MSPAN_AT.elemsize) >>> 2]) | 0;
  if (n > 0) setBits(u32, bits, dead.objIndex(s as Addr, cur as Addr), n);
  const k = bits + u32[i + SLOT_REST_WORD];
  u32[k] = u32[k] | u32[i + SLOT_REST];
  recountSpan(dead, s);
}

/** Counts the structs and blocks of bits that the mcache has ahead of use, and the blocks freed by hand. */
function recountFree(dead: Allocator): void {
  const { u32 } = dead.mem;
  const { base } = dead.cache;
  let n = 0;
  for (let s = u32[(base + MCACHE_AT.spanFree) >>> 2]; s !== 0; s = u32[(s + MSPAN_AT.next) >>> 2]) n++;
  u32[(base + MCACHE_AT.nspanFree) >>> 2] = n;
  dead.heap.spanBits.recount();
  for (let spc = FIRST_NOSCAN_SPAN_CLASS; spc < NUM_SPAN_CLASSES; spc += 2) {
    const i = dead.cache.slots + spc * SLOT_WORDS;
    let blocks = 0;
    for (let p = u32[i + SLOT_FREE]; p !== 0; p = u32[p >>> 2]) blocks++;
    u32[i + SLOT_NFREE] = blocks;
  }
}

/** Sets the span's count to the number of its alloc bits. */
function recountSpan(dead: Allocator, s: number): void {
  const { u32 } = dead.mem;
  const bits = u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2;
  const nwords = (u32[(s + MSPAN_AT.nelems) >>> 2] + 31) >>> 5;
  let n = 0;
  for (let k = 0; k < nwords; k++) n += popcount32(u32[bits + k]);
  u32[(s + MSPAN_AT.allocCount) >>> 2] = n;
  u32[(s + MSPAN_AT.freeindex) >>> 2] = 0;
}

function inSlot(dead: Allocator, s: number): boolean {
  const { u32 } = dead.mem;
  const spanclass = u32[(s + MSPAN_AT.spanclass) >>> 2];
  return u32[dead.cache.slots + spanclass * SLOT_WORDS + SLOT_SPAN] === s;
}

/** Takes back the parts of an unfinished span: its struct, bits and pages, as far as the thread had taken them. */
function finishMaking(dead: Allocator, s: number, log: number): void {
  const { heap } = dead;
  const { u32, f64 } = dead.mem;
  const { base } = dead.cache;
  const word = (offset: number): number => u32[(log + offset) >>> 2];
  const count = (k: number): number => f64[((log + RECOVERY_LOG_AT.counts) >>> 3) + k];
  const plan = SpanPlan.of(word(RECOVERY_LOG_AT.plan), word(RECOVERY_LOG_AT.npages));
  const { npages, bitsBytes } = plan;
  const notBegun = u32[(base + MCACHE_AT.spanFree) >>> 2] === s;
  if (notBegun || inSlot(dead, s)) return;
  const bits = word(RECOVERY_LOG_AT.bits);
  if (bitsBytes !== 0 && (bits === 0 || heap.spanBits.isNext(bits, bitsBytes))) {
    heap.structs.put(s);
    return;
  }
  const [page, progress] = [word(RECOVERY_LOG_AT.page), word(RECOVERY_LOG_AT.progress)];
  if (page === 0 || (progress === 0 && heap.pageCache.untaken(page, npages))) {
    if (bitsBytes !== 0) heap.spanBits.put(bits, bitsBytes);
    heap.structs.put(s);
    return;
  }
  if (progress !== LOG_PAGES_COUNTED) {
    if (progress !== LOG_PAGES_TAKEN) heap.pageCache.finishTaking(page, npages);
    const scavenged = word(RECOVERY_LOG_AT.scavenged);
    f64[(base + MCACHE_AT.heapInUse) >>> 3] = count(0) + npages * PAGE_SIZE;
    f64[(base + MCACHE_AT.heapFree) >>> 3] = count(1) + (scavenged - npages) * PAGE_SIZE;
    f64[(base + MCACHE_AT.heapReleased) >>> 3] = count(2) - scavenged * PAGE_SIZE;
  }
  if (plan.holdsObjects && plan.spanclass < FIRST_SMALL_SPAN_CLASS) {
    f64[(base + MCACHE_AT.largeAlloc) >>> 3] = count(3);
    f64[(base + MCACHE_AT.largeAllocCount) >>> 3] = count(4);
  }
  plan.page = page;
  plan.bits = bits;
  heap.initSpan(s, plan);
  u32[(s + MSPAN_AT.allocCount) >>> 2] = 0;
  heap.freeSpan(s);
}

/** Puts a span that was between two places where it belongs. */
function finishMoving(dead: Allocator, s: number, log: number): void {
  const { heap, central } = dead;
  const { u32, f64 } = dead.mem;
  const state = u32[(s + MSPAN_AT.state) >>> 2];
  if (state === SPAN_DEAD || (state === SPAN_IN_USE && inSlot(dead, s))) return;
  if (state === SPAN_MANUAL) {
    heap.freeSpan(s);
    return;
  }
  const byHand = heap.sweepgen === 0;
  if (byHand && u32[(s + MSPAN_AT.spanclass) >>> 2] < FIRST_SMALL_SPAN_CLASS) {
    const { base } = dead.cache;
    const counts = (log + RECOVERY_LOG_AT.counts) >>> 3;
    f64[(base + MCACHE_AT.largeFree) >>> 3] = f64[counts + 3] + u32[(s + MSPAN_AT.elemsize) >>> 2];
    f64[(base + MCACHE_AT.largeFreeCount) >>> 3] = f64[counts + 4] + 1;
    u32[(s + MSPAN_AT.allocCount) >>> 2] = 0;
    heap.freeSpan(s);
    return;
  }
  recountSpan(dead, s);
  if (!byHand && u32[(s + MSPAN_AT.sweepgen) >>> 2] === heap.sweepgen - 1) {
    const marks = u32[(s + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    u32.fill(0, marks, marks + ((u32[(s + MSPAN_AT.nelems) >>> 2] + 31) >>> 5));
  }
  central.uncacheSpan(s);
}
