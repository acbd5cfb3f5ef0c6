/**
 * The garbage collector: Go's, over the allocator's heap.
 *
 * It is non-moving, precise (types and pointer bitmaps say where pointers are), tri-colour, mark and sweep, with Go's
 * hybrid write barrier, and it lets the program run between its steps. gc-state.ts says which of its state lies in
 * linear memory, where every thread finds it, and which belongs to one thread.
 *
 * ## A cycle
 * 1. *Sweep termination.* What is left of the last cycle's garbage is swept.
 * 2. *Stop.* The mcaches are emptied, so that every object born from now on comes from a run that is marked as a whole
 *    (allocate black). The phase becomes 1 (mark): the write barrier is on. Globals, stacks and the finalizer queue are
 *    scanned.
 * 3. *Mark*, the program running again. Work is done in bounded slices: in the background at safepoints, a quarter of
 *    the time; by goroutines that allocate faster than that is able to follow (assists); and in idle time.
 * 4. *Stop: mark termination.* When nothing is grey any more, at a safepoint: phase 2, then 0; the barrier is off. The
 *    heap that is marked is the live heap; the pacer says when the next cycle starts.
 * 5. *Sweep*, the program running: every span becomes unswept by a change of sweepgen, and is swept when somebody wants
 *    to allocate from it, in proportion to allocation, and in the background (mgcsweep.ts).
 *
 * ## Why it is safe though JS locals can't be seen A raw pointer is valid until the goroutine's next safepoint; what
 * has to live longer sits in a root. Steps 2 and 4 happen when everybody is at a safepoint. In between, a pointer in a
 * local was loaded from something that was reachable when marking began, so it is or will be marked (deletion barrier),
 * or it is new, thus black. An object unreachable at the stop that ends marking can't become reachable again. Marking
 * itself frees nothing: it may run in an allocation, which is not a safepoint.
 *
 * ## Who may touch what A sweep runs in the middle of an allocation, and other code of the collector may not (see the
 * allocator's hooks.ts). What a sweep has to tell (all is swept, a finalizer is due, a sampled object is gone) it
 * notes, and #tell passes it on when the allocation has ended, or at once where there is none. So goal and trigger are
 * computed, and callbacks of the program run, outside of every operation of the allocator. #tell keeps the guard busy:
 * a collection there would free the object that the allocation is about to return. Every entry of the collector refuses
 * a call that comes from within an allocation.
 *
 * GCCONTROL is the collector's, but for heapLive, which allocation counts. Mark bits are written by marking, and by the
 * allocator for the runs it takes while marking is on; by the sweeper of the span otherwise. The collector's figures
 * are written in a stop, or by the thread that runs the cycle.
 *
 * ## Modes `gcstoptheworld=1`: steps 2 to 4 are one stop. `gcstoptheworld=2`: step 5 as well. `gc()` does the same as a
 * caller of runtime.GC sees it: when it returns, all garbage there was is freed. On one thread the goroutine that calls
 * gc() keeps all others waiting, so its marking is one stop, and is counted as such.
 *
 * Rejected: a collection inside of an allocation (the raw pointers of all callers up the stack would be lost);
 * reference counts (rings; a count for each store); moving (every raw pointer would move).
 *
 * Sources: Go's runtime/mgc.go; Dijkstra et al. 1978 (on-the-fly collection); Yuasa 1990 (snapshot at the
 * beginning); Hudson and Moss 2003; Jones, Hosking, Moss: The Garbage Collection Handbook.
 */

