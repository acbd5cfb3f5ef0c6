/**
 * Two goroutines, one for finalizers and one for cleanups. Each calls its functions one after the other. Each goroutine
 * exists while its queue holds functions. Dumps show it while it runs a function. As in Go, a finalizer that blocks
 * delays other finalizers, but no cleanups. If a function throws, the panic ends the program with a report: nothing on
 * its goroutine recovers it.
 *
 * Unlike in Go, a cleanup that blocks always delays other cleanups: Go may run several at the same time, as many as a
 * quarter of its processors.
 */
import type { Collector, Finalization, FinalizationKind } from "@gort/gc";
import type { Scheduler } from "@gort/scheduler";
import { checkResult, G_CLEANUP, G_FINALIZER, getg, isBody } from "@gort/scheduler/internal";

const names = { finalizer: "setFinalizer", cleanup: "addCleanup" };

function* call({ kind, fn, arg }: Finalization): Generator<undefined, void> {
  const r = fn(arg as never);
  if (isBody(r)) yield* r;
  else checkResult(names[kind], fn, r, "runtime");
}

export class FinalizerGoroutines {
  readonly #scheduler: Scheduler;
  readonly #collector: Collector;
  readonly #finalizerDone: () => void;
  readonly #running = { finalizer: false, cleanup: false };

  /** `finalizerDone` is called when a finalizer has returned. */
  constructor(scheduler: Scheduler, collector: Collector, finalizerDone: () => void) {
    this.#scheduler = scheduler;
    this.#collector = collector;
    this.#finalizerDone = finalizerDone;
  }

  /** The collector has queued functions. */
  wake(): void {
    this.#start("finalizer");
    this.#start("cleanup");
  }

  #start(kind: FinalizationKind): void {
    if (this.#running[kind] || this.#collector.finalizers.queuedOf(kind) === 0) return;
    this.#running[kind] = true;
    const run = this.#run.bind(this, kind);
    // The function's name is the goroutine's in dumps.
    const body =
      kind === "finalizer"
        ? function* runFinalizers() {
            yield* run();
          }
        : function* runCleanups() {
            yield* run();
          };
    this.#scheduler.goSystem(body, `runtime.${body.name}`);
  }

  *#run(kind: FinalizationKind): Generator<undefined, void> {
    const queue = this.#collector.finalizers;
    try {
      for (let f = queue.next(kind); f !== null; f = queue.next(kind)) {
        const g = getg()!;
        const flag = kind === "finalizer" ? G_FINALIZER : G_CLEANUP;
        g.flags |= flag;
        try {
          yield* call(f);
          // If the function panicked, the flag stays: the report shows what ran.
          g.flags &= ~flag;
        } finally {
          queue.done(f);
          if (kind === "finalizer") this.#finalizerDone();
        }
      }
    } finally {
      this.#running[kind] = false;
      // A panic has ended this goroutine, and perhaps the program. The functions queued behind it still run.
      this.#start(kind);
    }
  }
}
