/**
 * Sweeping: after the world has started again, the objects that marking did not reach become free, span by span.
 *
 * The end of marking adds 2 to sweepgen, which makes every span unswept (`sweepgen == sg-2`) at no cost. Each span is
 * swept once before its cycle ends, by the first of these:
 *
 * - the allocator, when it wants to allocate from the span (`sweepSpan`), or has to pay for new memory by sweeping in
 *   proportion (`deductSweepCredit`), so that all is swept before the next cycle has to start;
 * - `reclaim`, before the heap grows: freed whole spans may make the growth unnecessary;
 * - the background: a few spans at each safepoint;
 * - the start of the next cycle, and `gc()`, which sweep all the rest.
 *
 * The sweep of a span:
 * 1. It visits the specials of unmarked objects. Finalizers revive their objects, weak pointers are cleared, cleanups
 *    are queued, and the memory profile learns of the free (mfinal.ts).
 * 2. For each word, the mark bits become the alloc bits, the mark bits are cleared, and live objects are counted. If an
 *    object is marked but not allocated, the program kept a pointer to freed memory: it ends.
 * 3. The allocator books the frees, and frees the span if nothing is left in it.
 *
 * The sweep touches no byte of a freed object (unless `clobberfree` asks for it): allocation clears an object.
 *
 * ## Several threads
 * Any thread sweeps. A thread takes a span off an unswept list under the list's lock, so each span is swept once. A
 * thread that needs a span swept (`ensureSwept`) waits if another thread has it.
 *
 *     drained    the unswept lists are empty. Threads may still sweep spans that they have taken
 *     pending    set to 0 by the thread that finds the lists empty, and no thread with a span: by CAS, so once a sweep
 *
 * A thread looks for the end when it finds the lists empty, and after each span once `drained` is set. Both threads of
 * a pair use atomics, so one of them sees the other's store: the last thread to finish finds the end.
 *
 * A special's functions and figures belong to the thread that set it. The sweep posts them to that thread.
 */
import { ctz32, hex, popcount32, throwFatal } from "@gort/base";
import type { AllocTrace } from "./alloc-trace.ts";
import { CLOBBER_WORD } from "./clobber.ts";
import {
  DRIVER_ID,
  driverThread,
  forEachThread,
  isAttached,
  postTo,
  takeInbox,
  threadById,
} from "./gc-threads.ts";
import {
  GCCONTROL_AT,
  type GCHeap,
  MSPAN_AT,
  PAGE_SHIFT,
  SPECIAL_AT,
  SPECIAL_CLEANUP,
  SPECIAL_FINALIZER,
  SPECIAL_PROFILE,
  SPECIAL_WEAK,
} from "./heap.ts";
import type { Finalizers } from "./mfinal.ts";
import type { SweepState } from "./state-views.ts";
import { SweepWait } from "./sweep-wait.ts";

/** Bound to this file, since V8 inlines a constant function but loads an imported one. */
const popcount = popcount32;

// Word offsets of what every sweep reads.
const NPAGES = MSPAN_AT.npages >>> 2;
const NELEMS = MSPAN_AT.nelems >>> 2;
const STATE = MSPAN_AT.state >>> 2;
const SWEEPGEN = MSPAN_AT.sweepgen >>> 2;
const ALLOC_COUNT = MSPAN_AT.allocCount >>> 2;
const GCMARK_BITS = MSPAN_AT.gcmarkBits >>> 2;
const ALLOC_BITS = MSPAN_AT.allocBits >>> 2;
const SPECIALS = MSPAN_AT.specials >>> 2;

/**
 * Spans that reclaim sweeps at most before the heap grows. This bounds the time of one allocation: a millisecond in
 * code that has never swept. For a large object the bound is a span for each of its pages, which takes less time than
 * clearing the page.
 */
const RECLAIM_BUDGET = 256;

