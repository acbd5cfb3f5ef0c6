/**
 * The scavenger decides how much free memory goes back to the operating system, and when. page-scavenger.ts finds
 * and releases the pages.
 *
 * Two goals. pace sets them at the end of each collection, and a new limit sets the second. The goal that retains
 * less memory wins:
 *
 *     gcPercentGoal    bytes of heap that may keep physical pages (heapInUse + heapFree):
 *                      lastHeapInUse * heapGoal / lastHeapGoal, plus 10 %. The heap is expected to grow back to where
 *                      the last collection found it, scaled by how the goal moved. The rest is given back.
 *     memoryLimitGoal  95 % of the memory limit, for all memory of the runtime that keeps physical pages
 *
 * Work towards them:
 *
 *     background()     a little at each call: 64 KiB steps for up to a millisecond. Then it asks for a pause 99 times
 *                      as long, so that it takes 1 % of a processor
 *     heap growth      when the heap grows beyond gcPercentGoal, as many free pages are given back at once ("eager")
 *     memory limit     when a span is taken while more is mapped than the limit itself allows, the difference and a
 *                      LIMIT_BATCH are given back at once ("eager"): also when the span's pages are resident and the
 *                      heap does not grow, as after a spike (PageScavenger.checkLimit)
 *     freeOSMemory     everything ("forced")
 *
 * An allocation searches only if the free memory makes up for the difference, or comes to LIMIT_BATCH. So a program
 * whose live memory exceeds the limit does not search with every span.
 *
 * The goals and counts are in MHEAP, for all threads. The clock and the timer that calls background belong to a
 * thread.
 *
 * Unlike Go: the pause after each piece of work keeps the share of time. Go's PI controller on top is not needed: the
 * caller's timers are late but never early.
 *
 * Sources: Go's mgcscavenge.go; the proposal "Smarter scavenging" (golang.org/issue/30333).
 */
import { MHEAP_AT } from "./layout.ts";
import type { MHeap } from "./mheap.ts";
import { LIMIT_BATCH } from "./page-scavenger.ts";

/** Percent of heap retained beyond what the last collection found in use. More: fewer page faults, more memory. */
const RETAIN_EXTRA_PERCENT = 10;
/** Percent under the memory limit that the scavenger aims at, so that the limit itself is not hit. */
const REDUCE_EXTRA_PERCENT = 5;
/** Percent of one processor for background work. */
const SCAVENGE_PERCENT = 1;
/** Bytes of one step: as much as a madvise call does in some 10 us. */
const QUANTUM = 64 << 10;
/** Work of one background call. Less would let the overhead of waking dominate. */
const WORK_MS = 1;
/** Milliseconds until background looks again when there is nothing to do. */
const IDLE_MS = 1000;

export interface ScavengePace {
  /** Goals of the cycle that begins and of the cycle that ended; 0 if there was none. */
  heapGoal: number;
  lastHeapGoal: number;
  /** heapInUse when the last mark phase ended. */
  lastHeapInUse: number;
}

/** Bytes of heap to retain, Infinity if there is nothing to give back for this goal. A pure function. */
export function gcPercentScavengeGoal(pace: ScavengePace, heapRetained: number, pageSizeOS: number): number {
  const { heapGoal, lastHeapGoal, lastHeapInUse } = pace;
  if (lastHeapGoal === 0) return Number.POSITIVE_INFINITY;
  let goal = Math.floor(lastHeapInUse * (heapGoal / lastHeapGoal));
  goal += Math.floor((goal * RETAIN_EXTRA_PERCENT) / 100);
  // One page at least: in the heap's record, 0 says that no goal was ever set.
  goal = Math.max(1, Math.ceil(goal / pageSizeOS)) * pageSizeOS;
  return heapRetained - goal < pageSizeOS ? Number.POSITIVE_INFINITY : goal;
}

/** Bytes of mapped and resident memory to aim at under a limit, Infinity while there is less. A pure function. */
export function memoryLimitScavengeGoal(memoryLimit: number, mappedReady: number): number {
  // One byte at least: in the heap's record, 0 says that no goal was ever set.
  const goal = Math.max(1, Math.floor((memoryLimit / 100) * (100 - REDUCE_EXTRA_PERCENT)));
  return mappedReady <= goal ? Number.POSITIVE_INFINITY : goal;
}

