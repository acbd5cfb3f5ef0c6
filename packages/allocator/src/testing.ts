/** Walkers that prove the allocator's invariants, for tests and for debugging builds of what stands on it. */
import { popcount32 } from "@gort/base";
import type { Addr } from "@gort/memory";
import type { Allocator } from "./allocator.ts";
import {
  CHUNK_PAGES,
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
// Not for its names: all modules are in one chunk of the published package then, and constants fold only within a
// chunk.
import "./allocator.ts";
import { newHeapStats } from "./mstats.ts";
import { hasObjects, makePageInfo, PAGE_INFO_NONE } from "./page-info.ts";
import { classToAllocNPages, classToSize } from "./sizeclasses.generated.ts";

export { verifyMemory } from "@gort/memory/testing";
export { PageAlloc, pallocBitmapBytes, SUMMARY_BYTES } from "./mpagealloc.ts";

function must(ok: boolean, text: () => string): void {
  if (!ok) throw new Error(`verifyHeap: ${text()}`);
}

/**
 * Checks every invariant of the heap and throws with the numbers if one doesn't hold. The world must be stopped; with
 * several threads all must have been flushed. Walks all pages: for tests.
 *
 *  1. Each page of the arena is in use exactly if pageSpan names a span, which covers it; scavenged pages are free;
 *     pageInfo is the span's class and mark bits, or PAGE_INFO_NONE.
 *  2. Summaries of the page allocator equal those computed from the bits.
 *  3. A heap span: elemsize, npages, nelems, limit as its class says; allocCount = ones in allocBits >= allocated; no
 *     free slot below freeindex; mark bits zero in swept spans while no collection marks; on the list that its
 *     sweepgen and allocCount say, or cached by exactly one mcache slot.
 *  4. Lists are linked both ways, and their spans know them.
 *  5. heapInUse, heapFree, heapReleased, stackInUse, gcManualInUse are the sums over pages and spans. A page is in at most
 *     one page cache, and then in use and not scavenged in the bit maps.
 *  6. The identities of HeapStats, and totalAlloc - totalFree = bytes in allocBits - slots claimed for later runs.
 *  7. Specials are sorted and point into their span.
 *  8. Blocks by hand: a list is as long as its accounts say, and its blocks are allocated in a span of its class; in
 *     swept spans parked ones, and no others, are marked. In a heap that was never collected the bits in heapBits are, but for pointerful spans,
 *     those of blocks in use: each begins a slot that is allocated, on no list and in no run. The table is mapped there.
 */
export function verifyHeap(a: Allocator): void {
  const { u32, f64 } = a.mem;
  const heap = a.heap;
  const word = (addr: number): number => u32[addr >>> 2];
  const field = (s: number, offset: number): number => word(s + offset);
  const sg = heap.sweepgen;
  const marking = word(heap.gcControl + GCCONTROL_AT.gcPhase) !== GC_OFF;

  const cached = new Map<number, number>();
  const handFreed = new Set<number>();
  const parked = new Set<number>();
  let tails = 0;
  let inRests = 0;
  let restBytes = 0;
  let listLengths = 0;
  for (let c = word(heap.base + MHEAP_AT.mcaches); c !== 0; c = field(c, MCACHE_AT.next)) {
    for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) {
      const i = ((c + MCACHE_AT.alloc) >>> 2) + spc * SLOT_WORDS;
      const s = u32[i + SLOT_SPAN];
      const [cur, end] = [u32[i], u32[i + 1]];
      for (const [head, all] of [
        [SLOT_FREE, handFreed],
        [SLOT_PARKED, parked],
      ] as const) {
        for (let p = u32[i + head]; p !== 0; p = word(p)) {
          must(!handFreed.has(p) && !parked.has(p), () => `freed block ${p} is on two lists`);
          must(
            field(heap.spanOf(p), MSPAN_AT.spanclass) === spc,
            () => `freed block ${p} is on the list of ${spc}`,
          );
          all.add(p);
        }
      }
      const unsettled = u32[i + SLOT_GRANTED] - u32[i + SLOT_CREDIT];
      listLengths += u32[i + SLOT_NFREE] + unsettled - u32[i + SLOT_REUSED];
      must(
        listLengths === handFreed.size,
        () => `lists up to class ${spc} have ${handFreed.size} blocks, their accounts say ${listLengths}`,
      );
      const rest = u32[i + SLOT_REST];
      if (s === 0) {
        must(cur === end && rest === 0, () => `mcache slot ${spc} has a run but no span`);
        continue;
      }
      must(!cached.has(s), () => `span ${s} is cached twice`);
      const held = word(c + MCACHE_AT.held + 4 * (spc >>> 5)) >>> (spc & 31);
      must((held & 1) === 1, () => `mcache slot ${spc} has a span, but no flush would find it`);
      must(
        field(s, MSPAN_AT.spanclass) === spc,
        () => `span ${s} of class ${field(s, MSPAN_AT.spanclass)} is in slot ${spc}`,
      );
      cached.set(s, spc);
      // end may be 0, which is 2^32.
      const tail = cur === end ? 0 : (end || 2 ** 32) - cur;
      must(tail >= 0 && tail % u32[i + SLOT_ELEMSIZE] === 0, () => `run ${cur}..${end}`);
      tails += tail;
      inRests += popcount32(rest);
      restBytes += popcount32(rest) * u32[i + SLOT_ELEMSIZE];
    }
  }

  const listed = new Map<number, number>();
  for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) {
    for (const list of [
      a.central.partialSwept(spc),
      a.central.partialUnswept(spc),
      a.central.fullSwept(spc),
      a.central.fullUnswept(spc),
      a.central.empty(spc),
    ]) {
      let prev = 0;
      for (let s = word(list); s !== 0; prev = s, s = field(s, MSPAN_AT.next)) {
        must(
          field(s, MSPAN_AT.prev) === prev,
          () => `span ${s}: prev is ${field(s, MSPAN_AT.prev)}, not ${prev}`,
        );
        must(
          field(s, MSPAN_AT.list) === list,
          () => `span ${s} is on list ${list} but says ${field(s, MSPAN_AT.list)}`,
        );
        must(!listed.has(s), () => `span ${s} is on two lists`);
        listed.set(s, list);
      }
      if (list !== a.central.empty(spc)) continue;
      const tail = word(list + MCENTRAL_AT.emptyTail - MCENTRAL_AT.empty);
      must(tail === prev, () => `the last retained span of class ${spc} is ${prev}, not ${tail}`);
    }
  }

  let inUse = 0;
  let stack = 0;
  let manualGC = 0;
  let allocated = 0;
  let objects = 0;
  let live = 0;
  let listedBlocks = 0;
  let retainedPages = 0;
  for (let n = 0; n < heap.structs.length; n++) {
    const s = heap.structs.at(n);
    must(
      field(s, MSPAN_AT.index) === n + 1,
      () => `span ${s}: index is ${field(s, MSPAN_AT.index)}, not ${n + 1}`,
    );
    const state = field(s, MSPAN_AT.state);
    if (state === SPAN_DEAD) continue;
    live++;
    const start = field(s, MSPAN_AT.startAddr);
    const npages = field(s, MSPAN_AT.npages);
    for (let p = start >>> PAGE_SHIFT; p < (start >>> PAGE_SHIFT) + npages; p++) {
      must(
        heap.spanOf(p * PAGE_SIZE) === s,
        () => `page ${p} of span ${s} belongs to ${heap.spanOf(p * PAGE_SIZE)}`,
      );
      const want =
        state === SPAN_IN_USE
          ? makePageInfo(field(s, MSPAN_AT.gcmarkBits), field(s, MSPAN_AT.spanclass))
          : PAGE_INFO_NONE;
      const info = word(heap.pageInfoBase + 4 * p);
      must(info === want, () => `pageInfo of page ${p} is ${info}, not ${want}`);
    }
    if (state === SPAN_MANUAL) {
      if (field(s, MSPAN_AT.manualKind) === MANUAL_GC) manualGC += npages * PAGE_SIZE;
      else stack += npages * PAGE_SIZE;
      continue;
    }
    const spc = field(s, MSPAN_AT.spanclass);
    const retained = listed.get(s) === a.central.empty(spc);
    if (retained) {
      must(
        field(s, MSPAN_AT.allocCount) === 0,
        () => `span ${s} is retained with ${field(s, MSPAN_AT.allocCount)} objects`,
      );
      retainedPages += npages;
    } else {
      inUse += npages * PAGE_SIZE;
    }
    const sizeclass = spc >>> 1;
    const nelems = field(s, MSPAN_AT.nelems);
    const elemsize = field(s, MSPAN_AT.elemsize);
    if (sizeclass === 0) {
      must(
        nelems === 1 && elemsize === npages * PAGE_SIZE,
        () => `large span ${s}: ${nelems} of ${elemsize}`,
      );
    } else {
      must(
        elemsize === classToSize[sizeclass],
        () => `span ${s}: elemsize ${elemsize} in class ${sizeclass}`,
      );
      must(
        npages === classToAllocNPages[sizeclass],
        () => `span ${s}: ${npages} pages in class ${sizeclass}`,
      );
      must(nelems === Math.floor((npages * PAGE_SIZE) / elemsize), () => `span ${s}: nelems ${nelems}`);
    }
    const nwords = (nelems + 31) >>> 5;
    let ones = 0;
    let marked = 0;
    for (let k = 0; k < nwords; k++) {
      ones += popcount32(word(field(s, MSPAN_AT.allocBits) + 4 * k));
      marked += popcount32(word(field(s, MSPAN_AT.gcmarkBits) + 4 * k));
    }
    must(
      ones === field(s, MSPAN_AT.allocCount),
      () => `span ${s}: allocCount ${field(s, MSPAN_AT.allocCount)}, bits ${ones}`,
    );
    for (let i = 0; i < Math.min(field(s, MSPAN_AT.freeindex), nelems); i++) {
      const bit = (word(field(s, MSPAN_AT.allocBits) + 4 * (i >>> 5)) >>> (i & 31)) & 1;
      must(bit === 1, () => `span ${s}: slot ${i} is free below freeindex ${field(s, MSPAN_AT.freeindex)}`);
    }
    const unswept = field(s, MSPAN_AT.sweepgen) === (sg - 2) >>> 0;
    let freed = 0;
    let parkedHere = 0;
    for (let i = 0; (spc & 1) === 1 && i < nelems; i++) {
      const p = start + i * elemsize;
      if (!handFreed.has(p) && !parked.has(p)) continue;
      freed++;
      if (parked.has(p)) parkedHere++;
      must(
        ((word(field(s, MSPAN_AT.allocBits) + 4 * (i >>> 5)) >>> (i & 31)) & 1) === 1,
        () => `slot ${i} of span ${s} is on a list of freed blocks, but not allocated`,
      );
    }
    if (!marking && !unswept) {
      // A sweep takes the marks of parked blocks; the next flush of each thread puts its own back.
      must(
        marked === parkedHere || (marked < parkedHere && sg !== 0),
        () => `swept span ${s} has ${marked} mark bits, ${parkedHere} parked blocks`,
      );
    }
    allocated += (ones - freed) * elemsize;
    objects += ones - freed;
    listedBlocks += freed;
    const gen = field(s, MSPAN_AT.sweepgen);
    if (cached.has(s)) {
      must(gen === (sg + 3) >>> 0, () => `cached span ${s}: sweepgen ${gen}, heap ${sg}`);
      must(!listed.has(s), () => `cached span ${s} is on a list`);
    } else if (!retained) {
      const list = listed.get(s);
      const full = ones === nelems;
      // A list made before sweepgen moved holds spans one generation older: they are the unswept ones.
      const want =
        gen === sg
          ? full
            ? a.central.fullSwept(spc)
            : a.central.partialSwept(spc)
          : full
            ? a.central.fullUnswept(spc)
            : a.central.partialUnswept(spc);
      must(
        list === want,
        () => `span ${s} (sweepgen ${gen}, heap ${sg}, ${ones}/${nelems}) is on list ${list}, not ${want}`,
      );
    }
    let before = -1;
    for (let p = field(s, MSPAN_AT.specials); p !== 0; p = word(p + SPECIAL_AT.next)) {
      const offset = word(p + SPECIAL_AT.offset);
      const key = offset * 16 + word(p + SPECIAL_AT.kind);
      must(key >= before, () => `specials of span ${s} are not sorted`);
      must(offset < npages * PAGE_SIZE, () => `special at ${offset} outside of span ${s}`);
      before = key;
    }
  }

  const lo = word(heap.base + MHEAP_AT.arenaStart) >>> PAGE_SHIFT;
  const hi = Math.ceil(word(heap.base + MHEAP_AT.arenaEnd) / PAGE_SIZE);
  let free = retainedPages * PAGE_SIZE;
  let released = 0;
  let releasedInCaches = 0;
  const claimed = new Map<number, boolean>();
  for (const cache of heap.pageCaches()) {
    for (const [page, scavenged] of cache.entries()) {
      must(!claimed.has(page), () => `page ${page} is in two page caches`);
      claimed.set(page, scavenged);
    }
  }
  for (let p = lo; p < hi; p++) {
    const used = heap.pages.isAllocated(p);
    // Never grown: memory of somebody else between two pieces of heap, excluded from it.
    if (used && word(heap.pageInfoBase + 4 * p) === 0) continue;
    const spanned = heap.spanOf(p * PAGE_SIZE) !== 0;
    const inCache = claimed.get(p);
    if (inCache !== undefined) {
      // Taken from the bitmap, but no span's yet: free in every other respect.
      must(used && !spanned, () => `page ${p} is in a page cache: allocated ${used}, span ${spanned}`);
      must(!heap.pages.isScavenged(p), () => `page ${p} is in a page cache and scavenged in the bit map`);
      if (inCache) {
        released += PAGE_SIZE;
        releasedInCaches += PAGE_SIZE;
      } else free += PAGE_SIZE;
      continue;
    }
    must(used === spanned, () => `page ${p}: allocated ${used}, span ${spanned}`);
    const scavenged = heap.pages.isScavenged(p);
    must(!(used && scavenged), () => `page ${p} is in use and scavenged`);
    if (!used) {
      const info = word(heap.pageInfoBase + 4 * p);
      must(!hasObjects(info), () => `pageInfo of the free page ${p} is ${info}`);
      if (scavenged) released += PAGE_SIZE;
      else free += PAGE_SIZE;
    }
  }
  if (hi > lo) verifySummaries(a, lo, hi);

  const equal = (what: string, got: number, want: number): void =>
    must(got === want, () => `${what} is ${got}, should be ${want}`);
  equal("heapInUse", heap.counter("heapInUse"), inUse);
  equal("heapFree", heap.counter("heapFree"), free);
  equal("emptyPages", heap.counter("emptyPages"), retainedPages);
  equal("heapReleased", heap.counter("heapReleased"), released);
  equal("stats.heapReleased", a.mem.stats.heapReleased, released - releasedInCaches);
  equal("stats.heapSys", a.mem.stats.heapSys, inUse + free + released);
  equal("stackInUse", heap.counter("stackInUse"), stack);
  equal("stats.stackSys", a.mem.stats.stackSys, stack);
  equal("gcManualInUse", heap.counter("gcManualInUse"), manualGC);
  equal("mspanInuse", heap.structs.inUseBytes, live * MSPAN.size);

  equal("blocks freed and not returned", listedBlocks, handFreed.size + parked.size);
  if (sg === 0 && !marking) verifyBlocks(a, lo, hi, (p) => handFreed.has(p) || parked.has(p));
  const st = newHeapStats();
  a.readStatsUnflushed(st);
  equal("heapObjects + slots in tails", st.heapObjects, objects - inRests);
  equal("heapAlloc", st.heapAlloc, allocated - restBytes);
  equal("mallocs - frees", st.mallocs - st.frees, st.heapObjects);
  equal("heapSys", st.heapSys, st.heapInuse + st.heapIdle);
  must(st.heapReleased <= st.heapIdle, () => `heapReleased ${st.heapReleased} > heapIdle ${st.heapIdle}`);
  must(tails <= st.heapAlloc, () => `tails ${tails} > heapAlloc ${st.heapAlloc}`);
  equal(
    "sys",
    st.sys,
    st.heapSys + st.stackSys + st.mspanSys + st.mcacheSys + st.buckHashSys + st.gcSys + st.otherSys,
  );
  must(st.mspanInuse <= st.mspanSys, () => `mspanInuse ${st.mspanInuse} > mspanSys ${st.mspanSys}`);
  must(marking || f64[(heap.gcControl + GCCONTROL_AT.trigger) >>> 3] !== 0, () => "trigger is 0");
}

