/**
 * The heap of pages: takes 4 MiB chunks from the linear memory, hands out spans, takes them back.
 *
 * A heap span of up to 15 pages is made without the heap lock: pages, span struct and span bits come from what the
 * mcache took ahead (64 pages, 32 structs, some blocks of bits), and only these refills lock. Everything else asks
 * the page allocator under the lock. The new span is filled in and published outside of it: nobody else knows its
 * pages.
 *
 * Accounting, in bytes, of the grown heap. Each thread adds to its own mcache's counters, so that no lock is
 * needed; the figures are the sums over all mcaches:
 *
 *     heapInUse + heapFree + heapReleased = HeapSys = mem.stats.heapSys
 *     stackInUse = mem.stats.stackSys              gcManualInUse is a part of mem.stats.gcSys
 *     arena bytes grown = heapSys + stackInUse + gcManualInUse
 *
 *     grow       heapReleased += n     (fresh pages hold no physical memory)
 *     alloc      heapReleased -= scavenged pages, heapFree -= the others, owner += n
 *     free       owner -= n, heapFree += n
 *     scavenge   heapFree -= n, heapReleased += n
 *     retain     heapInUse -= n, heapFree += n     (unretain: the reverse; both by emptyPages: see counter)
 *
 * A page in a page cache counts as what it is, free or released; only mem.stats.heapReleased leaves the released ones
 * of page caches out until they go back.
 *
 * The bytes of a manual span leave heapSys for stackSys or gcSys while it is in use, as in Go.
 *
 * A swept span without objects is *retained*: it stays a span of its class, on mcentral's empty list, but its pages
 * count as free. Most are wanted by the same class soon, and then neither the page allocator nor the tables are
 * touched. Before the heap grows or is scavenged, retained spans are really freed, so HeapSys does not depend on
 * them.
 *
 * needzero: a span is known zero if all its pages held no physical memory and the platform's release gives zeros
 * back, or if it lies above zeroedBase, where no page was ever handed out.
 */
import { hex, outOfMemory, throwFatal } from "@gort/base";
import { type Addr, type LinearMemory, type LockRank, lock, unlock } from "@gort/memory";
import { MAX_THREADS } from "@gort/memory/internal";
import type { AllocatorHooks } from "./hooks.ts";
import {
  CHUNK_BYTES,
  CHUNK_PAGES,
  CHUNK_SHIFT,
  GCCONTROL_AT,
  HAND_COUNTED,
  HEAP_BITS_WORDS,
  IN_HAND_AT,
  MANUAL_GC,
  MANUAL_STACK,
  MCACHE,
  MCACHE_AT,
  MCENTRAL,
  MHEAP,
  MHEAP_AT,
  MIN_SIZE_FOR_HEADER,
  MSPAN,
  MSPAN_AT,
  NUM_SPAN_CLASSES,
  PAGE_CACHE_AT,
  PAGE_SHIFT,
  PAGE_SIZE,
  SPAN_DEAD,
  SPAN_IN_USE,
  SPAN_MANUAL,
  SPECIAL,
} from "./layout.ts";
import { FixAlloc } from "./mfixalloc.ts";
import { PageAlloc, pallocBitmapBytes, SUMMARY_BYTES } from "./mpagealloc.ts";
import { PAGE_CACHE_MAX, PageCache } from "./mpagecache.ts";
import { makePageInfo, PAGE_INFO_NONE } from "./page-info.ts";
import {
  classToAllocNPages,
  classToIndexMul,
  classToIndexShift,
  classToSize,
} from "./sizeclasses.generated.ts";
import { SPAN_BITS_ALIGN, SpanBits, spanBitsBytes } from "./span-bits.ts";

const HAND_SPAN = IN_HAND_AT.span >>> 2;
const HAND_WHAT = IN_HAND_AT.what >>> 2;
const HAND_NPAGES = IN_HAND_AT.npages >>> 2;
const HAND_BITS = IN_HAND_AT.bits >>> 2;
const HAND_PAGE = IN_HAND_AT.page >>> 2;
const HAND_PROGRESS = IN_HAND_AT.progress >>> 2;
const HAND_COUNTS = IN_HAND_AT.counts >>> 3;

/** heapBits is mapped by 4 KiB, which describe 64 times as much heap. */
const HEAP_BITS_PAGE = 4096;
const HEAP_BITS_PAGE_SHIFT = 18;

/** Span structs that an mcache takes at a time: 3 KiB, as many as half of a page cache has use for. */
const SPAN_BATCH = 32;
/** Two mcaches never share a cache line, nor a pair of lines that the processor fetches together. */
const MCACHE_ALIGN = 128;

/** Counters that each mcache keeps a share of. */
export type HeapCounter =
  | "heapInUse"
  | "heapFree"
  | "heapReleased"
  | "stackInUse"
  | "gcManualInUse"
  | "emptyPages";

/**
 * Bytes released at a time beyond what a memory limit asks for. A search gives the page cache back; with this reserve
 * it serves half a page cache of new spans. More: more pages to touch anew.
 */
export const LIMIT_BATCH = 256 << 10;

/** Entries added to allspans at a time. */
const ALLSPANS_CHUNK = 4096;

/**
 * Entries of allspans: a span a page, and what the mcaches of as many threads as a memory can have take ahead. A
 * program that makes more mcaches than that runs out of span structs.
 */
function allspansCapacity(size: number): number {
  return Math.ceil((size / PAGE_SIZE + MAX_THREADS * SPAN_BATCH) / ALLSPANS_CHUNK) * ALLSPANS_CHUNK;
}

