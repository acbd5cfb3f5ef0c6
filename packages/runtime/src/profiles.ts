/** What the profiler wants to know of goroutines: their stacks, their labels, and how long they waited where. */
import type { LabelSet, LabelStore, Profiler, StackFrame, StackSource } from "@gort/profiling";
import { type G, getg, type Scheduler } from "@gort/scheduler";
import { creationSite, dumpOthers, Gdead, gHost, gStack, gSystem } from "@gort/scheduler/internal";

/** A goroutine that has not begun is shown where it was started. */
function stackOf(g: G): StackFrame[] {
  const frames = gStack(g);
  if (frames.length > 0) return frames;
  const site = creationSite(g);
  return site === null ? [] : [site];
}

/** The user's goroutines, as the profile `goroutine` shows them. */
export class GoroutineStacks implements StackSource {
  readonly #scheduler: () => Scheduler;

  constructor(scheduler: () => Scheduler) {
    this.#scheduler = scheduler;
  }

  forEach(visit: (stack: readonly StackFrame[], labels?: LabelSet | null) => void): void {
    const all: G[] = [];
    this.#scheduler().forEachG((g) => {
      if (g.atomicstatus !== Gdead && (g.flags & (gSystem | gHost)) === 0) all.push(g);
    });
    for (const g of all) visit(stackOf(g), g.labels);
  }

  count(): number {
    return this.#scheduler().numGoroutine();
  }

  dump(): string {
    const scheduler = this.#scheduler();
    if (getg() === null) return dumpOthers(scheduler, null);
    for (let size = 1 << 16; ; size *= 2) {
      const buf = new Uint8Array(size);
      const n = scheduler.stack(buf, true);
      if (n < size || size >= 1 << 26) return new TextDecoder().decode(buf.subarray(0, n));
    }
  }
}

/** The one thread that runs goroutines; nobody's stack started it. */
export const threadStacks: StackSource = {
  forEach(visit) {
    visit([]);
  },
  count: () => 1,
};

/** Labels stay with the goroutine that set them and pass to those it starts; host code has a set of its own. */
export class GoroutineLabels implements LabelStore {
  #host: LabelSet | null = null;

  get(): LabelSet | null {
    const g = getg();
    return g === null ? this.#host : g.labels;
  }

  set(labels: LabelSet | null): void {
    const g = getg();
    if (g === null) this.#host = labels;
    else g.labels = labels;
  }
}

/** A goroutine has waited for `ns`; it is still suspended in the operation, where its stack can be taken. */
export function recordBlockEvent(profiler: Profiler, g: G, ns: number): void {
  if (!profiler.block.sampled(ns)) return;
  profiler.block.recordAt(ns, profiler.eventBucket("block", stackOf(g)));
}
