/**
 * The heap of pages: takes 4 MiB chunks from the linear memory, hands out spans, takes them back.
 *
 * A heap span of up to 15 pages is made without the heap lock: the mcache has taken pages, structs and span bits ahead
 * (64 pages, 32 structs, some blocks of bits). Only these refills lock. Everything else asks the page allocator under
 * the lock. The new span is filled in and published outside of the lock: its pages belong to this thread, and no other
 * thread knows them.
 *
 * A swept span without objects is *retained*: it stays a span of its class, on mcentral's empty list, but its pages
 * count as free. Most are wanted by the same class soon, and then neither the page allocator nor the tables are
 * touched. Before the heap grows (see SHORT_RUN) or is scavenged, they are freed, so HeapSys hardly depends on them.
 *
 * needzero: a span is known zero in two cases. None of its pages held physical memory, and either the heap has released
 * none yet, or released pages read as zeros. Or it lies above zeroedBase, where no page was ever handed out.
 *
 * The parts of the heap:
 *
 *     heap-root.ts        where everything is, for threads that attach
 *     mpagealloc.ts       which pages are free              mpagecache.ts    pages that an mcache took ahead
 *     page-tables.ts      what is on a page                 span-structs.ts  structs that an mcache took ahead
 *     span-bits.ts        mark and alloc bits               span-plan.ts     the span that is being made
 *     heap-growth.ts      more pages                        heap-locks.ts    which lock is where
 *     heap-counters.ts    bytes by use                      page-scavenger.ts   pages to the operating system
 *     operation.ts        what this thread is doing         recovery.ts      what a killed thread leaves
 */
import { hex, outOfMemory, throwFatal } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { lock, unlock } from "@gort/memory/internal";
import { type HeapCounter, HeapCounters } from "./heap-counters.ts";
import { growHeap } from "./heap-growth.ts";
import { lockHeldBy, lockRank } from "./heap-locks.ts";
import { readRoot } from "./heap-root.ts";
import type { AllocatorHooks } from "./hooks.ts";
import {
  GCCONTROL_AT,
  MCACHE,
  MCACHE_AT,
  MHEAP_AT,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  PAGE_CACHE_AT,
  PAGE_SHIFT,
  PAGE_SIZE,
  SPAN_DEAD,
  SPAN_IN_USE,
  SPAN_MANUAL,
  SPECIAL,
} from "./layout.ts";
import { forEachMCache } from "./mcache-list.ts";
import { FixAlloc } from "./mfixalloc.ts";
import { PageAlloc } from "./mpagealloc.ts";
import { cachedPages, PAGE_CACHE_MAX, PAGE_CACHE_PAGES, PageCache } from "./mpagecache.ts";
import { Operation } from "./operation.ts";
import { makePageInfo, PAGE_INFO_NONE } from "./page-info.ts";
import { PageScavenger } from "./page-scavenger.ts";
import { PageTables } from "./page-tables.ts";
import { RecoveryLog } from "./recovery.ts";
import { bitsBytes, SpanBits, spanBitsBytes } from "./span-bits.ts";
import { SpanPlan } from "./span-plan.ts";
import { SpanStructs } from "./span-structs.ts";

/** Two mcaches never share a cache line, nor a pair of lines that the processor fetches together. */
const MCACHE_ALIGN = 128;

/**
 * A request of up to this many pages is likely to be met by freeing a few retained spans, FEW_RETAINED pages at once.
 * A longer run may need all of them.
 */
const SHORT_RUN = 16;
const FEW_RETAINED = 64;

// The pages that a span may be made of: free ones; also those by which the heap grows; also those of all page caches.
const FREE_PAGES = 0;
const MORE_PAGES = 1;
const ALL_PAGES = 2;

/**
 * Times that an allocation takes everything back before it gives up. While it takes the retained spans of one class
 * back, other threads may retain some of another: each try has to lose such a race.
 */
const LAST_TRIES = 3;

/** Times that an allocation asks the hook outOfMemory, in a heap that threads share. */
const SHARED_RESCUES = 3;

