/**
 * The steps of a cycle, which mgc.ts numbers, and the parts of the collector that they drive. The callers are the
 * entries of the collector: they refuse calls from within, and end the collector if a step throws.
 *
 * ## Several threads
 * This is the driver's part; gc-client.ts is that of the other threads.
 *
 * 1. *Stop "GC mark".* Each thread has emptied its mcache before it stopped (`prepareStop`). The driver resets marking
 *    and turns the barrier on. Then each other thread runs GC_SCAN_STACKS. If little is to be marked, the driver marks
 *    it at once and ends the cycle in the same stop: a second one would have every thread wait for the safepoints of
 *    the others again. From then on it is a cycle of one stop (CYCLE.stw).
 * 2. *Mark.* All threads mark in slices. The driver tries to end the cycle when no thread seems to have work.
 * 3. *Stop "GC mark termination".* The driver takes over what the stopped threads have in their hands, and marks for
 *    the time of a slice. If work is left then, the world starts again, and marking goes on. A barrier can leave an
 *    object of any size behind, so a stop may find any amount of work. Each try marks more, so the tries end.
 * 4. *Sweep*, by all threads.
 *
 * A *dedicated* thread (CollectorOptions.dedicated) runs no goroutines. While there is one, the driver's thread has no
 * slices: it stops the world twice a cycle, and assists if the program allocates faster than the thread marks.
 *
 * A collection that the driver's program asks for (`collect`) does not stop the other threads while it marks: the
 * driver marks all the time until it is done.
 */
import { FatalError, throwFatal } from "@gort/base";
import type { Clock } from "./clock.ts";
import type { GCController } from "./gc-controller.ts";
import type { CycleReports } from "./gc-report.ts";
import type { GCRecord } from "./gc-stats.ts";
import { clearRanges, forEachThread, hasDedicated, notifyWaiting } from "./gc-threads.ts";
import type { Godebug } from "./godebug.ts";
import { GC_MARK, GC_MARK_TERMINATION, GC_OFF, type GCHeap } from "./heap.ts";
import type { Roots } from "./mark-roots.ts";
import { DRAIN_BYTES, type MarkSlices, SLICE_NS } from "./mark-slices.ts";
import { checkMarks } from "./mcheckmark.ts";
import type { Finalizers } from "./mfinal.ts";
import type { Marker } from "./mgcmark.ts";
import type { Sweeper } from "./mgcsweep.ts";
import type { SafepointWatch } from "./safepoint-watch.ts";
import type { CycleState, SweepState } from "./state-views.ts";
import { sweepSlice } from "./sweep-slice.ts";
import type { ThreadTimes } from "./thread-times.ts";
import type { CollectorEvents, World, WorldThreads } from "./world.ts";

/** Commands of the driver to the other threads of a stopped world: argument of Collector.command. */
export const GC_SCAN_STACKS = 1;
export const GC_LIST_STACKS = 2;

/**
 * Bounds of marking in the stop that begins a cycle, in the scan work that the last cycle had, and in time. The work
 * takes about as long as a stop. A longer stop would keep processors idle that could mark or run goroutines.
 */
const AT_ONCE_BYTES = 64 << 10;
const AT_ONCE_NS = 50_000;
/** Bytes scanned there between two readings of the clock. */
const AT_ONCE_STEP = 8 << 10;

/**
 * How long a caller waits for the other threads to mark, before it stops the world all the same. A thread that has died
 * in a slice seems to have work for ever, and a stop finds it. Marking that takes longer has a stop more for each.
 */
const HELP_NS = 100_000_000;

/**
 * The collector's calls of the world that may throw: stops, and safepoints in the middle of a collection, where other
 * threads' nodes and commands come in. The collector makes them between two steps of its work. So an error of one of
 * them leaves the heap whole and passes to the caller of the collector; a running cycle goes on later.
 */
export class Stops {
  readonly #world: World;
  readonly #state: { stopped: boolean };
  /** This thread's: what the world has thrown. In an object, as undefined can be thrown too. */
  #thrown: { error: unknown } | null = null;