export class MHeap {
  readonly mem: LinearMemory;
  readonly hooks: AllocatorHooks;
  readonly base: number;
  readonly gcControl: number;
  readonly heapBitsBase: number;
  readonly pageInfoBase: number;
  readonly pageSpanBase: number;
  readonly allspansBase: number;
  private readonly allspansCapacity: number;
  readonly pages: PageAlloc;
  readonly spanBits: SpanBits;
  readonly spanalloc: FixAlloc;
  readonly specialalloc: FixAlloc;
  readonly cachealloc: FixAlloc;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly shared: number;
  /** f64 index of MHEAP.memoryLimit. */
  private readonly memoryLimit: number;
  private mcache = 0;
  /** Word index of what this thread has in hand. */
  private hand = 0;
  pageCache: PageCache;
  /** What the last failed attempt to make a span had too little of. */
  private lacking = "pages";
  /** Word index of a bit map: 1 = this page of heapBits is mapped. */
  private readonly heapBitsMap: number;

  constructor(mem: LinearMemory, hooks: AllocatorHooks, root: number) {
    this.mem = mem;
    this.hooks = hooks;
    this.u32 = mem.u32;
    this.f64 = mem.f64;
    const fresh = root === 0;
    const tables = fresh ? reserveTables(mem) : root;
    const word = (name: keyof typeof ROOT): number => mem.u32[(tables + ROOT[name]) >>> 2];
    this.base = word("mheap");
    this.heapBitsBase = word("heapBits");
    this.heapBitsMap = word("heapBitsMap") >>> 2;
    this.pageInfoBase = word("pageInfo");
    this.pageSpanBase = word("pageSpan");
    this.allspansBase = word("allspans");
    this.allspansCapacity = allspansCapacity(mem.size);
    this.gcControl = this.base + MHEAP_AT.gcControl;
    this.shared = (this.base + MHEAP_AT.shared) >>> 2;
    this.memoryLimit = (this.base + MHEAP_AT.memoryLimit) >>> 3;
    this.pages = new PageAlloc(mem, word("bitmaps"), word("summaries"), this.base + MHEAP_AT.palloc);
    this.spanalloc = new FixAlloc(
      mem,
      this.base + MHEAP_AT.spanalloc,
      MSPAN.size,
      "mspanSys",
      MSPAN.size - MSPAN_AT.index,
    );
    this.specialalloc = new FixAlloc(mem, this.base + MHEAP_AT.specialalloc, SPECIAL.size, "otherSys");
    const mcacheSize = Math.ceil(MCACHE.size / MCACHE_ALIGN) * MCACHE_ALIGN;
    this.cachealloc = new FixAlloc(mem, this.base + MHEAP_AT.cachealloc, mcacheSize, "mcacheSys");
    this.spanBits = new SpanBits(mem, this.base, word("spanBits"), spanBitsBytes(mem.size, word("spanBits")));
    if (fresh) {
      this.spanBits.init();
      mem.f64[(this.gcControl + GCCONTROL_AT.trigger) >>> 3] = Number.POSITIVE_INFINITY;
      mem.f64[(this.gcControl + GCCONTROL_AT.heapGoal) >>> 3] = Number.POSITIVE_INFINITY;
      mem.f64[this.memoryLimit] = Number.POSITIVE_INFINITY;
    }
    this.root = tables;
    mem.rankLocks((addr) => this.lockRank(addr));
    this.pageCache = new PageCache(mem, MCACHE_AT.pages, this.shared, MCACHE_AT.inHand >>> 2);
  }

  /** The mcache of this thread, whose page cache, structs and counters this object works with. */
  bind(mcache: number): void {
    this.mcache = mcache;
    this.hand = (mcache + MCACHE_AT.inHand) >>> 2;
    this.spanBits.bind(mcache);
    this.pageCache = new PageCache(this.mem, mcache + MCACHE_AT.pages, this.shared, this.hand);
  }

  private refusalReported = false;

  /** Address of the table of bases that an attaching thread starts from. */
  readonly root: number;

  get sweepgen(): number {
    return this.u32[(this.gcControl + GCCONTROL_AT.sweepgen) >>> 2];
  }

  /**
   * The heap's figure. Retained spans are told apart only here, so that keeping one and using it again is one
   * addition.
   */
  counter(name: HeapCounter): number {
    const own = this.sum(MCACHE_AT[name]);
    if (name === "heapInUse") return own - this.sum(MCACHE_AT.emptyPages) * PAGE_SIZE;
    return name === "heapFree" ? own + this.sum(MCACHE_AT.emptyPages) * PAGE_SIZE : own;
  }

  /** A counter of all mcaches, by its place in MCACHE. */
  private sum(offset: number): number {
    let sum = 0;
    for (let c = this.u32[(this.base + MHEAP_AT.mcaches) >>> 2]; c !== 0; ) {
      sum += this.f64[(c + offset) >>> 3];
      c = this.u32[(c + MCACHE_AT.next) >>> 2];
    }
    return sum;
  }

  /** Adds to this mcache's share of a counter. By place and not by name: a lookup by name is no constant to V8. */
  private add(offset: number, n: number): void {
    const i = (this.mcache + offset) >>> 3;
    this.f64[i] = this.f64[i] + n;
  }

  /** Bytes of span structs in use, those that mcaches took ahead apart. */
  get mspanInuse(): number {
    let n = this.spanalloc.inuse;
    for (let c = this.u32[(this.base + MHEAP_AT.mcaches) >>> 2]; c !== 0; ) {
      n -= this.u32[(c + MCACHE_AT.nspanFree) >>> 2] * MSPAN.size;
      c = this.u32[(c + MCACHE_AT.next) >>> 2];
    }
    return n;
  }

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

  get nspans(): number {
    return this.u32[(this.base + MHEAP_AT.nspans) >>> 2];
  }

  spanAt(i: number): number {
    return this.u32[(this.allspansBase >>> 2) + i];
  }

  /** The heap lock. Locks cost nothing until share was called: a single thread has nobody to keep out. */
  lock(): void {
    this.acquire(this.base + MHEAP_AT.lock);
  }

  unlock(): void {
    this.release(this.base + MHEAP_AT.lock);
  }

