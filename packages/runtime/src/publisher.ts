/**
 * Figures that only one thread knows: goroutines by state, of each thread, and CPU times, which M 0 keeps for all
 * threads. They are copied to the linear memory before each read on that thread. M 0 does so once a second, too, if
 * others read: threads that have attached to the statistics, or workers.
 */
import type { Scheduler } from "@gort/scheduler";
import type { CpuClasses } from "./metrics-source.ts";

/** Time between two publications for other threads, in ms. */
const PUBLISH_MS = 1000;

export class StatsPublisher {
  readonly #scheduler: Scheduler;
  readonly #cpu: CpuClasses | null;
  #timer: unknown = null;
  #closed = false;

  /** @param cpu null on a worker */
  constructor(scheduler: Scheduler, cpu: CpuClasses | null) {
    this.#scheduler = scheduler;
    this.#cpu = cpu;
  }

  publish(): void {
    this.#scheduler.readCounters();
    this.#cpu?.publish();
  }

  /** Publishes now and every second from now on. The timer does not keep the process alive. */
  start(): void {
    this.publish();
    if (this.#timer === null) this.#arm();
  }

  #arm(): void {
    this.#timer = this.#scheduler.clock.setTimer(
      () => {
        if (this.#closed) return;
        this.publish();
        this.#arm();
      },
      PUBLISH_MS,
      false,
    );
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) this.#scheduler.clock.clearTimer(this.#timer);
  }
}
