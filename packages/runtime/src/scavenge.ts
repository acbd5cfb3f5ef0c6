/**
 * The background scavenger's timer. Each collection sets new goals. As long as the heap keeps more pages than they
 * allow, tasks of the event loop return some to the operating system, in 1 % of a processor's time. The timer does
 * not keep the process alive, and runs only while there are pages to return. If a goroutine keeps M 0 from its event
 * loop, the ends of collections and the calls of workers do the work in its place, at M 0's safepoints.
 *
 * Only M 0 returns pages: a worker that ends while it loads koffi would abort the process. A worker that needs pages
 * returned calls M 0 (CALL_SCAVENGE). A collection needs M 0's safepoints too, so memory that is freed goes back.
 */
import type { Allocator } from "@gort/allocator/internal";
import type { Collector } from "@gort/gc";
import type { Scheduler } from "@gort/scheduler";

/** How late the timer may be before other events do its work, in ms: some slices of the scheduler. */
const LATE_MS = 20;

export class BackgroundScavenger {
  readonly #allocator: Allocator;
  readonly #scheduler: Scheduler;
  readonly #collector: Collector;
  #lastGoal = 0;
  #timer: unknown = null;
  /** When the timer is due, in ms. */
  #due = 0;
  #closed = false;

  constructor(allocator: Allocator, scheduler: Scheduler, collector: Collector) {
    this.#allocator = allocator;
    this.#scheduler = scheduler;
    this.#collector = collector;
    allocator.scavenger.wake = () => this.wake();
  }

  /** Marking begins: notes the heap goal of the previous cycle. */
  cycleStart(): void {
    this.#lastGoal = this.#collector.heap.heapGoal;
  }

  /** Marking has ended, and the next cycle's goal is known. */
  cycleEnd(): void {
    const collector = this.#collector;
    this.#allocator.scavenger.pace({
      heapGoal: collector.heap.heapGoal,
      lastHeapGoal: this.#lastGoal,
      lastHeapInUse: collector.heap.heapInUse,
    });
  }

  /** Garbage is swept, or the memory limit is lower: there may be pages to return. */
  wake(): void {
    if (this.#timer === null) {
      if (this.#allocator.scavenger.excess > 0) this.#arm(0);
    } else if (this.#scheduler.clock.now() > this.#due + LATE_MS) {
      this.#scheduler.clock.clearTimer(this.#timer);
      this.#step();
    }
  }

  /** A worker needs pages returned. False if this thread cannot return any. */
  called(): boolean {
    if (this.#closed || !this.#allocator.scavenger.giveBackForOthers()) return false;
    this.wake();
    return true;
  }

  #arm(ms: number): void {
    if (this.#closed) return;
    const { clock } = this.#scheduler;
    this.#due = clock.now() + ms;
    this.#timer = clock.setTimer(() => this.#step(), ms, false);
  }

  #step(): void {
    this.#timer = null;
    if (this.#closed) return;
    const { scavenger } = this.#allocator;
    const { sleepMs } = scavenger.background();
    if (scavenger.excess > 0) this.#arm(sleepMs);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) this.#scheduler.clock.clearTimer(this.#timer);
  }
}
