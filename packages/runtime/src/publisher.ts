/**
 * Figures that only the runtime's thread knows: CPU times, goroutines by state, calls into native code. They are
 * copied to the linear memory before each read on this thread, and once a second if other threads read too.
 */
import type { Scheduler } from "@gort/scheduler";
import type { CpuClasses } from "./metrics-source.ts";
import type { SchedStats } from "./sched-stats.ts";

/** Time between two publications for other threads, in ms. */
const PUBLISH_MS = 1000;

export class StatsPublisher {
  readonly #scheduler: Scheduler;
  readonly #schedStats: SchedStats;
  readonly #cpu: CpuClasses;
  #timer: unknown = null;
  #closed = false;

  constructor(scheduler: Scheduler, schedStats: SchedStats, cpu: CpuClasses) {
    this.#scheduler = scheduler;
    this.#schedStats = schedStats;
    this.#cpu = cpu;
  }

  publish(): void {
    this.#scheduler.readCounters();
    this.#schedStats.setCgoCalls(this.#scheduler.numCgoCall());
    this.#cpu.publish();
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
