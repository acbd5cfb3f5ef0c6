/**
 * Idle marking and sweeping: when no goroutine can run, the collector goes on with a cycle that it began, as Go's idle
 * workers do. It happens in tasks of the event loop, so that I/O and timers come first, and it ends by itself when there is
 * nothing left to do. Between two tasks no JavaScript frame exists, so each is a safepoint.
 */
import type { Collector } from "@gort/gc";
import type { Scheduler } from "@gort/scheduler";

type Immediate = (fn: () => void) => unknown;
const { setImmediate } = globalThis as { setImmediate?: Immediate };
const task: Immediate = setImmediate ?? ((fn) => setTimeout(fn, 0));

/** How often to look whether a collection is overdue: Go may be as much late. */
const WATCH_MS = 30_000;

export class IdleWorker {
  readonly #scheduler: Scheduler;
  readonly #collector: Collector;
  #scheduled = false;
  #closed = false;
  #timer: unknown;
  readonly #step = (): void => {
    this.#scheduled = false;
    if (this.#closed) return;
    // A scheduler with goroutines to run comes to its own safepoints.
    if (!this.#scheduler.isIdle || this.#work()) this.wake();
  };

  /** A slice. What the collector throws is fatal to the program, and is thrown where the scheduler sees it. */
  #work(): boolean {
    try {
      return this.#collector.idleWork();
    } catch (err) {
      this.#scheduler.goSystem(() => {
        throw err;
      }, "runtime.gcBgMarkWorker");
      return false;
    }
  }

  constructor(scheduler: Scheduler, collector: Collector) {
    this.#scheduler = scheduler;
    this.#collector = collector;
  }

  /**
   * Has a collection forced when the last one was over two minutes ago, as Go's sysmon does. The timer does not keep the
   * process alive.
   */
  watch(): void {
    this.#timer = this.#scheduler.clock.setTimer(
      () => {
        if (this.#closed) return;
        this.#collector.forceIfStale();
        this.watch();
      },
      WATCH_MS,
      false,
    );
  }

  /** A cycle has work to do. */
  wake(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    task(this.#step);
  }

  close(): void {
    this.#closed = true;
    this.#scheduler.clock.clearTimer(this.#timer);
  }
}
