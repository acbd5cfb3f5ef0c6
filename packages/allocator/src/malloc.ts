/**
 * The allocator: Go's, over a linear memory.
 *
 *     mallocgc(size, typ)
 *       |  size 0                 zerobase, an address shared by all of them
 *       |  < 16 B, no pointers    tiny allocator: several objects share a block of 16 bytes
 *       |  <= 32760 B             mcache: a slot of the size class, from the run the thread is cutting    no lock
 *       |                           nextRun: the next free slots of the cached span
 *       |                           mcentral.cacheSpan: another span with free slots                     class's lock
 *       |                           mheap.alloc: a new span of pages from the mcache's 64               no lock
 *       |                             PageAlloc: the next 64, or the lowest free run; grow by 4 MiB      heap lock
 *       '  larger                 mheap.alloc: a span of its own, rounded up to pages of 8 KiB
 *
 * 1. A request is rounded up to one of 67 size classes (scripts/gen-sizeclasses.ts). Each class has two span
 *    classes, with and without pointers: spanclass = sizeclass << 1 | noscan.
 * 2. Pointers of objects up to 512 bytes are described in heapBits, a side table; a larger object starts with a
 *    word that holds its type (so 1024 bytes of pointers take a slot of 1152), a large one has it in its span.
 * 3. Freeing is the collector's: it marks, then sweeps span by span, and a swept span's free slots are found again
 *    by nextRun. Or the program's own, in a heap without a collector: see manual.ts.
 * 4. Every object is zeroed when it is handed out. A run is cleared as a whole when it is acquired, unless its span
 *    is known to be fresh from the operating system.
 *
 * Who may touch what: an mcache belongs to its thread, with its page cache, its spare span structs and its share of
 * the heap's counters. A span on a list belongs to the list's lock, a cached one to the mcache, one that is being
 * swept to the sweeper. The page allocator and the free lists of structs belong to the heap lock. Mark bits belong
 * to everybody while a collection marks: a word of them is changed atomically unless all of it is one run's. The
 * order of locks is the table in @gort/memory's lockrank.ts; createAllocator({ staticLockRanking: true }) checks
 * it.
 *
 * What the allocator calls (hooks.ts: sweeps, samples, triggers, reports) never comes back into the middle of an
 * operation. An operation reads and checks, then changes memory with only sweeping in between, then reports. While it
 * runs, heap.busy names it, and an entry that finds it set throws: a re-entered mcache would hand out one object twice.
 * Reports that come up on the way (a sweep that has ended, growth, a refused release) are noted in the heap and given
 * by finish. The fast paths ask nothing, since they touch only free slots of a run, which no operation has in hand.
 *
 * A thread that dies leaves an mcache that another takes over (threadExited). What it was in the middle of is
 * written down in the mcache, in a heap that threads share, so that it can be completed or undone: recovery.ts.
 *
 * Unlike Go: mark bits and pointer bits stand in side tables, not inside the span (prototypes marked faster that
 * way), so a span holds up to 3 % more objects and HeapInuse is at most Go's; the tables count in GCSys. Metadata
 * that Go keeps in globals is in the linear memory, so that any thread that attaches has all of it.
 *
 * Sources: Go's malloc.go, mheap.go, mcentral.go, mcache.go (structure and names); TCMalloc (their ancestor).
 */
import { hex, kindOf, outOfMemory, show, throwFatal } from "@gort/base";
import { type Addr, createLinearMemory, type LinearMemory, type LinearMemoryOptions } from "@gort/memory";
import { ROOT_ALLOCATOR } from "@gort/memory/internal";
import { popcount32 } from "./bits.ts";
import type { LeakRecord } from "./block-checks.ts";
import { checkAddress, checkSize, closedError } from "./errors.ts";
import { Sampler } from "./heap-sampler.ts";
import { type AllocatorHooks, defaultHooks } from "./hooks.ts";
import {
  GC_OFF,
  GCCONTROL_AT,
  GCTYPE_AT,
  GCTYPE_NOSCAN,
  MALLOC_HEADER_SIZE,
  MANUAL_GC,
  MAX_SMALL_REQUEST,
  MCACHE_AT,
  MHEAP_AT,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  PAGE_SHIFT,
  PAGE_SIZE,
  SLOT_ELEMSIZE,
  SLOT_TYP,
  SLOT_WORDS,
  SPAN_IN_USE,
  TINY_SIZE,
  TINY_SPAN_CLASS,
} from "./layout.ts";
import { ManualHeap, type ViewConstructor } from "./manual.ts";
import { MCache } from "./mcache.ts";
import { MCentral } from "./mcentral.ts";
import { Scavenger } from "./mgcscavenge.ts";
import { MHeap } from "./mheap.ts";
import { fillStats, type HeapStats } from "./mstats.ts";
import { hasObjects } from "./page-info.ts";
import { recoverMCache } from "./recovery.ts";
import { SMALL_TABLE_MAX, sizeClassOf } from "./sizeclass.ts";
import { classToSize, sizeToClass8 } from "./sizeclasses.generated.ts";
import { Specials } from "./specials.ts";
import { Stacks } from "./stack.ts";
import { TypeTable } from "./type-table.ts";

const TYPE_SIZE = GCTYPE_AT.size >>> 2;
const TYPE_SLOT_WORD = GCTYPE_AT.slotWord >>> 2;
const TYPE_FLAGS = GCTYPE_AT.flags >>> 2;