import type { Allocator } from "@gort/allocator";
import type { Addr } from "@gort/memory";
import { AllocTrace, hostStack, whoHolds } from "./alloc-trace.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Cycle, GCController } from "./gc-controller.ts";
import { CycleRunner, type CycleStep, Stops } from "./gc-cycle.ts";
import { CycleReports } from "./gc-report.ts";
import { type CycleState, GCState } from "./gc-state.ts";
import { GCRecord, type GCStats, newGCStats } from "./gc-stats.ts";
import { type Godebug, parseGodebug } from "./godebug.ts";
import { GC_OFF, GCHeap } from "./heap.ts";
import { Roots, type StackRoots } from "./mark-roots.ts";
import { DRAIN_BYTES, MarkSlices } from "./mark-slices.ts";
import { WriteBarrier } from "./mbarrier.ts";
import { Finalizers } from "./mfinal.ts";
import { Marker } from "./mgcmark.ts";
import { NO_MEMORY_LIMIT } from "./mgcpacer.ts";
import { Sweeper } from "./mgcsweep.ts";
import { ReentrancyGuard } from "./reentrancy-guard.ts";
import { RefTable } from "./ref-table.ts";
import { SafepointWatch, WATCH_BYTES } from "./safepoint-watch.ts";
import type { CollectorEvents, CollectorOptions, World } from "./world.ts";

/** Longest time without a collection. */
const FORCE_PERIOD_NS = 120e9;

/** Bytes that a program over its memory limit may allocate before it is asked again whether it has had its share. */
const LIMITED_STEP = 256 << 10;

const soloWorld: World = {
  stopTheWorld() {},
  startTheWorld() {},
  gomaxprocs: () => 1,
  ready: (fn) => queueMicrotask(fn),
};

export class Collector {
  readonly allocator: Allocator;
  readonly refs: RefTable;
  readonly finalizers: Finalizers;
  readonly barrier: WriteBarrier;
  /** The switches; may be changed while no cycle runs. */
  readonly godebug: Godebug;
  /** For tests and siblings: the parts. */
  readonly heap: GCHeap;
  readonly marker: Marker;
  readonly sweeper: Sweeper;
  readonly roots: Roots;
  /** Under allocfreetrace: who allocated and freed what. */
  readonly trace: AllocTrace | null = null;
  /** The figures of past cycles. */
  readonly record: GCRecord;

  readonly #world: World;
  readonly #clock: Clock;
  readonly #options: CollectorOptions;
  readonly #controller: GCController;
  readonly #work: MarkSlices;
  readonly #reports: CycleReports;
  readonly #stops: Stops;
  readonly #runner: CycleRunner;
  readonly #watch: SafepointWatch;
  readonly #events: Required<CollectorEvents>;
  readonly #onRequest: () => void;
  readonly #guard: ReentrancyGuard;
  readonly #freeProfile: (data: number, size: number) => void;
  /** What all threads share. */
  readonly #state: GCState;
  readonly #cycle: CycleState;
  /** This thread's: a sweep of it has noted something for #tell; and the finalizer queue has got its first entry. */
  #noted = false;
  #wakeNoted = false;

  constructor(allocator: Allocator, options: CollectorOptions = {}) {
    this.allocator = allocator;
    this.#options = options;
    this.#world = options.world ?? soloWorld;
    this.#clock = options.clock ?? systemClock;
    this.godebug =
      typeof options.godebug === "string"
        ? parseGodebug(options.godebug)
        : { ...parseGodebug(), ...options.godebug };
    const { mem } = allocator;
    this.#state = new GCState(mem);
    this.#cycle = this.#state.cycle;
    this.#guard = new ReentrancyGuard(this.#cycle);
    this.record = new GCRecord(mem);
    const startNs = this.#clock.nanotime();
    const guard = this.#guard;
    const { events } = options;
    this.#events = {
      gcStart: guard.quiet(events?.gcStart?.bind(events)),
      markDone: guard.quiet(events?.markDone?.bind(events)),
      sweepDone: guard.quiet(events?.sweepDone?.bind(events)),
    };
    this.#onRequest = guard.quiet(options.onRequest);