  private lockRank(addr: number): LockRank | undefined {
    if (addr === this.base + MHEAP_AT.lock) return "mheap";
    const central = addr - this.base - MHEAP_AT.central;
    if (central >= 0 && central < NUM_SPAN_CLASSES * MCENTRAL.size && central % MCENTRAL.size === 0)
      return "mcentral";
    // A span struct is known by its place in allspans.
    const s = addr - MSPAN_AT.speclock;
    const index = this.u32[(s + MSPAN_AT.index) >>> 2];
    return index > 0 && index <= this.nspans && this.spanAt(index - 1) === s ? "mspanSpecial" : undefined;
  }

  /** The first lock of the heap or of the memory that the thread holds; 0 if it holds none. */
  lockHeldBy(thread: number): number {
    const held = (addr: number): boolean => this.u32[addr >>> 2] >>> 1 === thread;
    for (const addr of this.mem.lockAddrs) if (held(addr)) return addr;
    if (held(this.base + MHEAP_AT.lock)) return this.base + MHEAP_AT.lock;
    for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) {
      const addr = this.base + MHEAP_AT.central + spc * MCENTRAL.size;
      if (held(addr)) return addr;
    }
    for (let n = 0; n < this.nspans; n++) {
      const addr = this.spanAt(n) + MSPAN_AT.speclock;
      if (held(addr)) return addr;
    }
    return 0;
  }

  acquire(addr: number): void {
    if (this.u32[this.shared] !== 0) lock(this.mem, addr);
  }

  release(addr: number): void {
    if (this.u32[this.shared] !== 0) unlock(this.mem, addr);
  }

  /**
   * The operation of this thread that is changing its mcache or the heap; "" while there is none. See hooks.ts: a hook
   * that is called in an operation must not begin another.
   */
  busy = "";
  /** Whether `report` has anything to do. */
  pending = false;
  private grownBytes = 0;
  /** Whether memory is to be released for the memory limit. */
  private overLimit = false;
  /** Free bytes that the last scavenge could not release: refused, or put aside by another thread. */
  private stuckBytes = 0;
  private refusedPage = 0;
  private refusedBytes = 0;
  private deferred = false;
  private rescuing = false;

  /** Begins an operation; whoever calls it sets `busy` to "" in a finally. */
  enter(operation: string): void {
    if (this.busy !== "") this.refuse(operation);
    this.busy = operation;
  }

  /** Throws the fatal error if this thread is in the middle of an operation. */
  mustBeIdle(call: string): void {
    if (this.busy !== "") this.refuse(call);
  }

  refuse(call: string): never {
    throwFatal(
      "allocator: re-entered by a hook",
      `allocator: ${call} called by a hook in the middle of ${this.busy}`,
    );
  }

  /** Has hooks.operationDone called when the operation has ended. */
  defer(): void {
    this.deferred = true;
    this.pending = true;
  }

  /** Reports what happened in the operation that has ended. The caller's object, if any, is complete. */
  report(): void {
    this.pending = false;
    const grown = this.grownBytes;
    const { overLimit } = this;
    this.grownBytes = 0;
    this.overLimit = false;
    if (grown > 0 || overLimit) this.giveBack(grown, overLimit);
    if (this.refusedBytes !== 0) {
      const bytes = this.refusedBytes;
      this.refusedBytes = 0;
      this.hooks.releaseRefused((this.refusedPage * PAGE_SIZE) as Addr, bytes);
    }
    if (this.deferred) {
      this.deferred = false;
      this.hooks.operationDone();
    }
    // The scavenger's work after growth may have noted a refusal, which is reported above.
    this.pending = this.refusedBytes !== 0 || this.deferred;
  }

  /**
   * Asks the hook for memory, with no operation in progress: it may collect or free. What the hook itself allocates is
   * not rescued. True: try again.
   */
  rescue(npages: number): boolean {
    if (this.rescuing) return false;
    this.rescuing = true;
    try {
      return this.hooks.outOfMemory(npages * PAGE_SIZE);
    } finally {
      this.rescuing = false;
    }
  }

  /** The heap has grown by so many bytes, or more is mapped than the memory limit allows. Set by the scavenger. */
  giveBack: (grown: number, overLimit: boolean) => void = () => {};

  /** Bytes of the whole memory that are counted and hold physical pages: what the memory limit limits. */
  get mappedReady(): number {
    return this.mem.stats.sys - this.counter("heapReleased");
  }

  /** Called when the operation has taken a span, a retained one included: more may be in use than the limit allows. */
  spanTaken(): void {
    if (this.f64[this.memoryLimit] !== Number.POSITIVE_INFINITY) this.checkLimit();
  }

  /**
   * Asks for a release after the operation if more is mapped than the limit allows. If what is free does not make up
   * for the difference, since more is live than the limit allows, it waits until a LIMIT_BATCH is free: otherwise
   * every span would search the heap for a page or two.
   */
  private checkLimit(): void {
    const over = this.mappedReady - this.f64[this.memoryLimit];
    if (over <= 0) return;
    const free = this.counter("heapFree");
    this.stuckBytes = Math.min(this.stuckBytes, free);
    if (free - this.stuckBytes < Math.min(over, LIMIT_BATCH)) return;
    this.overLimit = true;
    this.pending = true;
  }

  /**
   * Frees retained spans until that many pages are free. False: there were none. For Infinity all of them, those
   * that other threads are freeing included. Set by mcentral.
   */
  freeRetained: (npages: number) => boolean = () => false;

  /**
   * A heap span of the class (npages as the class says), or of npages for a large object (class 0); 0 if the memory is
   * exhausted. The caller puts the span where it belongs.
   */
  alloc(npages: number, spanclass: number): number {
    this.hooks.reclaim(npages);
    return this.allocAny(npages, SPAN_IN_USE, spanclass, 0);
  }

  /** Pages for stacks or for the collector. Throws the fatal error if the memory is exhausted. */
  allocManual(npages: number, kind: number): number {
    let s = this.tryManual(npages, kind);
    if (s === 0 && this.rescue(npages)) s = this.tryManual(npages, kind);
    if (this.pending) this.report();
    if (s === 0) this.throwOutOfMemory(npages);
    return s;
  }

  private tryManual(npages: number, kind: number): number {
    this.enter("allocManual");
    try {
      const s = this.allocAny(npages, SPAN_MANUAL, 0, kind);
      this.spanTaken();
      return s;
    } finally {
      this.busy = "";
    }
  }

  private allocAny(npages: number, state: number, spanclass: number, kind: number): number {
    let s = state === SPAN_IN_USE && npages <= PAGE_CACHE_MAX ? this.allocCached(npages, spanclass) : 0;
    if (s === 0) s = this.tryAlloc(npages, state, spanclass, kind, false);
    // Few pages are found by freeing a few retained spans; a long run may need all of them.
    if (s === 0 && this.freeRetained(npages <= 16 ? 64 : Number.POSITIVE_INFINITY)) {
      s = this.tryAlloc(npages, state, spanclass, kind, false);
    }
    if (s === 0) s = this.allocGrowing(npages, state, spanclass, kind);
    if (s === 0) {
      // The heap can't grow: what other threads have put aside is all there is.
      this.freeRetained(Number.POSITIVE_INFINITY);
      this.unclaimAll();
      s = this.allocGrowing(npages, state, spanclass, kind);
    }
    return s;
  }

  private allocGrowing(npages: number, state: number, spanclass: number, kind: number): number {
    const before = this.mem.stats.heapSys;
    const s = this.tryAlloc(npages, state, spanclass, kind, true);
    // A manual span's bytes have left heapSys by now: less than the true growth, for spans of a few pages.
    const n = this.mem.stats.heapSys - before;
    if (n > 0) {
      this.grownBytes += n;
      this.pending = true;
    }
    return s;
  }

  /** A small heap span from the page cache; 0 if that has no such run, or there is nothing to fill it with. */
  private allocCached(npages: number, spanclass: number): number {
    const { pageCache } = this;
    this.beginSpan(npages, SPAN_IN_USE, spanclass, 0);
    const s = this.takeSpan();
    const bits = s === 0 ? 0 : this.takeSpanBits(bitsBytes(spanclass));
    if (bits === 0) {
      if (s !== 0) this.putSpan(s);
      return 0;
    }
    let page = pageCache.alloc(npages);
    if (page === 0 && pageCache.empty && this.refillPages()) page = pageCache.alloc(npages);
    if (page === 0) {
      this.spanBits.put(bits, bitsBytes(spanclass)); // before drop
      this.putSpan(s);
      return 0;
    }
    const { scavenged } = pageCache;
    const fresh = scavenged === npages && (pageCache.fresh || this.scavengedIsZero());
    if (scavenged !== 0) {
      this.mem.sysUsed(page * PAGE_SIZE, npages * PAGE_SIZE);
      this.add(MCACHE_AT.heapReleased, -scavenged * PAGE_SIZE);
    }
    this.add(MCACHE_AT.heapFree, (scavenged - npages) * PAGE_SIZE);
    this.add(MCACHE_AT.heapInUse, npages * PAGE_SIZE);
    this.initSpan(s, page, npages, SPAN_IN_USE, spanclass, 0, bits, fresh);
    return s;
  }

  private refillPages(): boolean {
    const { u32, pageCache } = this;
    this.lock();
    const ok = this.pages.claim(pageCache.at);
    if (ok) {
      const end = (u32[pageCache.at] + 64) * PAGE_SIZE;
      const zeroedBase = (this.base + MHEAP_AT.zeroedBase) >>> 2;
      const fresh = end - 64 * PAGE_SIZE >= u32[zeroedBase];
      u32[pageCache.at + (PAGE_CACHE_AT.fresh >>> 2)] = fresh ? 1 : 0;
      if (end > u32[zeroedBase]) u32[zeroedBase] = Math.min(end, 0xffffffff);
      this.noteClaimed(-pageCache.scavengedPages); // under the lock: afterwards anybody may take them back
    }
    this.unlock();
    return ok;
  }

  /** Gives this thread's cached pages back. False: it had none. */
  flushPages(): boolean {
    if (this.pageCache.empty) return false;
    this.lock();
    this.flushPagesLocked();
    this.unlock();
    return true;
  }

  private flushPagesLocked(): boolean {
    if (this.pageCache.empty) return false;
    this.unclaim(this.pageCache.at);
    return true;
  }

  private unclaim(cache: number): void {
    const scavenged = this.pages.unclaim(cache);
    this.scavReset(this.u32[cache] + 64);
    this.noteClaimed(scavenged);
  }

  /** Takes the free pages back that the mcaches of all threads have claimed. */
  private unclaimAll(): void {
    this.lock();
    for (let c = this.u32[(this.base + MHEAP_AT.mcaches) >>> 2]; c !== 0; ) {
      this.unclaim((c + MCACHE_AT.pages) >>> 2);
      c = this.u32[(c + MCACHE_AT.next) >>> 2];
    }
    this.unlock();
  }

  private noteClaimed(npages: number): void {
    if (npages !== 0) this.mem.stats.add("heapReleased", npages * PAGE_SIZE);
  }

  /** The page caches of all mcaches. For the walkers. */
  pageCaches(): PageCache[] {
    const caches: PageCache[] = [];
    for (let c = this.u32[(this.base + MHEAP_AT.mcaches) >>> 2]; c !== 0; ) {
      caches.push(new PageCache(this.mem, c + MCACHE_AT.pages, this.shared, (c + MCACHE_AT.inHand) >>> 2));
      c = this.u32[(c + MCACHE_AT.next) >>> 2];
    }
    return caches;
  }

  private tryAlloc(npages: number, state: number, spanclass: number, kind: number, grow: boolean): number {
    const nbits = state === SPAN_IN_USE ? bitsBytes(spanclass) : 0;
    this.beginSpan(npages, state, spanclass, kind);
    const s = this.takeSpan();
    if (s === 0) return 0;
    const bits = nbits === 0 ? 0 : this.takeSpanBits(nbits);
    if (nbits !== 0 && bits === 0) {
      this.putSpan(s);
      return 0;
    }
    this.lock();
    let page = this.pages.alloc(npages);
    // What the page cache holds may be what a larger run lacks.
    if (page === 0 && this.flushPagesLocked()) page = this.pages.alloc(npages);
    if (page === 0 && grow && this.grow(npages)) page = this.pages.alloc(npages);
    let scavenged = 0;
    let fresh = false;
    if (page !== 0) {
      const start = page * PAGE_SIZE;
      const end = start + npages * PAGE_SIZE;
      const zeroedBase = (this.base + MHEAP_AT.zeroedBase) >>> 2;
      scavenged = this.pages.countScavenged(page, npages);
      fresh = start >= this.u32[zeroedBase] || (scavenged === npages && this.scavengedIsZero());
      if (end > this.u32[zeroedBase]) this.u32[zeroedBase] = Math.min(end, 0xffffffff);
      if (scavenged !== 0) {
        this.pages.clearScavenged(page, npages);
        this.mem.sysUsed(start, npages * PAGE_SIZE);
        this.noteReleased(-scavenged * PAGE_SIZE);
      }
      this.add(MCACHE_AT.heapFree, (scavenged - npages) * PAGE_SIZE);
      this.countUse(state, kind, npages * PAGE_SIZE);
      this.u32[this.hand + HAND_PAGE] = page;
      this.u32[this.hand + HAND_PROGRESS] = HAND_COUNTED;
    }
    this.unlock();
    if (page === 0) {
      this.lacking = "pages";
      if (bits !== 0) this.spanBits.put(bits, nbits); // before drop
      this.putSpan(s);
      return 0;
    }
    this.initSpan(s, page, npages, state, spanclass, kind, bits, fresh);
    return s;
  }

  /**
   * A span is going to be made: what follows of it is written down before it is done. (Here, and in hold and drop:
   * a heap that nobody shares has nobody to take over from a thread.)
   */
  private beginSpan(npages: number, state: number, spanclass: number, kind: number): void {
    const { u32, f64, hand, mcache } = this;
    if (u32[this.shared] === 0) return;
    u32[hand + HAND_WHAT] = spanclass | (state << 8) | (kind << 16);
    u32[hand + HAND_NPAGES] = npages;
    u32[hand + HAND_BITS] = 0;
    u32[hand + HAND_PAGE] = 0;
    u32[hand + HAND_PROGRESS] = 0;
    const counts = (hand >>> 1) + HAND_COUNTS;
    f64[counts] = f64[(mcache + MCACHE_AT.heapInUse) >>> 3];
    f64[counts + 1] = f64[(mcache + MCACHE_AT.heapFree) >>> 3];
    f64[counts + 2] = f64[(mcache + MCACHE_AT.heapReleased) >>> 3];
    if (spanclass >= 2) return;
    f64[counts + 3] = f64[(mcache + MCACHE_AT.largeAlloc) >>> 3];
    f64[counts + 4] = f64[(mcache + MCACHE_AT.largeAllocCount) >>> 3];
  }

  /**
   * The span is in this thread's hands: called inside of the lock of the list that it leaves, or before it leaves
   * its slot. If the thread is killed before drop, whoever takes its mcache over finds the span.
   */
  hold(s: number): void {
    const { u32, f64, hand, mcache } = this;
    if (u32[this.shared] === 0) return;
    if (u32[(s + MSPAN_AT.spanclass) >>> 2] < 2) {
      const counts = (hand >>> 1) + HAND_COUNTS;
      f64[counts + 3] = f64[(mcache + MCACHE_AT.largeFree) >>> 3];
      f64[counts + 4] = f64[(mcache + MCACHE_AT.largeFreeCount) >>> 3];
    }
    u32[hand + HAND_WHAT] = 0;
    u32[hand + HAND_SPAN] = s;
  }

  /** The span has a place: called inside of the lock of the list or the heap that has it, or when a slot has it. */
  drop(s: number): void {
    const { u32, hand } = this;
    if (u32[this.shared] !== 0 && u32[hand + HAND_SPAN] === s) u32[hand + HAND_SPAN] = 0;
  }

  private countUse(state: number, kind: number, bytes: number): void {
    if (state === SPAN_IN_USE) {
      this.add(MCACHE_AT.heapInUse, bytes);
      return;
    }
    this.mem.stats.add("heapSys", -bytes);
    if (kind === MANUAL_STACK) {
      this.add(MCACHE_AT.stackInUse, bytes);
      this.mem.stats.add("stackSys", bytes);
    } else {
      this.add(MCACHE_AT.gcManualInUse, bytes);
      this.mem.stats.add("gcSys", bytes);
    }
  }

  /** A span of npages without objects, on no list: its pages count as free from now on. */
  retain(npages: number): void {
    this.add(MCACHE_AT.emptyPages, npages);
  }

  /** It is used again, or is going to be freed. */
  unretain(npages: number): void {
    this.add(MCACHE_AT.emptyPages, -npages);
  }

  throwOutOfMemory(npages: number): never {
    const idle = this.counter("heapFree") + this.counter("heapReleased");
    const inUse = this.counter("heapInUse");
    const more = this.hooks.explainOutOfMemory();
    outOfMemory(
      `runtime: cannot allocate ${npages * PAGE_SIZE}-byte block (${inUse} in use, ${idle} idle, ` +
        `${this.mem.unreserved} unreserved of a memory of ${this.mem.size} bytes): no ${this.lacking} left${more === "" ? "" : `\n${more}`}`,
    );
  }

  /** Fills the struct in and publishes it in the tables. No lock is needed: the pages are this thread's. */
  initSpan(
    s: number,
    page: number,
    npages: number,
    state: number,
    spanclass: number,
    kind: number,
    bits: number,
    fresh: boolean,
  ): void {
    const u32 = this.u32;
    const at = s >>> 2;
    const sizeclass = spanclass >>> 1;
    const bytes = npages * PAGE_SIZE;
    const start = page * PAGE_SIZE;
    u32[at + (MSPAN_AT.startAddr >>> 2)] = start;
    u32[at + (MSPAN_AT.npages >>> 2)] = npages;
    u32[at + (MSPAN_AT.spanclass >>> 2)] = spanclass;
    if (state === SPAN_IN_USE) {
      const elemsize = sizeclass === 0 ? bytes : classToSize[sizeclass];
      const nelems = classToNElems[sizeclass];
      u32[at + (MSPAN_AT.elemsize >>> 2)] = elemsize;
      u32[at + (MSPAN_AT.nelems >>> 2)] = nelems;
      u32[at + (MSPAN_AT.divMul >>> 2)] = classToIndexMul[sizeclass];
      u32[at + (MSPAN_AT.divShift >>> 2)] = classToIndexShift[sizeclass];
      // 2^32 is not a word: a span at the very end of a 4 GiB memory has limit 2^32 - 1, above its last slot.
      u32[at + (MSPAN_AT.limit >>> 2)] = Math.min(start + nelems * elemsize, 0xffffffff);
      if ((spanclass & 1) === 0 && elemsize <= MIN_SIZE_FOR_HEADER) this.mapHeapBits(start);
      u32[at + (MSPAN_AT.gcmarkBits >>> 2)] = bits;
      u32[at + (MSPAN_AT.allocBits >>> 2)] = bits + this.spanBits.half;
    } else {
      u32[at + (MSPAN_AT.manualKind >>> 2)] = kind;
      u32[at + (MSPAN_AT.limit >>> 2)] = Math.min(start + bytes, 0xffffffff);
    }
    u32[at + (MSPAN_AT.needzero >>> 2)] = fresh ? 0 : 1;
    u32[at + (MSPAN_AT.sweepgen >>> 2)] = this.sweepgen;
    u32[at + (MSPAN_AT.state >>> 2)] = state;
    const info = state === SPAN_IN_USE ? makePageInfo(bits, spanclass) : PAGE_INFO_NONE;
    const spanWord = (this.pageSpanBase >>> 2) + page;
    for (let i = 0; i < npages; i++) u32[spanWord + i] = s;
    // Published last, and atomically: whoever finds the span through the tables finds it complete, on a processor
    // too that reorders plain stores.
    const { kernel, shared } = this.mem;
    const infoWord = (this.pageInfoBase >>> 2) + page;
    for (let i = infoWord, end = infoWord + npages; i < end; i++) {
      if (shared) kernel.store(i << 2, info);
      else u32[i] = info;
    }
  }

  // --- span structs

  /** A dead span struct, zero but for its index; 0 if there is no memory for one. */
  private takeSpan(): number {
    const { u32 } = this;
    const head = (this.mcache + MCACHE_AT.spanFree) >>> 2;
    const count = (this.mcache + MCACHE_AT.nspanFree) >>> 2;
    if (u32[head] === 0 && !this.refillSpans()) {
      this.lacking = "span structs";
      return 0;
    }
    const s = u32[head];
    if (u32[this.shared] !== 0) u32[this.hand + HAND_SPAN] = s;
    u32[head] = u32[(s + MSPAN_AT.next) >>> 2];
    u32[count] = u32[count] - 1;
    u32[(s + MSPAN_AT.next) >>> 2] = 0;
    return s;
  }

  putSpan(s: number): void {
    const { u32 } = this;
    const head = (this.mcache + MCACHE_AT.spanFree) >>> 2;
    const count = (this.mcache + MCACHE_AT.nspanFree) >>> 2;
    u32[(s + MSPAN_AT.next) >>> 2] = u32[head];
    u32[head] = s;
    this.drop(s);
    u32[count] = u32[count] + 1;
  }

  private refillSpans(): boolean {
    this.lock();
    let got = false;
    for (let k = 0; k < SPAN_BATCH; k++) {
      const s = this.spanalloc.alloc();
      if (s === 0) break;
      if (!this.recordSpan(s)) {
        this.spanalloc.free(s);
        break;
      }
      this.putSpan(s);
      got = true;
    }
    this.unlock();
    return got;
  }

  /**
   * Whether a free page without physical memory reads as zeros: always, until one was given back. (Asking the platform
   * earlier would load the package that releases.)
   */
  private scavengedIsZero(): boolean {
    return this.u32[(this.base + MHEAP_AT.everReleased) >>> 2] === 0 || this.mem.releaseZeroes;
  }

  private noteReleased(n: number): void {
    this.add(MCACHE_AT.heapReleased, n);
    this.mem.stats.add("heapReleased", n);
  }

  /**
   * Struct indices are kept over the struct's lives: allspans holds every mspan struct ever made, once. False if it
   * is full; the struct, which is in no list yet, can't be used then.
   */
  private recordSpan(s: number): boolean {
    const u32 = this.u32;
    if (u32[(s + MSPAN_AT.index) >>> 2] !== 0) return true;
    const n = this.nspans;
    if (n >= this.allspansCapacity) return false;
    if (n % ALLSPANS_CHUNK === 0) {
      this.mem.sysMap(this.allspansBase + 4 * n, 4 * ALLSPANS_CHUNK, "otherSys");
    }
    u32[(this.allspansBase >>> 2) + n] = s;
    u32[(s + MSPAN_AT.index) >>> 2] = n + 1;
    u32[(this.base + MHEAP_AT.nspans) >>> 2] = n + 1;
    return true;
  }

  /** A heap span without objects and on no list goes back. Its specials must be gone. */
  freeSpan(s: number): void {
    this.lock();
    this.freeSpanLocked(s);
    this.unlock();
  }

  freeManual(s: number): void {
    this.lock();
    this.freeSpanLocked(s);
    this.unlock();
  }

  private freeSpanLocked(s: number): void {
    const u32 = this.u32;
    const at = s >>> 2;
    const state = u32[at + (MSPAN_AT.state >>> 2)];
    const start = u32[at + (MSPAN_AT.startAddr >>> 2)];
    const npages = u32[at + (MSPAN_AT.npages >>> 2)];
    const bytes = npages * PAGE_SIZE;
    if (state === SPAN_IN_USE) {
      const allocCount = u32[at + (MSPAN_AT.allocCount >>> 2)];
      if (
        allocCount !== 0 ||
        u32[at + (MSPAN_AT.list >>> 2)] !== 0 ||
        u32[at + (MSPAN_AT.specials >>> 2)] !== 0
      ) {
        throwFatal("mheap.freeSpan: span is in use", `span ${hex(start)} allocCount=${allocCount}`);
      }
      this.add(MCACHE_AT.heapInUse, -bytes);
      this.spanBits.free(
        u32[at + (MSPAN_AT.gcmarkBits >>> 2)],
        bitsBytes(u32[at + (MSPAN_AT.spanclass >>> 2)]),
      );
    } else if (state === SPAN_MANUAL) {
      this.mem.stats.add("heapSys", bytes);
      if (u32[at + (MSPAN_AT.manualKind >>> 2)] === MANUAL_GC) {
        this.add(MCACHE_AT.gcManualInUse, -bytes);
        this.mem.stats.add("gcSys", -bytes);
      } else {
        this.add(MCACHE_AT.stackInUse, -bytes);
        this.mem.stats.add("stackSys", -bytes);
      }
    } else {
      throwFatal("mheap.freeSpan: bad span state", `span ${hex(start)} state=${state}`);
    }
    this.add(MCACHE_AT.heapFree, bytes);
    const page = start >>> PAGE_SHIFT;
    if (state === SPAN_IN_USE) this.clearHeapBits(at, page);
    const infoWord = (this.pageInfoBase >>> 2) + page;
    const spanWord = (this.pageSpanBase >>> 2) + page;
    for (let i = 0; i < npages; i++) {
      u32[infoWord + i] = PAGE_INFO_NONE;
      u32[spanWord + i] = 0;
    }
    u32[at + (MSPAN_AT.state >>> 2)] = SPAN_DEAD;
    this.pages.free(page, npages);
    this.scavReset(page + npages);
    this.spanalloc.free(s);
    this.drop(s);
  }

  /**
   * Takes from the linear memory, in chunks, what the free pages at the end of the arena lack to npages. False if
   * it has no more. (Unlike Go, which asks for all of it: a linear memory has an end.)
   */
  private grow(npages: number): boolean {
    for (;;) {
      const arenaEnd = this.u32[(this.base + MHEAP_AT.arenaEnd) >>> 2];
      const tail = arenaEnd === 0 ? 0 : this.pages.freeBelow(Math.ceil(arenaEnd / PAGE_SIZE));
      if (tail >= npages) return true;
      // Once, unless somebody else has reserved memory at the end of the arena.
      if (!this.addPages(npages - tail)) return false;
    }
  }

  private addPages(npages: number): boolean {
    const bytes = Math.ceil(npages / CHUNK_PAGES) * CHUNK_BYTES;
    const start = this.mem.sysReserve(bytes, CHUNK_BYTES, "low") as number;
    if (start === 0) return false;
    this.mem.sysMap(start, bytes, "heapSys");
    this.noteReleased(bytes);
    const u32 = this.u32;
    const page = start >>> PAGE_SHIFT;
    const pages = bytes / PAGE_SIZE;
    const arenaEnd = u32[(this.base + MHEAP_AT.arenaEnd) >>> 2];
    if (arenaEnd === 0) u32[(this.base + MHEAP_AT.arenaStart) >>> 2] = start;
    // Somebody else has reserved memory since: its pages are in use, and not to be scavenged.
    else if (start > arenaEnd) this.pages.exclude(arenaEnd >>> PAGE_SHIFT, (start - arenaEnd) / PAGE_SIZE);
    u32[(this.base + MHEAP_AT.arenaEnd) >>> 2] = Math.min(start + bytes, 0xffffffff);
    this.mem.sysMap(this.pageInfoBase + page * 4, pages * 4, "gcSys");
    this.mem.sysMap(this.pageSpanBase + page * 4, pages * 4, "gcSys");
    this.mem.stats.add("gcSys", (2 * pages) / 8); // both bit maps of the page allocator
    const infoWord = (this.pageInfoBase >>> 2) + page;
    for (let i = 0; i < pages; i++) u32[infoWord + i] = PAGE_INFO_NONE;
    this.pages.grow(page, pages);
    return true;
  }

  /**
   * The span of one page at start, or the block that begins there, is going to use heapBits. The table is touched,
   * and counted, by the page of 4 KiB that describes 256 KiB of heap: a collected heap of objects without pointers
   * has none.
   */
  mapHeapBits(start: number): void {
    const u32 = this.u32;
    const k = start >>> HEAP_BITS_PAGE_SHIFT;
    const w = this.heapBitsMap + (k >>> 5);
    const bit = 1 << (k & 31);
    if ((u32[w] & bit) !== 0) return;
    this.lock();
    const mapped = (u32[w] & bit) !== 0;
    u32[w] = u32[w] | bit;
    this.unlock();
    if (!mapped) this.mem.sysMap(this.heapBitsBase + k * HEAP_BITS_PAGE, HEAP_BITS_PAGE, "gcSys");
  }

  /** Whether the part of heapBits that describes the address is accounted for. For the walkers. */
  heapBitsMapped(addr: number): boolean {
    const k = addr >>> HEAP_BITS_PAGE_SHIFT;
    return ((this.u32[this.heapBitsMap + (k >>> 5)] >>> (k & 31)) & 1) !== 0;
  }

  /** A freed span of one page may hold blocks by hand next, in a heap without a collector: no bit of theirs is set. */
  private clearHeapBits(at: number, page: number): void {
    const { u32 } = this;
    if (this.sweepgen !== 0 || u32[at + (MSPAN_AT.spanclass >>> 2)] & 1) return;
    if (u32[at + (MSPAN_AT.elemsize >>> 2)] > MIN_SIZE_FOR_HEADER) return;
    const bits = (this.heapBitsBase >>> 2) + page * HEAP_BITS_WORDS;
    for (let i = bits; i < bits + HEAP_BITS_WORDS; i++) u32[i] = 0;
  }

  // --- span bits

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

  // --- scavenging

  /** The scavenger's cursor goes up to where pages became free. */
  private scavReset(pageEnd: number): void {
    const i = (this.base + MHEAP_AT.scavChunk) >>> 2;
    const chunkEnd = (pageEnd + CHUNK_PAGES - 1) >>> (CHUNK_SHIFT - PAGE_SHIFT);
    if (chunkEnd > this.u32[i]) this.u32[i] = chunkEnd;
  }

  /**
   * Returns free pages to the operating system, from the highest address down, until nbytes are returned or none
   * is left. Gives the bytes returned, 0 where the platform has no way to release.
   */
  scavenge(nbytes: number): number {
    this.mustBeIdle("scavenge");
    if (!this.mem.canRelease) return 0;
    const align = Math.max(1, this.mem.pageSizeOS / PAGE_SIZE);
    this.freeRetained(Number.POSITIVE_INFINITY);
    if (nbytes === Number.POSITIVE_INFINITY) this.unclaimAll();
    else this.flushPages();
    let released = 0;
    while (released < nbytes) {
      this.lock();
      const n = this.scavengeOne(nbytes - released, align);
      this.unlock();
      if (n === 0) {
        this.stuckBytes = this.counter("heapFree");
        break;
      }
      released += n;
    }
    return released;
  }

  private scavengeOne(nbytes: number, align: number): number {
    const u32 = this.u32;
    const cursor = (this.base + MHEAP_AT.scavChunk) >>> 2;
    const limit = Math.min(CHUNK_PAGES, Math.ceil(nbytes / PAGE_SIZE / align) * align);
    // Below the arena the bitmaps are zero, which reads as free: that memory is not the heap's to give.
    const bottom = u32[(this.base + MHEAP_AT.arenaStart) >>> 2] >>> CHUNK_SHIFT;
    if (bottom === 0) return 0; // no arena yet, wherever the cursor is
    for (; u32[cursor] > bottom; u32[cursor] = u32[cursor] - 1) {
      const found = this.pages.findScavengeable(u32[cursor] * CHUNK_PAGES, limit, align);
      if (found === 0) continue;
      const page = Math.floor(found / 1024);
      const npages = found % 1024;
      const bytes = npages * PAGE_SIZE;
      if (!this.mem.sysUnused(page * PAGE_SIZE, bytes)) {
        if (!this.refusalReported) {
          // Reported later: this is inside of the heap lock.
          this.refusedPage = page;
          this.refusedBytes = bytes;
          this.pending = true;
        }
        this.refusalReported = true;
        return 0;
      }
      u32[(this.base + MHEAP_AT.everReleased) >>> 2] = 1;
      this.pages.markScavenged(page, npages);
      this.add(MCACHE_AT.heapFree, -bytes);
      this.noteReleased(bytes);
      return bytes;
    }
    return 0;
  }
}

