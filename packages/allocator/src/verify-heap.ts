/**
 * verifyHeap: walks everything that the allocator keeps and proves its invariants.
 *
 * One walk fills a HeapWalk: it goes over the mcaches, mcentral's lists, the spans and the pages in this order. Each
 * part checks its finds against those of the parts before it. The figures are compared last.
 */
import { popcount32 } from "@gort/base";
import type { Addr } from "@gort/memory";
import type { Allocator } from "./allocator.ts";
import { hasBit } from "./bits.ts";
import {
  GC_OFF,
  GCCONTROL_AT,
  HEAP_BITS_WORD_BYTES,
  HEAP_BITS_WORDS,
  MANUAL_GC,
  MCACHE_AT,
  MCENTRAL_AT,
  MHEAP_AT,
  MSPAN,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  PAGE_SHIFT,
  PAGE_SIZE,
  SLOT_BITLESS,
  SLOT_CREDIT,
  SLOT_ELEMSIZE,
  SLOT_FREE,
  SLOT_GRANTED,
  SLOT_NFREE,
  SLOT_PARKED,
  SLOT_REST,
  SLOT_REUSED,
  SLOT_SPAN,
  SLOT_WORDS,
  SPAN_DEAD,
  SPAN_IN_USE,
  SPAN_MANUAL,
  SPECIAL_AT,
} from "./layout.ts";
import { forEachMCache } from "./mcache-list.ts";
import type { MHeap } from "./mheap.ts";
import { newHeapStats } from "./mstats.ts";
import { hasObjects, makePageInfo, PAGE_INFO_NONE } from "./page-info.ts";
import { classToAllocNPages, classToSize } from "./sizeclasses.generated.ts";
import { equal, must, verifySummaries } from "./verify-summaries.ts";

/**
 * Checks every invariant of the heap and throws with the numbers if one doesn't hold. The world must be stopped; with
 * several threads all must have been flushed. Walks all pages: for tests.
 *
 *  1. A page of the arena is in use exactly if pageSpan names a span, which covers it. Scavenged pages are free.
 *     pageInfo is the span's class and mark bits, or PAGE_INFO_NONE.
 *  2. Summaries of the page allocator equal those computed from the bits.
 *  3. A heap span: elemsize, npages, nelems and limit are as its class says. allocCount = ones in allocBits. No slot
 *     below freeindex is free. Mark bits are zero in swept spans while no collection marks. The span is on the list
 *     that its sweepgen and allocCount say, or cached by exactly one mcache slot.
 *  4. Lists are linked both ways, and their spans know them.
 *  5. heapInUse, heapFree, heapReleased, stackInUse and gcManualInUse are the sums over pages and spans. A page is in
 *     at most one page cache, and then in use and not scavenged in the bit maps.
 *  6. The identities of HeapStats hold, and totalAlloc - totalFree = bytes in allocBits - slots claimed for later runs.
 *  7. Specials are sorted and point into their span.
 *  8. Blocks by hand: a list is as long as its accounts say, and its blocks are allocated in a span of its class. In
 *     swept spans as many slots are marked as blocks are parked, or fewer after a collection. In a heap that was never
 *     collected, the bits of heapBits outside of pointerful spans are those of blocks in use. Each of these begins a
 *     slot that is allocated, on no list and in no run. heapBits is mapped there.
 */
export function verifyHeap(a: Allocator): void {
  const walk = new HeapWalk(a);
  walk.mcaches();
  walk.centralLists();
  walk.spans();
  walk.pages();
  walk.figures();
}

class HeapWalk {
  private readonly a: Allocator;
  private readonly heap: MHeap;
  private readonly u32: Uint32Array;
  private readonly sweepgen: number;
  private readonly marking: boolean;
  /** First page of the arena, and the end of its last. */
  private readonly lo: number;
  private readonly hi: number;

