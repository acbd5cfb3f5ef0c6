/**
 * Idle marking and sweeping: when no goroutine can run, the collector continues a cycle that it has begun, as Go's idle
 * workers do. It works in tasks of the event loop, so that I/O and timers come first, and stops when the cycle needs no
 * more work. Between two tasks no JavaScript frame exists, so each task is a safepoint.
 */
import type { Collector } from "@gort/gc";
import type { Scheduler } from "@gort/scheduler";

type Immediate = (fn: () => void) => unknown;
const { setImmediate } = globalThis as { setImmediate?: Immediate };
const task: Immediate = setImmediate ?? ((fn) => setTimeout(fn, 0));

/** Time between two checks whether a collection is overdue, in ms. A forced collection is late by this much at most. */
const WATCH_MS = 30_000;

export class IdleWorker {
  readonly #scheduler: Scheduler;
  readonly #collector: Collector;
  /** On a worker. */
  readonly #attached: boolean;
  #scheduled = false;
  /** The scheduler was idle when the collector wanted a safepoint, and has not been asked for one. */
  #owed = false;
  #closed = false;
  #timer: unknown;
  readonly #step = (): void => {
    this.#scheduled = false;
    if (this.#closed) return;
    // A scheduler that runs goroutines reaches its own safepoints.
    if (this.#scheduler.isIdle) {
      if (!this.#work()) return;
    } else if (this.#owed) this.#askScheduler();
    this.wake();
  };

  /** One slice. An error of the collector is fatal to the program, so it is thrown on a goroutine of the scheduler. */
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

  constructor(scheduler: Scheduler, collector: Collector, attached: boolean) {
    this.#scheduler = scheduler;
    this.#collector = collector;
    this.#attached = attached;
  }

  #askScheduler(): void {
    this.#owed = false;
    this.#scheduler.requestSafepoint();
  }

  /**
   * The collector wants a safepoint. A worker without goroutines would have to wait for a P to come to one. It needs
   * none: the thread that began the cycle ends it, and marking and sweeping are done here.
   */
  request(): void {
    if (this.#attached && this.#scheduler.isIdle) this.#owed = true;
    else this.#askScheduler();
    this.wake();
  }

  /**
   * Forces a collection if the last one was over two minutes ago, as Go's sysmon does. The timer does not keep the
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

  /** A cycle has work left. */
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