export class MHeap {
  readonly mem: LinearMemory;
  readonly hooks: AllocatorHooks;
  /** Address of the MHEAP struct, and of its GCCONTROL. */
  readonly base: number;
  readonly gcControl: number;
  readonly heapBitsBase: number;
  readonly pageInfoBase: number;
  readonly pageSpanBase: number;
  readonly operation: Operation;
  readonly log: RecoveryLog;
  readonly counters: HeapCounters;
  readonly pages: PageAlloc;
  readonly tables: PageTables;
  readonly structs: SpanStructs;
  readonly spanBits: SpanBits;
  readonly scavenger: PageScavenger;
  readonly specialalloc: FixAlloc;
  readonly cachealloc: FixAlloc;
  /** The page cache of this thread's mcache. */
  pageCache: PageCache;
  private readonly u32: Uint32Array;
  /** Word indices in MHEAP. */
  private readonly shared: number;
  private readonly zeroedBase: number;
  /** The span that is being made. */
  private readonly plan = new SpanPlan();
  /** The part that the last failed attempt to make a span lacked, for a message. */
  private lacking = "pages";

  /** rootAddr: what findHeap returns. */
  constructor(mem: LinearMemory, hooks: AllocatorHooks, rootAddr: number) {
    this.mem = mem;
    this.hooks = hooks;
    this.u32 = mem.u32;
    const root = readRoot(mem, rootAddr);
    this.base = root.mheap;
    this.gcControl = this.base + MHEAP_AT.gcControl;
    this.heapBitsBase = root.heapBits;
    this.pageInfoBase = root.pageInfo;
    this.pageSpanBase = root.pageSpan;
    this.shared = (this.base + MHEAP_AT.shared) >>> 2;
    this.zeroedBase = (this.base + MHEAP_AT.zeroedBase) >>> 2;
    this.operation = new Operation(hooks);
    this.log = new RecoveryLog(mem, this.base);
    this.counters = new HeapCounters(mem, this.base);
    this.pages = new PageAlloc(mem, root.bitmaps, root.summaries, this.base + MHEAP_AT.palloc);
    this.tables = new PageTables(this, root);
    this.structs = new SpanStructs(this, root.allspans);
    this.specialalloc = new FixAlloc(mem, this.base + MHEAP_AT.specialalloc, SPECIAL.size, "otherSys");
    const mcacheSize = Math.ceil(MCACHE.size / MCACHE_ALIGN) * MCACHE_ALIGN;
    this.cachealloc = new FixAlloc(mem, this.base + MHEAP_AT.cachealloc, mcacheSize, "mcacheSys");
    const spanBitsSize = spanBitsBytes(mem.size, root.spanBits);
    this.spanBits = new SpanBits(mem, this.base, root.spanBits, spanBitsSize, this.log);
    this.scavenger = new PageScavenger(this);
    mem.rankLocks((addr) => lockRank(this, addr));
    this.pageCache = new PageCache(mem, MCACHE_AT.pages, this.shared, this.log);
  }

  /** The mcache of this thread: this object works with its page cache, structs, bits, counters and log. */
  bind(mcache: number): void {
    this.log.bind(mcache);
    this.counters.bind(mcache);
    this.structs.bind(mcache);
    this.spanBits.bind(mcache);
    this.pageCache = new PageCache(this.mem, mcache + MCACHE_AT.pages, this.shared, this.log);
  }

  get sweepgen(): number {
    return this.u32[(this.gcControl + GCCONTROL_AT.sweepgen) >>> 2];
  }

  /** The heap's figure: see heap-counters.ts. */
  counter(name: HeapCounter): number {
    return this.counters.counter(name);
  }

  /** The span that holds the address, 0 if none. */
  spanOf(addr: number): number {
    return this.u32[(this.pageSpanBase >>> 2) + (addr >>> PAGE_SHIFT)];
  }

  /** Number of the slot that addr, inside the heap span, points into. */
  objIndex(s: number, addr: number): number {
    const { u32 } = this;
    const at = s >>> 2;
    const offset = addr - u32[at + (MSPAN_AT.startAddr >>> 2)];
    return Math.imul(offset >>> 3, u32[at + (MSPAN_AT.divMul >>> 2)]) >>> u32[at + (MSPAN_AT.divShift >>> 2)];
  }

  // --- locks

  /** Takes the heap lock. Locks cost nothing until share was called: one thread alone has no other to keep out. */
  lock(): void {
    this.acquire(this.base + MHEAP_AT.lock);
  }

  unlock(): void {
    this.release(this.base + MHEAP_AT.lock);
  }

  acquire(addr: number): void {
    if (this.u32[this.shared] !== 0) lock(this.mem, addr);
  }

  release(addr: number): void {
    if (this.u32[this.shared] !== 0) unlock(this.mem, addr);
  }

