/**
 * The steps of a cycle, which mgc.ts numbers, and the parts of the collector that they drive. The callers are the
 * entries of the collector: they refuse calls from within, and end the collector if a step throws.
 */
import { throwFatal } from "@gort/base";
import type { Clock } from "./clock.ts";
import type { GCController } from "./gc-controller.ts";
import type { CycleReports } from "./gc-report.ts";
import type { CycleState, SweepState } from "./gc-state.ts";
import type { GCRecord } from "./gc-stats.ts";
import type { Godebug } from "./godebug.ts";
import { GC_MARK, GC_MARK_TERMINATION, GC_OFF, type GCHeap } from "./heap.ts";
import type { Roots } from "./mark-roots.ts";
import { DRAIN_BYTES, type MarkSlices, SLICE_NS } from "./mark-slices.ts";
import { checkMarks } from "./mcheckmark.ts";
import type { Marker } from "./mgcmark.ts";
import type { Sweeper } from "./mgcsweep.ts";
import type { SafepointWatch } from "./safepoint-watch.ts";
import type { CollectorEvents, World } from "./world.ts";

/** Spans swept in the background between two readings of the clock. */
const SWEEP_BATCH = 256;

/** The collector's stops of the world. */
export class Stops {
  readonly #world: World;
  readonly #state: { stopped: boolean };
  /** This thread's: the error with which the world has refused a stop. */
  #refusal: unknown = null;

  constructor(world: World, state: { stopped: boolean }) {
    this.#world = world;
    this.#state = state;
  }

  gomaxprocs(): number {
    return this.#world.gomaxprocs();
  }

  /** Stops the world. If another caller has it stopped already, the world throws: then nothing has happened. */
  stop(reason: string): void {
    try {
      this.#world.stopTheWorld(reason);
    } catch (err) {
      this.#refusal = err;
      throw err;
    }
    this.#state.stopped = true;
  }

  start(): void {
    this.#state.stopped = false;
    this.#world.startTheWorld();
  }

  /** Starts the world if the collector has it stopped. */
  end(): void {
    if (this.#state.stopped) this.start();
  }

  /** Whether the error is that of a refused stop. The refusal is forgotten then. */
  takeRefusal(err: unknown): boolean {
    const refused = this.#refusal === err && err !== null;
    this.#refusal = null;
    return refused;
  }
}

/** What a step did. */
export type CycleStep = "start" | "mark" | "terminate" | "sweep" | "idle";

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
  /** nanotime when the collector was made, on this thread's clock. */
  readonly startNs: number;
  /** Passes on the notes of sweeps. */
  tell(): void;
  /** Recomputes goal and trigger. */
  commit(): void;
}

export class CycleRunner {
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
  readonly #startNs: number;
  readonly #tell: () => void;
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
    this.#startNs = parts.startNs;
    this.#tell = parts.tell;
    this.#commit = parts.commit;
  }

  /** Runs a cycle in one stop, and its sweep if asked for. */
  collect(forced: boolean, sweep: boolean): void {
    this.begin(forced, true);
    this.finishMarking();
    if (sweep) this.#sweeper.sweepAll();
    this.#tell();
  }

  begin(forced: boolean, stw: boolean): void {
    const heap = this.#heap;
    const marker = this.#marker;
    const start = this.#clock.nanotime();
    this.#watch.safepoint();
    this.#sweeper.sweepAll();
    this.#tell();
    this.#stops.stop("GC mark");
    const stopped = this.#clock.nanotime();
    this.#heap.allocator.flushAll();
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
    heap.phase = GC_MARK;
    // Every slow allocation may have to assist, so each one calls the hook.
    heap.trigger = 0;
    this.#work.begin();
    this.#roots.begin(marker);
    this.#events.gcStart(n, forced);
    const now = this.#clock.nanotime();
    cycle.markStart = now;
    cycle.sweepTermNs = now - start;
    cycle.pauseNs = now - stopped;
    if (!stw) this.#stops.start();
    this.#reports.start(cycle, this.#controller);
  }

  /** Does the work of a safepoint. */
  slice(): void {
    if (this.#cycle.marking) this.background(false);
    // The sweep of the last cycle comes first, in slices. With gcstoptheworld one stop does it all.
    else if (this.#cycle.requested && this.#godebug.gcstoptheworld !== 0)
      this.collect(false, this.#godebug.gcstoptheworld > 1);
    else if (!this.#sweeper.done) this.backgroundSweep();
    else if (this.#cycle.requested) {
      this.begin(false, false);
      // Marks a small heap before the program goes on. Then the program allocates nothing black, and no write has to
      // shade.
      this.background(false);
    }
  }

  step(budget: number): CycleStep {
    if (this.#cycle.marking) {
      if (!this.#work.done) {
        this.#work.markStep(budget);
        return "mark";
      }
      this.#terminate();
      return "terminate";
    }
    if (this.#cycle.requested) {
      this.begin(false, false);
      return "start";
    }
    return this.#sweeper.sweepOne() >= 0 ? "sweep" : "idle";
  }

  /** Does a slice of background marking, and mark termination if nothing is left. */
  background(idle: boolean): void {
    if (this.#work.slice(this.#cycle, idle)) this.#terminate();
  }

  /**
   * Sweeps for the time of a slice. To sweep the whole heap takes a hundredth of the time of marking it, so no share
   * limits the sweep.
   */
  backgroundSweep(): void {
    const from = this.#clock.nanotime();
    do {
      for (let i = 0; i < SWEEP_BATCH; i++) if (this.#sweeper.sweepOne() < 0) return;
    } while (this.#clock.nanotime() - from < SLICE_NS);
  }

  /** Marks to the end and terminates. The caller is at a safepoint. */
  finishMarking(): void {
    this.#work.finish(this.#cycle);
    this.#terminate();
  }

  /** Step 4: ends marking, at a safepoint, and begins the sweep. */
  #terminate(): void {
    const heap = this.#heap;
    const marker = this.#marker;
    const roots = this.#roots;
    const cycle = this.#cycle;
    const stop = this.#clock.nanotime();
    if (!cycle.stw) this.#stops.stop("GC mark termination");
    const stopped = this.#clock.nanotime();
    // Marks the objects that the barrier shaded since the last step.
    while (!this.#work.markStep(DRAIN_BYTES));
    if (marker.overflow) marker.markOverflow();
    if (!this.#work.done) throwFatal("gc: marking ended with grey objects");
    heap.phase = GC_MARK_TERMINATION;
    this.#heap.allocator.flushAll();
    if (this.#godebug.gccheckmark !== 0) checkMarks(heap, roots);
    heap.phase = GC_OFF;
    marker.releaseWorkbufs();

    const heapEnd = heap.heapLive;
    // Bytes marked, and bytes born black during the cycle.
    heap.heapMarked = marker.bytesMarked + (heapEnd - cycle.heapStart);
    heap.heapLive = heap.heapMarked;
    this.#sweeper.start(this.#record.numGC + 1, this.#godebug.clobberfree !== 0);
    this.#record.setScan(marker.heapScanWork, roots.stackScan, roots.globalsBytes);
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
    this.#stops.start();
    this.#sweep.startLive = heap.heapLive;
    this.#reports.end(cycle, { n, stop, end, heapEnd, consMark });
  }
}
