/**
 * Go's garbage collector, over the allocator's heap.
 *
 * It is non-moving, precise (types and pointer bitmaps say where pointers are), tri-colour, mark and sweep, with Go's
 * hybrid write barrier. The program runs between its steps. gc-state.ts says which part of its state lies in linear
 * memory, where every thread finds it, and which part belongs to one thread.
 *
 * ## A cycle
 * 1. *Sweep termination.* The collector sweeps the rest of the last cycle's garbage.
 * 2. *Stop.* It empties the mcaches, so every new object comes from a run that is marked as a whole (allocate black).
 *    The phase becomes 1 (mark): the write barrier is on. It scans globals, stacks and the finalizer queue.
 * 3. *Mark*, while the program runs. Work is done in bounded slices: in the background at safepoints, for a quarter of
 *    the time; by goroutines that allocate faster than the background marks (assists); and in idle time.
 * 4. *Stop: mark termination.* When no object is grey, at a safepoint: phase 2, then 0; the barrier is off. The marked
 *    heap is the live heap. The pacer says when the next cycle starts.
 * 5. *Sweep*, while the program runs. A change of sweepgen makes every span unswept. Spans are swept when the allocator
 *    wants to allocate from them, in proportion to allocation, and in the background (mgcsweep.ts).
 *
 * gc-cycle.ts has these steps. This file has the entries of the collector, the triggers and the handling of errors.
 *
 * ## Several threads
 * Each thread has a collector over the same state. That of the thread that has made it, the *driver*, begins and ends
 * the cycles; world.ts says how the program connects the threads.
 *
 *     the driver               steps 2 and 4, and the choice of their time (gc-cycle.ts)
 *     every thread             marks and sweeps in slices, pays assists, asks for cycles (gc-client.ts), shades stored
 *                              pointers, scans the stacks of its goroutines, runs its own finalizers
 *
 * Threads take work from each other (mark-share.ts). All marking is atomic then (mark-parallel.ts): the switch is
 * MHEAP.shared, which the driver's thread sets before a second thread comes. A heap that is not shared pays nothing.
 * gc-threads.ts has the records of the threads, gc-state.ts says who may touch what.
 *
 * ## Why JS locals need not be scanned
 * A raw pointer is valid until the goroutine's next safepoint. A pointer that has to live longer sits in a root. In
 * steps 2 and 4 every goroutine is at a safepoint. In between, a pointer in a local has one of two origins:
 *
 * - It was loaded from something that was reachable when marking began. Then the object is or will be marked (deletion
 *   barrier).
 * - The object is new, thus black.
 *
 * An object that is unreachable at the stop that ends marking cannot become reachable again. Marking itself frees
 * nothing, so it may run in an allocation, which is not a safepoint.
 *
 * ## Who may touch what
 * A sweep runs in the middle of an allocation; no other code of the collector does (see the allocator's hooks.ts). An
 * assist runs at the end of an allocation. A sweep only notes its events: all is swept, a finalizer is due, a sampled
 * object is gone. When the allocation has ended, #tell passes them on; outside of an allocation it does so at once. So
 * goals and triggers are computed, and callbacks of the program run, outside of every operation of the allocator. #tell
 * keeps the guard busy: a collection there would free the object that the allocation is about to return. Every entry of
 * the collector refuses a call from within an allocation.
 *
 * The collector owns GCCONTROL. Allocation counts heapLive; the end of marking sets it to the live bytes. Marking
 * writes mark bits; so does the allocator for the runs that it takes while marking is on. At other times the sweeper of
 * the span writes them. The collector writes its figures in a stop, or on the driver's thread.
 *
 * ## Modes
 * `gcstoptheworld=1`: steps 2 to 4 are one stop. `gcstoptheworld=2`: step 5 is part of it too. `gc()` does what a
 * caller of runtime.GC expects: when it returns, all garbage that existed at the call is freed. On one thread the
 * goroutine that calls gc() keeps all others waiting. So its marking is one stop, and is counted as one. With several
 * threads the others go on while its thread marks.
 *
 * Rejected: a collection inside of an allocation (the raw pointers of all callers up the stack would be lost);
 * reference counts (rings; a count for each store); moving (every raw pointer would move).
 *
 * Sources: Go's runtime/mgc.go; Dijkstra et al. 1978 (on-the-fly collection); Yuasa 1990 (snapshot at the beginning);
 * Hudson and Moss 2003; Jones, Hosking, Moss: The Garbage Collection Handbook.
 */

