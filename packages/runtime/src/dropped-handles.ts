/**
 * Makes V8 collect the handles that a program has dropped, before the objects that they root exhaust the heap.
 *
 * A Ref or Slice is a small object of V8's heap and roots an object of ours, of any size. V8 collects when its own heap
 * has grown, and knows nothing of ours: with 64 KiB behind each handle, ours is full when V8's has grown by a few MiB.
 * So we make V8 collect when our live heap has grown, as Go's collector runs when the heap has grown.
 *
 * ## Steps
 * 1. At the end of marking (`cycleEnd`) we compare the live heap with `base`, the live heap after the last forced
 *    collection. `base` includes objects that handles hold, but no objects of released handles.
 * 2. When a collection is due, V8 collects at the next safepoint, where no goroutine's frame is on the stack. The slice
 *    ends there: V8 reports dead handles in a later task of the event loop, and goroutines that ran before it would
 *    only allocate more.
 * 3. In the slice after that turn, dead handles have given their roots up. If there were any, we ask for a cycle of our
 *    collector. Under pressure we collect at once, before a goroutine allocates what little room is left. We do the
 *    same when the program has called `gc()`: its next call expects the next finalizer of a chain. A handle of our own,
 *    dropped before V8 collects, shows that the reports have come. We wait at most `MAX_TURNS` turns for it.
 * 4. When that cycle has marked, we know what V8's collection was worth: it was *useful* if a quarter of the live heap
 *    is gone. The heap that is then live is the new `base`.
 *
 * ## When one is due
 *     growth      live >= base + base * GOGC / 100, at least MIN_HEAP * GOGC / 100
 *     limit       live >= base + (memory limit - base) / 4, and live > base
 *     pressure    live >= base + (memory - base) / 4
 *     finalizers  one has returned: as a rule the program then drops the Ref that it got, which holds the rest of a
 *                 chain
 *
 * All but pressure are limited in time. A collection that took `c` ms is followed by a pause of at least 9 c if it was
 * useful, and 31 c if not. So forced collections take at most 10 % of the time of a program with dropped handles, and
 * at most 3 % of the time of a program with many long-lived handles. Besides, its live heap has to double each time.
 * The pause begins at the end of the last collection that any runtime of the thread has forced. Near the memory limit,
 * a useful collection is followed by a pause of c: as in Go, collections take up to half of the time there. If more
 * than the limit is live, collections are of no use and take 3 %.
 *
 * Pressure is not limited in time, but each collection needs a quarter of what room is left: about 20 from an empty
 * memory of 1 GiB to its last 4 MiB. `base` follows a heap that shrinks; after a useless collection it does so only
 * when the pause is over.
 *
 * A call of `gc()` by the program lifts the limit in time for finalizers: a chain takes one call for each link, as in
 * Go.
 *
 * A program without handles is never delayed, and handles cost nothing more: all figures are the collector's.
 *
 * ## Limits
 * A loop that never lets the event loop have a turn gets no reports from V8, whatever V8 has collected. And an
 * allocation is no safepoint: raw pointers of its callers are not rooted, so nothing may be freed in the middle of one.
 * Such a loop ends with a fatal error that gives this reason (`explainOutOfMemory`). Where the host gives no access to
 * its collector (browsers), V8 collects by its own heap alone.
 *
 * Rejected: a WeakRef for each handle, which could be read at any time. It costs one more object for each handle, and
 * V8 keeps the target of a WeakRef that was read alive until the job ends. Rejected: V8's minor collections, which
 * treat objects that a FinalizationRegistry watches as alive.
 */
import type { Collector } from "@gort/gc";
import type { Scheduler } from "@gort/scheduler";
import type { RuntimeHeap } from "./heap.ts";

/**
 * Live bytes from which we make V8 collect, at GOGC=100. With less, small programs would collect often. With more, they
 * would waste memory.
 */
export const MIN_HEAP = 16 << 20;
/** Turns of the event loop that we wait for V8's reports. One is enough in Node; browsers may need more. */
const MAX_TURNS = 4;
/** Least time between two forced collections, in multiples of the duration of the first. */
const USEFUL_PAUSE = 9;
const LIMITED_PAUSE = 1;
const USELESS_PAUSE = 31;

const IDLE = 0;
/** V8 collects at the next safepoint. */
const DUE = 1;
/** V8 has collected; its reports are still to come. */
const REPORTING = 2;
/** A cycle of our collector is requested. */
const ASKED = 3;
/** That cycle marks. */
const MEASURING = 4;

/** The last forced collection. */
export interface LastCollection {
  /** When it ended, and how long it took, in ms. */
  end: number;
  costMs: number;
}

/** The runtimes of a thread share V8's heap, hence the limit in time too. */
export const lastOfThread: LastCollection = { end: Number.NEGATIVE_INFINITY, costMs: 0 };