/** A thread that sweeps beside others. */
export interface SweepThread {
  readonly id: number;
  /** Address of its GCTHREAD. */
  readonly thread: number;
  /** Has another thread notified: its inbox has an entry. It may only take a note. */
  notify(thread: number): void;
}

export class Sweeper {
  readonly #heap: GCHeap;
  readonly #u32: Uint32Array;
  readonly #finalizers: Finalizers;
  // Word indices in the control block.
  readonly #sweepgenWord: number;
  readonly #pagesSweptWord: number;
  /** Word index of MHEAP.shared. */
  readonly #sharedWord: number;
  readonly #state: SweepState;
  /**
   * This thread's: freed objects that the memory profile had sampled, as pairs of the special's data and the slot size.
   * The thread that freed them calls takeFreed.
   */
  readonly #freedSamples: number[] = [];
  /** If allocations are traced, it gets every freed object. */
  trace: AllocTrace | null = null;
  /** For a report: lines of text that say what leads to the object at base. */
  whoHolds: (base: number) => string = () => "";
  /** Called in the middle of a sweep when takeDone or takeFreed has something to give. It may only take a note. */
  readonly #note: () => void;
  /** This thread's: the ratio in force when this thread found the end of a sweep; -1 after takeDone has returned it. */
  #donePagesPerByte = -1;
  readonly #wait: SweepWait;
  /** This thread among others; null: it is the driver, and samples are its own. */
  readonly #self: SweepThread | null;

  constructor(
    heap: GCHeap,
    finalizers: Finalizers,
    state: SweepState,
    note: () => void,
    self: SweepThread | null = null,
  ) {
    this.#state = state;
    this.#self = self;
    this.#wait = new SweepWait(heap);
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#finalizers = finalizers;
    this.#sweepgenWord = (heap.control + GCCONTROL_AT.sweepgen) >>> 2;
    this.#pagesSweptWord = (heap.control + GCCONTROL_AT.pagesSwept) >>> 2;
    this.#sharedWord = heap.sharedWord;
    this.#note = note;
  }

  /** Whether nothing is left to sweep. */
  get done(): boolean {
    return !this.#state.pending;
  }

