/**
 * What is done with the mcache of a thread that was killed, before its contents go back.
 *
 * A thread may be killed between any two stores. Inside of a lock that is the end: nobody else can tell what the
 * lock guards (Allocator.threadExited names it). Outside of locks it changes its own mcache, and a span that it has
 * in hand: taken off a list and not yet in a slot, out of a slot and not yet on a list, or not yet made. IN_HAND
 * (layout.ts) names that span from the lock under which it lost its old place to the one under which it has the
 * new, and says of a new one what it is made of.
 *
 *     being made    as much as had been done is completed, and the span freed: its struct, bits and pages are back
 *     moved         is counted anew and goes to the list where it belongs
 *     large, freed  its free is completed
 *     being swept   goes back as it is: what the sweep had not come to stays allocated until the next one
 *     in a slot     is counted anew
 *     a run         that was being claimed is free again; one that was going back is whole again
 *
 * What can't be told is left: a block that was on its way to or from a list of freed ones keeps its slot, a piece
 * of stack stays in use; pages of a span that was being made are lost if another thread emptied the page cache
 * between the same two stores, or if they were the last of it; heapLive, and the count of tiny objects, may be off
 * by those of one run.
 */
import type { Addr } from "@gort/memory";
import { clearBits, popcount32, setBits } from "./bits.ts";
import {
  HAND_COUNTED,
  HAND_TAKEN,
  IN_HAND_AT,
  MCACHE_AT,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  PAGE_SIZE,
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
import type { Allocator } from "./malloc.ts";
import { bitsBytes } from "./mheap.ts";

/** Puts the mcache of `dead`, an allocator made over it, in order. Its owner must have been killed outside of locks. */
export function settle(dead: Allocator): void {
  const { u32 } = dead.mem;
  const { base, slots } = dead.cache;
  const hand = base + MCACHE_AT.inHand;
  const s = u32[(hand + IN_HAND_AT.span) >>> 2];
  recountFree(dead);
  if (s !== 0) {
    if (u32[(hand + IN_HAND_AT.what) >>> 2] !== 0) finishMaking(dead, s, hand);
    else finishMoving(dead, s, hand);
    u32[(hand + IN_HAND_AT.span) >>> 2] = 0;
  }
  settleRun(dead, hand);
  for (let spc = 2; spc < NUM_SPAN_CLASSES; spc++) settleSlot(dead, slots + spc * SLOT_WORDS);
}

/** The change of a run that may have been going on. */
function settleRun(dead: Allocator, hand: number): void {
  const { u32, f64, kernel } = dead.mem;
  const { base } = dead.cache;
  const word = (offset: number): number => u32[(hand + offset) >>> 2];
  const i = word(IN_HAND_AT.runSlot);
  const s = i === 0 ? 0 : u32[i + SLOT_SPAN];
  u32[(hand + IN_HAND_AT.runSlot) >>> 2] = 0;
  const changes = (u32[(base + MCACHE_AT.version) >>> 2] - word(IN_HAND_AT.runVersion)) >>> 0;
  if (s === 0 || changes > 1) return;
  const count = ((base + MCACHE_AT.smallAllocCount) >>> 3) + (u32[(s + MSPAN_AT.spanclass) >>> 2] >>> 1);
  f64[count] = f64[(hand + IN_HAND_AT.runCount) >>> 3];
  const end = word(IN_HAND_AT.runEnd);
  if (end !== 0) {
    u32[i + SLOT_END] = end === 1 ? 0 : end; // cur is as it was, and the bits are set with those of the other runs
    return;
  }
  u32[i] = 0;
  u32[i + SLOT_END] = 0;
  const first = word(IN_HAND_AT.run) >>> 16;
  const n = word(IN_HAND_AT.run) & 0xffff;
  clearBits(u32, u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2, first, n);
  for (let k = first; k < first + n; k++) {
    kernel.and(u32[(s + MSPAN_AT.gcmarkBits) >>> 2] + ((k >>> 5) << 2), ~(1 << (k & 31)));
  }
}

/** The slots that the mcache holds are allocated as far as the span is concerned; a flush gives them back. */
function settleSlot(dead: Allocator, i: number): void {
  const { u32 } = dead.mem;
  const s = u32[i + SLOT_SPAN];
  if (s === 0) return;
  const bits = u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2;
  const cur = u32[i];
  if (cur === 0) u32[i + SLOT_END] = 0;
  const n = (((u32[i + SLOT_END] - cur) >>> 0) / u32[(s + MSPAN_AT.elemsize) >>> 2]) | 0;
  if (n > 0) setBits(u32, bits, dead.objIndex(s as Addr, cur as Addr), n);
  const k = bits + u32[i + SLOT_REST_WORD];
  u32[k] = u32[k] | u32[i + SLOT_REST];
  recount(dead, s);
}

/** The numbers of structs and blocks of bits that the mcache has ahead of use, and of blocks freed by hand. */
function recountFree(dead: Allocator): void {
  const { u32 } = dead.mem;
  const { base } = dead.cache;
  let n = 0;
  for (let s = u32[(base + MCACHE_AT.spanFree) >>> 2]; s !== 0; s = u32[(s + MSPAN_AT.next) >>> 2]) n++;
  u32[(base + MCACHE_AT.nspanFree) >>> 2] = n;
  dead.heap.spanBits.recount();
  for (let spc = 3; spc < NUM_SPAN_CLASSES; spc += 2) {
    const i = dead.cache.slots + spc * SLOT_WORDS;
    let blocks = 0;
    for (let p = u32[i + SLOT_FREE]; p !== 0; p = u32[p >>> 2]) blocks++;
    u32[i + SLOT_NFREE] = blocks;
  }
}

/** The span's alloc bits are what counts. */
function recount(dead: Allocator, s: number): void {
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

function finishMaking(dead: Allocator, s: number, hand: number): void {
  const { heap } = dead;
  const { u32, f64 } = dead.mem;
  const { base } = dead.cache;
  const word = (offset: number): number => u32[(hand + offset) >>> 2];
  const count = (k: number): number => f64[((hand + IN_HAND_AT.counts) >>> 3) + k];
  const what = word(IN_HAND_AT.what);
  const [spanclass, state, kind] = [what & 0xff, (what >>> 8) & 0xff, what >>> 16];
  if (u32[(base + MCACHE_AT.spanFree) >>> 2] === s || inSlot(dead, s)) return; // not begun, or done
  const nbits = state === SPAN_IN_USE ? bitsBytes(spanclass) : 0;
  const bits = word(IN_HAND_AT.bits);
  if (nbits !== 0 && (bits === 0 || heap.spanBits.isNext(bits, nbits))) {
    heap.putSpan(s);
    return;
  }
  const [page, npages, progress] = [
    word(IN_HAND_AT.page),
    word(IN_HAND_AT.npages),
    word(IN_HAND_AT.progress),
  ];
  if (page === 0 || (progress === 0 && heap.pageCache.untaken(page, npages))) {
    if (nbits !== 0) heap.spanBits.put(bits, nbits);
    heap.putSpan(s);
    return;
  }
  if (progress !== HAND_COUNTED) {
    if (progress !== HAND_TAKEN) heap.pageCache.finishTaking(page, npages);
    const scavenged = word(IN_HAND_AT.scavenged);
    f64[(base + MCACHE_AT.heapInUse) >>> 3] = count(0) + npages * PAGE_SIZE;
    f64[(base + MCACHE_AT.heapFree) >>> 3] = count(1) + (scavenged - npages) * PAGE_SIZE;
    f64[(base + MCACHE_AT.heapReleased) >>> 3] = count(2) - scavenged * PAGE_SIZE;
  }
  if (spanclass < 2 && state === SPAN_IN_USE) {
    f64[(base + MCACHE_AT.largeAlloc) >>> 3] = count(3);
    f64[(base + MCACHE_AT.largeAllocCount) >>> 3] = count(4);
  }
  heap.initSpan(s, page, npages, state, spanclass, kind, bits, false);
  u32[(s + MSPAN_AT.allocCount) >>> 2] = 0;
  heap.freeSpan(s);
}

function finishMoving(dead: Allocator, s: number, hand: number): void {
  const { heap, central } = dead;
  const { u32, f64 } = dead.mem;
  const state = u32[(s + MSPAN_AT.state) >>> 2];
  if (state === SPAN_DEAD || (state === SPAN_IN_USE && inSlot(dead, s))) return;
  if (state === SPAN_MANUAL) {
    heap.freeManual(s);
    return;
  }
  const byHand = heap.sweepgen === 0;
  if (byHand && u32[(s + MSPAN_AT.spanclass) >>> 2] < 2) {
    const { base } = dead.cache;
    const counts = (hand + IN_HAND_AT.counts) >>> 3;
    f64[(base + MCACHE_AT.largeFree) >>> 3] = f64[counts + 3] + u32[(s + MSPAN_AT.elemsize) >>> 2];
    f64[(base + MCACHE_AT.largeFreeCount) >>> 3] = f64[counts + 4] + 1;
    u32[(s + MSPAN_AT.allocCount) >>> 2] = 0;
    heap.freeSpan(s);
    return;
  }
  recount(dead, s);
  if (!byHand && u32[(s + MSPAN_AT.sweepgen) >>> 2] === heap.sweepgen - 1) {
    const marks = u32[(s + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    u32.fill(0, marks, marks + ((u32[(s + MSPAN_AT.nelems) >>> 2] + 31) >>> 5));
  }
  central.uncacheSpan(s);
}