/** Slots of a span by class; 1 for the large objects of class 0. */
const classToNElems = Uint16Array.from(classToSize, (size, c) =>
  c === 0 ? 1 : Math.floor((classToAllocNPages[c] * PAGE_SIZE) / size),
);

/**
 * Bytes of a span's mark bits, and of its alloc bits, by class: a power of two from 8 to 128 with a bit for each
 * slot.
 */
const classToBitsBytes = Uint8Array.from(classToNElems, (nelems) => {
  const bytes = Math.ceil(nelems / 32) * 4;
  return Math.max(8, 2 ** Math.ceil(Math.log2(bytes)));
});

export function bitsBytes(spanclass: number): number {
  return classToBitsBytes[spanclass >>> 1];
}

/** Offsets of the root table: bases of everything, for threads that attach. */
const ROOT = {
  mheap: 0,
  heapBits: 4,
  pageInfo: 8,
  pageSpan: 12,
  allspans: 16,
  bitmaps: 20,
  summaries: 24,
  spanBits: 28,
  heapBitsMap: 32,
} as const;

function reserveTables(mem: LinearMemory): number {
  const { size } = mem;
  const must = (addr: number): number => {
    if (addr === 0) throw new RangeError(`allocator: the memory of ${size} bytes has no room for the tables`);
    return addr;
  };
  const reserve = (n: number, align = 4096): number => must(mem.sysReserve(n, align, "low"));
  const spanBits = reserve(8, SPAN_BITS_ALIGN);
  reserve(spanBitsBytes(size, spanBits) - 8, 8);
  const bases = {
    spanBits,
    heapBits: reserve(size / 64),
    pageInfo: reserve((size / PAGE_SIZE) * 4),
    pageSpan: reserve((size / PAGE_SIZE) * 4),
    allspans: reserve(allspansCapacity(size) * 4),
    bitmaps: reserve(pallocBitmapBytes(size)),
    summaries: reserve(SUMMARY_BYTES),
    heapBitsMap: must(mem.persistentAlloc(4 * Math.ceil(size / 2 ** HEAP_BITS_PAGE_SHIFT / 32), 64, "gcSys")),
    mheap: must(mem.persistentAlloc(MHEAP.size, 64, "otherSys")),
  };
  mem.sysMap(bases.summaries, SUMMARY_BYTES, "gcSys");
  const root = mem.reserveControl(Object.keys(ROOT).length * 4) as number;
  for (const key of Object.keys(ROOT) as (keyof typeof ROOT)[])
    mem.u32[(root + ROOT[key]) >>> 2] = bases[key];
  return root;
}