  // Contents of the mcaches: the span class by cached span, and blocks freed by hand.
  private readonly cached = new Map<number, number>();
  private readonly handFreed = new Set<number>();
  private readonly parked = new Set<number>();
  /** Bytes of current runs, slots claimed for later runs, and the bytes of these. */
  private tailBytes = 0;
  private inRests = 0;
  private restBytes = 0;
  /** Length of the lists of freed blocks, by their accounts. */
  private accounted = 0;

  /** The list by span on a list of mcentral. */
  private readonly listed = new Map<number, number>();

  // Sums over the spans, in bytes unless said otherwise.
  private inUse = 0;
  private stack = 0;
  private manualGC = 0;
  private allocated = 0;
  private objects = 0;
  private liveSpans = 0;
  private freedBlocks = 0;
  private retainedPages = 0;

  // Sums over the pages, in bytes.
  private free = 0;
  private released = 0;
  private releasedInCaches = 0;

  constructor(a: Allocator) {
    this.a = a;
    this.heap = a.heap;
    this.u32 = a.mem.u32;
    this.sweepgen = a.heap.sweepgen;
    this.marking = this.word(a.gcControl + GCCONTROL_AT.gcPhase) !== GC_OFF;
    this.lo = this.word(a.mheap + MHEAP_AT.arenaStart) >>> PAGE_SHIFT;
    this.hi = Math.ceil(this.word(a.mheap + MHEAP_AT.arenaEnd) / PAGE_SIZE);
  }

  private word(addr: number): number {
    return this.u32[addr >>> 2];
  }

  // --- mcaches