  /** The first lock of the heap or of the memory that the thread holds; 0 if it holds none. */
  lockHeldBy(thread: number): number {
    return lockHeldBy(this, thread);
  }

  // --- new spans

  /**
   * Frees retained spans until that many pages are free. False: there were none. Infinity frees all of them, also those
   * that other threads are freeing. Set by mcentral.
   */
  freeRetained: (npages: number) => boolean = () => false;

  /**
   * A span of objects of the class: npages as the class says, or those of a large object. 0 if the memory is exhausted.
   * The caller puts the span where it belongs.
   */
  alloc(npages: number, spanclass: number): number {
    this.hooks.reclaim(npages);
    return this.allocAny(this.plan.forObjects(npages, spanclass));
  }

  /** Pages for stacks or for the collector. Throws the fatal error if the memory is exhausted. */
  allocManual(npages: number, kind: number): number {
    let s = this.tryManual(npages, kind);
    for (let k = 0; s === 0 && this.rescue(npages, k); k++) s = this.tryManual(npages, kind);
    if (this.operation.pending) this.operation.report();
    if (s === 0) this.throwOutOfMemory(npages);
    return s;
  }

  /**
   * After the k-th attempt of an allocation has failed: asks the hook outOfMemory for memory. True: the allocation may
   * try again. If threads share the heap, another thread may be faster, so that there are a few attempts.
   */
  rescue(npages: number, k: number): boolean {
    return k < (this.u32[this.shared] === 0 ? 1 : SHARED_RESCUES) && this.operation.rescue(npages);
  }

  private tryManual(npages: number, kind: number): number {
    this.operation.begin("allocManual");
    try {
      const s = this.allocAny(this.plan.forManual(npages, kind));
      this.scavenger.checkLimit();
      return s;
    } finally {
      this.operation.end();
    }
  }

  /** The span of the plan, from the nearest place that has the pages: see the steps. */
  private allocAny(plan: SpanPlan): number {
    const { npages } = plan;
    let s = plan.holdsObjects && npages <= PAGE_CACHE_MAX ? this.allocCached(plan) : 0;
    if (s === 0) s = this.tryAlloc(plan, FREE_PAGES);
    if (s === 0 && this.freeRetained(npages <= SHORT_RUN ? FEW_RETAINED : Number.POSITIVE_INFINITY)) {
      s = this.tryAlloc(plan, FREE_PAGES);
    }
    if (s === 0) s = this.tryAlloc(plan, MORE_PAGES);
    // The heap can't grow: the only pages left are those that other threads have put aside.
    for (let tries = LAST_TRIES; s === 0 && tries > 0; tries--) {
      this.freeRetained(Number.POSITIVE_INFINITY);
      s = this.tryAlloc(plan, ALL_PAGES);
    }
    return s;
  }

  /** A small heap span from the page cache; 0 if that has no such run, or there is no struct or block of bits. */
  private allocCached(plan: SpanPlan): number {
    const { pageCache } = this;
    const { npages } = plan;
    const s = this.takeParts(plan);
    if (s === 0) return 0;
    let page = pageCache.alloc(npages);
    if (page === 0 && pageCache.empty && this.refillPages()) page = pageCache.alloc(npages);
    if (page === 0) {
      this.returnParts(s, plan);
      return 0;
    }
    const { scavenged } = pageCache;
    plan.page = page;
    plan.fresh = scavenged === npages && (pageCache.fresh || this.scavenger.scavengedIsZero);
    if (scavenged !== 0) {
      this.mem.sysUsed(page * PAGE_SIZE, npages * PAGE_SIZE);
      this.counters.cachedPagesUsed(scavenged * PAGE_SIZE);
    }
    this.counters.spanTaken(plan, scavenged);
    this.initSpan(s, plan);
    return s;
  }

  /** A span of pages from the page allocator. 0 if something is lacking. from: which pages it may take. */
  private tryAlloc(plan: SpanPlan, from: number): number {
    const s = this.takeParts(plan);
    if (s === 0) return 0;
    this.lock();
    const found = this.takePages(plan, from);
    this.unlock();
    if (!found) {
      this.lacking = "pages";
      this.returnParts(s, plan);
      return 0;
    }
    this.initSpan(s, plan);
    return s;
  }

