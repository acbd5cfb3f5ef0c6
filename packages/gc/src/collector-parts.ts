/**
 * The parts of a thread's collector, built each from those before it. Those that lie in linear memory are made by the
 * driver; a thread that attaches finds them.
 */
import type { Allocator } from "@gort/allocator";
import { show } from "@gort/base";
import type { Addr } from "@gort/memory";
import { AllocTrace, hostStack, whoHolds } from "./alloc-trace.ts";
import { type Clock, systemClock } from "./clock.ts";
import { CycleClient } from "./gc-client.ts";
import { GCController } from "./gc-controller.ts";
import { CycleRunner, type CycleWork, Stops } from "./gc-cycle.ts";
import { CycleReports } from "./gc-report.ts";
import { GCState } from "./gc-state.ts";
import { GCRecord } from "./gc-stats.ts";
import { claimThread, driverThread, GCTHREAD_AT, notifyThread } from "./gc-threads.ts";
import { type Godebug, parseGodebug } from "./godebug.ts";
import { GC_OFF, GCHeap } from "./heap.ts";
import { Roots } from "./mark-roots.ts";
import { MarkSlices } from "./mark-slices.ts";
import { WriteBarrier } from "./mbarrier.ts";
import { Finalizers } from "./mfinal.ts";
import { Marker } from "./mgcmark.ts";
import { NO_MEMORY_LIMIT } from "./mgcpacer.ts";
import { Sweeper } from "./mgcsweep.ts";
import { ReentrancyGuard } from "./reentrancy-guard.ts";
import { RefTable } from "./ref-table.ts";
import { SafepointWatch } from "./safepoint-watch.ts";
import type { CycleState } from "./state-views.ts";
import { SweepNotes } from "./sweep-notes.ts";
import { ThreadCycle, ThreadTimes } from "./thread-times.ts";
import type { CollectorEvents, CollectorOptions, World } from "./world.ts";

const soloWorld: World = {
  stopTheWorld() {},
  startTheWorld() {},
  gomaxprocs: () => 1,
  ready: (fn) => queueMicrotask(fn),
};

/** What ref slots and finalizers ask of the collector. */
export interface PartsHost {
  readonly marking: boolean;
  shade(p: number): void;
  scanFinalizerObject(base: number): void;
  /** Set by the collector: an error in the sweep ends it. */
  ensureSwept: (span: number) => void;
  wake(): void;
  notify(thread: number): void;
}

export class CollectorParts {
  readonly allocator: Allocator;
  readonly options: CollectorOptions;
  readonly world: World;
  readonly clock: Clock;
  readonly godebug: Godebug;
  /** Whether this thread begins and ends cycles. */
  readonly driver: boolean;
  /** Address of this thread's GCTHREAD, and its id. */
  readonly thread: number;
  readonly id: number;
  readonly state: GCState;
  readonly cycle: CycleState;
  readonly guard: ReentrancyGuard;
  readonly record: GCRecord;
  readonly events: Required<CollectorEvents>;
  readonly onRequest: () => void;
  readonly heap: GCHeap;
  readonly marker: Marker;
  readonly barrier: WriteBarrier;
  readonly host: PartsHost;
  readonly refs: RefTable;
  readonly finalizers: Finalizers;
  readonly roots: Roots;
  readonly notes = new SweepNotes();
  readonly sweeper: Sweeper;
  readonly trace: AllocTrace | null;
  readonly controller: GCController;
  readonly work: MarkSlices;
  readonly watch: SafepointWatch;
  readonly reports: CycleReports;
  readonly stops: Stops;
  /** nanotime when the collector was made. */
  readonly #startNs: number;