    const heap = new GCHeap(allocator);
    this.heap = heap;
    this.marker = new Marker(heap, options.marker);
    this.barrier = new WriteBarrier(heap, this.marker.js);
    const host = this.#host();
    this.refs = new RefTable(mem, host);
    this.finalizers = new Finalizers(heap, host, this.record);
    this.roots = new Roots(heap, this.refs, this.finalizers, this.#state.roots);
    this.#freeProfile = guard.quiet(options.freeProfile);
    this.sweeper = new Sweeper(heap, this.finalizers, this.#state.sweep, () => this.#note());
    this.sweeper.whoHolds = (base) => whoHolds(heap, this.roots, base);
    if (this.godebug.allocfreetrace !== 0) this.trace = this.#traceAllocations();
    this.#controller = new GCController(
      heap,
      this.record,
      this.sweeper,
      this.#state.pacer,
      options.gogc === undefined ? 100 : options.gogc,
      options.memoryLimit === undefined ? NO_MEMORY_LIMIT : options.memoryLimit,
    );
    this.#work = new MarkSlices(
      heap,
      this.marker,
      this.roots,
      this.#controller,
      this.#clock,
      this.#state.assist,
    );
    const stderr = guard.quiet(options.stderr ?? ((text: string) => console.error(text.replace(/\n$/, ""))));
    this.#watch = new SafepointWatch(this.#clock, () => this.#currentStack(), stderr);
    this.#reports = new CycleReports(
      this.godebug,
      stderr,
      { heap, marker: this.marker, roots: this.roots, record: this.record },
      startNs,
    );
    this.#stops = new Stops(this.#world, this.#cycle);
    this.#runner = new CycleRunner({
      heap,
      marker: this.marker,
      roots: this.roots,
      sweeper: this.sweeper,
      work: this.#work,
      controller: this.#controller,
      record: this.record,
      reports: this.#reports,
      watch: this.#watch,
      events: this.#events,
      stops: this.#stops,
      clock: this.#clock,
      godebug: this.godebug,
      cycle: this.#cycle,
      sweep: this.#state.sweep,
      startNs,
      tell: () => this.#tell(),
      commit: () => this.#commit(),
    });
    this.marker.onFallback = (err) => this.#reports.fallback(err, options.marker === "wasm");
    // A heap that was in use before had no collector, so nothing of it is unswept.
    heap.phase = GC_OFF;
    heap.heapMarked = 0;
    this.#setHooks();
    this.#commit();
  }

  #setHooks(): void {
    const { hooks } = this.allocator;
    hooks.gcTrigger = (addr) => this.#allocationHook(addr);
    hooks.sweepSpan = this.#sweeps((span) => this.sweeper.sweepTaken(span));
    const sweepOne = this.#sweeps(() => this.sweeper.sweepOne());
    hooks.sweepOne = () => sweepOne(0);
    hooks.deductSweepCredit = this.#sweeps((spanBytes, callerSweepPages) =>
      this.sweeper.deductSweepCredit(spanBytes, callerSweepPages),
    );
    hooks.reclaim = this.#sweeps((npages) => this.sweeper.reclaim(npages));
    hooks.operationDone = () => this.#tellOrFail();
    hooks.outOfMemory = () => this.#outOfMemory();
  }

  #host() {
    const { marker, heap } = this;
    return {
      get marking(): boolean {
        return heap.phase !== GC_OFF;
      },
      shade: (p: number) => marker.shade(p),
      scanFinalizerObject: (base: number) => {
        const { allocator } = heap;
        // With a header the object's slot begins before it.
        marker.scanFinalizerObject(allocator.findObject(base as Addr));
      },
      ensureSwept: this.#sweeps((span) => this.sweeper.ensureSwept(span)),
      wake: () => {
        this.#wakeNoted = true;
        this.#note();
      },
    };
  }

  #currentStack(): string {
    return this.#world.currentStack?.() ?? hostStack();
  }

  #traceAllocations(): AllocTrace {
    const { heap, allocator } = this;
    const trace = new AllocTrace(heap, () => this.#currentStack());
    this.sweeper.trace = trace;
    heap.describe = (p) => trace.describe(p);
    // The trace hears of what the memory profile samples: everything.
    const { sampleMalloc } = allocator.hooks;
    allocator.hooks.sampleMalloc = (addr, size) => {
      trace.allocated(addr);
      sampleMalloc(addr, size);
    };
    allocator.setMemProfileRate(1);
    return trace;
  }

  #runFinalizers(): void {
    try {
      this.finalizers.run(this.#options.onFinalizerPanic);
    } finally {
      // One has thrown: what is queued behind it has its turn, and only the first in a queue wakes.
      if (this.finalizers.queued > 0) this.#world.ready(() => this.#runFinalizers());
    }
  }

  /**
   * A sweep that somebody else asks for: an error in it ends the collector as one in its own sweeps does. Arguments are
   * numbers, two at most: allocations come through here, and a list of them would be an object.
   */
  #sweeps<R>(f: (a: number, b: number) => R): (a: number, b?: number) => R {
    return (a, b = 0) => {
      let result: R;
      try {
        result = f(a, b);
      } catch (err) {
        this.#fail(err);
      }
      // Outside of an allocation, as for a finalizer that is set, there is no operation whose end to wait for.
      if (this.#noted && this.allocator.idle && !this.#guard.busy) this.#tellOrFail();
      return result;
    };
  }

  /** In the middle of a sweep: there is something for #tell. */
  #note(): void {
    this.#noted = true;
    if (!this.allocator.idle) this.allocator.deferReport();
  }

  #tellOrFail(): void {
    try {
      this.#tell();
    } catch (err) {
      this.#fail(err);
    }
  }

  /** Passes on what sweeps have noted. No operation is in progress. */
  #tell(): void {
    if (!this.#noted) return;
    this.#noted = false;
    const guard = this.#guard;
    const { busy } = guard;
    guard.busy = true;
    try {
      this.sweeper.takeFreed(this.#freeProfile);
      const wake = this.#wakeNoted;
      this.#wakeNoted = false;
      const pagesPerByte = this.sweeper.takeDone();
      if (pagesPerByte >= 0) this.#sweepDone(pagesPerByte);
      if (wake && this.finalizers.queued > 0) this.#world.ready(() => this.#runFinalizers());
    } finally {
      guard.busy = busy;
    }
  }

  /** Enters the collector, from outside of the collector and of the allocator. */
  #enter(call: string): void {
    if (!this.#guard.busy) this.allocator.mustBeIdle(call);
    this.#guard.enter(call);
  }

  /** An error has come out of the collector's work: ends it, but for a refused stop. The world runs again. */
  #fail(err: unknown): never {
    if (this.#stops.takeRefusal(err)) this.#guard.busy = false;
    else {
      this.#guard.shutOver(err);
      this.#cycle.requested = false;
      this.heap.phase = GC_OFF;
      this.heap.trigger = Number.POSITIVE_INFINITY;
    }
    this.#stops.end();
    throw err;
  }

  // --- roots and stores

  /** Registers pointer slots outside of the heap as roots; the function it returns undoes it. */
  addGlobals(lo: Addr, hi: Addr): () => void {
    return this.roots.addGlobals(lo, hi);
  }

  /** Sets how the goroutines' root slots are found; called with the world stopped. */
  setStackRoots(stacks: StackRoots): void {
    this.roots.stacks = stacks;
  }

  /** Stores ptr into a pointer slot of the heap, of a global or of a ref, with the write barrier. */
  storePointer(slot: number, ptr: number): void {
    this.barrier.storePointer(slot, ptr);
  }

  // --- when to collect

  /** GOGC: heap growth between collections in percent of what is live; negative is off. Gives the value before. */
  setGCPercent(percent: number): number {
    const before = this.#controller.gcPercent;
    this.#controller.gcPercent = percent;
    this.#commit();
    return before;
  }

  /** The soft memory limit in bytes; negative only asks. Gives the value before. */
  setMemoryLimit(limit: number | bigint): bigint {
    const before = this.#controller.memoryLimit;
    if (limit >= 0) {
      this.#controller.memoryLimit = limit;
      this.#commit();
    }
    return before;
  }

  get gcPercent(): number {
    return this.#controller.gcPercent;
  }

  /** The heap size that the collector aims at: MemStats.NextGC, exact above 2^53 too. */
  nextGC(): bigint {
    return this.#controller.nextGC();
  }

  /** Whether a cycle is wanted. */
  get gcRequested(): boolean {
    return this.#cycle.requested;
  }

  /** Computes goal and trigger anew. */
  #commit(): void {
    const { heap } = this;
    this.#controller.commit();
    if (this.#cycle.marking) this.#cycle.goal = heap.heapGoal;
    else if (!this.#guard.shut)
      heap.trigger = this.gcRequested ? heap.heapLive + WATCH_BYTES : this.#controller.trigger;
  }

  /** Asks for a collection at the next safepoint. */
  requestGC(): void {
    if (this.#guard.shut) return;
    if (!this.gcRequested) {
      this.#cycle.requested = true;
      // Further calls are for the watch alone.
      if (!this.marking) this.heap.trigger = this.heap.heapLive + WATCH_BYTES;
    }
    this.#onRequest();
  }

  /**
   * Asks for a collection if the last one was over two minutes ago: to be called now and then by a timer. A program
   * that never collected is left alone, as in Go. True if it asked.
   */
  forceIfStale(): boolean {
    if (this.record.numGC === 0 || this.marking || this.gcRequested || this.#controller.gcPercent < 0)
      return false;
    if (this.#clock.nanotime() - this.#controller.lastEnd < FORCE_PERIOD_NS) return false;
    this.#reports.forced();
    this.requestGC();
    return true;
  }

  /** heapLive has reached the trigger; while marking the trigger is 0, so every slow allocation comes here. */
  #allocationHook(addr: Addr): void {
    if (this.#guard.busy) return;
    const { heap } = this;
    if (this.marking || this.gcRequested) this.#watch.allocation(heap.heapLive);
    if (this.marking) this.#assist();
    else if (this.gcRequested) heap.trigger = heap.heapLive + WATCH_BYTES;
    else {
      // The limit goal moves without us.
      this.#commit();
      if (heap.heapLive < heap.trigger) return;
      if (this.#controller.limited(this.#clock.nanotime())) {
        heap.trigger = heap.heapLive + LIMITED_STEP;
        return;
      }
      this.requestGC();
    }
    // A cycle that runs has no other safepoint to go on, and to end, at.
    if (this.#options.allocationSafepoints && (this.gcRequested || this.marking)) {
      const root = this.refs.alloc(addr);
      this.pollSafepoint();
      this.refs.free(root);
    }
  }

  /** The allocator tries once more after true, so it gets all that there is to get. */
  #outOfMemory(): boolean {
    const guard = this.#guard;
    if (guard.busy || guard.shut) return false;
    guard.busy = true;
    try {
      if (!this.#options.allocationSafepoints) {
        // While a cycle marks, nothing is left to sweep.
        const swept = this.sweeper.sweepAll();
        this.#tell();
        return swept;
      }
      // What has become garbage since a cycle began is the next one's.
      if (this.marking) this.#runner.finishMarking();
      this.#runner.collect(false, true);
      return true;
    } catch (err) {
      this.#fail(err);
    } finally {
      guard.busy = false;
    }
  }

  // --- running a cycle

  /** Whether a cycle is marking. */
  get marking(): boolean {
    return this.#cycle.marking;
  }

  /** The times of the cycle that is marking, which the record will have when it ends; null outside of one. */
  get runningCycle(): Readonly<Cycle> | null {
    return this.marking ? this.#cycle : null;
  }

  /**
   * A full collection, with all of its sweeping: what runtime.GC does. A safepoint. With `forced` false it is not
   * counted as one that the program has forced.
   *
   * @throws TypeError from within the collector
   * @throws FatalError when a fatal error has ended the collector, as all calls at safepoints do
   * @throws what a callback has thrown since the last safepoint, when all is done, as all calls at safepoints do
   */
  gc(forced = true): void {
    this.#enter("gc()");
    try {
      if (this.marking) this.#runner.finishMarking();
      this.#runner.collect(forced, true);
    } catch (err) {
      this.#fail(err);
    }
    this.#guard.leave();
  }

  /**
   * To be called at safepoints: starts a collection that is wanted and does the next slice of the one that runs. Cheap
   * if there is nothing to do. Any raw pointer may be invalid afterwards.
   */
  pollSafepoint(): void {
    if (this.#guard.busy) return;
    this.#enter("pollSafepoint()");
    this.#watch.safepoint();
    try {
      if (this.godebug.gcstress !== 0) {
        if (this.marking) this.#runner.finishMarking();
        this.#runner.collect(false, true);
      } else {
        this.#runner.slice();
        this.#tell();
        if (this.marking || this.gcRequested || !this.sweeper.done) this.#onRequest();
      }
    } catch (err) {
      this.#fail(err);
    }
    this.#guard.leave();
  }

  /**
   * To be called when no goroutine can run: a slice without regard to the collector's share. False: nothing to do, or a
   * fatal error has ended the collector.
   */
  idleWork(): boolean {
    const guard = this.#guard;
    if (guard.busy || guard.shut) return false;
    this.allocator.mustBeIdle("idleWork()");
    guard.busy = true;
    this.#watch.safepoint();
    try {
      if (this.marking) this.#runner.background(true);
      else if (!this.sweeper.done) this.#runner.backgroundSweep();
      this.#tell();
    } catch (err) {
      this.#fail(err);
    }
    guard.leave();
    return this.marking || !this.sweeper.done;
  }

  /**
   * Advances by one bounded step and says which: for tests and debuggers, which choose what happens in between. The
   * caller is at a safepoint. `idle` means that no cycle is wanted and all is swept.
   */
  step(budget = DRAIN_BYTES): CycleStep {
    this.#enter("step()");
    let did: CycleStep;
    try {
      did = this.#runner.step(budget);
      this.#tell();
    } catch (err) {
      this.#fail(err);
    }
    this.#guard.leave();
    return did;
  }

  /** Starts a concurrent cycle: steps 1 and 2. The caller is at a safepoint. */
  start(forced = false): void {
    if (this.marking && !this.#guard.busy && !this.#guard.shut)
      throw new TypeError("gc: start() called while a cycle runs");
    this.#enter("start()");
    try {
      this.#runner.begin(forced, false);
    } catch (err) {
      this.#fail(err);
    }
    this.#guard.leave();
  }

  /** In an allocation while a cycle marks. */
  #assist(): void {
    const guard = this.#guard;
    guard.busy = true;
    let paid: boolean;
    try {
      paid = this.#work.assist(this.#cycle);
    } catch (err) {
      this.#fail(err);
    }
    guard.busy = false;
    if (paid) this.#onRequest();
  }

  #sweepDone(pagesPerByte: number): void {
    // The floor that sweeping had put under goal and trigger is gone.
    this.#commit();
    this.#events.sweepDone(this.record.numGC);
    this.#reports.sweepDone(pagesPerByte, this.#state.sweep.startLive);
  }

  /** Fills out, without allocating but for its bigints. */
  readGCStats(out: GCStats = newGCStats()): GCStats {
    this.record.read(out);
    out.nextGC = this.nextGC();
    out.heapLive = this.heap.heapLive;
    out.heapMarked = this.heap.heapMarked;
    return out;
  }
}

/** Makes the collector of an allocator's heap. An allocator has one at most: it takes over the hooks. */
export function createCollector(allocator: Allocator, options: CollectorOptions = {}): Collector {
  return new Collector(allocator, options);
}