export interface BackgroundResult {
  /** Bytes given back by this call. */
  released: number;
  /** Milliseconds to wait before the next call. */
  sleepMs: number;
}

export class Scavenger {
  readonly #heap: MHeap;
  readonly #clock: () => number;
  readonly #result: BackgroundResult = { released: 0, sleepMs: IDLE_MS };

  /** clock gives milliseconds. */
  constructor(heap: MHeap, clock: () => number) {
    this.#heap = heap;
    this.#clock = clock;
    heap.operation.giveBack = (grown, overLimit) => this.#giveBack(grown, overLimit);
  }

  #get(offset: number): number {
    return this.#heap.mem.f64[(this.#heap.base + offset) >>> 3];
  }

  #set(offset: number, v: number): void {
    this.#heap.mem.f64[(this.#heap.base + offset) >>> 3] = v;
  }

  /** Nanoseconds of work in the background, and while the heap grew. */
  get backgroundNs(): number {
    return this.#get(MHEAP_AT.scavengeBackgroundNs);
  }
  get assistNs(): number {
    return this.#get(MHEAP_AT.scavengeAssistNs);
  }

  /** Bytes of the heap that hold physical pages. */
  get heapRetained(): number {
    return this.#heap.counter("heapInUse") + this.#heap.counter("heapFree");
  }

  /** Bytes of the whole memory that are counted and hold physical pages. */
  get mappedReady(): number {
    return this.#heap.counters.mappedReady;
  }

  /** Bytes that may be mapped and hold physical pages, Infinity without a limit. In force at once, for all threads. */
  get memoryLimit(): number {
    return this.#get(MHEAP_AT.memoryLimit);
  }
  set memoryLimit(bytes: number) {
    this.#set(MHEAP_AT.memoryLimit, bytes);
    this.#aim();
    if (this.excess > 0) this.wake();
  }

  /** Called when a new limit makes work for background: an idle program takes no span. Set by background's caller. */
  wake: () => void = () => {};

  /**
   * Called on a thread that cannot return pages, when it would: another thread can (`giveBackForOthers`). It may be
   * called at each span, and in the middle of a program's allocation.
   */
  elsewhere: () => void = () => {};

  /** Sets the goals: at the end of each collection. */
  pace(pace: ScavengePace): void {
    this.#set(
      MHEAP_AT.gcPercentGoal,
      gcPercentScavengeGoal(pace, this.heapRetained, this.#heap.mem.pageSizeOS),
    );
    this.#aim();
  }

  #aim(): void {
    this.#set(MHEAP_AT.memoryLimitGoal, memoryLimitScavengeGoal(this.memoryLimit, this.mappedReady));
  }

  /** Bytes beyond the goals; 0 if they are met, or nothing can be released. */
  get excess(): number {
    const heap = this.heapRetained - this.#goal(MHEAP_AT.gcPercentGoal);
    const limit = this.mappedReady - this.#goal(MHEAP_AT.memoryLimitGoal);
    const over = Math.max(0, heap, limit);
    return over > 0 && this.#heap.mem.canRelease ? over : 0; // in this order: canRelease may load a package
  }

  /** The goal in MHEAP; Infinity if it was never set. */
  #goal(offset: number): number {
    return this.#get(offset) || Number.POSITIVE_INFINITY;
  }

  /**
   * Gives back pages for up to a millisecond, if a goal is exceeded. The result is one object that the next call
   * reuses.
   */
  background(): BackgroundResult {
    const start = this.#clock();
    const result = this.#result;
    result.released = 0;
    result.sleepMs = IDLE_MS;
    let elapsed = 0;
    let n = 1;
    while (elapsed < WORK_MS && n > 0 && this.excess > 0) {
      n = this.#heap.scavenge(QUANTUM);
      if (this.#heap.operation.pending) this.#heap.operation.report();
      result.released += n;
      elapsed = this.#clock() - start;
    }
    this.#addTime(MHEAP_AT.scavengeBackgroundNs, start);
    if (result.released > 0) {
      this.#add(MHEAP_AT.scavengedBackground, result.released);
      if (n > 0) result.sleepMs = (Math.max(elapsed, 0.01) * (100 - SCAVENGE_PERCENT)) / SCAVENGE_PERCENT;
    }
    return result;
  }

  /**
   * Called at the end of an allocation. The heap has grown by so many bytes, which hold no physical pages yet but soon
   * will. As many free bytes beyond the goal go back in exchange. Over the memory limit, the difference and a
   * LIMIT_BATCH go in any case.
   */
  #giveBack(grown: number, overLimit: boolean): void {
    const start = this.#clock();
    const over = overLimit ? this.#overLimit : 0;
    const beyond = this.heapRetained + grown - this.#goal(MHEAP_AT.gcPercentGoal);
    const bytes = Math.max(over, Math.min(grown, beyond));
    if (bytes > 0 && !this.#heap.mem.canRelease) this.elsewhere();
    else if (bytes > 0) this.#add(MHEAP_AT.scavengedEager, this.#heap.scavenge(bytes));
    this.#addTime(MHEAP_AT.scavengeAssistNs, start);
  }

  /** Bytes to give back if more is mapped than the limit allows, with a LIMIT_BATCH. */
  get #overLimit(): number {
    return this.mappedReady - this.memoryLimit + LIMIT_BATCH;
  }

  /**
   * A thread that cannot return pages has called `elsewhere`: gives back at once what is beyond the memory limit. False
   * if this thread cannot return pages either.
   */
  giveBackForOthers(): boolean {
    if (!this.#heap.mem.canRelease) return false;
    const start = this.#clock();
    const over = this.mappedReady > this.memoryLimit ? this.#overLimit : 0;
    if (over > 0) this.#add(MHEAP_AT.scavengedEager, this.#heap.scavenge(over));
    if (this.#heap.operation.pending) this.#heap.operation.report();
    this.#addTime(MHEAP_AT.scavengeAssistNs, start);
    return true;
  }

  #addTime(offset: number, startMs: number): void {
    this.#add(offset, (this.#clock() - startMs) * 1e6);
  }

  /** Adds to a sum of all threads. */
  #add(offset: number, n: number): void {
    const heap = this.#heap;
    heap.lock();
    this.#set(offset, this.#get(offset) + n);
    heap.unlock();
  }

  /** Gives all free memory back. The result is its bytes. */
  releaseAll(): number {
    const n = this.#heap.scavenge(Number.POSITIVE_INFINITY);
    this.#add(MHEAP_AT.scavengedEager, n);
    if (this.#heap.operation.pending) this.#heap.operation.report();
    return n;
  }

  /** Gives the line of GODEBUG=scavtrace=1, and starts a new count. */
  trace(forced: boolean): string {
    const background = this.#get(MHEAP_AT.scavengedBackground);
    const eager = this.#get(MHEAP_AT.scavengedEager);
    const line = formatScavTrace({
      background,
      eager,
      released: this.#heap.counter("heapReleased"),
      inUse: this.#heap.counter("heapInUse"),
      retained: this.heapRetained,
      forced,
    });
    this.#add(MHEAP_AT.scavengedBackground, -background);
    this.#add(MHEAP_AT.scavengedEager, -eager);
    return line;
  }
}

/** The figures of a scavtrace line, in bytes. */
export interface ScavTrace {
  /** Given back since the last line. background: by `background`. eager: while the heap grew, or by force. */
  background: number;
  eager: number;
  /** HeapReleased, HeapInuse, and the bytes of the heap that hold physical pages. */
  released: number;
  inUse: number;
  retained: number;
  forced: boolean;
}

/** Go's line, without its note on a reset of the PI controller, which is not used here. */
export function formatScavTrace(t: ScavTrace): string {
  const kib = (bytes: number): number => Math.floor(bytes / 1024);
  const util = t.retained === 0 ? 0 : Math.floor((t.inUse * 100) / t.retained);
  return (
    `scav ${kib(t.background)} KiB work (bg), ${kib(t.eager)} KiB work (eager), ` +
    `${kib(t.released)} KiB now, ${util}% util${t.forced ? " (forced)" : ""}`
  );
}