  /** Struct and bits of the span; 0 if there is no memory for one of them. */
  private takeParts(plan: SpanPlan): number {
    this.log.beginSpan(plan);
    const s = this.structs.take();
    if (s === 0) {
      this.lacking = "span structs";
      return 0;
    }
    const size = plan.bitsBytes;
    if (size === 0) return s;
    plan.bits = this.takeSpanBits(size);
    if (plan.bits !== 0) return s;
    this.structs.put(s);
    return 0;
  }

  private returnParts(s: number, plan: SpanPlan): void {
    // The bits first: with the struct the log forgets both.
    if (plan.bits !== 0) this.spanBits.put(plan.bits, plan.bitsBytes);
    this.structs.put(s);
  }

  /** Pages of the page allocator for the plan, counted. Under the heap lock. */
  private takePages(plan: SpanPlan, from: number): boolean {
    const { u32, pages, zeroedBase } = this;
    const { npages } = plan;
    if (from === ALL_PAGES) this.unclaimAll();
    let page = pages.alloc(npages);
    // A larger run may need the pages of the page cache.
    if (page === 0 && !this.pageCache.empty) {
      this.unclaim(this.pageCache.at);
      page = pages.alloc(npages);
    }
    if (page === 0 && from >= MORE_PAGES && this.grow(npages)) page = pages.alloc(npages);
    if (page === 0) return false;
    const start = page * PAGE_SIZE;
    const end = start + npages * PAGE_SIZE;
    const scavenged = pages.countScavenged(page, npages);
    plan.page = page;
    plan.fresh = start >= u32[zeroedBase] || (scavenged === npages && this.scavenger.scavengedIsZero);
    if (end > u32[zeroedBase]) u32[zeroedBase] = Math.min(end, 0xffffffff);
    if (scavenged !== 0) {
      pages.clearScavenged(page, npages);
      this.mem.sysUsed(start, npages * PAGE_SIZE);
      this.counters.released(-scavenged * PAGE_SIZE);
    }
    this.counters.spanTaken(plan, scavenged);
    this.log.pagesCounted(page);
    return true;
  }

  /** Grows until npages are free at the end. Also a growth that is not enough is noted. Under the heap lock. */
  private grow(npages: number): boolean {
    const before = this.mem.stats.heapSys;
    const enough = growHeap(this, npages);
    const n = this.mem.stats.heapSys - before;
    if (n > 0) this.operation.noteGrowth(n);
    return enough;
  }

  /** A zeroed block of span bits; 0 if there is none. */
  private takeSpanBits(size: number): number {
    const p = this.spanBits.take(size);
    if (p !== 0) return p;
    this.lock();
    const ok = this.spanBits.refill(size);
    this.unlock();
    if (!ok) this.lacking = "span bits";
    return ok ? this.spanBits.take(size) : 0;
  }

  /** Fills the struct in and publishes it in the tables. No lock is needed: the pages are this thread's. */
  initSpan(s: number, plan: SpanPlan): void {
    const { page, npages, spanclass } = plan;
    this.structs.fill(s, plan, this.sweepgen, this.spanBits.half);
    if (plan.needsHeapBits) this.tables.mapHeapBits(page * PAGE_SIZE);
    const info = plan.holdsObjects ? makePageInfo(plan.bits, spanclass) : PAGE_INFO_NONE;
    this.tables.publish(s, page, npages, info);
  }

  throwOutOfMemory(npages: number): never {
    const idle = this.counter("heapFree") + this.counter("heapReleased");
    const inUse = this.counter("heapInUse");
    const { unreserved, size } = this.mem;
    const more = this.hooks.explainOutOfMemory();
    outOfMemory(
      `runtime: cannot allocate ${npages * PAGE_SIZE}-byte block (${inUse} in use, ${idle} idle, ` +
        `${unreserved} unreserved of a memory of ${size} bytes): no ${this.lacking} left` +
        (more === "" ? "" : `\n${more}`),
    );
  }

  // --- the page cache

  private refillPages(): boolean {
    const { u32, pageCache, zeroedBase } = this;
    this.lock();
    const ok = this.pages.claim(pageCache.at);
    if (ok) {
      const end = (u32[pageCache.at] + PAGE_CACHE_PAGES) * PAGE_SIZE;
      const fresh = end - PAGE_CACHE_PAGES * PAGE_SIZE >= u32[zeroedBase];
      u32[pageCache.at + (PAGE_CACHE_AT.fresh >>> 2)] = fresh ? 1 : 0;
      if (end > u32[zeroedBase]) u32[zeroedBase] = Math.min(end, 0xffffffff);
      // Under the lock: after it any thread may take the pages back.
      this.counters.unclaimed(-pageCache.scavengedPages);
    }
    this.unlock();
    return ok;
  }

