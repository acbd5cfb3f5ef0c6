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
 * 2. Pointers of objects up to 512 bytes are described in heapBits, a side table. A larger object starts with a
 *    word that holds its type, so 1024 bytes of pointers take a slot of 1152. A large object has its type in its
 *    span.
 * 3. The collector frees objects: it marks, then sweeps span by span, and nextRun finds a swept span's free slots
 *    again. In a heap without a collector the program frees them: see manual.ts.
 * 4. mallocgc hands objects out zeroed; only a large object without pointers may keep old contents (zero = false). A
 *    run is cleared as a whole when it is acquired, unless its span is known to be fresh from the operating system.
 *
 * ## Ownership
 * - An mcache belongs to its thread, with its page cache, its spare span structs and its share of the heap's
 *   counters.
 * - A span on a list belongs to the list's lock. A cached span belongs to the mcache, a span that is being swept to the
 *   sweeper.
 * - The page allocator and the free lists of structs belong to the heap lock.
 * - Mark bits belong to all threads while a collection marks. A word of them is changed by an atomic read-modify-write
 *   unless all of its bits belong to one run or to one large object. Then a store is enough.
 *
 * The order of locks is the table in @gort/memory's lockrank.ts; createAllocator({ staticLockRanking: true })
 * checks it.
 *
 * ## Hooks
 * A hook (hooks.ts: sweeps, samples, triggers, reports) never comes back into the middle of an operation. An operation
 * reads and checks, then changes memory with only sweeping in between, then reports. While it runs, heap.operation
 * names it, and an entry that finds it named throws: a re-entered mcache would hand out one object twice. Reports that
 * come up on the way (a sweep that has ended, growth, a refused release) are noted in heap.operation, and its report
 * passes them on when the operation has ended. The fast paths ask nothing: they touch only free slots of a run, which
 * no operation has in hand.
 *
 * ## Threads that die
 * A crash or worker.terminate() ends a thread between any two stores, and its mcache stays behind with free slots,
 * pages and structs. Another thread takes the mcache over (mcache-owner.ts). It needs to know the unfinished changes of
 * the dead thread. So in a heap that threads share each thread logs its changes in its mcache before it makes them.
 * recovery.ts completes or undoes these changes by the log.
 *
 * ## State
 * All state of the heap is in the linear memory, found from one root (heap-root.ts), so that any thread that attaches
 * has all of it. A thread keeps these in JS objects, and no other thread needs them: the operation that it is in
 * (operation.ts), results of the call that runs, copies of constants, hints that only save work, whether its allocator
 * is closed, and under checks the blocks that it has allocated (block-checks.ts). The hooks and the clock are JS
 * functions, and so belong to their thread.
 *
 * Unlike Go: mark bits and pointer bits stand in side tables, not inside the span (prototypes marked faster that
 * way). So a span holds up to 3 % more objects, HeapInuse is at most Go's, and the tables count in GCSys. Metadata
 * that Go keeps in globals is in the linear memory.
 *
 * Sources: Go's malloc.go, mheap.go, mcentral.go, mcache.go (structure and names); TCMalloc (their ancestor).
 */
import { show } from "@gort/base";
import type { Addr, LinearMemory } from "@gort/memory";
import { checkSize, closedError } from "./errors.ts";
import { findHeap } from "./heap-root.ts";
import { Sampler } from "./heap-sampler.ts";
import { type AllocatorHooks, defaultHooks } from "./hooks.ts";
import {
  GC_OFF,
  GCCONTROL_AT,
  GCTYPE_AT,
  GCTYPE_NOSCAN,
  LARGE_NOSCAN_SPAN_CLASS,
  LARGE_SCAN_SPAN_CLASS,
  MALLOC_HEADER_SIZE,
  MAX_SMALL_REQUEST,
  MCACHE_AT,
  MHEAP_AT,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  PAGE_SIZE,
  SLOT_ELEMSIZE,
  SLOT_TYP,
  SLOT_WORDS,
  TINY_SIZE,
  TINY_SPAN_CLASS,
} from "./layout.ts";
import { MCache } from "./mcache.ts";
import { type EmptyMCache, joinWithMCache } from "./mcache-owner.ts";
import { MCentral } from "./mcentral.ts";
import { MHeap } from "./mheap.ts";
import type { Operation } from "./operation.ts";
import { SMALL_TABLE_MAX, sizeClassOf } from "./sizeclass.ts";
import { classToSize, sizeToClass8 } from "./sizeclasses.generated.ts";
import { TypeTable } from "./type-table.ts";

const TYPE_SIZE = GCTYPE_AT.size >>> 2;
const TYPE_SLOT_WORD = GCTYPE_AT.slotWord >>> 2;
const TYPE_FLAGS = GCTYPE_AT.flags >>> 2;

/** The parts of every Allocator, and the allocation of objects. allocator.ts has the rest of its methods. */
export class Malloc {
  readonly mem: LinearMemory;
  /** The functions that the allocator calls; assign to the fields. */
  readonly hooks: AllocatorHooks;
  /** Address of every zero-size object. It is no heap address: findObject gives 0. */
  readonly zerobase: Addr;
  /** For this package's other modules. */
  readonly heap: MHeap;
  readonly central: MCentral;
  readonly cache: MCache;
  /** Whether the object of the last refill, or the last large one, is one to sample. */
  sampled = false;

  protected readonly types: TypeTable;
  protected readonly sampler: Sampler;
  protected closed = false;

