/**
 * The finalizer goroutine: one for all finalizers and cleanups, one after the other, as in Go, so that one which
 * blocks holds up the others. It exists while something is queued, and shows in dumps while it runs one of them. A finalizer that throws is a panic nobody
 * recovers: it ends the program with a report.
 */
import type { Collector, Finalizers } from "@gort/gc";
import { getg, type Scheduler } from "@gort/scheduler";
import { gCleanup, gFinalizer } from "@gort/scheduler/internal";

function isGenerator(x: unknown): x is Generator<undefined, unknown> {
  return (
    typeof x === "object" &&
    x !== null &&
    typeof (x as { [Symbol.iterator]?: unknown })[Symbol.iterator] === "function"
  );
}

export class FinalizerGoroutine {
  readonly #scheduler: Scheduler;
  readonly #collector: () => Collector;
  #running = false;

  constructor(scheduler: Scheduler, collector: () => Collector) {
    this.#scheduler = scheduler;
    this.#collector = collector;
  }

  /** Something was queued. */
  wake(): void {
    if (this.#running) return;
    this.#running = true;
    const { finalizers } = this.#collector();
    const run = this.#run.bind(this);
    this.#scheduler.goSystem(function* runFinalizers() {
      yield* run(finalizers);
    }, "runtime.runFinalizers");
  }

  *#run(queue: Finalizers): Generator<undefined, void> {
    try {
      for (let f = queue.next(); f !== null; f = queue.next()) {
        const g = getg()!;
        const flag = f.kind === "finalizer" ? gFinalizer : gCleanup;
        g.flags |= flag;
        try {
          const r = f.fn(f.arg as never);
          if (isGenerator(r)) yield* r;
          // Not of one that panicked: its report shows what ran.
          g.flags &= ~flag;
        } finally {
          queue.done(f);
        }
      }
    } finally {
      this.#running = false;
      // One that panicked has ended this goroutine, and perhaps a main function; what is queued behind it has its turn.
      if (queue.queued > 0) this.wake();
    }
  }
}
