/**
 * When marking runs, and for how long: the slices of a cycle's mark phase. All of them repeat the bounded step
 * `markStep`.
 *
 *     slice(idle = false)   in the background, at safepoints: a quarter of this P's time, as a fractional worker of Go
 *     slice(idle = true)    when no goroutine can run: without regard to the share
 *     assist                in an allocation: the goroutine pays for its bytes, unless the background has worked ahead
 *     finish                to the end: the world is stopped, or a caller waits for the cycle
 *
 * The work of the background is a credit that assists draw on, as in Go.
 *
 * A time limit ends slices and assists, because bytes of scan work do not measure time. An object of pointers to cold
 * pages takes a hundred times as long as one without pointers, and a cold program takes ten times as long as a warm
 * one. So marking goes on in batches between two readings of the clock. The size of a batch follows from the last ones:
 * it should take BATCH_NS.
 */
import type { Clock } from "./clock.ts";
import type { Cycle, GCController } from "./gc-controller.ts";
import type { AssistState } from "./gc-state.ts";
import type { GCHeap } from "./heap.ts";
import type { Roots } from "./mark-roots.ts";
import type { Marker } from "./mgcmark.ts";
import { GC_BACKGROUND_UTILIZATION } from "./mgcpacer.ts";

/** Bytes scanned at a time where no goroutine waits. */
export const DRAIN_BYTES = 64 << 10;
/** Length of a background slice. Longer: less overhead, longer waits of goroutines. */
export const SLICE_NS = 250_000;
/**
 * Length of a batch: work between two readings of the clock. Longer: slices end later than planned; shorter: the clock
 * costs more.
 */
const BATCH_NS = 25_000;
/**
 * Bounds of a batch, in bytes. The lower one suffices to make progress, and a cycle starts with it; the upper one is
 * DRAIN_BYTES.
 */
const BATCH_MIN = 2 << 10;
const BATCH_MAX = 64 << 10;
/** Least debt that an assist pays off, so that not every allocation has to assist. */
const ASSIST_BYTES = 64 << 10;
/** Bounds of an assist in one allocation; the next allocation pays the rest of the debt. */
const ASSIST_MAX_BYTES = 128 << 10;
const ASSIST_NS = 100_000;

export class MarkSlices {
  readonly #heap: GCHeap;
  readonly #marker: Marker;
  readonly #roots: Roots;
  readonly #controller: GCController;
  readonly #clock: Clock;
  readonly #state: AssistState;
  /** This thread's: no background slice starts before this time, so that marking keeps its share of this P's time. */
  #nextSlice = 0;
  /** This thread's: bytes of the next batch, from the speed at which this thread marks. */
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

  /** Whether no object is grey and no root is left. */
  get done(): boolean {
    return this.#roots.done && this.#marker.idle;
  }

  /**
   * Does about `budget` bytes of scan work. True: no object is grey and no root is left, so marking can be terminated.
   */
  markStep(budget: number): boolean {
    const marker = this.#marker;
    const roots = this.#roots;
    let end = marker.heapScanWork + budget;
    while (marker.heapScanWork < end) {
      if (marker.drain(Math.min(DRAIN_BYTES, end - marker.heapScanWork)) > 0) continue;
      // A piece of the roots counts too. Otherwise a heap without objects would scan all its roots at once.
      const work = roots.step(marker);
      if (work === 0) break;
      end -= work;
    }
    return this.done;
  }

  /** Marks in batches for about ns, and for at most `budget` bytes of scan work. True: marking can be terminated. */
  #markFor(from: number, ns: number, budget: number): boolean {
    const marker = this.#marker;
    const end = marker.heapScanWork + budget;
    let t = from;
    for (;;) {
      const done = this.markStep(Math.min(this.#batch, end - marker.heapScanWork));
      const now = this.#clock.nanotime();
      // A batch shrinks at once to the size that fits the clock, and at most doubles.
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

  /** Does a slice of background marking, unless it is too early for one. True: marking can be terminated. */
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
    // If a slice took much longer than planned, the operating system ran something else meanwhile: at most two slices
    // count.
    const share = (1 - GC_BACKGROUND_UTILIZATION) / GC_BACKGROUND_UTILIZATION;
    if (!idle) this.#nextSlice = t + Math.min(ns, 2 * SLICE_NS) * share;
    return done;
  }

  /** The allocating goroutine pays for its bytes. False: it had nothing to pay. */
  assist(cycle: Cycle): boolean {
    const state = this.#state;
    const live = this.#heap.heapLive;
    const allocated = live - state.chargedLive;
    if (allocated <= 0) return false;
    if (this.done) {
      // No work is left to pay with: the cycle waits for a safepoint at which it can end.
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
    // The next allocation owes what is unpaid, unless no work is left for it.
    state.chargedLive =
      done || paid >= debt ? live : state.chargedLive + Math.floor(allocated * (paid / debt));
    cycle.assistNs += this.#clock.nanotime() - from;
    return true;
  }
}