  constructor(world: World, state: { stopped: boolean }) {
    this.#world = world;
    this.#state = state;
  }

  gomaxprocs(): number {
    return this.#world.gomaxprocs();
  }

  /** The other threads; undefined: there are none. */
  get threads(): WorldThreads | undefined {
    return this.#world.threads;
  }

  /** Whether another thread wants something of this one. */
  get pending(): boolean {
    return this.#world.threads?.pending === true;
  }

  /** Does what other threads want of this one, at a safepoint. */
  poll(): void {
    if (this.pending) this.#call(() => this.#world.threads!.poll());
  }

  /** Blocks until done() is true: see WorldThreads.block. */
  block(done: () => boolean): void {
    this.#call(() => this.#world.threads!.block(done));
  }

  /** Stops the world. If another caller has it stopped already, the world throws: then nothing has happened. */
  stop(reason: string): void {
    this.#call(() => this.#world.stopTheWorld(reason));
    this.#state.stopped = true;
  }

  /** Refuses what needs other threads, if this thread has stopped the world: as `stop` does. */
  mustRun(): void {
    if (this.#world.threads?.stopping !== true) return;
    this.#call(() => {
      throw new FatalError("throw", "ERR_GORT_WORLD_STOPPED", "stopTheWorld: world is already stopped");
    });
  }

  #call(f: () => void): void {
    try {
      f();
    } catch (error) {
      this.#thrown = { error };
      throw error;
    }
  }

  start(): void {
    this.#state.stopped = false;
    this.#world.startTheWorld();
  }

  /** Starts the world if the collector has it stopped. */
  end(): void {
    if (this.#state.stopped) this.start();
  }

  /** Whether the error is that of a call of the world. It is forgotten then. */
  takeThrown(err: unknown): boolean {
    const thrown = this.#thrown;
    this.#thrown = null;
    return thrown !== null && thrown.error === err;
  }
}

/** What a step did. */
export type CycleStep = "start" | "mark" | "terminate" | "sweep" | "idle";

/** What a thread does for the cycle at the entries of its collector. */
export interface CycleWork {
  /** Runs a cycle that begins now, and its sweep if asked for. */
  collect(forced: boolean, sweep: boolean): void;
  /** Begins a cycle. */
  begin(forced: boolean, stw: boolean): void;
  /** Marks the running cycle to its end. */
  finishMarking(): void;
  /** Does the work of a safepoint. */
  slice(): void;
  /** Does a slice in idle time. False: this thread has nothing more to do, until it is notified. */
  idle(): boolean;
  /** Does one bounded step. */
  step(budget: number): CycleStep;
}

/** The parts that a cycle drives. */
export interface CycleParts {
  readonly heap: GCHeap;
  readonly marker: Marker;
  readonly roots: Roots;
  readonly sweeper: Sweeper;
  readonly work: MarkSlices;
  readonly controller: GCController;
  readonly record: GCRecord;
  readonly reports: CycleReports;
  readonly watch: SafepointWatch;
  readonly events: Required<CollectorEvents>;
  readonly stops: Stops;
  readonly clock: Clock;
  readonly godebug: Godebug;
  readonly cycle: CycleState;
  readonly sweep: SweepState;
  readonly finalizers: Finalizers;
  readonly threadTimes: ThreadTimes;
  /** nanotime when the collector was made, on this thread's clock. */
  readonly startNs: number;
  /** Passes on the notes of sweeps. */
  tell(): void;
  /** Passes on the freed samples of the memory profile, also those of threads that have ended. */
  takeSamples(): void;
  /** Recomputes goal and trigger. */
  commit(): void;
}