  mcaches(): void {
    const visit = (c: number): void => {
      for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) {
        const i = ((c + MCACHE_AT.alloc) >>> 2) + spc * SLOT_WORDS;
        this.freedLists(i, spc);
        this.slot(c, i, spc);
      }
    };
    forEachMCache(this.heap, visit, undefined);
  }

  private freedLists(i: number, spc: number): void {
    const { u32, heap, handFreed, parked } = this;
    for (const [head, all] of [
      [SLOT_FREE, handFreed],
      [SLOT_PARKED, parked],
    ] as const) {
      for (let p = u32[i + head]; p !== 0; p = this.word(p)) {
        must(!handFreed.has(p) && !parked.has(p), () => `freed block ${p} is on two lists`);
        const spanclass = this.word(heap.spanOf(p) + MSPAN_AT.spanclass);
        must(spanclass === spc, () => `freed block ${p} is on the list of ${spc}`);
        all.add(p);
      }
    }
    const unsettled = u32[i + SLOT_GRANTED] - u32[i + SLOT_CREDIT];
    this.accounted += u32[i + SLOT_NFREE] + unsettled - u32[i + SLOT_REUSED];
    must(
      this.accounted === handFreed.size,
      () => `lists up to class ${spc} have ${handFreed.size} blocks, their accounts say ${this.accounted}`,
    );
  }

  private slot(c: number, i: number, spc: number): void {
    const { u32, cached } = this;
    const s = u32[i + SLOT_SPAN];
    const [cur, end] = [u32[i], u32[i + 1]];
    const elemsize = u32[i + SLOT_ELEMSIZE];
    const rest = u32[i + SLOT_REST];
    if (s === 0) {
      must(cur === end && rest === 0, () => `mcache slot ${spc} has a run but no span`);
      return;
    }
    must(!cached.has(s), () => `span ${s} is cached twice`);
    const held = hasBit(u32, (c + MCACHE_AT.held) >>> 2, spc);
    must(held, () => `mcache slot ${spc} has a span, but no flush would find it`);
    const spanclass = this.word(s + MSPAN_AT.spanclass);
    must(spanclass === spc, () => `span ${s} of class ${spanclass} is in slot ${spc}`);
    cached.set(s, spc);
    // end may be 0, which is 2^32.
    const tail = cur === end ? 0 : (end || 2 ** 32) - cur;
    must(tail >= 0 && tail % elemsize === 0, () => `run ${cur}..${end}`);
    const bitless = u32[i + SLOT_BITLESS];
    const got = bitless === 0 ? 0 : (cur || 2 ** 32) - bitless;
    must(got >= 0 && got % elemsize === 0, () => `run ${cur}..${end} has no pointer bits from ${bitless} on`);
    this.tailBytes += tail;
    this.inRests += popcount32(rest);
    this.restBytes += popcount32(rest) * elemsize;
  }

  // --- mcentral's lists

  centralLists(): void {
    const { central } = this.a;
    for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) {
      for (const list of [
        central.partialSwept(spc),
        central.partialUnswept(spc),
        central.fullSwept(spc),
        central.fullUnswept(spc),
      ])
        this.list(list);
      const empty = central.empty(spc);
      const last = this.list(empty);
      const tail = this.word(empty + MCENTRAL_AT.emptyTail - MCENTRAL_AT.empty);
      must(tail === last, () => `the last retained span of class ${spc} is ${last}, not ${tail}`);
    }
  }

  /** The last span of the list, 0 if it is empty. */
  private list(list: number): number {
    const { listed } = this;
    let last = 0;
    for (let s = this.word(list); s !== 0; s = this.word(s + MSPAN_AT.next)) {
      const prev = this.word(s + MSPAN_AT.prev);
      must(prev === last, () => `span ${s}: prev is ${prev}, not ${last}`);
      const says = this.word(s + MSPAN_AT.list);
      must(says === list, () => `span ${s} is on list ${list} but says ${says}`);
      must(!listed.has(s), () => `span ${s} is on two lists`);
      listed.set(s, list);
      last = s;
    }
    return last;
  }

  // --- spans

  spans(): void {
    const { structs } = this.heap;
    for (let n = 0; n < structs.length; n++) {
      const s = structs.at(n);
      const index = this.word(s + MSPAN_AT.index);
      must(index === n + 1, () => `span ${s}: index is ${index}, not ${n + 1}`);
      const state = this.word(s + MSPAN_AT.state);
      if (state === SPAN_DEAD) continue;
      this.liveSpans++;
      this.spanPages(s, state);
      if (state === SPAN_MANUAL) this.manualSpan(s);
      else this.heapSpan(s);
    }
  }

  private spanPages(s: number, state: number): void {
    const { heap } = this;
    const first = this.word(s + MSPAN_AT.startAddr) >>> PAGE_SHIFT;
    const npages = this.word(s + MSPAN_AT.npages);
    const marks = this.word(s + MSPAN_AT.gcmarkBits);
    const spanclass = this.word(s + MSPAN_AT.spanclass);
    const want = state === SPAN_IN_USE ? makePageInfo(marks, spanclass) : PAGE_INFO_NONE;
    for (let p = first; p < first + npages; p++) {
      const owner = heap.spanOf(p * PAGE_SIZE);
      must(owner === s, () => `page ${p} of span ${s} belongs to ${owner}`);
      const info = this.word(heap.pageInfoBase + 4 * p);
      must(info === want, () => `pageInfo of page ${p} is ${info}, not ${want}`);
    }
  }

  private manualSpan(s: number): void {
    const bytes = this.word(s + MSPAN_AT.npages) * PAGE_SIZE;
    if (this.word(s + MSPAN_AT.manualKind) === MANUAL_GC) this.manualGC += bytes;
    else this.stack += bytes;
  }

  private heapSpan(s: number): void {
    const npages = this.word(s + MSPAN_AT.npages);
    const retained = this.listed.get(s) === this.a.central.empty(this.word(s + MSPAN_AT.spanclass));
    if (retained) {
      const count = this.word(s + MSPAN_AT.allocCount);
      must(count === 0, () => `span ${s} is retained with ${count} objects`);
      this.retainedPages += npages;
    } else {
      this.inUse += npages * PAGE_SIZE;
    }
    this.geometry(s);
    const ones = this.spanBits(s);
    this.place(s, ones, retained);
    this.specials(s);
  }

  /** Slots and pages as the class says. */
  private geometry(s: number): void {
    const sizeclass = this.word(s + MSPAN_AT.spanclass) >>> 1;
    const npages = this.word(s + MSPAN_AT.npages);
    const nelems = this.word(s + MSPAN_AT.nelems);
    const elemsize = this.word(s + MSPAN_AT.elemsize);
    const [start, limit] = [this.word(s + MSPAN_AT.startAddr), this.word(s + MSPAN_AT.limit)];
    const end = Math.min(start + nelems * elemsize, 0xffffffff);
    if (sizeclass === 0) {
      const ok = nelems === 1 && elemsize === npages * PAGE_SIZE && limit > start && limit <= end;
      must(ok, () => `large span ${s}: ${nelems} of ${elemsize}, limit ${limit} of ${start}..${end}`);
      return;
    }
    must(limit === end, () => `span ${s}: limit ${limit}, not ${end}`);
    must(elemsize === classToSize[sizeclass], () => `span ${s}: elemsize ${elemsize} in class ${sizeclass}`);
    must(npages === classToAllocNPages[sizeclass], () => `span ${s}: ${npages} pages in class ${sizeclass}`);
    must(nelems === Math.floor((npages * PAGE_SIZE) / elemsize), () => `span ${s}: nelems ${nelems}`);
  }

  /** Alloc and mark bits, and the blocks freed by hand. The result is the number of alloc bits. */
  private spanBits(s: number): number {
    const { u32, sweepgen } = this;
    const nelems = this.word(s + MSPAN_AT.nelems);
    const elemsize = this.word(s + MSPAN_AT.elemsize);
    const allocs = this.word(s + MSPAN_AT.allocBits) >>> 2;
    const marks = this.word(s + MSPAN_AT.gcmarkBits) >>> 2;
    let ones = 0;
    let marked = 0;
    for (let k = 0; k < (nelems + 31) >>> 5; k++) {
      ones += popcount32(u32[allocs + k]);
      marked += popcount32(u32[marks + k]);
    }
    const count = this.word(s + MSPAN_AT.allocCount);
    must(ones === count, () => `span ${s}: allocCount ${count}, bits ${ones}`);
    const freeindex = this.word(s + MSPAN_AT.freeindex);
    for (let i = 0; i < Math.min(freeindex, nelems); i++) {
      must(hasBit(u32, allocs, i), () => `span ${s}: slot ${i} is free below freeindex ${freeindex}`);
    }
    const [freed, parked] = this.freedIn(s);
    const unswept = this.word(s + MSPAN_AT.sweepgen) === (sweepgen - 2) >>> 0;
    if (!this.marking && !unswept) {
      // A sweep takes the marks of parked blocks; the next flush of each thread puts its own back.
      must(
        marked === parked || (marked < parked && sweepgen !== 0),
        () => `swept span ${s} has ${marked} mark bits, ${parked} parked blocks`,
      );
    }
    this.allocated += (ones - freed) * elemsize;
    this.objects += ones - freed;
    this.freedBlocks += freed;
    return ones;
  }

  /** Blocks of the span that were freed by hand, and how many of these are parked. */
  private freedIn(s: number): [freed: number, parked: number] {
    if ((this.word(s + MSPAN_AT.spanclass) & 1) === 0) return [0, 0];
    const start = this.word(s + MSPAN_AT.startAddr);
    const elemsize = this.word(s + MSPAN_AT.elemsize);
    const allocs = this.word(s + MSPAN_AT.allocBits) >>> 2;
    let freed = 0;
    let parked = 0;
    for (let i = 0; i < this.word(s + MSPAN_AT.nelems); i++) {
      const p = start + i * elemsize;
      if (!this.handFreed.has(p) && !this.parked.has(p)) continue;
      freed++;
      if (this.parked.has(p)) parked++;
      must(
        hasBit(this.u32, allocs, i),
        () => `slot ${i} of span ${s} is on a list of freed blocks, but not allocated`,
      );
    }
    return [freed, parked];
  }

  /** Where the span is: in an mcache, retained, or on the list that its sweepgen and its bits say. */
  private place(s: number, ones: number, retained: boolean): void {
    const { central } = this.a;
    const { sweepgen } = this;
    const gen = this.word(s + MSPAN_AT.sweepgen);
    if (this.cached.has(s)) {
      must(gen === (sweepgen + 3) >>> 0, () => `cached span ${s}: sweepgen ${gen}, heap ${sweepgen}`);
      must(!this.listed.has(s), () => `cached span ${s} is on a list`);
      return;
    }
    if (retained) return;
    const spc = this.word(s + MSPAN_AT.spanclass);
    const nelems = this.word(s + MSPAN_AT.nelems);
    const list = this.listed.get(s);
    // A list made before sweepgen moved holds spans one generation older: they are the unswept ones.
    const [swept, unswept] =
      ones === nelems
        ? [central.fullSwept(spc), central.fullUnswept(spc)]
        : [central.partialSwept(spc), central.partialUnswept(spc)];
    const want = gen === sweepgen ? swept : unswept;
    must(
      list === want,
      () =>
        `span ${s} (sweepgen ${gen}, heap ${sweepgen}, ${ones}/${nelems}) is on list ${list}, not ${want}`,
    );
  }

  private specials(s: number): void {
    const bytes = this.word(s + MSPAN_AT.npages) * PAGE_SIZE;
    let before = -1;
    for (let p = this.word(s + MSPAN_AT.specials); p !== 0; p = this.word(p + SPECIAL_AT.next)) {
      const offset = this.word(p + SPECIAL_AT.offset);
      const key = offset * 16 + this.word(p + SPECIAL_AT.kind);
      must(key >= before, () => `specials of span ${s} are not sorted`);
      must(offset < bytes, () => `special at ${offset} outside of span ${s}`);
      before = key;
    }
  }

  // --- pages

  pages(): void {
    const { heap, lo, hi } = this;
    const claimed = this.claimedPages();
    for (let p = lo; p < hi; p++) {
      const used = heap.pages.isAllocated(p);
      // Never grown: memory of other code between two pieces of heap, excluded from it.
      if (used && this.word(heap.pageInfoBase + 4 * p) === 0) continue;
      const inCache = claimed.get(p);
      if (inCache === undefined) this.page(p, used);
      else this.claimedPage(p, used, inCache);
    }
    if (hi > lo) verifySummaries(heap, lo, hi);
  }

  /** Whether the page holds no physical memory, by page of a page cache. */
  private claimedPages(): Map<number, boolean> {
    const claimed = new Map<number, boolean>();
    for (const cache of this.heap.pageCaches()) {
      for (const [page, scavenged] of cache.entries()) {
        must(!claimed.has(page), () => `page ${page} is in two page caches`);
        claimed.set(page, scavenged);
      }
    }
    return claimed;
  }

  /** A page of a page cache: taken from the bit map, but no span's yet. In every other respect it is free. */
  private claimedPage(p: number, used: boolean, scavenged: boolean): void {
    const { heap } = this;
    const spanned = heap.spanOf(p * PAGE_SIZE) !== 0;
    must(used && !spanned, () => `page ${p} is in a page cache: allocated ${used}, span ${spanned}`);
    must(!heap.pages.isScavenged(p), () => `page ${p} is in a page cache and scavenged in the bit map`);
    if (scavenged) {
      this.released += PAGE_SIZE;
      this.releasedInCaches += PAGE_SIZE;
    } else {
      this.free += PAGE_SIZE;
    }
  }

  private page(p: number, used: boolean): void {
    const { heap } = this;
    const spanned = heap.spanOf(p * PAGE_SIZE) !== 0;
    must(used === spanned, () => `page ${p}: allocated ${used}, span ${spanned}`);
    const scavenged = heap.pages.isScavenged(p);
    must(!(used && scavenged), () => `page ${p} is in use and scavenged`);
    if (used) return;
    const info = this.word(heap.pageInfoBase + 4 * p);
    must(!hasObjects(info), () => `pageInfo of the free page ${p} is ${info}`);
    if (scavenged) this.released += PAGE_SIZE;
    else this.free += PAGE_SIZE;
  }

  // --- figures

  figures(): void {
    const { a, heap, handFreed, parked } = this;
    const free = this.free + this.retainedPages * PAGE_SIZE;
    equal("heapInUse", heap.counter("heapInUse"), this.inUse);
    equal("heapFree", heap.counter("heapFree"), free);
    equal("emptyPages", heap.counter("emptyPages"), this.retainedPages);
    equal("heapReleased", heap.counter("heapReleased"), this.released);
    equal("stats.heapReleased", a.mem.stats.heapReleased, this.released - this.releasedInCaches);
    equal("stats.heapSys", a.mem.stats.heapSys, this.inUse + free + this.released);
    equal("stackInUse", heap.counter("stackInUse"), this.stack);
    equal("stats.stackSys", a.mem.stats.stackSys, this.stack);
    equal("gcManualInUse", heap.counter("gcManualInUse"), this.manualGC);
    equal("mspanInuse", heap.structs.inUseBytes, this.liveSpans * MSPAN.size);
    equal("blocks freed and not returned", this.freedBlocks, handFreed.size + parked.size);
    if (this.sweepgen === 0 && !this.marking) this.blocksInUse();
    this.statistics();
    const trigger = a.mem.f64[(a.gcControl + GCCONTROL_AT.trigger) >>> 3];
    must(this.marking || trigger !== 0, () => "trigger is 0");
  }

  private statistics(): void {
    const st = newHeapStats();
    this.a.readStatsUnflushed(st);
    equal("heapObjects + slots in tails", st.heapObjects, this.objects - this.inRests);
    equal("heapAlloc", st.heapAlloc, this.allocated - this.restBytes);
    equal("mallocs - frees", st.mallocs - st.frees, st.heapObjects);
    equal("heapSys", st.heapSys, st.heapInuse + st.heapIdle);
    must(st.heapReleased <= st.heapIdle, () => `heapReleased ${st.heapReleased} > heapIdle ${st.heapIdle}`);
    must(this.tailBytes <= st.heapAlloc, () => `tails ${this.tailBytes} > heapAlloc ${st.heapAlloc}`);
    const metadata = st.mspanSys + st.mcacheSys + st.buckHashSys + st.gcSys + st.otherSys;
    equal("sys", st.sys, st.heapSys + st.stackSys + metadata);
    must(st.mspanInuse <= st.mspanSys, () => `mspanInuse ${st.mspanInuse} > mspanSys ${st.mspanSys}`);
  }

  /** The bits of blocks in use, outside of pointerful spans. */
  private blocksInUse(): void {
    const { a, u32 } = this;
    for (let page = this.lo; page < this.hi; page++) {
      const info = u32[(a.pageInfoBase >>> 2) + page];
      if (hasObjects(info) && (info & 1) === 0) continue;
      for (let w = page * HEAP_BITS_WORDS; w < (page + 1) * HEAP_BITS_WORDS; w++) {
        for (let bits = u32[(a.heapBitsBase >>> 2) + w]; bits !== 0; bits &= bits - 1) {
          this.blockInUse((w * HEAP_BITS_WORD_BYTES + (31 - Math.clz32(bits & -bits)) * 8) as Addr);
        }
      }
    }
  }

  private blockInUse(p: Addr): void {
    must(this.a.findObject(p) === p, () => `a block in use at ${p}, which is no allocated slot`);
    must(!this.handFreed.has(p) && !this.parked.has(p), () => `the block in use at ${p} is on a list`);
    const mapped = this.heap.tables.heapBitsMapped(p);
    must(mapped, () => `the bit of the block at ${p} is not accounted for`);
  }
}
