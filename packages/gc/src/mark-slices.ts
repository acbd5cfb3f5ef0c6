/**
 * When marking runs, and for how long: the slices of a cycle's mark phase. All of them repeat the bounded step
 * `markStep`.
 *
 *     slice(idle = false)   in the background, at safepoints: a quarter of this P's time, as a fractional worker of Go
 *     slice(idle = true)    when no goroutine can run: without regard to the share
 *     assist                in an allocation: the goroutine pays for its bytes, unless the background has worked ahead
 *     finish                to the end: the world is stopped, or a caller waits for the cycle
 *     help                  the same beside other threads, a slice at a time
 *
 * The work of the background is a credit that assists draw on, as in Go.
 *
 * Each thread has slices of its own. Credit and debt are those of all threads (ASSIST): whichever thread comes first
 * pays for what all have allocated, at most ASSIST_MAX_BYTES, and gives the rest of the debt back.
 *
 * A time limit ends slices and assists, because bytes of scan work do not measure time. An object of pointers to cold
 * pages takes a hundred times as long as one without pointers, and a cold program takes ten times as long as a warm
 * one. So marking goes on in batches between two readings of the clock. The size of a batch follows from the last ones:
 * it should take BATCH_NS.
 */
import type { Clock } from "./clock.ts";
import type { Cycle, GCController } from "./gc-controller.ts";
import type { GCHeap } from "./heap.ts";
import type { Roots } from "./mark-roots.ts";
import type { Marker } from "./mgcmark.ts";
import { GC_BACKGROUND_UTILIZATION } from "./mgcpacer.ts";
import type { AssistState } from "./state-views.ts";

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
/** Time between two background slices for each nanosecond of the first one, so that marking has its share of a P. */
const REST = (1 - GC_BACKGROUND_UTILIZATION) / GC_BACKGROUND_UTILIZATION;
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
  readonly #interrupted: () => boolean;

  /** @param interrupted whether another thread wants this one to stop: then a slice ends early */
  constructor(
    heap: GCHeap,
    marker: Marker,
    roots: Roots,
    controller: GCController,
    clock: Clock,
    state: AssistState,
    interrupted: () => boolean = () => false,
  ) {
    this.#interrupted = interrupted;
    this.#state = state;
    this.#heap = heap;
    this.#marker = marker;
    this.#roots = roots;
    this.#controller = controller;
    this.#clock = clock;
  }

  /** A cycle begins to mark. The world is stopped. */
  begin(): void {
    this.#state.chargedLive = this.#heap.heapLive;
    this.#state.credit = 0;
    this.restart();
  }

  /** The slices of this thread begin anew, in a new cycle. */
  restart(): void {
    this.#nextSlice = 0;
    this.#batch = BATCH_MIN;
  }

  /**
   * Whether no object is grey and no root is left. With several threads that is a guess, which a stop of the world
   * makes exact: see mark-share.ts.
   */
  get done(): boolean {
    const marker = this.#marker;
    return this.#roots.done && marker.idle && (!marker.shared || marker.others.quiet);
  }

  /**
   * The same for a thread that leaves marking to others: what it has in hand, it shares. A few addresses may stay with
   * it, for the stop.
   */
  get doneByOthers(): boolean {
    const { bufs, work, others } = this.#marker;
    bufs.shareAll(work);
    return this.#roots.done && bufs.noneFull && others.ringEmpty && others.quiet;
  }

  /**
   * Does about `budget` bytes of scan work. True: no object is grey and no root is left, so marking can be terminated.
   */
  markStep(budget: number): boolean {
    const marker = this.#marker;
    const roots = this.#roots;
    let end = marker.scanned + budget;
    while (marker.scanned < end) {
      if (marker.drain(Math.min(DRAIN_BYTES, end - marker.scanned)) > 0) {
        if (marker.shared) marker.others.feed();
        continue;
      }
      // A piece of the roots counts too. Otherwise a heap without objects would scan all its roots at once.
      const work = roots.step(marker);
      if (work === 0 && !(marker.shared && marker.others.steal())) break;
      end -= work;
    }
    return this.done;
  }

  /** Marks in batches for about ns, and for at most `budget` bytes of scan work. True: marking can be terminated. */
  #markFor(from: number, ns: number, budget: number): boolean {
    const { shared, others } = this.#marker;
    if (!shared) return this.#batches(from, ns, budget);
    others.enter();
    try {
      return this.#batches(from, ns, budget);
    } finally {
      others.leave();
    }
  }

  #batches(from: number, ns: number, budget: number): boolean {
    const marker = this.#marker;
    const end = marker.scanned + budget;
    let t = from;
    for (;;) {
      const done = this.markStep(Math.min(this.#batch, end - marker.scanned));
      const now = this.#clock.nanotime();
      // A batch shrinks at once to the size that fits the clock, and at most doubles.
      const fair = now > t ? (this.#batch * BATCH_NS) / (now - t) : BATCH_MAX;
      this.#batch = Math.max(BATCH_MIN, Math.min(BATCH_MAX, 2 * this.#batch, fair));
      t = now;
      if (done || t - from >= ns || marker.scanned >= end) return done;
      if (marker.shared && (this.#interrupted() || !this.#mayFind)) return false;
    }
  }

  /** Whether this thread has work, or sees some. */
  get #mayFind(): boolean {
    return !this.#roots.done || !this.#marker.idle || this.#marker.others.inSight;
  }

  /** Marks to the end. The world is stopped, or this is the only thread. */
  finish(cycle: Cycle): void {
    const from = this.#clock.nanotime();
    while (!this.markStep(DRAIN_BYTES));
    cycle.backgroundNs += this.#clock.nanotime() - from;
  }

  /**
   * Marks for a slice without regard to the share of time, for a thread that waits for the cycle to end. If there is no
   * work for it, it waits a moment for some. True: marking can be terminated.
   */
  help(cycle: Cycle): boolean {
    if (this.done) return true;
    const from = this.#clock.nanotime();
    if (!this.#mayFind) this.#marker.others.nap();
    const done = this.#ahead(from);
    cycle.backgroundNs += this.#clock.nanotime() - from;
    return done;
  }

  /** Waits for a moment for work of other threads. */
  nap(): void {
    this.#marker.others.nap();
  }

  /** Marks for the time of a slice, as a credit for assists. */
  #ahead(now: number): boolean {
    const marker = this.#marker;
    const before = marker.scanned;
    const done = this.#markFor(now, SLICE_NS, Number.POSITIVE_INFINITY);
    const { shared } = marker;
    if (shared) this.#state.lock();
    this.#state.credit += marker.scanned - before;
    if (shared) this.#state.unlock();
    return done;
  }

  /** Does a slice of background marking, unless it is too early for one. True: marking can be terminated. */
  slice(cycle: Cycle, idle: boolean): boolean {
    if (this.done) return true;
    const now = this.#clock.nanotime();
    if (!idle && now < this.#nextSlice) return false;
    if (this.#marker.shared && !this.#mayFind) {
      if (idle) this.#marker.others.nap();
      return false;
    }
    const done = this.#ahead(now);
    const t = this.#clock.nanotime();
    const ns = t - now;
    if (idle) cycle.idleNs += ns;
    else cycle.backgroundNs += ns;
    // If a slice took much longer than planned, the operating system ran something else meanwhile: at most two slices
    // count.
    if (!idle) this.#nextSlice = t + Math.min(ns, 2 * SLICE_NS) * REST;
    return done;
  }

  /** The allocating goroutine pays for its bytes. False: it had nothing to pay. */
  assist(cycle: Cycle): boolean {
    const marker = this.#marker;
    const { shared } = marker;
    const bill = shared ? this.#takeBillLocked(cycle) : this.#takeBill(cycle);
    if (bill === null) return false;
    const from = this.#clock.nanotime();
    const before = marker.scanned;
    const done = this.#markFor(from, ASSIST_NS, Math.min(ASSIST_MAX_BYTES, bill.debt - bill.credit));
    if (shared) this.#state.lock();
    this.#settle(bill, bill.credit + marker.scanned - before, done);
    if (shared) this.#state.unlock();
    cycle.assistNs += this.#clock.nanotime() - from;
    return true;
  }

  #takeBillLocked(cycle: Cycle): Bill | null {
    this.#state.lock();
    try {
      return this.#takeBill(cycle);
    } finally {
      this.#state.unlock();
    }
  }

  /** So much scan work was done for the bill. */
  #settle(bill: Bill, paid: number, done: boolean): void {
    const state = this.#state;
    state.credit += Math.max(0, paid - bill.debt);
    // A later allocation owes what is unpaid, unless no work is left for it.
    if (!done && paid < bill.debt)
      state.chargedLive += Math.floor(bill.bytes * (paid / bill.debt)) - bill.bytes;
  }

  /** Takes over what is owed for all bytes that no thread has paid for; null if it is not worth an assist. */
  #takeBill(cycle: Cycle): Bill | null {
    const state = this.#state;
    const live = this.#heap.heapLive;
    const bytes = live - state.chargedLive;
    if (bytes <= 0) return null;
    if (this.done) {
      // No work is left to pay with: the cycle waits for a safepoint at which it can end.
      state.chargedLive = live;
      return null;
    }
    const debt = bytes * this.#controller.assistRatio(cycle, this.#marker.heapScanWork);
    if (debt < ASSIST_BYTES) return null;
    const { credit } = state;
    state.chargedLive = live;
    state.credit = Math.max(0, credit - debt);
    return credit >= debt ? null : { bytes, debt, credit };
  }
}

/** What an assist has to pay: the scan work for so many bytes, and the part that the background has done already. */
interface Bill {
  readonly bytes: number;
  readonly debt: number;
  readonly credit: number;
}