import type { Allocator } from "@gort/allocator";
import type { Addr } from "@gort/memory";
import type { AllocTrace } from "./alloc-trace.ts";
import { CollectorParts } from "./collector-parts.ts";
import { CollectorThreads } from "./collector-threads.ts";
import type { Cycle, GCController } from "./gc-controller.ts";
import type { CycleStep, CycleWork } from "./gc-cycle.ts";
import { type GCRecord, type GCStats, newGCStats } from "./gc-stats.ts";
import type { Godebug } from "./godebug.ts";
import { GC_OFF, type GCHeap } from "./heap.ts";
import type { Roots, StackRoots } from "./mark-roots.ts";
import { DRAIN_BYTES, type MarkSlices } from "./mark-slices.ts";
import type { WriteBarrier } from "./mbarrier.ts";
import type { Finalizers } from "./mfinal.ts";
import type { Marker } from "./mgcmark.ts";
import type { Sweeper } from "./mgcsweep.ts";
import type { ReentrancyGuard } from "./reentrancy-guard.ts";
import type { RefTable } from "./ref-table.ts";
import { WATCH_BYTES } from "./safepoint-watch.ts";
import type { CycleState } from "./state-views.ts";
import type { CollectorOptions } from "./world.ts";

/** Longest time without a collection, as in Go. */
const FORCE_PERIOD_NS = 120e9;

/**
 * A program over its memory limit, which has not had its share of time yet, may allocate this many bytes before the
 * limiter looks at the clock again.
 */
const LIMITED_STEP = 256 << 10;

export class Collector {
  readonly allocator: Allocator;
  readonly refs: RefTable;
  readonly finalizers: Finalizers;
  readonly barrier: WriteBarrier;
  /** The debug switches. They may change while no cycle runs. */
  readonly godebug: Godebug;
  /** The parts, for tests and siblings. */
  readonly heap: GCHeap;
  readonly marker: Marker;
  readonly sweeper: Sweeper;
  readonly roots: Roots;
  /** Under allocfreetrace: the stacks of allocations and frees. */
  readonly trace: AllocTrace | null;
  /** The figures of past cycles. */
  readonly record: GCRecord;
  /** This collector among those of other threads: what the world calls. */
  readonly threads: CollectorThreads;
  /**
   * Number of this thread's collector, 0 for the driver's. No two collectors of a memory ever have the same one. A
   * special of the kind SPECIAL_PROFILE has it as its second word.
   */
  readonly id: number;

  readonly #parts: CollectorParts;
  readonly #controller: GCController;
  readonly #work: MarkSlices;
  readonly #guard: ReentrancyGuard;
  /** What this thread does for a cycle: it drives cycles, or takes part in those of the driver. */
  readonly #runner: CycleWork;
  /** What all threads share, with the times of this thread. */
  readonly #cycle: CycleState;
  /** The last cycle whose end this thread has told its callbacks. */
  #toldCycle: number;

  /** @param attached another thread has made the collector, and drives it */
  constructor(allocator: Allocator, options: CollectorOptions = {}, attached = false) {
    const parts = new CollectorParts(allocator, options, attached);
    this.#parts = parts;
    this.allocator = allocator;
    this.godebug = parts.godebug;
    this.heap = parts.heap;
    this.marker = parts.marker;
    this.barrier = parts.barrier;
    this.refs = parts.refs;
    this.finalizers = parts.finalizers;
    this.roots = parts.roots;
    this.sweeper = parts.sweeper;
    this.trace = parts.trace;
    this.record = parts.record;
    this.threads = new CollectorThreads(parts, () => this.#tell());
    this.id = parts.id;
    this.#guard = parts.guard;
    this.#controller = parts.controller;
    this.#work = parts.work;
    this.#cycle = parts.cycle;
    this.#toldCycle = this.record.numGC;
    const tell = (): void => this.#tell();
    const commit = (): void => this.#commit();
    this.#runner = parts.makeRunner(tell, commit);
    parts.bindNotes(commit);
    this.marker.onFallback = (err) => parts.reports.fallback(err, options.marker === "wasm");
    this.#setHooks();
    if (attached) return;
    // A heap that was in use before had no collector, so all of its spans are swept.
    this.heap.phase = GC_OFF;
    this.heap.heapMarked = 0;
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
    this.#parts.host.ensureSwept = this.#sweeps((span) => this.sweeper.ensureSwept(span));
  }

  /**
   * Wraps a sweep that another part asks for: an error in it ends the collector, as an error in the collector's own
   * sweeps does. The arguments are numbers, two at most: allocations call this, and an argument list would be an
   * object.
   */
  #sweeps<R>(f: (a: number, b: number) => R): (a: number, b?: number) => R {
    return (a, b = 0) => {
      let result: R;
      try {
        result = f(a, b);
      } catch (err) {
        this.#fail(err);
      }
      // Outside of an allocation, as when a finalizer is set, no operation is there whose end would call #tell.
      if (this.#parts.notes.any && this.allocator.idle && !this.#guard.busy) this.#tellOrFail();
      return result;
    };
  }

  #tellOrFail(): void {
    try {
      this.#tell();
    } catch (err) {
      this.#fail(err);
    }
  }