  /** Whether no span is left to take: threads may still sweep spans that they have taken. */
  get noneLeft(): boolean {
    return this.done || (this.#heap.shared && this.#state.drained);
  }

  /** Pages to sweep for each byte that is allocated. */
  get pagesPerByte(): number {
    return this.#state.pagesPerByte;
  }

  /**
   * Calls f with the data of the special and the slot's size of each sampled object that was freed since the last call.
   */
  takeFreed(f: (data: number, size: number) => void): void {
    if (this.#self !== null) this.#takePosted(this.#self.thread, f);
    const samples = this.#freedSamples.splice(0);
    for (let i = 0; i < samples.length; i += 2) f(samples[i], samples[i + 1]);
  }

  /**
   * The same for samples that other threads have freed. One for a thread that has ended, whose record this thread has,
   * goes on to the driver.
   */
  #takePosted(thread: number, f: (data: number, size: number) => void): void {
    const { mem, allocator } = this.#heap;
    const u32 = this.#u32;
    const { id } = this.#self!;
    for (let s = takeInbox(mem, thread, "samples"); s !== 0; ) {
      const next = u32[(s + SPECIAL_AT.next) >>> 2];
      if (id === DRIVER_ID || u32[(s + SPECIAL_AT.data2) >>> 2] === id) {
        f(u32[(s + SPECIAL_AT.data) >>> 2], u32[(s + SPECIAL_AT.offset) >>> 2]);
        allocator.releaseSpecial(s);
      } else postTo(mem, driverThread(mem), "samples", s);
      s = next;
    }
  }

  /** The driver: `takeFreed` for samples that were posted to threads that have ended. The world is stopped. */
  takeOrphans(f: (data: number, size: number) => void): void {
    forEachThread(this.#heap.mem, (t) => {
      if (!isAttached(this.#heap.mem, t)) this.#takePosted(t, f);
    });
  }

  /** After the end of a sweep: the ratio that was in force, once. Otherwise -1. */
  takeDone(): number {
    const ratio = this.#donePagesPerByte;
    this.#donePagesPerByte = -1;
    return ratio;
  }

  /** Makes every span unswept, after the marking of this cycle. The world is stopped and no mcache holds a span. */
  start(cycle: number, clobberfree: boolean): void {
    const state = this.#state;
    if (state.pending) throwFatal("gc: sweep of the last cycle is not done");
    state.cycle = cycle;
    state.clobberfree = clobberfree;
    this.#heap.sweepgen += 2;
    this.#heap.pagesSwept = 0;
    state.pagesPerByte = 0;
    state.drained = false;
    state.pending = true;
  }

  /** Sets the ratio so that all pages in use are swept when the heap reaches the trigger. */
  pace(trigger: number): void {
    const heap = this.#heap;
    const state = this.#state;
    state.liveBasis = heap.heapLive;
    state.pagesBasis = heap.pagesSwept;
    // The sweep should be done 1 MiB early: runs are charged as a whole, so heapLive has an error.
    const distance = Math.max(trigger - heap.heapLive - (1 << 20), 1 << PAGE_SHIFT);
    const pages = (heap.heapInUse >>> PAGE_SHIFT) - heap.pagesSwept;
    state.pagesPerByte = pages <= 0 ? 0 : pages / distance;
  }

  /** Sweeps in advance for an allocation of spanBytes. */
  deductSweepCredit(spanBytes: number, callerSweepPages: number): void {
    const state = this.#state;
    const ratio = state.pagesPerByte;
    if (ratio === 0 || !state.pending) return;
    const heap = this.#heap;
    const owed = Math.floor(ratio * (heap.heapLive - state.liveBasis + spanBytes)) - callerSweepPages;
    while (owed > heap.pagesSwept - state.pagesBasis) {
      if (this.sweepOne() < 0) return;
    }
  }

  /** Sweeps until npages are freed, all is swept, or the budget is used up. */
  reclaim(npages: number): void {
    let freed = 0;
    for (
      let budget = Math.max(RECLAIM_BUDGET, npages);
      budget > 0 && freed < npages && !this.done;
      budget--
    ) {
      const span = this.#next();
      if (span === 0) return;
      const pages = this.#u32[(span + MSPAN_AT.npages) >>> 2];
      if (this.#sweep(span, false)) freed += pages;
    }
  }

  /** Sweeps a span. Returns its pages, or -1 if no span was left. */
  sweepOne(): number {
    const span = this.#next();
    if (span === 0) return -1;
    const pages = this.#u32[(span + MSPAN_AT.npages) >>> 2];
    this.#sweep(span, false);
    return pages;
  }

  /** Sweeps all that is left, and waits for spans that other threads sweep. True if there was a span. */
  sweepAll(): boolean {
    let any = false;
    while (this.sweepOne() >= 0) any = true;
    if (this.done) return any;
    this.#wait.until(() => {
      this.#tryEnd();
      return this.done;
    });
    return true;
  }

  /** Sweeps a span that the allocator has taken from the unswept lists to allocate from. */
  sweepTaken(span: number): void {
    this.#sweep(span, true);
  }

  /** Sweeps the span if it is unswept. When this returns, the span is swept. */
  ensureSwept(span: number): void {
    if (span === 0 || this.done) return;
    const heap = this.#heap;
    const at = span + MSPAN_AT.sweepgen;
    const unswept = (heap.sweepgen - 2) >>> 0;
    if (this.#u32[at >>> 2] === unswept && heap.allocator.takeForSweep(span as never)) {
      this.#sweep(span, false);
      return;
    }
    const { kernel } = heap.mem;
    const gen = kernel.load(at) >>> 0;
    if (gen === unswept) throwFatal("gc: unswept span is on no list", `span ${hex(span)}`);
    if (gen === unswept + 1) this.#wait.until(() => kernel.load(at) >>> 0 !== gen);
  }

  #next(): number {
    const state = this.#state;
    if (!state.pending) return 0;
    const shared = this.#u32[this.#sharedWord] !== 0;
    const span = shared && state.drained ? 0 : this.#heap.allocator.nextSpanForSweep();
    if (span !== 0) return span;
    if (shared && !state.drained) state.drained = true;
    this.#tryEnd();
    return 0;
  }