  constructor(allocator: Allocator, options: CollectorOptions, attached: boolean) {
    const { mem } = allocator;
    this.allocator = allocator;
    this.options = options;
    this.world = options.world ?? soloWorld;
    this.clock = options.clock ?? systemClock;
    this.godebug =
      typeof options.godebug === "string"
        ? parseGodebug(options.godebug)
        : { ...parseGodebug(), ...options.godebug };
    this.driver = !attached;
    const heap = new GCHeap(allocator);
    this.heap = heap;
    this.state = attached ? attachState(heap, this.world) : GCState.create(mem);
    this.thread = attached
      ? claimThread(mem, this.world.threads?.id ?? 0, options.dedicated === true)
      : driverThread(mem);
    // A cycle may run already, and may wait for this thread.
    if (attached) mem.u32[(this.thread + GCTHREAD_AT.notified) >>> 2] = 1;
    this.id = mem.u32[(this.thread + GCTHREAD_AT.id) >>> 2];
    this.cycle = attached ? new ThreadCycle(mem, this.state.cycleBase, this.thread) : this.state.cycle;
    const guard = new ReentrancyGuard(this.cycle);
    this.guard = guard;
    this.record = (attached ? GCRecord.attach(mem) : null) ?? new GCRecord(mem);
    this.#startNs = this.clock.nanotime();
    const { events } = options;
    this.events = {
      gcStart: guard.quiet(events?.gcStart?.bind(events)),
      markDone: guard.quiet(events?.markDone?.bind(events)),
      sweepDone: guard.quiet(events?.sweepDone?.bind(events)),
    };
    this.onRequest = guard.quiet(options.onRequest);

    this.marker = new Marker(heap, options.marker);
    mem.u32[(this.thread + GCTHREAD_AT.work) >>> 2] = this.marker.work;
    this.barrier = new WriteBarrier(heap, this.marker.js, this.marker.atomic);
    this.host = this.#makeHost();
    this.refs = new RefTable(mem, this.host, this.thread);
    this.finalizers = new Finalizers(heap, this.host, this.record, this.thread);
    this.roots = new Roots(heap, this.refs, this.finalizers, this.state.roots);
    const { notes } = this;
    this.sweeper = new Sweeper(heap, this.finalizers, this.state.sweep, () => notes.note(), {
      id: this.id,
      thread: this.thread,
      notify: (t) => notes.notify(t),
    });
    this.sweeper.whoHolds = (base) => whoHolds(heap, this.roots, base);
    // The records of a trace are values of one thread. It traces what that thread allocates and sweeps.
    this.trace = !attached && this.godebug.allocfreetrace !== 0 ? this.#traceAllocations() : null;
    const gogc = options.gogc === undefined ? 100 : options.gogc;
    const limit = options.memoryLimit === undefined ? NO_MEMORY_LIMIT : options.memoryLimit;
    const settings: [gogc?: number, limit?: number | bigint] = attached ? [] : [gogc, limit];
    const { sweeper, record } = this;
    this.controller = new GCController(heap, record, sweeper, this.state.pacer, ...settings);
    const interrupted = (): boolean => this.world.threads?.pending === true;
    const { marker, roots, controller, clock } = this;
    this.work = new MarkSlices(heap, marker, roots, controller, clock, this.state.assist, interrupted);
    const stderr = guard.quiet(options.stderr ?? ((text: string) => console.error(text.replace(/\n$/, ""))));
    this.watch = new SafepointWatch(clock, () => this.currentStack(), stderr);
    const figures = { heap, marker, roots, record };
    this.reports = new CycleReports(this.godebug, stderr, figures, this.#startNs);
    this.stops = new Stops(this.world, this.cycle);
  }

  #makeHost(): PartsHost {
    const { marker, heap, notes } = this;
    return {
      get marking(): boolean {
        return heap.phase !== GC_OFF;
      },
      shade: (p) => marker.shade(p),
      scanFinalizerObject: (base) => {
        const { allocator } = heap;
        // An object with a header begins behind it; its slot begins at the header.
        marker.scanFinalizerObject(allocator.findObject(base as Addr));
      },
      ensureSwept: () => {},
      wake: () => notes.wake(),
      notify: (t) => {
        notes.notify(t);
      },
    };
  }

