/**
 * The log of label changes in a thread while a CPU profile is taken: it says which labels held at a time.
 *
 * A profile of several threads needs the changes of each. The code that changes labels in a thread is found through one
 * object of the thread's global scope, which another thread's inspector can read too.
 */
import type { LabelSet } from "./labels.ts";

/** From `us` of V8's clock on, these labels hold, as entries; null: no labels. */
export type LabelChange = readonly [us: number, labels: readonly (readonly [string, string])[] | null];

/** Microseconds of V8's clock, which is the same monotonic clock as process.hrtime in every thread. */
function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** The changes of labels while a profile runs. */
export class LabelLog {
  private readonly times: number[] = [];
  private readonly sets: (LabelSet | null)[] = [];
  private cursor = 0;

  /** The log that another thread has sent. */
  static of(changes: readonly LabelChange[]): LabelLog {
    const log = new LabelLog();
    for (const [us, labels] of changes) {
      log.times.push(us);
      log.sets.push(labels === null ? null : new Map(labels));
    }
    return log;
  }

  /** Notes that these labels hold from now on, or from `us` on. */
  add(labels: LabelSet | null, us = nowUs()): void {
    this.times.push(us);
    this.sets.push(labels);
  }

  /** The labels that held at a time. The times of successive calls must rise. */
  at(us: number): LabelSet | null {
    while (this.cursor < this.times.length && this.times[this.cursor] <= us) this.cursor++;
    return this.cursor === 0 ? null : this.sets[this.cursor - 1]!;
  }

  /** The log as plain data, for `of`. */
  changes(): LabelChange[] {
    return this.times.map((us, i) => {
      const labels = this.sets[i]!;
      return [us, labels === null ? null : [...labels]];
    });
  }
}

/** A CPU profiler, which notes changes of labels in this thread. */
export interface LabelSource {
  openLog(): LabelLog;
  closeLog(log: LabelLog): void;
}

/**
 * The object at the hook: logs the changes of all sources of the thread, for one profile at a time. Sources that are
 * added while a profile is taken take part in it.
 */
interface ThreadLabels {
  add(source: LabelSource): void;
  begin(): void;
  end(): LabelChange[];
}

const HOOK_NAME = "gort.profiling.labels";
/** In a thread without CPU profilers the hook is undefined. Then `BEGUN_NAME` says that a profile is being taken. */
const BEGUN_NAME = "gort.profiling.begun";
const hook = `globalThis[Symbol.for(${JSON.stringify(HOOK_NAME)})]`;
const begun = `globalThis[Symbol.for(${JSON.stringify(BEGUN_NAME)})]`;
/** Expressions for another thread's inspector: they begin the log, and end it with its changes as the value. */
export const BEGIN_LABELS = `${begun} = true, ${hook}?.begin()`;
export const END_LABELS = `${begun} = false, ${hook}?.end()`;
const hooks = globalThis as unknown as Record<symbol, ThreadLabels | undefined>;
const flags = globalThis as unknown as Record<symbol, boolean | undefined>;

/** Adds a source to those of this thread. A weak reference holds it. */
export function addLabelSource(source: LabelSource): void {
  threadLabels().add(source);
}

/** The hook of this thread. */
export function threadLabels(): ThreadLabels {
  const key = Symbol.for(HOOK_NAME);
  hooks[key] ??= makeThreadLabels();
  return hooks[key];
}

function makeThreadLabels(): ThreadLabels {
  const sources = new Set<WeakRef<LabelSource>>();
  let active = flags[Symbol.for(BEGUN_NAME)] === true;
  let open: { source: LabelSource; log: LabelLog }[] = [];
  const openLog = (source: LabelSource): void => void open.push({ source, log: source.openLog() });
  const end = (): LabelChange[] => {
    const changes = open.flatMap(({ source, log }) => {
      source.closeLog(log);
      return log.changes();
    });
    open = [];
    active = false;
    return changes.sort(([a], [b]) => a - b);
  };
  return {
    add(source) {
      sources.add(new WeakRef(source));
      // Not now: the source is being made.
      if (active) queueMicrotask(() => active && openLog(source));
    },
    begin() {
      end();
      active = true;
      for (const ref of sources) {
        const source = ref.deref();
        if (source === undefined) sources.delete(ref);
        else openLog(source);
      }
    },
    end,
  };
}