  /** The unswept lists are empty. Ends the sweep, unless threads still have spans, or another thread has ended it. */
  #tryEnd(): void {
    const state = this.#state;
    if (this.#heap.allocator.sweepingThread !== 0 || !state.end()) return;
    this.#donePagesPerByte = state.pagesPerByte;
    state.pagesPerByte = 0;
    this.#note();
  }

  /** Sweeps the span. True if the whole span was freed. */
  #sweep(span: number, preserve: boolean): boolean {
    const heap = this.#heap;
    const u32 = this.#u32;
    const at = span >>> 2;
    if (u32[at + SWEEPGEN] !== u32[this.#sweepgenWord] - 1) this.#throwState(at);
    this.trace?.sweepBegins();
    const shared = u32[this.#sharedWord] !== 0;
    const npages = u32[at + NPAGES];
    if (shared) heap.mem.kernel.add(this.#pagesSweptWord << 2, npages);
    else u32[this.#pagesSweptWord] = u32[this.#pagesSweptWord] + npages;
    if (u32[at + SPECIALS] !== 0) this.#sweepSpecials(span);
    const marks = u32[at + GCMARK_BITS] >>> 2;
    const allocs = u32[at + ALLOC_BITS] >>> 2;
    const nwords = (u32[at + NELEMS] + 31) >>> 5;
    if (this.#state.clobberfree || this.trace !== null) this.#dying(span, marks, allocs, nwords);
    let live = 0;
    for (let k = 0; k < nwords; k++) {
      const x = u32[marks + k];
      const stray = x & ~u32[allocs + k];
      if (stray !== 0) this.#throwStray(span, (k << 5) + ctz32(stray));
      u32[allocs + k] = x;
      u32[marks + k] = 0;
      live += popcount(x);
    }
    const freed = u32[at + ALLOC_COUNT] - live;
    const gone = heap.allocator.spanSwept(span as never, freed, preserve);
    if (shared && this.#state.drained) this.#tryEnd();
    return gone;
  }

  #throwState(at: number): never {
    const u32 = this.#u32;
    throwFatal(
      "mspan.sweep: bad span state",
      `mspan.sweep: state=${u32[at + STATE]} sweepgen=${u32[at + SWEEPGEN]} mheap.sweepgen=${u32[this.#sweepgenWord]}`,
    );
  }

  #throwStray(span: number, i: number): never {
    const u32 = this.#u32;
    const base = this.#heap.objectBase(span, i);
    throwFatal(
      "found pointer to free object",
      `runtime: marked free object ${hex(base)} in span ${hex(span)}, ` +
        `base ${hex(u32[(span + MSPAN_AT.startAddr) >>> 2])}, ` +
        `elemsize=${u32[(span + MSPAN_AT.elemsize) >>> 2]}, index ${i} ` +
        `(a raw pointer was kept over a safepoint, or unsafe memory was misused)` +
        `${this.whoHolds(base)}${this.#heap.describe(base)}`,
    );
  }

  /** Fills the objects that die in this sweep, and reports them to the trace. */
  #dying(span: number, marks: number, allocs: number, nwords: number): void {
    const u32 = this.#u32;
    const { clobberfree, cycle } = this.#state;
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    for (let k = 0; k < nwords; k++) {
      let x = u32[allocs + k] & ~u32[marks + k];
      for (; x !== 0; x &= x - 1) {
        const i = (k << 5) + ctz32(x);
        const base = this.#heap.objectBase(span, i);
        this.trace?.freed(base, cycle);
        if (clobberfree) u32.fill(CLOBBER_WORD, base >>> 2, (base + size) >>> 2);
      }
    }
  }

  #sweepSpecials(span: number): void {
    const u32 = this.#u32;
    const marks = u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    let prev = 0;
    let s = u32[(span + MSPAN_AT.specials) >>> 2];
    while (s !== 0) {
      const i = Math.floor(u32[(s + SPECIAL_AT.offset) >>> 2] / size);
      const end = (i + 1) * size;
      if (u32[marks + (i >>> 5)] & (1 << (i & 31))) {
        // The object lives: go on to the next object's specials.
        while (s !== 0 && u32[(s + SPECIAL_AT.offset) >>> 2] < end) {
          prev = s;
          s = u32[(s + SPECIAL_AT.next) >>> 2];
        }
        continue;
      }
      // A finalizer among the object's specials revives it. This must be known before another special is touched.
      let revived = false;
      for (let t = s; t !== 0 && u32[(t + SPECIAL_AT.offset) >>> 2] < end; ) {
        if (u32[(t + SPECIAL_AT.kind) >>> 2] === SPECIAL_FINALIZER)
          revived ||= this.#finalizers.canRun(u32[(t + SPECIAL_AT.data) >>> 2]);
        t = u32[(t + SPECIAL_AT.next) >>> 2];
      }
      if (revived) u32[marks + (i >>> 5)] = u32[marks + (i >>> 5)] | (1 << (i & 31));
      while (s !== 0 && u32[(s + SPECIAL_AT.offset) >>> 2] < end) {
        const next = u32[(s + SPECIAL_AT.next) >>> 2];
        const kind = u32[(s + SPECIAL_AT.kind) >>> 2];
        if (revived && kind !== SPECIAL_FINALIZER && kind !== SPECIAL_WEAK) {
          prev = s;
        } else {
          this.#due(span, prev, s, size, revived);
        }
        s = next;
      }
    }
  }

  /** Takes a special off its list: its object is unreachable. */
  #due(span: number, prev: number, s: number, size: number, revived: boolean): void {
    const { allocator } = this.#heap;
    const u32 = this.#u32;
    const finalizers = this.#finalizers;
    const kind = u32[(s + SPECIAL_AT.kind) >>> 2];
    const data = u32[(s + SPECIAL_AT.data) >>> 2];
    if (kind === SPECIAL_PROFILE) {
      this.#sampleFreed(span, prev, s, size);
      return;
    }
    const p = u32[(span + MSPAN_AT.startAddr) >>> 2] + u32[(s + SPECIAL_AT.offset) >>> 2];
    allocator.freeSpecial(span as never, prev, s);
    if (kind === SPECIAL_FINALIZER) {
      if (revived) finalizers.queueFinalizer(data, p);
      else finalizers.dropFinalizer(data);
    } else if (kind === SPECIAL_WEAK) finalizers.clearWeak(data);
    else if (kind === SPECIAL_CLEANUP) finalizers.queueCleanup(data);
  }

  /**
   * Notes that a sampled object is freed, for the thread whose memory profile has sampled it. If that thread has ended,
   * the driver gets the sample.
   */
  #sampleFreed(span: number, prev: number, s: number, size: number): void {
    const { allocator, mem } = this.#heap;
    const u32 = this.#u32;
    const data = u32[(s + SPECIAL_AT.data) >>> 2];
    const owner = u32[(s + SPECIAL_AT.data2) >>> 2];
    const self = this.#self;
    const thread = self === null || owner === self.id ? 0 : threadById(mem, owner) || driverThread(mem);
    if (self === null || thread === 0 || thread === self.thread) {
      allocator.freeSpecial(span as never, prev, s);
      this.#freedSamples.push(data, size);
      this.#note();
      return;
    }
    allocator.takeSpecial(span as never, prev, s);
    u32[(s + SPECIAL_AT.offset) >>> 2] = size;
    postTo(mem, thread, "samples", s);
    self.notify(thread);
  }
}