/** The runtime as this file needs it. */
export interface HandleOwner {
  readonly collector: Collector;
  readonly scheduler: Scheduler;
  readonly heap: RuntimeHeap;
  /** Makes a handle and drops it. */
  dropOne(): void;
  /** A full collection of V8's heap; null where the host allows none. */
  hostCollector(): (() => void) | null;
  now(): number;
  readonly last: LastCollection;
}

export class DroppedHandles {
  readonly #owner: HandleOwner;
  #state = IDLE;
  /** Live bytes after the last forced collection, and before the one that is in progress. */
  #base = 0;
  #before = 0;
  /** Whether the last forced collection of this runtime was worth its time. */
  #useful = true;
  /** Finalizers that have returned since V8 collected last. */
  #finalized = 0;
  /** Whether the program has asked for the cycle that is marking. */
  #forced = false;
  /** Whether our collection must start at once. */
  #atOnce = false;
  #collectedBefore = 0;
  #turns = 0;
  /** Collections of V8 that this runtime has forced. */
  count = 0;

  constructor(owner: HandleOwner) {
    this.#owner = owner;
  }

  /** A finalizer has returned. */
  finalizerDone(): void {
    this.#finalized++;
  }

  /** Marking begins. */
  cycleStart(forced: boolean): void {
    this.#forced = forced;
    if (this.#state === ASKED) this.#state = MEASURING;
  }

  /** Marking has ended, and the live heap is known. */
  cycleEnd(): void {
    const { collector, scheduler } = this.#owner;
    const live = collector.heap.heapMarked;
    if (this.#state === MEASURING) this.#judge(live);
    if (this.#state !== IDLE) return;
    if (live < this.#base && (this.#useful || this.#rested(USEFUL_PAUSE))) this.#base = live;
    if (!this.#isDue(live)) return;
    this.#before = live;
    this.#atOnce = this.#forced || this.#pressed(live);
    this.#state = DUE;
    scheduler.requestSafepoint();
  }

  /** Called between two goroutines. */
  safepoint(): void {
    if (this.#state === DUE) this.#collect();
    else if (this.#state === REPORTING) this.#reported();
  }

  /** A line for the fatal error of a full heap, or "". */
  explainOutOfMemory(): string {
    const n = this.#owner.collector.refs.inuse;
    if (n === 0) return "";
    return (
      `runtime: ${n} references (Ref, Slice) hold objects, also those that were dropped since the event loop ` +
      "had a turn. In a long loop, release() them, yield* gosched() or use raw pointers"
    );
  }

  #isDue(live: number): boolean {
    const { collector } = this.#owner;
    if (collector.refs.inuse === 0) return false;
    const rested = this.#rested(USEFUL_PAUSE);
    if (this.#finalized > 0 && (this.#forced || rested)) return true;
    const base = this.#base;
    if (live <= base) return false;
    if (this.#pressed(live)) return true;
    const limit = Number(collector.setMemoryLimit(-1));
    if (live >= base + (limit - base) / 4 && this.#rested(LIMITED_PAUSE)) return true;
    const { gcPercent } = collector;
    if (gcPercent < 0) return false;
    return live >= (Math.max(MIN_HEAP - base, base) * gcPercent) / 100 + base && rested;
  }

  /** Whether a quarter of the memory that `base` leaves is used. */
  #pressed(live: number): boolean {
    return live >= this.#base + (this.#owner.heap.mem.size - this.#base) / 4;
  }

  /** Whether the pause after the last forced collection is over: `usefulPause` times its duration, if it was useful. */
  #rested(usefulPause: number): boolean {
    const { now, last } = this.#owner;
    const pause = this.#useful ? usefulPause : USELESS_PAUSE;
    return now() - last.end >= pause * last.costMs;
  }

  #collect(): void {
    const owner = this.#owner;
    const collect = owner.hostCollector();
    if (collect === null) {
      this.#judge(this.#before);
      return;
    }
    this.#collectedBefore = owner.heap.collectedRefs;
    this.#finalized = 0;
    owner.dropOne();
    const { last } = owner;
    const start = owner.now();
    collect();
    last.end = owner.now();
    last.costMs = last.end - start;
    this.count++;
    this.#state = REPORTING;
    this.#turns = 0;
    this.#wait();
  }

  #wait(): void {
    const { scheduler } = this.#owner;
    this.#turns++;
    scheduler.yieldToHost();
    scheduler.requestSafepoint();
  }

  #reported(): void {
    const { heap, collector } = this.#owner;
    const n = heap.collectedRefs - this.#collectedBefore;
    if (n === 0 && this.#turns < MAX_TURNS) {
      this.#wait();
    } else if (n <= 1) {
      // At most the handle that `dropOne` made.
      this.#judge(this.#before);
    } else {
      this.#state = ASKED;
      if (this.#atOnce) collector.gc(false);
      else collector.requestGC();
    }
  }

  #judge(live: number): void {
    this.#useful = this.#before - live >= this.#before / 4;
    this.#base = live;
    this.#state = IDLE;
  }
}
