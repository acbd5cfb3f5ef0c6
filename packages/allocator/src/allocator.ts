/**
 * The Allocator: allocation (malloc.ts), use by hand, what the collector needs, specials, stacks, statistics, and the
 * threads that share a heap.
 */
import { hex, kindOf, popcount32, show, throwFatal } from "@gort/base";
import type { Addr, LinearMemory } from "@gort/memory";
import { createLinearMemory } from "@gort/memory/internal";
import { type AllocatorOptions, checkOptions, checkStats, checkViewType, wantsZero } from "./arguments.ts";
import type { LeakRecord } from "./block-checks.ts";
import { checkAddress, checkSize, closedError } from "./errors.ts";
import {
  HELD_WORDS,
  MANUAL_GC,
  MCACHE_AT,
  MHEAP_AT,
  MSPAN_AT,
  PAGE_SHIFT,
  SLOT_WORDS,
  SPAN_IN_USE,
} from "./layout.ts";
import { Malloc } from "./malloc.ts";
import { ManualHeap, type ViewConstructor } from "./manual.ts";
import { findMCache } from "./mcache-list.ts";
import { forEachEndedOwner, mcacheOf, takeOver, takeOverThread } from "./mcache-owner.ts";
import { Scavenger } from "./mgcscavenge.ts";
import { fillStats, type HeapStats } from "./mstats.ts";
import { hasObjects } from "./page-info.ts";
import { recoverMCache } from "./recovery.ts";
import { Specials } from "./specials.ts";
import { Stacks } from "./stack.ts";

/** See createAllocator. Addresses that methods take and give are byte offsets into `mem`. */
export class Allocator extends Malloc {
  /** Bases of the side tables and blocks drawn in layout.ts. */
  readonly heapBitsBase: number;
  readonly pageInfoBase: number;
  readonly pageSpanBase: number;
  readonly gcControl: number;
  readonly mheap: number;
  /** For this package's other modules. */
  readonly stacks: Stacks;
  readonly specials: Specials;
  readonly manual: ManualHeap;
  /** Decides when memory goes back to the operating system. Call pace after collections and background from a timer. */
  readonly scavenger: Scavenger;
  /** f64 index of the mcache's smallFreeCount. */
  private readonly smallFree: number;

  /** Use createAllocator. */
  constructor(mem: LinearMemory, seed: number, checks: boolean, clock: () => number, mcache = 0) {
    super(mem, seed, mcache, emptyMCache);
    const { heap } = this;
    this.heapBitsBase = heap.heapBitsBase;
    this.pageInfoBase = heap.pageInfoBase;
    this.pageSpanBase = heap.pageSpanBase;
    this.gcControl = heap.gcControl;
    this.mheap = heap.base;
    this.smallFree = (this.cache.base + MCACHE_AT.smallFreeCount) >>> 3;
    this.stacks = new Stacks(heap, this.cache.base);
    this.specials = new Specials(heap);
    this.manual = new ManualHeap(this, checks);
    this.scavenger = new Scavenger(heap, clock);
  }

  // --- use by hand, in a heap without a collector

  /**
   * A block of at least size bytes (at least 8), aligned to 8. From 16 bytes on it is aligned to 16 where its class
   * is a multiple of 16. Its contents are undefined unless options.zero. A block is always noscan, as no collector
   * looks into it: noscan: false is a TypeError. Throws like mallocgc.
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
   * Frees a block; 0 is ignored. Throws a RangeError for an address that is not the start of a block, is not
   * allocated, or was freed already. Throws a TypeError in a heap that is garbage collected. An error changes
   * nothing.
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
    return this.types.newType(size, ptrMask);
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
   * Empties this thread's mcache: unused objects of its runs, its spans, its tiny block, its stack cache. Every
   * thread calls it before sweepgen moves and before statistics are read.
   */
  flushAll(): void {
    if (this.closed) return; // the mcache may be another thread's
    this.heap.operation.mustBeIdle("flushAll");
    this.mem.willBlock("flushAll, which precedes a stop,");
    this.cache.flush();
    this.manual.flush(); // after it: a span on a list can be freed when its last block comes back
    this.stacks.flush();
    this.heap.flushPages();
  }

  /** Whether no mcache of any thread holds a span, or allocations that heapLive does not show. The world is stopped. */
  get allFlushed(): boolean {
    const { u32 } = this;
    return (
      findMCache(this.heap, (c) => {
        let any = u32[(c + MCACHE_AT.untoldLive) >>> 2];
        for (let k = 0; k < HELD_WORDS; k++) any |= u32[((c + MCACHE_AT.held) >>> 2) + k];
        return any !== 0;
      }) === 0
    );
  }