export class CycleRunner implements CycleWork {
  readonly #heap: GCHeap;
  readonly #marker: Marker;
  readonly #roots: Roots;
  readonly #sweeper: Sweeper;
  readonly #work: MarkSlices;
  readonly #controller: GCController;
  readonly #record: GCRecord;
  readonly #reports: CycleReports;
  readonly #watch: SafepointWatch;
  readonly #events: Required<CollectorEvents>;
  readonly #stops: Stops;
  readonly #clock: Clock;
  readonly #godebug: Godebug;
  readonly #cycle: CycleState;
  readonly #sweep: SweepState;
  readonly #finalizers: Finalizers;
  readonly #threadTimes: ThreadTimes;
  readonly #startNs: number;
  readonly #tell: () => void;
  readonly #takeSamples: () => void;
  readonly #commit: () => void;

  constructor(parts: CycleParts) {
    this.#heap = parts.heap;
    this.#marker = parts.marker;
    this.#roots = parts.roots;
    this.#sweeper = parts.sweeper;
    this.#work = parts.work;
    this.#controller = parts.controller;
    this.#record = parts.record;
    this.#reports = parts.reports;
    this.#watch = parts.watch;
    this.#events = parts.events;
    this.#stops = parts.stops;
    this.#clock = parts.clock;
    this.#godebug = parts.godebug;
    this.#cycle = parts.cycle;
    this.#sweep = parts.sweep;
    this.#finalizers = parts.finalizers;
    this.#threadTimes = parts.threadTimes;
    this.#startNs = parts.startNs;
    this.#tell = parts.tell;
    this.#takeSamples = parts.takeSamples;
    this.#commit = parts.commit;
  }

  /** Runs a cycle, and its sweep if asked for. If this is the only thread, all of it is one stop. */
  collect(forced: boolean, sweep: boolean): void {
    this.begin(forced, this.#stops.threads === undefined, true);
    this.finishMarking();
    if (sweep) this.#sweeper.sweepAll();
    this.#tell();
  }

  /** The same in one stop, whatever the number of threads. */
  #collectStopped(sweep: boolean): void {
    this.begin(false, true);
    this.finishMarking();
    if (sweep) this.#sweeper.sweepAll();
    this.#tell();
  }

  /** @param atOnce if little is to be marked, the cycle also ends in the stop that begins it */
  begin(forced: boolean, stw: boolean, atOnce = false): void {
    const heap = this.#heap;
    const marker = this.#marker;
    const start = this.#clock.nanotime();
    this.#watch.safepoint();
    this.#sweeper.sweepAll();
    this.#tell();
    this.#stops.stop("GC mark");
    const stopped = this.#clock.nanotime();
    this.#flush();
    const n = this.#record.numGC + 1;
    const cycle = this.#cycle;
    cycle.requested = false;
    const expectedWork = this.#controller.beginCycle(this.#roots.globalsBytes);
    cycle.begin({
      forced,
      stw,
      procs: this.#stops.gomaxprocs(),
      start,
      heapStart: heap.heapLive,
      goal: heap.heapGoal,
      expectedWork,
    });
    marker.invalidptr = this.#godebug.invalidptr !== 0;
    marker.reset();
    this.#threadTimes.reset();
    heap.phase = GC_MARK;
    // Every slow allocation may have to assist, so each one calls the hook.
    heap.trigger = 0;
    this.#work.begin();
    if (this.#stops.threads !== undefined) {
      this.#finalizers.dropOrphans();
      this.#takeSamples();
    }
    this.#roots.begin(marker);
    this.#command(GC_SCAN_STACKS);
    this.#events.gcStart(n, forced);
    const now = this.#clock.nanotime();
    cycle.markStart = now;
    cycle.sweepTermNs = now - start;
    cycle.pauseNs = now - stopped;
    const marked = atOnce && !stw && this.#markAtOnce(now);
    if (marked) cycle.stw = true;
    else if (!stw) {
      cycle.pauseNs = this.#clock.nanotime() - stopped;
      this.#start();
    }
    this.#reports.start(cycle, this.#controller);
    if (marked) this.#terminate();
  }