export interface AllocatorOptions extends LinearMemoryOptions {
  /** A memory to use instead of making one. If it holds an allocator already, this one attaches to it. */
  memory?: LinearMemory;
  /** Seed of the memory profile's sampling. Default: drawn at random. */
  seed?: number;
  /** Checks for use by hand: poison, leakReport, frees inside withView. Slow. */
  checks?: boolean;
  /** Milliseconds, for the scavenger's pacing. Default performance.now. */
  clock?: () => number;
}

/** See createAllocator. Addresses that methods take and give are byte offsets into `mem`. */
export class Allocator {
  readonly mem: LinearMemory;
  /** What the allocator calls; assign to the fields. */
  readonly hooks: AllocatorHooks;
  /** Bases of the side tables and blocks drawn in layout.ts. */
  readonly heapBitsBase: number;
  readonly pageInfoBase: number;
  readonly pageSpanBase: number;
  readonly gcControl: number;
  readonly mheap: number;
  /** Address of every zero-size object. It is no heap address: findObject gives 0. */
  readonly zerobase: Addr;
  /** For this package's other modules. */
  readonly heap: MHeap;
  readonly central: MCentral;
  readonly cache: MCache;
  readonly stacks: Stacks;
  readonly specials: Specials;
  readonly manual: ManualHeap;
  /** Decides when memory goes back to the operating system. Call pace after collections and background from a timer. */
  readonly scavenger: Scavenger;

  // The hot paths' own copies: views, word indices of the slots, the table by (size + 7) >>> 3.
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private slots: number;
  private readonly noscanSlot: Uint32Array;
  private tinyWord: number;
  private readonly tinyCountWord: number;
  private tinySlot: number;
  private readonly liveWord: number;
  private readonly smallFree: number;
  private readonly trigger: number;

  readonly #types: TypeTable;
  readonly #sampler: Sampler;
  /** Whether the object of the last refill, or the last large one, is one to sample. */
  sampled = false;
  #closed = false;