/** The bits of blocks in use, outside of pointerful spans. */
function verifyBlocks(a: Allocator, lo: number, hi: number, isFreed: (p: number) => boolean): void {
  const { u32 } = a.mem;
  for (let page = lo; page < hi; page++) {
    const info = u32[(a.pageInfoBase >>> 2) + page];
    if (hasObjects(info) && (info & 1) === 0) continue;
    for (let w = page * HEAP_BITS_WORDS; w < (page + 1) * HEAP_BITS_WORDS; w++) {
      for (let bits = u32[(a.heapBitsBase >>> 2) + w]; bits !== 0; bits &= bits - 1) {
        const p = (w * HEAP_BITS_WORD_BYTES + (31 - Math.clz32(bits & -bits)) * 8) as Addr;
        must(a.findObject(p) === p, () => `a block in use at ${p}, which is no allocated slot`);
        must(!isFreed(p), () => `the block in use at ${p} is on a list`);
        must(a.heap.tables.heapBitsMapped(p), () => `the bit of the block at ${p} is not accounted for`);
      }
    }
  }
}

/** Recomputes the page allocator's summaries from its bits. */
function verifySummaries(a: Allocator, lo: number, hi: number): void {
  const { pages } = a.heap;
  pages.cleanUp();
  const shifts = [15, 12, 9] as const;
  const runs = (from: number, to: number): [number, number, number] => {
    let start = -1;
    let max = 0;
    let run = 0;
    for (let p = from; p < to; p++) {
      if (p >= lo && p < hi && !pages.isAllocated(p)) {
        run++;
        continue;
      }
      if (start < 0) start = run;
      max = Math.max(max, run);
      run = 0;
    }
    return [start < 0 ? run : start, Math.max(max, run), run];
  };
  for (const level of [0, 1, 2] as const) {
    const shift = shifts[level];
    for (let e = lo >>> shift; e << shift < hi; e++) {
      const want = runs(e << shift, (e + 1) << shift).join();
      const got = pages.summary(level, e).join();
      must(got === want, () => `summary of level ${level}, entry ${e} is ${got}, should be ${want}`);
    }
  }
  must(hi - lo >= CHUNK_PAGES, () => `arena of ${hi - lo} pages`);
}