  /** Marks what little there is to mark. The world is stopped. False: that takes longer than a stop should take. */
  #markAtOnce(from: number): boolean {
    const marker = this.#marker;
    if (this.#stops.threads === undefined || this.#cycle.expectedWork > AT_ONCE_BYTES) return false;
    marker.others.adopt();
    while (!this.#work.markStep(AT_ONCE_STEP)) if (this.#clock.nanotime() - from > AT_ONCE_NS) return false;
    return !marker.overflow;
  }

  /** Starts the world. Threads that wait for the cycle can help. */
  #start(): void {
    this.#stops.start();
    this.#notifyWaiting();
  }

  #notifyWaiting(): void {
    const { threads } = this.#stops;
    if (threads !== undefined) notifyWaiting(this.#heap.mem, threads);
  }

  /** Empties this thread's mcache. The other threads have done so before they stopped. */
  #flush(): void {
    const { allocator } = this.#heap;
    allocator.flushAll();
    if (this.#stops.threads === undefined || allocator.allFlushed) return;
    // A thread has died at a stop, and its end was not heard of yet.
    allocator.takeOverEnded();
    if (!allocator.allFlushed) throwFatal("gc: a thread has stopped with spans in hand");
  }

  /** Runs a command on every other thread. An error in it ends the collector here as well. */
  #command(command: number): void {
    this.#stops.threads?.command(command, 0);
    if (this.#cycle.dead) throwFatal("gc: another thread could not scan its stacks");
  }

