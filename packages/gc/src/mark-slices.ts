/**
 * Who marks, and when: the slices of a cycle's mark phase. `markStep` is the bounded step that all of them are made of.
 *
 *     slice(idle = false)   in the background, at safepoints: a quarter of this P's time, as a fractional worker of Go
 *     slice(idle = true)    when no goroutine can run: without regard to the share
 *     assist                in an allocation: the goroutine pays for its bytes, unless the background has worked ahead
 *     finish                to the end: the world is stopped, or somebody waits for the cycle
 *
 * Work that the background has done is a credit that assists draw on, as in Go.
 *
 * Slices and assists are bounded in time. A byte of scan work is no measure of it: an object of pointers to cold pages
 * takes a hundred times as long as one without, and a cold program ten times as long as a warm one. So work goes on in
 * batches between two looks at the clock, and each batch is as large as the last ones say that BATCH_NS allows.
 */
import type { Clock } from "./clock.ts";
import type { Cycle, GCController } from "./gc-controller.ts";
import type { AssistState } from "./gc-state.ts";
import type { GCHeap } from "./heap.ts";
import type { Roots } from "./mark-roots.ts";
import type { Marker } from "./mgcmark.ts";
import { GC_BACKGROUND_UTILIZATION } from "./mgcpacer.ts";

/** Bytes scanned at a time where nobody waits. */
export const DRAIN_BYTES = 64 << 10;
/** Length of a background slice. Longer: less overhead, longer waits of goroutines. */
export const SLICE_NS = 250_000;
/** Work between two looks at the clock. Longer: slices end later than planned; shorter: the clock costs more. */
const BATCH_NS = 25_000;
/** Bounds of a batch, in bytes. The lower one is what it takes to make progress; the upper one is a cycle's start. */
const BATCH_MIN = 2 << 10;
const BATCH_MAX = 64 << 10;
/** Debt that an assist pays off at a time at least, so that it does not run for every allocation. */
const ASSIST_BYTES = 64 << 10;
/** Longest assist in one allocation; the rest of the debt waits for the next. */
const ASSIST_MAX_BYTES = 128 << 10;
const ASSIST_NS = 100_000;

export class MarkSlices {
  readonly #heap: GCHeap;
  readonly #marker: Marker;
  readonly #roots: Roots;
  readonly #controller: GCController;
  readonly #clock: Clock;
  readonly #state: AssistState;
  /** This thread's: no background slice starts before this time. The share of one P's time decides it. */
  #nextSlice = 0;
  /** This thread's: bytes of the next batch. How fast the thread marks decides it. */
  #batch = BATCH_MIN;

  constructor(
    heap: GCHeap,
    marker: Marker,
    roots: Roots,
    controller: GCController,
    clock: Clock,
    state: AssistState,
  ) {
    this.#state = state;
    this.#heap = heap;
    this.#marker = marker;
    this.#roots = roots;
    this.#controller = controller;
    this.#clock = clock;
  }

  /** A cycle begins to mark. */
  begin(): void {
    this.#nextSlice = 0;
    this.#state.chargedLive = this.#heap.heapLive;
    this.#state.credit = 0;
    this.#batch = BATCH_MIN;
  }

  /** Whether nothing is grey and no root is left. */
  get done(): boolean {
    return this.#roots.done && this.#marker.idle;
  }

  /**
   * Marks for about budget bytes of scan work. True if nothing is grey and no root is left: marking can be terminated.
   */
  markStep(budget: number): boolean {
    const marker = this.#marker;
    const roots = this.#roots;
    let end = marker.heapScanWork + budget;
    while (marker.heapScanWork < end) {
      if (marker.drain(Math.min(DRAIN_BYTES, end - marker.heapScanWork)) > 0) continue;
      // A piece of the roots, which counts too, lest a heap without objects take it all at once.
      const work = roots.step(marker);
      if (work === 0) break;
      end -= work;
    }
    return this.done;
  }

  /**
   * Marks in batches for about ns and, with a budget, bytes of scan work at most. True if marking can be terminated.
   */
  #markFor(from: number, ns: number, budget: number): boolean {
    const marker = this.#marker;
    const end = marker.heapScanWork + budget;
    let t = from;
    for (;;) {
      const done = this.markStep(Math.min(this.#batch, end - marker.heapScanWork));
      const now = this.#clock.nanotime();
      // At once down to what the clock says, up by steps of two.
      const fair = now > t ? (this.#batch * BATCH_NS) / (now - t) : BATCH_MAX;
      this.#batch = Math.max(BATCH_MIN, Math.min(BATCH_MAX, 2 * this.#batch, fair));
      t = now;
      if (done || t - from >= ns || marker.heapScanWork >= end) return done;
    }
  }

  /** Marks to the end. */
  finish(cycle: Cycle): void {
    const from = this.#clock.nanotime();
    while (!this.markStep(DRAIN_BYTES));
    cycle.backgroundNs += this.#clock.nanotime() - from;
  }

  /** A slice of background marking, unless it is too early for one. True if marking can be terminated. */
  slice(cycle: Cycle, idle: boolean): boolean {
    if (this.done) return true;
    const now = this.#clock.nanotime();
    if (!idle && now < this.#nextSlice) return false;
    const before = this.#marker.heapScanWork;
    const done = this.#markFor(now, SLICE_NS, Number.POSITIVE_INFINITY);
    const t = this.#clock.nanotime();
    const ns = t - now;
    if (idle) cycle.idleNs += ns;
    else cycle.backgroundNs += ns;
    this.#state.credit += this.#marker.heapScanWork - before;
    // A slice that took longer than planned was not marking all that time: the operating system had the thread do
    // something else.
    const share = (1 - GC_BACKGROUND_UTILIZATION) / GC_BACKGROUND_UTILIZATION;
    if (!idle) this.#nextSlice = t + Math.min(ns, 2 * SLICE_NS) * share;
    return done;
  }

  /** The allocating goroutine pays for its bytes. False if there was nothing to pay. */
  assist(cycle: Cycle): boolean {
    const state = this.#state;
    const live = this.#heap.heapLive;
    const allocated = live - state.chargedLive;
    if (allocated <= 0) return false;
    if (this.done) {
      // Nothing is left to pay with: the cycle waits for a safepoint to end at.
      state.chargedLive = live;
      return false;
    }
    const marker = this.#marker;
    const debt = allocated * this.#controller.assistRatio(cycle, marker.heapScanWork);
    if (debt < ASSIST_BYTES) return false;
    if (state.credit >= debt) {
      state.credit -= debt;
      state.chargedLive = live;
      return false;
    }
    const from = this.#clock.nanotime();
    const before = marker.heapScanWork;
    const done = this.#markFor(from, ASSIST_NS, Math.min(ASSIST_MAX_BYTES, debt - state.credit));
    const paid = state.credit + marker.heapScanWork - before;
    state.credit = Math.max(0, paid - debt);
    // What is not paid now is owed at the next allocation, unless there is nothing to do for it.
    state.chargedLive =
      done || paid >= debt ? live : state.chargedLive + Math.floor(allocated * (paid / debt));
    cycle.assistNs += this.#clock.nanotime() - from;
    return true;
  }
}