  /** Gives this thread's cached pages back. False: it had none. */
  flushPages(): boolean {
    if (this.pageCache.empty) return false;
    this.lock();
    this.unclaim(this.pageCache.at);
    this.unlock();
    return true;
  }

  /** Takes the pages of a page cache back. Under the heap lock. */
  private unclaim(cache: number): void {
    const npages = cachedPages(this.u32, cache);
    const scavenged = this.pages.unclaim(cache);
    this.scavenger.pagesUnclaimed(this.u32[cache] + PAGE_CACHE_PAGES, npages - scavenged);
    this.counters.unclaimed(scavenged);
  }

  /** Takes the free pages back that the mcaches of all threads have claimed. Under the heap lock. */
  private unclaimAll(): void {
    forEachMCache(this, (c) => this.unclaim((c + MCACHE_AT.pages) >>> 2), undefined);
  }

  /** The page caches of all mcaches. For the walkers. */
  pageCaches(): PageCache[] {
    const caches: PageCache[] = [];
    const add = (c: number): void => {
      caches.push(new PageCache(this.mem, c + MCACHE_AT.pages, this.shared, this.log));
    };
    forEachMCache(this, add, undefined);
    return caches;
  }

  // --- spans that go back

  /** Takes back a manual span, or a span of objects that is empty, on no list, and without specials. */
  freeSpan(s: number): void {
    this.lock();
    const { u32 } = this;
    const at = s >>> 2;
    const state = u32[at + (MSPAN_AT.state >>> 2)];
    const start = u32[at + (MSPAN_AT.startAddr >>> 2)];
    const npages = u32[at + (MSPAN_AT.npages >>> 2)];
    const bytes = npages * PAGE_SIZE;
    const page = start >>> PAGE_SHIFT;
    if (state === SPAN_IN_USE) {
      const allocCount = u32[at + (MSPAN_AT.allocCount >>> 2)];
      const listed = u32[at + (MSPAN_AT.list >>> 2)] !== 0;
      if (allocCount !== 0 || listed || u32[at + (MSPAN_AT.specials >>> 2)] !== 0) {
        throwFatal("mheap.freeSpan: span is in use", `span ${hex(start)} allocCount=${allocCount}`);
      }
      this.counters.objectsFreed(bytes);
      const size = bitsBytes(u32[at + (MSPAN_AT.spanclass >>> 2)]);
      this.spanBits.free(u32[at + (MSPAN_AT.gcmarkBits >>> 2)], size);
      this.clearHeapBits(at, page);
    } else if (state === SPAN_MANUAL) {
      this.counters.manualFreed(u32[at + (MSPAN_AT.manualKind >>> 2)], bytes);
    } else {
      throwFatal("mheap.freeSpan: bad span state", `span ${hex(start)} state=${state}`);
    }
    this.tables.withdraw(page, npages);
    u32[at + (MSPAN_AT.state >>> 2)] = SPAN_DEAD;
    this.pages.free(page, npages);
    this.scavenger.pagesFreed(page + npages);
    this.structs.release(s);
    this.log.spanPlaced(s);
    this.unlock();
  }

  /**
   * A freed span of one page may hold blocks by hand next, in a heap without a collector: none of its bits in heapBits
   * may be set.
   */
  private clearHeapBits(at: number, page: number): void {
    const { u32 } = this;
    if (this.sweepgen !== 0 || u32[at + (MSPAN_AT.spanclass >>> 2)] & 1) return;
    if (u32[at + (MSPAN_AT.elemsize >>> 2)] > MIN_SIZE_FOR_HEADER) return;
    this.tables.clearHeapBits(page);
  }

  // --- pages back to the operating system

  /**
   * Returns free pages to the operating system, from the highest address down, until nbytes are returned or none is
   * left. The result is the bytes returned, 0 where the platform has no way to release.
   */
  scavenge(nbytes: number): number {
    this.operation.mustBeIdle("scavenge");
    if (!this.mem.canRelease) return 0;
    this.freeRetained(Number.POSITIVE_INFINITY);
    if (nbytes === Number.POSITIVE_INFINITY) {
      this.lock();
      this.unclaimAll();
      this.unlock();
    } else this.flushPages();
    return this.scavenger.release(nbytes);
  }
}