  /** Does the work of a safepoint. */
  slice(): void {
    if (this.#cycle.marking) this.background(false);
    // The sweep of the last cycle comes first, in slices. With gcstoptheworld one stop does it all.
    else if (this.#cycle.requested && this.#godebug.gcstoptheworld !== 0)
      this.#collectStopped(this.#godebug.gcstoptheworld > 1);
    else if (!this.#sweeper.done) this.backgroundSweep();
    else if (this.#cycle.requested) {
      this.begin(this.#cycle.askedForced, false, true);
      // Marks a small heap before the program goes on. Then the program allocates nothing black, and no write has to
      // shade.
      if (this.#cycle.marking) this.background(false);
    }
  }

  step(budget: number): CycleStep {
    if (this.#cycle.marking) {
      if (!this.#work.done) {
        this.#work.markStep(budget);
        return "mark";
      }
      return this.#terminate() ? "terminate" : "mark";
    }
    if (this.#cycle.requested) {
      this.begin(this.#cycle.askedForced, false);
      return "start";
    }
    return this.#sweeper.sweepOne() >= 0 ? "sweep" : "idle";
  }

  /** Whether a thread of its own does the background's work: see CollectorOptions.dedicated. */
  get #relieved(): boolean {
    return this.#stops.threads !== undefined && hasDedicated(this.#heap.mem);
  }

  /** Does a slice of background marking, and mark termination if nothing is left. */
  background(idle: boolean): void {
    if (!this.#relieved) {
      if (this.#work.slice(this.#cycle, idle)) this.#terminate();
    } else if (this.#work.doneByOthers) this.#terminate();
    // A barrier may have left work here since the dedicated thread found none, and went to sleep.
    else this.#notifyWaiting();
  }

  backgroundSweep(): void {
    if (this.#relieved) return;
    sweepSlice(this.#sweeper, this.#clock, () => this.#stops.pending);
  }

  /** Does a slice in idle time. With other threads, the driver also begins a cycle then: they may be waiting for it. */
  idle(): boolean {
    if (this.#cycle.marking) this.background(true);
    else if (!this.#sweeper.done) this.backgroundSweep();
    else if (this.#stops.threads !== undefined && this.#cycle.requested) this.slice();
    // A dedicated thread notifies this one when it finds all marked, or all swept.
    return (this.#cycle.marking || !this.#sweeper.done) && !this.#relieved;
  }

  /** Marks to the end and terminates. The caller is at a safepoint. */
  finishMarking(): void {
    const cycle = this.#cycle;
    const { threads } = this.#stops;
    if (!cycle.marking) return;
    if (threads === undefined || cycle.stw) {
      this.#work.finish(cycle);
      this.#terminate();
      return;
    }
    do {
      const end = this.#clock.nanotime() + HELP_NS;
      while (!this.#work.help(cycle) && this.#clock.nanotime() < end) this.#stops.poll();
    } while (!this.#terminate());
  }

  /**
   * Marks what is left when the world is stopped. False: that is more than a little, so marking has to go on while the
   * program runs.
   */
  #markStopped(stopped: number): boolean {
    const marker = this.#marker;
    if (marker.shared) marker.others.adopt();
    // A lost thread may have had roots in hand. The objects that it had in hand are scanned below.
    const { lost } = marker;
    if (lost) this.#roots.restart();
    const patient = this.#stops.threads === undefined || this.#cycle.stw || lost;
    // Marks the objects that the barrier shaded since the last step.
    while (!this.#work.markStep(DRAIN_BYTES)) {
      if (!patient && this.#clock.nanotime() - stopped > SLICE_NS) return false;
    }
    if (marker.overflow) marker.markOverflow();
    if (!this.#work.done) throwFatal("gc: marking ended with grey objects");
    return true;
  }

  /**
   * Step 4: ends marking, at a safepoint, and begins the sweep. False: too much work was left, and the cycle goes on
   * marking.
   */
  #terminate(): boolean {
    const heap = this.#heap;
    const marker = this.#marker;
    const roots = this.#roots;
    const cycle = this.#cycle;
    const stop = this.#clock.nanotime();
    if (!cycle.stw) this.#stops.stop("GC mark termination");
    const stopped = this.#clock.nanotime();
    if (!this.#markStopped(stopped)) {
      cycle.pauseNs += this.#clock.nanotime() - stopped;
      this.#start();
      return false;
    }
    heap.phase = GC_MARK_TERMINATION;
    this.#flush();
    if (this.#godebug.gccheckmark !== 0) this.#check();
    heap.phase = GC_OFF;
    marker.releaseWorkbufs();

    const heapEnd = heap.heapLive;
    // Bytes marked, and bytes born black during the cycle.
    heap.heapMarked = marker.bytesMarked + (heapEnd - cycle.heapStart);
    heap.heapLive = heap.heapMarked;
    this.#sweeper.start(this.#record.numGC + 1, this.#godebug.clobberfree !== 0);
    this.#record.setScan(marker.heapScanWork, roots.stackScan, roots.globalsBytes);
    this.#threadTimes.addTo(cycle);
    const scanWork = marker.heapScanWork + roots.stackScan + roots.globalsScan;
    const consMark = this.#controller.consMark;
    this.#controller.endCycle(cycle, heapEnd, scanWork, stop - cycle.markStart);
    cycle.marking = false;
    this.#commit();
    if (!cycle.forced) this.#sweeper.pace(this.#controller.trigger);

    const n = this.#record.numGC + 1;
    this.#events.markDone(n);
    const end = this.#clock.nanotime();
    const pauseNs = Math.max(
      1,
      Math.round(cycle.stw ? end - cycle.markStart + cycle.pauseNs : cycle.pauseNs + end - stopped),
    );
    // In a cycle of one stop all of the marking lies within the pause.
    const dedicatedNs = cycle.stw ? 0 : cycle.backgroundNs;
    this.#record.endCycle({
      forced: cycle.forced,
      pauseNs,
      pauseEnd: this.#clock.walltime(),
      procs: cycle.procs,
      assistNs: cycle.assistNs,
      dedicatedNs,
      idleNs: cycle.idleNs,
      availableCpuNs: (end - this.#startNs) * cycle.procs,
    });
    this.#controller.noteEnd(end, pauseNs + cycle.assistNs + dedicatedNs);
    this.#start();
    this.#sweep.startLive = heap.heapLive;
    this.#reports.end(cycle, { n, stop, end, heapEnd, consMark });
    return true;
  }

  /** gccheckmark: compares the marks with those of a second, naive marking. */
  #check(): void {
    const { mem } = this.#heap;
    this.#command(GC_LIST_STACKS);
    checkMarks(this.#heap, this.#roots);
    forEachThread(mem, (t) => clearRanges(mem, t));
  }
}