  /** Passes on the notes of sweeps. No operation of the allocator is in progress. */
  #tell(): void {
    const guard = this.#guard;
    const { busy } = guard;
    guard.busy = true;
    try {
      this.#parts.notes.tell();
    } finally {
      guard.busy = busy;
    }
  }

  /** Enters the collector. The caller must be outside of the collector and of the allocator. */
  #enter(call: string): void {
    if (!this.#guard.busy) this.allocator.mustBeIdle(call);
    this.#guard.enter(call);
  }

  /**
   * Handles an error out of the collector's work: it ends the collector, unless the world has thrown it (Stops). The
   * world runs again.
   */
  #fail(err: unknown): never {
    const { stops } = this.#parts;
    if (stops.takeThrown(err)) this.#guard.busy = false;
    else {
      this.#guard.shutOver(err);
      this.#cycle.requested = false;
      this.heap.phase = GC_OFF;
      this.heap.trigger = Number.POSITIVE_INFINITY;
    }
    if (this.#parts.driver) stops.end();
    throw err;
  }

  // --- roots and stores

  /** Registers pointer slots outside of the heap as roots; the function it returns undoes it. */
  addGlobals(lo: Addr, hi: Addr): () => void {
    return this.roots.addGlobals(lo, hi);
  }

  /** Sets how the root slots of this thread's goroutines are found. The world is stopped. */
  setStackRoots(stacks: StackRoots): void {
    this.roots.stacks = stacks;
  }

  /** Stores ptr into a pointer slot of the heap, of a global or of a ref, with the write barrier. */
  storePointer(slot: number, ptr: number): void {
    this.barrier.storePointer(slot, ptr);
  }

  // --- when to collect

  /**
   * Sets GOGC: heap growth between collections in percent of the live heap; negative is off. Returns the previous
   * value.
   */
  setGCPercent(percent: number): number {
    const before = this.#controller.gcPercent;
    this.#controller.gcPercent = percent;
    this.#commit();
    return before;
  }

  /** Sets the soft memory limit in bytes; a negative limit changes nothing. Returns the previous value. */
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

  /** Recomputes goal and trigger. */
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
      // With this trigger the allocation hook is called again only for the safepoint watch.
      if (!this.marking) this.heap.trigger = this.heap.heapLive + WATCH_BYTES;
    }
    this.#parts.requested();
  }

  /**
   * Asks for a collection if the last one was over two minutes ago; a timer may call it. Like Go, it leaves a program
   * alone that never collected. Returns whether it asked.
   */
  forceIfStale(): boolean {
    if (this.record.numGC === 0 || this.marking || this.gcRequested || this.#controller.gcPercent < 0)
      return false;
    const { clock, reports } = this.#parts;
    if (clock.nanotime() - this.#controller.lastEnd < FORCE_PERIOD_NS) return false;
    reports.forced();
    this.requestGC();
    return true;
  }

  /**
   * Called when heapLive has reached the trigger. While marking the trigger is 0, so every slow allocation comes here.
   */
  #allocationHook(addr: Addr): void {
    if (this.#guard.busy) return;
    const { heap } = this;
    if (this.marking || this.gcRequested) this.#parts.watch.allocation(heap.heapLive);
    if (this.marking) this.#assist();
    else if (this.gcRequested) heap.trigger = heap.heapLive + WATCH_BYTES;
    else {
      // The limit goal moves with mapped memory, without a call of the collector.
      this.#commit();
      if (heap.heapLive < heap.trigger) return;
      if (this.#controller.limited(this.#parts.clock.nanotime())) {
        heap.trigger = heap.heapLive + LIMITED_STEP;
        return;
      }
      this.requestGC();
    }
    // Without this, a running cycle would have no safepoint at which to go on and to end.
    if (this.#parts.options.allocationSafepoints && (this.gcRequested || this.marking)) {
      const root = this.refs.alloc(addr);
      this.pollSafepoint();
      this.refs.free(root);
    }
  }

  /** Frees all that it can: after true the allocator tries once more, and only once. */
  #outOfMemory(): boolean {
    const guard = this.#guard;
    if (guard.busy || guard.shut) return false;
    guard.busy = true;
    try {
      if (!this.#parts.options.allocationSafepoints) {
        // While a cycle marks, nothing is left to sweep.
        const swept = this.sweeper.sweepAll();
        this.#tell();
        return swept;
      }
      // Objects that became garbage since the cycle began are freed by the next cycle.
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

  /** The times of the cycle that marks, which go into the record when it ends; null outside of a cycle. */
  get runningCycle(): Readonly<Cycle> | null {
    return this.marking ? this.#cycle : null;
  }

  /**
   * Runs a full collection, with all of its sweeping, as runtime.GC does. It is a safepoint. With `forced` false the
   * cycle is not counted as one that the program has forced.
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
   * Call this at safepoints: it starts a wanted collection and does the next slice of a running one. It is cheap if
   * there is nothing to do. Any raw pointer may be invalid afterwards.
   */
  pollSafepoint(): void {
    if (this.#guard.busy) return;
    this.#enter("pollSafepoint()");
    this.#parts.watch.safepoint();
    try {
      if (this.godebug.gcstress !== 0) {
        if (this.marking) this.#runner.finishMarking();
        this.#runner.collect(false, true);
      } else {
        this.#runner.slice();
        this.#tell();
        this.#cycleEnded();
        if (this.marking || this.gcRequested || !this.sweeper.done) this.#parts.onRequest();
      }
    } catch (err) {
      this.#fail(err);
    }
    this.#guard.leave();
  }

  /**
   * Call this when no goroutine can run: it does a slice without regard to the collector's share of time. False: there
   * is nothing to do, or a fatal error has ended the collector.
   */
  idleWork(): boolean {
    const guard = this.#guard;
    if (guard.busy || guard.shut) return false;
    this.allocator.mustBeIdle("idleWork()");
    guard.busy = true;
    this.#parts.watch.safepoint();
    let more: boolean;
    try {
      more = this.#runner.idle();
      this.#tell();
      this.#cycleEnded();
    } catch (err) {
      this.#fail(err);
    }
    guard.leave();
    return more;
  }

  /**
   * Advances by one bounded step and returns which. Tests and debuggers use it, to choose what happens in between. The
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

  /** Called in an allocation while a cycle marks. */
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
    if (paid) this.#parts.onRequest();
  }

  /** A thread that does not end cycles itself learns here that one has ended. */
  #cycleEnded(): void {
    if (this.#parts.driver || this.marking) return;
    const { numGC } = this.record;
    if (numGC === this.#toldCycle) return;
    this.#toldCycle = numGC;
    this.#parts.events.markDone(numGC);
  }

  /** Fills out. It allocates nothing but the bigints. */
  readGCStats(out: GCStats = newGCStats()): GCStats {
    this.record.read(out);
    out.nextGC = this.nextGC();
    out.heapLive = this.heap.heapLive;
    out.heapMarked = this.heap.heapMarked;
    return out;
  }
}

/** Makes the collector of an allocator's heap. An allocator has at most one: the collector takes over the hooks. */
export function createCollector(allocator: Allocator, options: CollectorOptions = {}): Collector {
  return new Collector(allocator, options);
}

/**
 * Makes the collector of another thread of the heap, whose allocator is attached to the memory. `options.world.threads`
 * is required; "Wiring of several threads" in world.ts says what the world does. The settings gogc and memoryLimit are
 * those of the heap. Before the thread ends, it calls `collector.threads.close()`.
 *
 * @throws TypeError if the memory has no collector, or if the world does not say which thread this is
 */
export function attachCollector(allocator: Allocator, options: CollectorOptions): Collector {
  return new Collector(allocator, options, true);
}