/** Addresses of all allocated slots, ascending by span. Flush first. */
export function* allocatedObjects(a: Allocator): Generator<{ span: Addr; addr: Addr; size: number }> {
  const { u32 } = a.mem;
  for (let n = 0; n < a.nspans; n++) {
    const span = a.spanAt(n);
    if (u32[(span + MSPAN_AT.state) >>> 2] !== SPAN_IN_USE) continue;
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    const bits = u32[(span + MSPAN_AT.allocBits) >>> 2];
    for (let i = 0; i < u32[(span + MSPAN_AT.nelems) >>> 2]; i++) {
      if (((u32[(bits >>> 2) + (i >>> 5)] >>> (i & 31)) & 1) === 0) continue;
      yield { span, addr: (u32[(span + MSPAN_AT.startAddr) >>> 2] + i * size) as Addr, size };
    }
  }
}

/**
 * A collection without a collector: everything that `isLive` rejects is freed, by marking the rest and sweeping all
 * spans. For tests of the allocator, and of what stands on it, without @gort/gc. A freed object's specials are
 * dropped.
 */
export function collectWith(a: Allocator, isLive: (addr: Addr) => boolean): number {
  const { u32 } = a.mem;
  a.flushAll();
  let marked = 0;
  for (const { span, addr, size } of allocatedObjects(a)) {
    const i = a.objIndex(span, addr);
    const live = isLive(addr);
    if (live) {
      const w = (u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2) + (i >>> 5);
      u32[w] = u32[w] | (1 << (i & 31));
      marked += size;
    } else {
      let prev = 0;
      const lo = addr - u32[(span + MSPAN_AT.startAddr) >>> 2];
      for (let p = u32[(span + MSPAN_AT.specials) >>> 2]; p !== 0; ) {
        const next = u32[(p + SPECIAL_AT.next) >>> 2];
        const offset = u32[(p + SPECIAL_AT.offset) >>> 2];
        if (offset >= lo && offset < lo + size) a.freeSpecial(span, prev, p);
        else prev = p;
        p = next;
      }
    }
  }
  const sweepgen = (a.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
  u32[sweepgen] = u32[sweepgen] + 2;
  u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2] = marked;
  let freed = 0;
  for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep()) {
    const n = a.sweepBits(s);
    freed += n;
    a.spanSwept(s, n, false);
  }
  return freed;
}