  // The hot paths' own copies: views, word indices of the slots, the table by (size + 7) >>> 3.
  protected readonly u32: Uint32Array;
  protected readonly f64: Float64Array;
  protected slots: number;
  private readonly noscanSlot: Uint32Array;
  private tinyWord: number;
  private readonly tinyCountWord: number;
  private tinySlot: number;
  private readonly liveWord: number;
  private readonly trigger: number;
  private readonly gcPhase: number;
  private readonly operation: Operation;

  /** mcache: 0, or the mcache of a dead thread, which emptyMCache empties through this allocator. */
  constructor(mem: LinearMemory, seed: number, mcache: number, emptyMCache: EmptyMCache) {
    this.mem = mem;
    this.hooks = defaultHooks();
    const heap = new MHeap(mem, this.hooks, findHeap(mem));
    // Before this thread joins: if the table has no room, the heap stays without threads and can be made again.
    this.types = new TypeTable(mem);
    this.heap = heap;
    this.operation = heap.operation;
    this.zerobase = (heap.base + MHEAP_AT.zerobase) as Addr;
    this.central = new MCentral(heap);
    const base = mcache === 0 ? joinWithMCache(heap, emptyMCache) : mcache;
    heap.bind(base);
    this.central.bind(base);
    this.sampler = new Sampler(mem, heap.base, base);
    if (mcache === 0) this.sampler.start(seed);
    this.cache = new MCache(heap, this.central, base, this.sampler);

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
    this.trigger = (heap.gcControl + GCCONTROL_AT.trigger) >>> 3;
    this.gcPhase = (heap.gcControl + GCCONTROL_AT.gcPhase) >>> 2;
  }

  /**
   * The fast paths find no free slot from here on, so that they need no check of their own: in the nil page all slots
   * are empty. The mcache may get another owner at once.
   */
  protected closeSlots(): void {
    this.closed = true;
    this.slots = 0;
    this.noscanSlot.fill(0);
    this.tinySlot = 0;
    this.tinyWord = 0;
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

  /**
   * Puts a tiny object into the current block if it fits, aligned to the largest power of two, up to 8, that divides
   * its size.
   */
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
    // Keep the block that has more room left. (The hook outOfMemory may have flushed: the word is read again.)
    const used = u32[this.tinyWord] & (TINY_SIZE - 1);
    if (used === 0 || size < used) u32[this.tinyWord] = p + size;
    if (refilled) this.finish(p, TINY_SIZE, this.sampled);
    return p as Addr;
  }

  /** A size above SMALL_TABLE_MAX, or an invalid one. */
  private mallocNoscanBig(size: number, zero: boolean): Addr {
    checkSize(size);
    if (this.closed) closedError();
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
   * refillAlloc without the reports: when the object is complete, the caller calls finish, with `sampled`. For
   * manual.ts too.
   */
  refill(i: number): number {
    const u32 = this.u32;
    this.sampled = this.cache.nextRun(i, 0);
    const p = u32[i];
    u32[i] = p + u32[i + SLOT_ELEMSIZE];
    return p;
  }

  /** Gives the reports that follow an allocation by the slow path. The object is complete. */
  finish(p: number, size: number, sampled: boolean): void {
    if (sampled) this.reportSample(p, size);
    if (this.operation.pending) this.operation.report();
    if (this.u32[this.liveWord] >= this.f64[this.trigger]) this.hooks.gcTrigger(p as Addr);
  }

  /** Apart from finish, to keep finish small enough to be inlined into the allocation paths. */
  private reportSample(p: number, size: number): void {
    // A collection here would free the object.
    this.operation.begin("the hook sampleMalloc");
    try {
      this.hooks.sampleMalloc(p as Addr, size);
    } finally {
      this.operation.end();
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
      this.cache.setObject(i, p, elemsize, typ, size);
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
    if (typeof typ === "number" && this.types.has(typ)) return;
    throw new TypeError(`allocator: typ must be a type that newType gave, or 0 for none (got ${show(typ)})`);
  }

  /** Objects whose type repeats, or that carry a header. */
  private mallocArray(size: number, typ: number): Addr {
    checkSize(size);
    this.checkType(typ);
    if (this.closed) closedError();
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
      this.cache.setObject(i, p, elemsize, typ, size);
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
    const spanclass = typ === 0 ? LARGE_NOSCAN_SPAN_CLASS : LARGE_SCAN_SPAN_CLASS;
    let s = this.takeLarge(npages, spanclass);
    for (let k = 0; s === 0 && this.heap.rescue(npages, k); k++) s = this.takeLarge(npages, spanclass);
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
    // Black, like every object that is allocated while a collection marks: atomically, once it is complete.
    if (u32[this.gcPhase] !== GC_OFF) this.mem.kernel.store(u32[at + (MSPAN_AT.gcmarkBits >>> 2)], 1);
    this.addStat(MCACHE_AT.largeAlloc, bytes);
    this.addStat(MCACHE_AT.largeAllocCount, 1);
    cache.addHeapLive(bytes);
    this.central.push(this.central.fullSwept(spanclass), s);
    if (this.sampler.stale) cache.restartSamples();
    this.sampled = this.sampler.charge(spanclass, bytes);
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
  protected addStat(offset: number, n: number): void {
    const i = (this.cache.base + offset) >>> 3;
    this.f64[i] = this.f64[i] + n;
  }

  /** Bytes usable in the block for a request of this size: append may use them as capacity. */
  roundupsize(size: number, noscan: boolean): number {
    checkSize(size);
    if (size === 0) return 0;
    if (size > MAX_SMALL_REQUEST) return Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    const header = !noscan && size > MIN_SIZE_FOR_HEADER ? MALLOC_HEADER_SIZE : 0;
    return classToSize[sizeClassOf(size + header)] - header;
  }
}