  currentStack(): string {
    return this.world.currentStack?.() ?? hostStack();
  }

  #traceAllocations(): AllocTrace {
    const { heap, allocator } = this;
    const trace = new AllocTrace(heap, () => this.currentStack());
    this.sweeper.trace = trace;
    heap.describe = (p) => trace.describe(p);
    // With rate 1 the memory profile samples every object, so the trace sees every allocation.
    const { sampleMalloc } = allocator.hooks;
    allocator.hooks.sampleMalloc = (addr, size) => {
      trace.allocated(addr);
      sampleMalloc(addr, size);
    };
    allocator.setMemProfileRate(1);
    return trace;
  }

  /** What this thread does for a cycle. */
  makeRunner(tell: () => void, commit: () => void): CycleWork {
    const { heap, marker, roots, sweeper, work, controller, record, reports, watch, finalizers } = this;
    const { events, stops, clock, godebug, cycle, thread } = this;
    if (!this.driver) {
      const notifyDriver = (): void => this.notifyDriver();
      return new CycleClient({ heap, sweeper, work, clock, cycle, stops, thread, tell, notifyDriver });
    }
    return new CycleRunner({
      heap,
      marker,
      roots,
      sweeper,
      work,
      controller,
      record,
      reports,
      watch,
      events,
      stops,
      clock,
      godebug,
      cycle,
      finalizers,
      sweep: this.state.sweep,
      threadTimes: new ThreadTimes(heap.mem),
      startNs: this.#startNs,
      tell,
      takeSamples: () => this.notes.takeSamples(),
      commit,
    });
  }

  /** Says what becomes of the notes of sweeps. */
  bindNotes(commit: () => void): void {
    const { allocator, sweeper, finalizers, cycle, driver, guard, world } = this;
    this.notes.bind({
      allocator,
      sweeper,
      finalizers,
      cycle,
      driver,
      sweep: this.state.sweep,
      get threads() {
        return world.threads;
      },
      freeProfile: guard.quiet(this.options.freeProfile),
      ready: () => this.readyFinalizers(),
      commit,
      sweepDone: (pagesPerByte) => {
        this.events.sweepDone(this.record.numGC);
        this.reports.sweepDone(pagesPerByte, this.state.sweep.startLive);
      },
    });
  }

  /** A cycle is wanted: the driver begins it at its next safepoint. */
  requested(): void {
    if (!this.driver) this.notifyDriver();
    this.onRequest();
  }

  /** Has the driver look at its collector. */
  notifyDriver(): void {
    const { threads } = this.world;
    const { mem } = this.allocator;
    if (threads !== undefined) notifyThread(mem, threads, driverThread(mem));
  }

  /** Has the queued finalizers of this thread run soon. */
  readyFinalizers(): void {
    this.world.ready(() => this.#runFinalizers());
  }

  #runFinalizers(): void {
    try {
      this.finalizers.run(this.options.onFinalizerPanic);
    } finally {
      // If one has thrown, the functions queued behind it still have to run: a queue calls wake for its first entry
      // only.
      if (this.finalizers.queued > 0) this.readyFinalizers();
    }
  }
}

/** The state of the collector that another thread has made. */
function attachState(heap: GCHeap, world: World): GCState {
  const state = GCState.attach(heap.mem);
  if (state === null || !heap.shared) {
    const lacks = state === null ? "without a collector" : "whose allocator is not shared";
    throw new TypeError(`gc: attachCollector needs the memory of a collector (got one ${lacks})`);
  }
  const id = world.threads?.id;
  if (id === undefined || !Number.isInteger(id) || id < 1) {
    throw new TypeError(
      `gc: attachCollector needs a world with this thread's number, above 0 (got ${show(id)})`,
    );
  }
  return state;
}