  /** Use createAllocator. */
  constructor(mem: LinearMemory, seed: number, checks: boolean, clock: () => number, mcache = 0) {
    this.mem = mem;
    this.hooks = defaultHooks();
    const heap = new MHeap(mem, this.hooks, mem.root(ROOT_ALLOCATOR));
    mem.setRoot(ROOT_ALLOCATOR, heap.root);
    // Before this thread joins: if the table has no room, the heap stays without threads and can be made again.
    this.#types = new TypeTable(mem);
    this.heap = heap;
    this.heapBitsBase = heap.heapBitsBase;
    this.pageInfoBase = heap.pageInfoBase;
    this.pageSpanBase = heap.pageSpanBase;
    this.gcControl = heap.gcControl;
    this.mheap = heap.base;
    this.zerobase = (heap.base + MHEAP_AT.zerobase) as Addr;
    this.central = new MCentral(heap);
    const base = mcache === 0 ? joinWithMCache(heap) : mcache;
    heap.bind(base);
    this.#sampler = new Sampler(mem, base + MCACHE_AT.nextSample, seed);
    if (mcache === 0) this.#sampler.restart();
    this.cache = new MCache(heap, this.central, base, this.#sampler);
    this.stacks = new Stacks(heap, base);
    this.specials = new Specials(heap);

    this.u32 = mem.u32;
    this.f64 = mem.f64;
    this.slots = this.cache.slots;
    this.noscanSlot = new Uint32Array(SMALL_TABLE_MAX / 8 + 1);
    for (let k = 0; k <= SMALL_TABLE_MAX / 8; k++) {
      this.noscanSlot[k] = this.slots + ((sizeToClass8[k] << 1) | 1) * SLOT_WORDS;
    }
    this.tinyWord = (base + MCACHE_AT.tiny) >>> 2;
    this.tinyCountWord = (base + MCACHE_AT.tinyCount) >>> 2;
    this.tinySlot = this.slots + TINY_SPAN_CLASS * SLOT_WORDS;
    this.liveWord = (heap.gcControl + GCCONTROL_AT.heapLive) >>> 2;
    this.smallFree = (base + MCACHE_AT.smallFreeCount) >>> 3;
    this.trigger = (heap.gcControl + GCCONTROL_AT.trigger) >>> 3;
    this.manual = new ManualHeap(this, checks);
    this.scavenger = new Scavenger(heap, clock);
  }

  // --- allocation

  /**
   * Allocates size bytes, zeroed. typ is a GCTYPE (see newType) whose mask repeats over the object, or 0 for an object
   * without pointers. With zero = false a large object without pointers may come with old contents.
   * Throws a RangeError for a size that is no whole number of bytes below 2^32, and FatalError when out of memory.
   */
  mallocgc(size: number, typ: number, zero: boolean): Addr {
    if (typ === 0) {
      if (typeof size !== "number" || size <= SMALL_TABLE_MAX) return this.mallocNoscan(size);
      return this.mallocNoscanBig(size, zero);
    }
    if (typeof typ === "number" && this.u32[(typ >>> 2) + TYPE_SIZE] === size) return this.mallocTyped(typ);
    return this.mallocArray(size, typ);
  }

  /** Allocates size bytes without pointers, zeroed. */
  mallocNoscan(size: number): Addr {
    if (typeof size !== "number" || size >>> 0 !== size || size > SMALL_TABLE_MAX) {
      return this.mallocNoscanBig(size, true);
    }
    if (size < TINY_SIZE) return this.mallocTiny(size);
    const u32 = this.u32;
    const i = this.noscanSlot[(size + 7) >>> 3];
    const p = u32[i];
    if (p === u32[i + 1]) return this.refillAlloc(i);
    u32[i] = p + u32[i + SLOT_ELEMSIZE];
    return p as Addr;
  }

  /** Allocates one object of the type, zeroed. */
  mallocTyped(typ: number): Addr {
    if (typeof typ !== "number") this.checkType(typ);
    const u32 = this.u32;
    const i = this.slots + u32[(typ >>> 2) + TYPE_SLOT_WORD];
    const p = u32[i];
    if (p === u32[i + 1] || u32[i + SLOT_TYP] !== typ) return this.mallocTypedSlow(typ);
    u32[i] = p + u32[i + SLOT_ELEMSIZE];
    return p as Addr;
  }

  /** A tiny object goes into the current block if it fits, aligned by what its size is a multiple of. */
  private mallocTiny(size: number): Addr {
    if (size === 0) return this.zerobase;
    const u32 = this.u32;
    const tiny = u32[this.tinyWord];
    let p = tiny;
    if ((size & 7) === 0) p = (p + 7) & ~7;
    else if ((size & 3) === 0) p = (p + 3) & ~3;
    else if ((size & 1) === 0) p = (p + 1) & ~1;
    const off = p & (TINY_SIZE - 1);
    if (off !== 0 && off + size <= TINY_SIZE) {
      u32[this.tinyWord] = p + size;
      u32[this.tinyCountWord] = u32[this.tinyCountWord] + 1;
      return (p >>> 0) as Addr;
    }
    const i = this.tinySlot;
    p = u32[i];
    const refilled = p === u32[i + 1];
    if (refilled) p = this.refill(i);
    else u32[i] = p + TINY_SIZE;
    // Keep whichever block has more room left. (The hook outOfMemory may have flushed: the word is read again.)
    const used = u32[this.tinyWord] & (TINY_SIZE - 1);
    if (used === 0 || size < used) u32[this.tinyWord] = p + size;
    if (refilled) this.finish(p, TINY_SIZE, this.sampled);
    return p as Addr;
  }

  /** A size above SMALL_TABLE_MAX, or none at all. */
  private mallocNoscanBig(size: number, zero: boolean): Addr {
    checkSize(size);
    if (this.#closed) closedError();
    if (size > MAX_SMALL_REQUEST) return this.mallocLarge(size, 0, zero);
    const spanclass = (sizeClassOf(size) << 1) | 1;
    const u32 = this.u32;
    const i = this.slots + spanclass * SLOT_WORDS;
    const p = u32[i];
    if (p === u32[i + 1]) return this.refillAlloc(i);
    u32[i] = p + u32[i + SLOT_ELEMSIZE];
    return p as Addr;
  }

  /** One object from a fresh run, without pointers. */
  private refillAlloc(i: number): Addr {
    const u32 = this.u32;
    const sampled = this.cache.nextRun(i, 0);
    const p = u32[i];
    const elemsize = u32[i + SLOT_ELEMSIZE];
    u32[i] = p + elemsize;
    this.finish(p, elemsize, sampled);
    return p as Addr;
  }

  /**
   * refillAlloc without the reports: the caller calls finish, with `sampled`, when the object is complete. For
   * manual.ts too.
   */
  refill(i: number): number {
    const u32 = this.u32;
    this.sampled = this.cache.nextRun(i, 0);
    const p = u32[i];
    u32[i] = p + u32[i + SLOT_ELEMSIZE];
    return p;
  }

  /** The reports that follow an allocation that took the slow path. The object is complete. */
  finish(p: number, size: number, sampled: boolean): void {
    if (sampled) this.reportSample(p, size);
    if (this.heap.operation.pending) this.heap.operation.report();
    if (this.u32[this.liveWord] >= this.f64[this.trigger]) this.hooks.gcTrigger(p as Addr);
  }

  /** Apart from finish, to keep finish small enough to be inlined into the allocation paths. */
  private reportSample(p: number, size: number): void {
    // A collection here would free the object.
    this.heap.operation.begin("the hook sampleMalloc");
    try {
      this.hooks.sampleMalloc(p as Addr, size);
    } finally {
      this.heap.operation.end();
    }
  }

  private mallocTypedSlow(typ: number): Addr {
    const u32 = this.u32;
    const t = typ >>> 2;
    const slotWord = u32[t + TYPE_SLOT_WORD];
    const size = u32[t + TYPE_SIZE];
    if (!(slotWord > 0)) {
      this.checkType(typ);
      return this.mallocArray(size, typ);
    }
    const i = this.slots + slotWord;
    let p = u32[i];
    if (p !== u32[i + 1]) {
      // The run was made for another type.
      const elemsize = u32[i + SLOT_ELEMSIZE];
      u32[i] = p + elemsize;
      this.cache.heapBits.setObject(p, elemsize, typ, size);
      return p as Addr;
    }
    const sampled = this.cache.nextRun(i, typ);
    p = u32[i];
    const elemsize = u32[i + SLOT_ELEMSIZE];
    u32[i] = p + elemsize;
    this.finish(p, elemsize, sampled);
    return p as Addr;
  }

  private checkType(typ: number): void {
    if (typeof typ === "number" && this.#types.has(typ)) return;
    throw new TypeError(`allocator: typ must be a type that newType gave, or 0 for none (got ${show(typ)})`);
  }

  /** Objects whose type repeats, or that carry a header. */
  private mallocArray(size: number, typ: number): Addr {
    checkSize(size);
    this.checkType(typ);
    if (this.#closed) closedError();
    const u32 = this.u32;
    const t = typ >>> 2;
    const typeSize = u32[t + TYPE_SIZE];
    if (size === 0) return this.zerobase;
    if ((u32[t + TYPE_FLAGS] & GCTYPE_NOSCAN) !== 0) return this.mallocgc(size, 0, true);
    if (size % typeSize !== 0) {
      throw new RangeError(
        `allocator: size must be a multiple of its type's ${typeSize} bytes (got ${size})`,
      );
    }
    if (size > MAX_SMALL_REQUEST) return this.mallocLarge(size, typ, true);
    const header = size > MIN_SIZE_FOR_HEADER;
    const spanclass = sizeClassOf(header ? size + MALLOC_HEADER_SIZE : size) << 1;
    const i = this.slots + spanclass * SLOT_WORDS;
    const refilled = u32[i] === u32[i + 1];
    const sampled = refilled && this.cache.nextRun(i, typ);
    const p = u32[i];
    const elemsize = u32[i + SLOT_ELEMSIZE];
    u32[i] = p + elemsize;
    let addr = p;
    if (header) {
      u32[p >>> 2] = typ;
      addr = p + MALLOC_HEADER_SIZE;
    } else {
      this.cache.heapBits.setObject(p, elemsize, typ, size);
    }
    if (refilled) this.finish(addr, elemsize, sampled);
    return addr as Addr;
  }

  private mallocLarge(size: number, typ: number, zero: boolean): Addr {
    const p = this.takeLargeObject(size, typ, zero);
    this.finish(p, Math.ceil(size / PAGE_SIZE) * PAGE_SIZE, this.sampled);
    return p;
  }

  /** mallocLarge without the reports: the caller calls finish, with `sampled`. For manual.ts too. */
  takeLargeObject(size: number, typ: number, zero: boolean): Addr {
    const { u32, cache } = this;
    const npages = Math.ceil(size / PAGE_SIZE);
    const spanclass = typ === 0 ? 1 : 0;
    let s = this.takeLarge(npages, spanclass);
    if (s === 0 && this.heap.operation.rescue(npages)) s = this.takeLarge(npages, spanclass);
    if (s === 0) this.heap.throwOutOfMemory(npages);
    const at = s >>> 2;
    const bytes = npages * PAGE_SIZE;
    const p = u32[at + (MSPAN_AT.startAddr >>> 2)];
    u32[at + (MSPAN_AT.limit >>> 2)] = Math.min(p + size, 0xffffffff);
    u32[at + (MSPAN_AT.largeType >>> 2)] = typ;
    u32[at + (MSPAN_AT.allocCount >>> 2)] = 1;
    u32[at + (MSPAN_AT.freeindex >>> 2)] = 1;
    u32[u32[at + (MSPAN_AT.allocBits >>> 2)] >>> 2] = 1;
    if (u32[at + (MSPAN_AT.needzero >>> 2)] !== 0 && (zero || typ !== 0)) {
      this.mem.kernel.zero(p, bytes);
      u32[at + (MSPAN_AT.needzero >>> 2)] = 0;
    }
    // Black, like everything that is allocated while a collection marks.
    if (u32[(this.gcControl + GCCONTROL_AT.gcPhase) >>> 2] !== GC_OFF) {
      u32[u32[at + (MSPAN_AT.gcmarkBits >>> 2)] >>> 2] = 1;
    }
    this.addStat(MCACHE_AT.largeAlloc, bytes);
    this.addStat(MCACHE_AT.largeAllocCount, 1);
    cache.addHeapLive(bytes);
    this.central.push(this.central.fullSwept(spanclass), s);
    this.sampled = this.#sampler.charge(spanclass, bytes);
    return p as Addr;
  }

  /** A span for a large object; 0 if the memory is exhausted. Sweeping runs in here. */
  private takeLarge(npages: number, spanclass: number): number {
    const { heap } = this;
    heap.operation.begin("an allocation");
    try {
      this.hooks.deductSweepCredit(npages * PAGE_SIZE, npages);
      const s = heap.alloc(npages, spanclass);
      heap.scavenger.checkLimit();
      return s;
    } finally {
      heap.operation.end();
    }
  }

  /** Adds to an f64 of this thread's mcache. */
  private addStat(offset: number, n: number): void {
    const i = (this.cache.base + offset) >>> 3;
    this.f64[i] = this.f64[i] + n;
  }

  /** Bytes usable in the block that a request of size gets: what append may use as capacity. */
  roundupsize(size: number, noscan: boolean): number {
    checkSize(size);
    if (size === 0) return 0;
    if (size > MAX_SMALL_REQUEST) return Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    const header = !noscan && size > MIN_SIZE_FOR_HEADER ? MALLOC_HEADER_SIZE : 0;
    return classToSize[sizeClassOf(size + header)] - header;
  }

  // --- use by hand, in a heap without a collector

  /**
   * A block of at least size bytes (at least 8), aligned to 8, and to 16 from 16 bytes on where its class is a
   * multiple of
   * 16. Its contents are undefined unless options.zero. It is always noscan, as no collector looks into it: noscan: false is
   * a TypeError. Throws like mallocgc.
   */
  malloc(size: number, options?: { zero?: boolean; noscan?: true }): Addr {
    return this.manual.malloc(size, options === undefined ? false : wantsZero(options));
  }

  /** A zeroed block for n elements of size bytes. Throws a RangeError if the product is no valid size. */
  calloc(n: number, size: number): Addr {
    checkSize(n, "n");
    checkSize(size);
    return this.manual.malloc(n * size, true);
  }

  /**
   * Frees a block; 0 is ignored. Throws a RangeError for an address that is no block's start, is not allocated, or was
   * freed already, and a TypeError in a heap that is garbage collected. Nothing is changed then.
   */
  free(p: Addr): void {
    this.manual.free(p);
  }

  /** A block of size bytes with the contents of p, which is freed unless it is the result. p = 0: malloc. */
  realloc(p: Addr, size: number): Addr {
    return this.manual.realloc(p, size);
  }

  /** Bytes of the block at p that may be used: at least what was asked for. */
  usableSize(p: Addr): number {
    return this.manual.usableSize(p);
  }

  /** A copy of the block. */
  dup(p: Addr): Addr {
    return this.manual.dup(p);
  }

  /** The block through a typed array of n elements (default: all that fit). Valid until the block is freed. */
  view<T>(p: Addr, type: ViewConstructor<T>, n?: number): T {
    const usable = this.manual.usableSize(p);
    checkViewType(type);
    const max = Math.floor(usable / type.BYTES_PER_ELEMENT);
    if (n !== undefined && (!Number.isInteger(n) || n < 0 || n > max)) {
      throw new RangeError(`allocator: view must have 0 to ${max} elements (got ${show(n)})`);
    }
    return new type(this.mem.buffer, p, n ?? max);
  }

  /** Calls f with a typed array over the block, which must not be freed meanwhile (an error under checks). */
  withView<T, R>(p: Addr, type: ViewConstructor<T>, f: (view: T) => R): R {
    checkViewType(type);
    if (typeof f !== "function") {
      throw new TypeError(`allocator: withView needs a function to call (got ${show(f)})`);
    }
    return this.manual.withView(p, type, f);
  }

  /** Under checks: the blocks in use by the place that allocated them, most bytes first. */
  leakReport(): LeakRecord[] {
    return this.manual.leakReport();
  }

  /** Counts a large object as freed. For manual.ts. */
  countLargeFree(bytes: number): void {
    this.addStat(MCACHE_AT.largeFree, bytes);
    this.addStat(MCACHE_AT.largeFreeCount, 1);
  }

  // --- types

  /**
   * A type of size bytes whose word i is a pointer if bit i of the mask's words is set. The same arguments give the
   * same address. Types with pointers are a multiple of 8 bytes.
   */
  newType(size: number, ptrMask: Uint32Array | readonly number[]): number {
    checkSize(size);
    return this.#types.newType(size, ptrMask);
  }

  // --- for the collector

  /** The span that holds addr, a manual one included; 0 if none. */
  spanOf(addr: Addr): Addr {
    checkAddress("spanOf", addr);
    return this.heap.spanOf(addr) as Addr;
  }

  /** Start of the allocated slot that addr points into (its header, where it has one); 0 if there is none. */
  findObject(addr: Addr): Addr {
    checkAddress("findObject", addr);
    const { u32 } = this;
    const page = addr >>> PAGE_SHIFT;
    if (!hasObjects(u32[(this.pageInfoBase >>> 2) + page])) return 0 as Addr;
    const s = u32[(this.pageSpanBase >>> 2) + page];
    if (addr >= u32[(s + MSPAN_AT.limit) >>> 2]) return 0 as Addr;
    const idx = this.objIndex(s as Addr, addr);
    const bits = u32[(s + MSPAN_AT.allocBits) >>> 2] >>> 2;
    if (((u32[bits + (idx >>> 5)] >>> (idx & 31)) & 1) === 0) return 0 as Addr;
    const base = u32[(s + MSPAN_AT.startAddr) >>> 2] + idx * u32[(s + MSPAN_AT.elemsize) >>> 2];
    const i = this.slots + u32[(s + MSPAN_AT.spanclass) >>> 2] * SLOT_WORDS;
    if (this.cache.isUnused(i, s, base, idx)) return 0 as Addr;
    return base as Addr;
  }

  /** Number of the slot that addr, inside the span, points into. */
  objIndex(span: Addr, addr: Addr): number {
    return this.heap.objIndex(span, addr);
  }

  /** Span structs ever made; spanAt(i), i < nspans, is one, possibly dead. */
  get nspans(): number {
    return this.heap.structs.length;
  }

  spanAt(i: number): Addr {
    return this.heap.structs.at(i) as Addr;
  }

  /**
   * Empties this thread's mcache: unused objects of its runs, its spans, its tiny block, its stack cache. To be
   * called on every thread before sweepgen moves and before statistics are read.
   */
  flushAll(): void {
    if (this.#closed) return; // the mcache may be another thread's
    this.heap.operation.mustBeIdle("flushAll");
    this.mem.willBlock("flushAll, which precedes a stop,");
    this.cache.flush();
    this.manual.flush(); // after it: a span on a list can be freed when its last block comes back
    this.stacks.flush();
    this.heap.flushPages();
  }

  /** Whether this thread is in no operation: what a hook that comes in the middle of one must not do is allowed. */
  get idle(): boolean {
    return this.heap.operation.busy === "";
  }

  /** Throws the fatal error if this thread is in the middle of an operation; call says what was going to be done. */
  mustBeIdle(call: string): void {
    this.heap.operation.mustBeIdle(call);
  }

  /** For a hook that is called in the middle of an operation: has hooks.operationDone called after it. */
  deferReport(): void {
    this.heap.operation.defer();
  }

  /** An unswept span for the sweeper, off its list, sweepgen = sg-1; 0 if there is none. */
  nextSpanForSweep(): Addr {
    return this.central.nextSpanForSweep() as Addr;
  }

  /** Copies the span's mark bits to its alloc bits, clears them, and returns how many slots became free. */
  sweepBits(span: Addr): number {
    const { u32 } = this;
    const at = span >>> 2;
    const marks = u32[at + (MSPAN_AT.gcmarkBits >>> 2)] >>> 2;
    const allocs = u32[at + (MSPAN_AT.allocBits >>> 2)] >>> 2;
    const n = (u32[at + (MSPAN_AT.nelems >>> 2)] + 31) >>> 5;
    let marked = 0;
    for (let k = 0; k < n; k++) {
      const w = u32[marks + k];
      u32[allocs + k] = w;
      u32[marks + k] = 0;
      if (w !== 0) marked += popcount32(w);
    }
    return u32[at + (MSPAN_AT.allocCount >>> 2)] - marked;
  }

  /**
   * Ends the sweep of a span whose specials are done and whose bits were swept (sweepBits); nfreed is what that
   * gave. Counts the freed objects (heapLive is the collector's to set), sets needzero, freeindex and sweepgen.
   * Unless preserve, a span without objects goes back to the heap (the result is true then; the struct may stay,
   * see mheap.ts) and any other to mcentral.
   */
  spanSwept(span: Addr, nfreed: number, preserve: boolean): boolean {
    const { u32, f64 } = this;
    const at = span >>> 2;
    const sizeclass = u32[at + (MSPAN_AT.spanclass >>> 2)] >>> 1;
    const allocCount = u32[at + (MSPAN_AT.allocCount >>> 2)] - nfreed;
    if (nfreed < 0 || allocCount < 0) {
      throwFatal("sweep increased allocation count", `span ${hex(span)} nfreed=${nfreed} left=${allocCount}`);
    }
    if (nfreed > 0) {
      u32[at + (MSPAN_AT.needzero >>> 2)] = 1;
      if (sizeclass !== 0) {
        const count = this.smallFree + sizeclass;
        f64[count] = f64[count] + nfreed;
      } else {
        this.addStat(MCACHE_AT.largeFree, u32[at + (MSPAN_AT.elemsize >>> 2)]);
        this.addStat(MCACHE_AT.largeFreeCount, 1);
      }
    }
    u32[at + (MSPAN_AT.allocCount >>> 2)] = allocCount;
    u32[at + (MSPAN_AT.freeindex >>> 2)] = 0;
    u32[at + (MSPAN_AT.sweepgen >>> 2)] = this.heap.sweepgen;
    if (preserve) return false;
    if (allocCount === 0) {
      if (!this.central.retain(span, true)) this.heap.freeSpan(span);
      return true;
    }
    this.central.uncacheSpan(span);
    return false;
  }

  /** Gives a span without objects, on no list, back to the heap. */
  freeSpan(span: Addr): void {
    this.heap.freeSpan(span);
  }

  /** npages pages for the collector's own use, counted in GCSys; not cleared. */
  allocManual(npages: number): Addr {
    const s = this.heap.allocManual(npages, MANUAL_GC);
    this.heap.log.spanPlaced(s);
    return this.u32[(s + MSPAN_AT.startAddr) >>> 2] as Addr;
  }

  freeManual(addr: Addr): void {
    const s = this.heap.spanOf(addr);
    if (s === 0 || this.u32[(s + MSPAN_AT.state) >>> 2] === SPAN_IN_USE) {
      throwFatal("mheap.freeManual: not a manual span", `address ${hex(addr)}`);
    }
    this.heap.operation.mustBeIdle("freeManual");
    this.heap.freeManual(s);
  }

  // --- specials

  /**
   * Attaches a special to the object at addr; its address, 0 if the object has one of the kind already, or -1 if
   * there is no memory for it.
   */
  addSpecial(addr: Addr, kind: number, data: number, data2 = 0): number {
    const special = this.specials.add(addr, kind, data, data2);
    this.manual.noteSpecials();
    return special;
  }

  /** Detaches the special of the kind (with this data, where several may be there); its data, or -1. */
  removeSpecial(addr: Addr, kind: number, data?: number): number {
    return this.specials.remove(addr, kind, data);
  }

  /** The object's first special of the kind, 0 if there is none. */
  findSpecial(addr: Addr, kind: number): number {
    return this.specials.find(addr, kind);
  }

  /** Unlinks and frees a special met on a walk of the span's list; prev is the one before it, 0 at the head. */
  freeSpecial(span: Addr, prev: number, special: number): void {
    this.specials.free(span, prev, special);
  }

  // --- stacks

  /** A stack of n bytes, a power of two from 2048. Not cleared. */
  stackAlloc(n: number): Addr {
    this.heap.operation.mustBeIdle("stackAlloc");
    return this.stacks.alloc(n) as Addr;
  }

  /** Gives a stack back; n is what it was allocated with. */
  stackFree(addr: Addr, n: number): void {
    this.heap.operation.mustBeIdle("stackFree");
    this.stacks.free(addr, n);
  }

  // --- memory profile

  get memProfileRate(): number {
    return this.#sampler.rate;
  }

  /** One sample in about `rate` bytes: 1 samples every object, 0 none. Applies from the next allocation on. */
  setMemProfileRate(rate: number): void {
    if (!Number.isInteger(rate)) {
      throw new RangeError(`allocator: memProfileRate must be a whole number of bytes (got ${show(rate)})`);
    }
    if (this.#closed) closedError();
    this.heap.operation.mustBeIdle("setMemProfileRate");
    this.cache.returnTails();
    this.#sampler.rate = rate;
    this.#sampler.restart();
  }

  // --- statistics, memory

  /**
   * Flushes this thread's mcache, then fills out; allocates no JS object. Other threads may be at work: see
   * mstats.ts.
   */
  readStats(out: HeapStats): HeapStats {
    checkStats(out);
    this.flushAll();
    return fillStats(this.heap, out, true);
  }

  /** readStats without the flush: what is in current runs counts as allocated. */
  readStatsUnflushed(out: HeapStats): HeapStats {
    checkStats(out);
    return fillStats(this.heap, out, false);
  }

  /** Returns up to nbytes of free pages to the operating system, highest addresses first; the bytes returned. */
  scavenge(nbytes: number): number {
    if (typeof nbytes !== "number") {
      throw new TypeError(`allocator: scavenge needs a number of bytes (got ${show(nbytes)})`);
    }
    const released = this.heap.scavenge(nbytes);
    if (this.heap.operation.pending) this.heap.operation.report();
    return released;
  }

  /** Returns all free pages to the operating system; the bytes returned. A collection before it frees more. */
  freeOSMemory(): number {
    return this.scavenger.releaseAll();
  }

  /**
   * From now on other threads may attach to the memory (createAllocator({ memory })): locks are taken. Called on
   * the thread that has been alone with the heap; there is no way back. A heap nobody shares pays nothing for
   * locks.
   */
  share(): void {
    if (!this.mem.shared) throw new TypeError("allocator: share needs a shared memory (got shared: false)");
    this.heap.operation.mustBeIdle("share");
    this.u32[(this.mheap + MHEAP_AT.shared) >>> 2] = 1;
    this.manual.share();
  }

  /** Number of this thread's mcache: what recover wants if the thread dies. */
  get id(): number {
    return this.u32[(this.cache.base + MCACHE_AT.id) >>> 2];
  }

  /**
   * Gives up the mcache of a thread that died without close: its spans, runs and freed blocks go back. The thread
   * must be dead for certain. False if that mcache has no owner. What the thread had allocated stays allocated.
   */
  recover(id: number): boolean {
    if (typeof id !== "number") {
      throw new TypeError(`allocator: recover needs the id of an allocator (got ${show(id)})`);
    }
    const { u32 } = this;
    let c = u32[(this.mheap + MHEAP_AT.mcaches) >>> 2];
    while (c !== 0 && u32[(c + MCACHE_AT.id) >>> 2] !== id) c = u32[(c + MCACHE_AT.next) >>> 2];
    if (c === 0 || c === this.cache.base) return false;
    return takeOver(this.mem, c, u32[(c + MCACHE_AT.owned) >>> 2]);
  }

  /**
   * To be called when a thread has ended, as from its Worker's "exit" event, with the number that registerThread
   * gave it. Takes its mcaches over, as recover does; if it called close there is nothing to do. Throws a
   * FatalError that names the lock if the thread died inside of one: what that lock guards may be half changed, and
   * whoever waits for it gets a FatalError too.
   */
  threadExited(thread: number): void {
    this.mem.mustBeOtherThread(thread);
    const held = this.heap.lockHeldBy(thread);
    if (held !== 0) {
      this.mem.threadExited(thread);
      const rank = this.mem.lockRankOf(held);
      throwFatal(
        `a thread ended while it held the lock ${rank}`,
        `allocator: thread ${thread} held the lock ${rank} at ${hex(held)}`,
      );
    }
    const first = this.u32[(this.mheap + MHEAP_AT.mcaches) >>> 2];
    for (let c = first; c !== 0; c = this.u32[(c + MCACHE_AT.next) >>> 2]) {
      takeOver(this.mem, c, thread);
    }
    // Last: a thread that is known to have ended is waited for by nobody, and its mcaches are anybody's to take over.
    this.mem.threadExited(thread);
  }

  /** Has threadExited called when the worker ends: any object with Node's `once("exit", ...)`. */
  watchWorker(worker: { once(event: "exit", listener: () => void): unknown }, thread: number): void {
    if (typeof (worker as Partial<typeof worker> | null)?.once !== "function") {
      throw new TypeError(
        `allocator: worker must be an object with a method once, as Node's Worker (got ${kindOf(worker)})`,
      );
    }
    this.mem.mustBeOtherThread(thread);
    worker.once("exit", () => this.threadExited(thread));
  }

  /**
   * Gives the mcache up, for another thread to take over: to be called before a thread ends. What would allocate or
   * free throws a TypeError afterwards; blocks may still be read, and statistics. Another close does nothing.
   */
  close(): void {
    if (this.#closed) return;
    this.giveUp();
    this.#closed = true;
    // The mcache may get another owner at once. In the nil page all slots are empty, so that no fast path needs a
    // check.
    this.slots = 0;
    this.noscanSlot.fill(0);
    this.tinySlot = 0;
    this.tinyWord = 0;
    this.manual.close();
    this.mem.member.part();
  }

  /** close without the rest of it: for an allocator that nobody has. */
  giveUp(): void {
    this.flushAll();
    this.manual.disown(this.cache.base);
  }
}

/** Whether the options of malloc ask for zeros. */
function wantsZero(options: { zero?: boolean; noscan?: true }): boolean {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`allocator: the options of malloc must be an object (got ${show(options)})`);
  }
  const { zero, noscan } = options;
  if (zero !== undefined && typeof zero !== "boolean") {
    throw new TypeError(`allocator: zero must be a boolean (got ${show(zero)})`);
  }
  if (noscan !== undefined && noscan !== true) {
    throw new TypeError(
      `allocator: noscan must be true for a block by hand, which nobody scans (got ${show(noscan)})`,
    );
  }
  return zero === true;
}

function checkStats(out: HeapStats): void {
  if (!((out as Partial<HeapStats> | null)?.smallAllocCount instanceof Float64Array)) {
    throw new TypeError(`allocator: readStats needs what newHeapStats gives (got ${show(out)})`);
  }
}

function checkViewType(type: { readonly BYTES_PER_ELEMENT: number } | null | undefined): void {
  if (typeof type !== "function" || !((type as { BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT > 0)) {
    throw new TypeError(`allocator: a view needs the constructor of a typed array (got ${show(type)})`);
  }
}

/** Of this or another copy of the package. */
function isLinearMemory(x: unknown): x is LinearMemory {
  return typeof (x as Partial<LinearMemory> | null)?.root === "function";
}

/** Empties the mcache of a thread that has ended, and frees it for another. False if the thread isn't its owner. */
function takeOver(mem: LinearMemory, mcache: number, owner: number): boolean {
  const { owned } = MCACHE_AT;
  if (owner === 0 || mem.u32[(mcache + owned) >>> 2] !== owner) return false;
  const { member } = mem;
  member.join(); // an owner has a number, also where the own allocator is closed
  try {
    // Several may have learned of the end: whoever sets its own number does the work.
    if (mem.kernel.cas(mcache + owned, owner, member.thread) !== owner) return false;
    emptyMCache(mem, mcache);
    return true;
  } finally {
    member.part();
  }
}

/**
 * Empties an mcache whose owner is dead, and frees it. (Apart from the class: a bundler renames a class that names
 * itself.)
 */
function emptyMCache(mem: LinearMemory, mcache: number): void {
  const { version } = MCACHE_AT;
  const dead = new Allocator(mem, 1, false, () => 0, mcache);
  recoverMCache(dead);
  // It may have died between two changes of its counts. Not back to the version before them, which a reader may
  // remember.
  mem.kernel.add(mcache + version, mem.kernel.load(mcache + version) & 1);
  dead.giveUp();
}

/** The thread keeps its number for as long as it has an allocator: its mcache and its locks go by it. */
function joinWithMCache(heap: MHeap): number {
  const { member } = heap.mem;
  member.join();
  try {
    return acquireMCache(heap);
  } catch (err) {
    member.part();
    throw err;
  }
}

/**
 * An mcache that no thread owns, or whose owner has ended without a word (as far as the system tells), or a new one.
 * Counters of earlier owners stay in it.
 */
function acquireMCache(heap: MHeap): number {
  const { u32 } = heap.mem;
  const alone = u32[(heap.base + MHEAP_AT.nmcaches) >>> 2] === 0;
  if (!alone && u32[(heap.base + MHEAP_AT.shared) >>> 2] === 0) {
    throw new TypeError(
      "allocator: memory has an allocator that was not shared: call its share() before attaching",
    );
  }
  let dead = u32[(heap.base + MHEAP_AT.mcaches) >>> 2];
  for (; dead !== 0; dead = u32[(dead + MCACHE_AT.next) >>> 2]) {
    const owner = u32[(dead + MCACHE_AT.owned) >>> 2];
    if (owner === 0) break; // there is a free one
    if (owner !== heap.mem.thread && heap.mem.threadGone(owner) && takeOver(heap.mem, dead, owner)) break;
  }
  heap.lock();
  let c = u32[(heap.base + MHEAP_AT.mcaches) >>> 2];
  while (c !== 0 && u32[(c + MCACHE_AT.owned) >>> 2] !== 0) c = u32[(c + MCACHE_AT.next) >>> 2];
  if (c === 0) {
    c = heap.cachealloc.alloc();
    if (c !== 0) {
      const n = (heap.base + MHEAP_AT.nmcaches) >>> 2;
      u32[(c + MCACHE_AT.next) >>> 2] = u32[(heap.base + MHEAP_AT.mcaches) >>> 2];
      u32[(c + MCACHE_AT.id) >>> 2] = u32[n];
      u32[(heap.base + MHEAP_AT.mcaches) >>> 2] = c;
      u32[n] = u32[n] + 1;
    }
  }
  if (c !== 0) u32[(c + MCACHE_AT.owned) >>> 2] = heap.mem.thread;
  heap.unlock();
  if (c === 0) outOfMemory("runtime: cannot allocate an mcache");
  return c;
}

/**
 * An allocator over a new memory, or over options.memory (attaching to the allocator it already holds, if any).
 * Costs about a millisecond and some 200 KB of resident memory.
 */
export function createAllocator(options: AllocatorOptions = {}): Allocator {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`allocator: options must be an object (got ${kindOf(options)})`);
  }
  const { memory, seed, checks, clock, ...memoryOptions } = options;
  if (memory !== undefined && !isLinearMemory(memory)) {
    throw new TypeError(
      `allocator: memory must be a LinearMemory, as attachLinearMemory gives for a WebAssembly.Memory (got ${kindOf(memory)})`,
    );
  }
  if (clock !== undefined && typeof clock !== "function") {
    throw new TypeError(`allocator: clock must be a function (got ${kindOf(clock)})`);
  }
  if (checks !== undefined && typeof checks !== "boolean") {
    throw new TypeError(`allocator: checks must be a boolean (got ${show(checks)})`);
  }
  if (seed !== undefined && !Number.isInteger(seed)) {
    const fault = `allocator: seed must be a whole number (got ${show(seed)})`;
    throw typeof seed === "number" ? new RangeError(fault) : new TypeError(fault);
  }
  const mem = memory ?? createLinearMemory(memoryOptions);
  return new Allocator(
    mem,
    seed ?? Math.floor(Math.random() * 2 ** 32),
    checks === true,
    clock ?? (() => performance.now()),
  );
}
