/**
 * What a thread does for a cycle that another thread, the driver, begins and ends.
 *
 * - At safepoints and in idle time it marks and sweeps, as the driver does. If it finds that no thread has work left,
 *   it notifies the driver: only the driver ends a cycle.
 * - In idle time it may be that no work is left, but the driver has not ended the cycle. Then it sleeps for a moment,
 *   since other threads may find work that it can share; and after MAX_NAPS such moments until it is notified. It must
 *   not keep a processor busy meanwhile, which the driver may need.
 * - It asks for a cycle by CYCLE.requested, and notifies the driver.
 * - `collect` waits for a cycle that begins after the call, and for the end of its sweep. It draws a ticket. The driver
 *   notes, in the stop that begins a cycle, up to which ticket the cycle serves; the thread that finds the sweep done
 *   notes that these tickets are served. While the thread waits it marks and sweeps without regard to shares; when it
 *   finds nothing to do, it blocks until it is notified.
 */
import type { Clock } from "./clock.ts";
import type { CycleStep, CycleWork, Stops } from "./gc-cycle.ts";
import { GCTHREAD_AT } from "./gc-threads.ts";
import type { GCHeap } from "./heap.ts";
import type { MarkSlices } from "./mark-slices.ts";
import type { Sweeper } from "./mgcsweep.ts";
import type { CycleState } from "./state-views.ts";
import { sweepSlice } from "./sweep-slice.ts";

/** Naps of a thread in idle time that finds no work, each some 0.1 ms, before it sleeps until it is notified. */
const MAX_NAPS = 20;

export interface ClientParts {
  readonly heap: GCHeap;
  readonly sweeper: Sweeper;
  readonly work: MarkSlices;
  readonly clock: Clock;
  readonly cycle: CycleState;
  readonly stops: Stops;
  /** Address of this thread's GCTHREAD. */
  readonly thread: number;
  /** Passes on the notes of sweeps. */
  tell(): void;
  /** Has the driver look at its collector. */
  notifyDriver(): void;
}

export class CycleClient implements CycleWork {
  readonly #heap: GCHeap;
  readonly #sweeper: Sweeper;
  readonly #work: MarkSlices;
  readonly #clock: Clock;
  readonly #cycle: CycleState;
  readonly #stops: Stops;
  readonly #waiting: number;
  readonly #tell: () => void;
  readonly #notifyDriver: () => void;
  /** Naps since this thread had work. */
  #naps = 0;

  constructor(parts: ClientParts) {
    this.#heap = parts.heap;
    this.#sweeper = parts.sweeper;
    this.#work = parts.work;
    this.#clock = parts.clock;
    this.#cycle = parts.cycle;
    this.#stops = parts.stops;
    this.#waiting = parts.thread + GCTHREAD_AT.waiting;
    this.#tell = parts.tell;
    this.#notifyDriver = parts.notifyDriver;
  }

  begin(): void {
    throw new TypeError("gc: only the thread that made the collector starts a cycle");
  }

  /** A cycle that runs does not serve a ticket, and its end comes without this thread's doing. */
  finishMarking(): void {}

  /** Waits for a cycle that begins from now on, and for its sweep. */
  collect(forced: boolean): void {
    const cycle = this.#cycle;
    const stops = this.#stops;
    const { kernel } = this.#heap.mem;
    stops.mustRun();
    const ticket = cycle.ask(forced);
    cycle.requested = true;
    kernel.store(this.#waiting, 1);
    this.#notifyDriver();
    const over = (): boolean => cycle.isServed(ticket) || cycle.dead;
    const mayGoOn = (): boolean => over() || cycle.marking || !this.#sweeper.done;
    try {
      while (!over()) {
        stops.poll();
        if (cycle.marking) {
          if (this.#work.help(cycle)) this.#allMarked(over);
        } else if (this.#sweeper.done) stops.block(mayGoOn);
        else this.#sweepToEnd();
        this.#tell();
      }
    } finally {
      kernel.store(this.#waiting, 0);
    }
  }

  /** No thread has work: the driver has to end the cycle. */
  #allMarked(over: () => boolean): void {
    const cycle = this.#cycle;
    this.#notifyDriver();
    this.#stops.block(() => over() || !cycle.marking || !this.#work.done);
  }

  /** Sweeps a slice; if nothing is left to take, it waits for spans that other threads sweep. */
  #sweepToEnd(): void {
    this.#sweep();
    if (!this.#stops.pending && this.#sweeper.noneLeft) this.#sweeper.sweepAll();
  }

  #sweep(): void {
    sweepSlice(this.#sweeper, this.#clock, () => this.#stops.pending);
  }

  /** This thread looks again, so no thread need notify it. */
  #looks(): void {
    const { mem } = this.#heap;
    if (mem.u32[this.#waiting >>> 2] !== 0) mem.kernel.store(this.#waiting, 0);
  }

  slice(): void {
    const cycle = this.#cycle;
    this.#looks();
    if (cycle.marking) {
      if (this.#work.slice(cycle, false)) this.#notifyDriver();
    } else if (!this.#sweeper.done) this.#sweep();
  }

  idle(): boolean {
    const cycle = this.#cycle;
    this.#looks();
    if (!cycle.marking) {
      this.#naps = 0;
      if (!this.#sweeper.done) this.#sweep();
      return !this.#sweeper.done;
    }
    if (!this.#work.slice(cycle, true)) {
      this.#naps = 0;
      return true;
    }
    this.#notifyDriver();
    if (this.#naps++ < MAX_NAPS) {
      this.#work.nap();
      return true;
    }
    // The thread that begins or ends a cycle, or goes on with one, looks at this word after its stores: notifyWaiting.
    this.#heap.mem.kernel.store(this.#waiting, 1);
    return !cycle.marksNow() || !this.#work.done;
  }

  step(budget: number): CycleStep {
    if (this.#cycle.marking) {
      if (this.#work.markStep(budget)) this.#notifyDriver();
      return "mark";
    }
    return this.#sweeper.sweepOne() >= 0 ? "sweep" : "idle";
  }
}