  /** Whether this thread is in no operation: then a hook may make the calls that are forbidden in the middle of one. */
  get idle(): boolean {
    return this.heap.operation.busy === "";
  }

  /**
   * Throws the fatal error if this thread is in the middle of an operation. `call` names what the caller wants to
   * do.
   */
  mustBeIdle(call: string): void {
    this.heap.operation.mustBeIdle(call);
  }

  /** For a hook that is called in the middle of an operation: hooks.operationDone follows the operation. */
  deferReport(): void {
    this.heap.operation.defer();
  }

  /** An unswept span for the sweeper, off its list, sweepgen = sg-1; 0 if there is none. */
  nextSpanForSweep(): Addr {
    return this.central.nextSpanForSweep() as Addr;
  }

  /**
   * Takes this unswept span for the sweeper, as nextSpanForSweep does. False if it needs no sweep, or if another thread
   * is sweeping it: then its sweepgen is sg-1 until that thread has called spanSwept.
   */
  takeForSweep(span: Addr): boolean {
    return this.central.takeUnswept(span);
  }

  /**
   * Number of a thread that is sweeping a span, in a heap that threads share; 0 if there is none. If this is 0 after
   * nextSpanForSweep has found no span, all is swept.
   */
  get sweepingThread(): number {
    const { u32, kernel } = this.mem;
    const c = findMCache(this.heap, (mcache) => kernel.load(mcache + MCACHE_AT.sweeping) !== 0);
    return c === 0 ? 0 : u32[(c + MCACHE_AT.owned) >>> 2];
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
   * Ends the sweep of a span whose specials are done and whose bits were swept; nfreed is the result of sweepBits.
   * Counts the freed objects, and sets needzero, freeindex and sweepgen. (heapLive is the collector's to set.)
   * Unless preserve, a span without objects goes back to the heap, and any other to mcentral. The result says
   * whether it went to the heap; then the struct may still live on, as that of a retained span (mheap.ts).
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
    this.central.setSwept(span);
    const freed = !preserve && allocCount === 0;
    if (freed) {
      if (!this.central.retain(span, true)) this.heap.freeSpan(span);
    } else if (!preserve) this.central.uncacheSpan(span);
    this.central.endSweep();
    return freed;
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
    this.heap.freeSpan(s);
  }

  // --- specials

  /**
   * Attaches a special to the object at addr. The result is its address, 0 if the object has one of the kind
   * already, or -1 if there is no memory for it.
   */
  addSpecial(addr: Addr, kind: number, data: number, data2 = 0): number {
    const special = this.specials.add(addr, kind, data, data2);
    this.manual.noteSpecials();
    return special;
  }

  /**
   * Detaches the special of the kind, with this data where several of the kind are possible. The result is its
   * data, or -1.
   */
  removeSpecial(addr: Addr, kind: number, data?: number): number {
    return this.specials.remove(addr, kind, data);
  }

  /** The object's first special of the kind, 0 if there is none. */
  findSpecial(addr: Addr, kind: number): number {
    return this.specials.find(addr, kind);
  }

  /** Unlinks and frees a special met on a walk of the span's list. prev is the special before it, 0 at the head. */
  freeSpecial(span: Addr, prev: number, special: number): void {
    this.specials.free(span, prev, special);
  }

  /** freeSpecial in two steps: unlinks the special. Until it is released, its words are the caller's to use. */
  takeSpecial(span: Addr, prev: number, special: number): void {
    this.specials.take(span, prev, special);
  }

  releaseSpecial(special: number): void {
    this.specials.release(special);
  }

  /** Adds to `out` the offsets in the span of its specials of the kind, while other threads attach and detach some. */
  specialOffsets(span: Addr, kind: number, out: number[]): void {
    this.specials.offsets(span, kind, out);
  }

  // --- stacks

  /** A stack of n bytes, a power of two from 2048. Not cleared. */
  stackAlloc(n: number): Addr {
    this.heap.operation.mustBeIdle("stackAlloc");
    return this.stacks.alloc(n) as Addr;
  }

  /** Gives a stack back; n is the size that it was allocated with. */
  stackFree(addr: Addr, n: number): void {
    this.heap.operation.mustBeIdle("stackFree");
    this.stacks.free(addr, n);
  }

  // --- memory profile

  /** Mean bytes between two samples of the memory profile, in all threads of the heap. */
  get memProfileRate(): number {
    return this.sampler.rate;
  }

  /**
   * One sample in about `rate` bytes: 1 samples every object, 0 none. Applies from the next allocation of this thread
   * on, and from the next run of free slots that any other thread takes.
   */
  setMemProfileRate(rate: number): void {
    if (!Number.isInteger(rate)) {
      throw new RangeError(`allocator: memProfileRate must be a whole number of bytes (got ${show(rate)})`);
    }
    if (this.closed) closedError();
    this.heap.operation.mustBeIdle("setMemProfileRate");
    this.sampler.rate = rate;
    this.cache.restartSamples();
  }

  // --- statistics, memory

  /**
   * Flushes this thread's mcache, then fills out. Allocates no JS object. Other threads may allocate meanwhile: see
   * mstats.ts.
   */
  readStats(out: HeapStats): HeapStats {
    checkStats(out);
    this.flushAll();
    return fillStats(this.heap, out, true);
  }

  /** readStats without the flush: unused slots of current runs count as allocated. */
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
   * Lets other threads attach to the memory (createAllocator({ memory })): from here on locks are taken. The one
   * thread that has used the heap so far calls it, outside of hooks, and it can't be undone. A collection may be
   * marking or sweeping. A heap that is not shared pays nothing for locks.
   */
  share(): void {
    if (!this.mem.shared) throw new TypeError("allocator: share needs a shared memory (got shared: false)");
    if (this.closed) closedError();
    this.heap.operation.mustBeIdle("share");
    // Runs taken alone carry pointer bits that another thread's marker must not see (mcache.ts).
    this.cache.returnTails();
    this.u32[(this.mheap + MHEAP_AT.shared) >>> 2] = 1;
    this.manual.share();
  }

  /** Number of this thread's mcache: the argument of recover if the thread dies. */
  get id(): number {
    return this.u32[(this.cache.base + MCACHE_AT.id) >>> 2];
  }

  /**
   * Takes over the mcache of a thread that died without close: its spans, runs and freed blocks go back. The thread
   * must be dead for certain. False if that mcache has no owner. The thread's objects stay allocated.
   */
  recover(id: number): boolean {
    if (typeof id !== "number") {
      throw new TypeError(`allocator: recover needs the id of an allocator (got ${show(id)})`);
    }
    const c = mcacheOf(this.heap, id);
    if (c === 0 || c === this.cache.base) return false;
    return takeOver(this.mem, c, this.u32[(c + MCACHE_AT.owned) >>> 2], emptyMCache);
  }

  /**
   * Call this when a thread has ended, as from its Worker's "exit" event, with the number that registerThread gave
   * it. It takes the thread's mcaches over, as recover does; after a close there is nothing to do. If the thread
   * died inside of a lock, what the lock guards may be half changed. Then threadExited throws a FatalError that
   * names the lock, and every thread that waits for the lock gets a FatalError too.
   */
  threadExited(thread: number): void {
    this.mem.mustBeOtherThread(thread);
    takeOverThread(this.heap, thread, emptyMCache);
  }

  /** Calls threadExited for each thread that has ended, as far as the system tells, and owns an mcache. */
  takeOverEnded(): void {
    forEachEndedOwner(this.heap, (thread) => this.threadExited(thread));
  }

  /** Calls threadExited when the worker ends. worker: any object with Node's `once("exit", ...)`. */
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
   * Gives the mcache up, so that another thread may take it: call it before a thread ends. Afterwards calls that
   * allocate or free throw a TypeError; blocks and statistics may still be read. Another close does nothing.
   */
  close(): void {
    if (this.closed) return;
    this.giveUp();
    this.closeSlots();
    this.manual.close();
    this.mem.member.part();
  }

  /** Empties and gives up the mcache of an allocator that only recovery uses. */
  giveUp(): void {
    this.flushAll();
    this.manual.disown(this.cache.base);
  }
}

/**
 * Recovers an mcache whose owner is dead, empties it and gives it up. (Apart from the class: a bundler renames a class
 * that names itself.)
 */
function emptyMCache(mem: LinearMemory, mcache: number): void {
  const { version } = MCACHE_AT;
  const dead = new Allocator(mem, 1, false, () => 0, mcache);
  recoverMCache(dead);
  // The owner may have died between two changes of its counts: then the version is odd. It goes up, since a reader may
  // remember the version before.
  mem.kernel.add(mcache + version, mem.kernel.load(mcache + version) & 1);
  dead.giveUp();
}

/**
 * An allocator over a new memory, or over options.memory (attaching to the allocator it already holds, if any).
 * Costs about a millisecond and some 200 KB of resident memory.
 */
export function createAllocator(options: AllocatorOptions = {}): Allocator {
  checkOptions(options);
  const { memory, seed, checks, clock, ...memoryOptions } = options;
  const mem = memory ?? createLinearMemory(memoryOptions);
  return new Allocator(
    mem,
    seed ?? Math.floor(Math.random() * 2 ** 32),
    checks === true,
    clock ?? (() => performance.now()),
  );
}
