/**
 * What the profiler wants to know of goroutines: their stacks, their labels, how long they waited where, and who made
 * them wait.
 *
 * Stacks begin as Go's do, with the operation of the runtime that the goroutine waits in: in the profile `block`
 * one frame (`runtime.chanrecv1`), in `goroutine` after `runtime.gopark`. Frames of the runtime's own code are left out.
 */
import type { LabelSet, LabelStore, Profiler, StackFrame, StackSource } from "@gort/profiling";
import { EventPlace } from "@gort/profiling/internal";
import { type G, getg, type Leak, type Scheduler } from "@gort/scheduler";
import {
  createdBy,
  creationSite,
  dumpOthers,
  Gdead,
  Gsyscall,
  Gwaiting,
  gDerived,
  gHost,
  goName,
  goroutineHeader,
  gSites,
  gSystem,
  isShown,
  systemFunc,
  waitReasonStrings,
} from "@gort/scheduler/internal";
import { hostCollector } from "./hostgc.ts";

/** Waits that are events of the block profile: those in which another goroutine is waited for. */
const blocking: Readonly<Record<string, string>> = {
  "chan receive": "runtime.chanrecv1",
  "chan send": "runtime.chansend1",
  select: "runtime.selectgo",
  semacquire: "golang.org/x/sync/semaphore.(*Weighted).Acquire",
  "sync.Cond.Wait": "sync.(*Cond).Wait",
  "sync.Mutex.Lock": "sync.(*Mutex).Lock",
  "sync.RWMutex.RLock": "sync.(*RWMutex).RLock",
  "sync.RWMutex.Lock": "sync.(*RWMutex).Lock",
  "sync.WaitGroup.Wait": "sync.(*WaitGroup).Wait",
};
/** Other waits. */
const parked: Readonly<Record<string, string>> = {
  "chan receive (nil chan)": "runtime.chanrecv1",
  "chan send (nil chan)": "runtime.chansend1",
  "select (no cases)": "runtime.block",
  sleep: "time.Sleep",
};
const blockLeaf = waitReasonStrings.map((reason) => blocking[reason]);
const parkedLeaf = waitReasonStrings.map((reason) => blocking[reason] ?? parked[reason]);

/** The frames of the runtime that a goroutine's stack begins with. */
function leavesOf(g: G): string[] {
  if (g.atomicstatus === Gsyscall) return ["syscall.Syscall"];
  if (g.atomicstatus !== Gwaiting) return [];
  const leaf = parkedLeaf[g.waitreason];
  return leaf === undefined ? ["runtime.gopark"] : ["runtime.gopark", leaf];
}

/** The return addresses of a goroutine that has begun, without the runtime's own frames at its leaf. */
function pcsOf(profiler: Profiler, g: G): number[] | null {
  return gDerived(g, profiler.internSites);
}

/** A goroutine that has not begun is shown where it was started. */
function stackOf(profiler: Profiler, g: G): number[] | StackFrame[] {
  const pcs = pcsOf(profiler, g);
  if (pcs !== null) {
    const outer = systemFunc(g);
    const own = outer === "" ? pcs : profiler.withoutOuterRuntime(pcs).concat(profiler.operationPCs([outer]));
    return profiler.operationPCs(leavesOf(g)).concat(own);
  }
  const site = creationSite(g);
  return site === null ? [] : [site];
}

/** The runtime whose goroutines are profiled. Its profiler is made with the sources below, so they read it later. */
export interface ProfiledRuntime {
  readonly scheduler: Scheduler;
  readonly profiler: Profiler;
}

/** The user's goroutines, as the profile `goroutine` shows them. */
export class GoroutineStacks implements StackSource {
  readonly #of: ProfiledRuntime;

  constructor(of: ProfiledRuntime) {
    this.#of = of;
  }

  forEach(visit: (stack: readonly number[] | readonly StackFrame[], labels?: LabelSet | null) => void): void {
    const all: G[] = [];
    this.#of.scheduler.forEachG((g) => {
      if (g.atomicstatus !== Gdead && isShown(g)) all.push(g);
    });
    const profiler = this.#of.profiler;
    for (const g of all) visit(stackOf(profiler, g), g.labels);
  }

  count(): number {
    return this.#of.scheduler.numGoroutine();
  }

  dump(): string {
    const scheduler = this.#of.scheduler;
    if (getg() === null) return dumpOthers(scheduler, null);
    for (let size = 1 << 16; ; size *= 2) {
      const buf = new Uint8Array(size);
      const n = scheduler.stack(buf, true);
      if (n < size || size >= 1 << 26) return new TextDecoder().decode(buf.subarray(0, n));
    }
  }
}

/** What was seen of a goroutine while it was there. */
interface Seen {
  /** The first line of its dump. */
  header: string;
  /** The last two lines of its dump, or "". */
  createdBy: string;
  labels: LabelSet | null;
  /** Its stack as return addresses, of which the first `leaves` are the runtime's. */
  pcs: number[];
  leaves: number;
}

/**
 * Goroutines that can never run again, as the profile `goroutineleak` shows them. V8's collector finds them, and takes them away
 * together with their stacks. So a profile that is written goes in two steps:
 *
 *   1. the stack of every waiting goroutine is taken, as numbers that keep nothing alive, and the scheduler lets go of them;
 *   2. in a later turn of the event loop (until then V8 keeps whatever was looked at) V8 collects, and those that are gone are
 *      the leaked ones: their stacks are kept, the others forgotten, and the scheduler holds the others again.
 *
 * With the scheduler's `leakDetection` it never holds them, and V8 may collect one before anybody asked: then the function and where
 * it was started are left. All stay in the profile for ever.
 */
export class LeakedGoroutines implements StackSource {
  readonly #of: ProfiledRuntime;
  readonly #goroutines: GoroutineStacks;
  /** `leakDetection` is on. */
  readonly #always: boolean;
  /** By goid. */
  #seen = new Map<number, Seen>();
  /** Searches that have noted stacks and not yet found whose they need. */
  #searches = 0;

  constructor(of: ProfiledRuntime, goroutines: GoroutineStacks, always: boolean) {
    this.#of = of;
    this.#goroutines = goroutines;
    this.#always = always;
  }

  async prepare(): Promise<void> {
    const scheduler = this.#of.scheduler;
    const collector = hostCollector();
    if (collector === null && !this.#always) {
      throw new Error(
        "runtime: goroutineleak needs createRuntime({ leakDetection: true }) where V8 cannot be told to collect",
      );
    }
    this.#searches++;
    try {
      scheduler.forEachG((g) => this.#note(g));
      scheduler.beginLeakSearch();
      await new Promise((resolve) => setTimeout(resolve, 0));
      collector?.();
    } finally {
      scheduler.endLeakSearch();
      this.#searches--;
    }
  }

  #note(g: G): void {
    if (g.atomicstatus !== Gwaiting || (g.flags & (gSystem | gHost)) !== 0) return;
    const profiler = this.#of.profiler;
    const own = pcsOf(profiler, g);
    if (own === null) return;
    const leaves = leavesOf(g);
    this.#seen.set(g.goid, {
      header: goroutineHeader(g, g.sched.nowSec(), `${waitReasonStrings[g.waitreason]} (leaked)`),
      createdBy: createdBy(g),
      labels: g.labels,
      pcs: profiler.operationPCs(leaves).concat(own),
      leaves: leaves.length,
    });
  }

  #find(): readonly Leak[] {
    if (this.#always) hostCollector()?.();
    const leaks = this.#of.scheduler.findLeaks();
    if (this.#searches > 0) return leaks;
    const kept = new Map<number, Seen>();
    for (const { goid } of leaks) {
      const seen = this.#seen.get(goid);
      if (seen !== undefined) kept.set(goid, seen);
    }
    this.#seen = kept;
    return leaks;
  }

  forEach(visit: (stack: readonly number[] | readonly StackFrame[], labels?: LabelSet | null) => void): void {
    for (const { goid, func, createdBy } of this.#find()) {
      const seen = this.#seen.get(goid);
      if (seen !== undefined) {
        visit(seen.pcs, seen.labels);
        continue;
      }
      const file = createdBy?.file ?? "";
      const body: StackFrame = { func: goName(func), file, line: 0 };
      visit(createdBy === null ? [body] : [body, createdBy]);
    }
  }

  /** Those known so far: only what is written can wait for V8 to collect. */
  count(): number {
    return this.#find().length;
  }

  /** All goroutines, after those that are leaked. */
  dump(): string {
    const leaked = this.#find().map((leak) => {
      const seen = this.#seen.get(leak.goid);
      return seen === undefined ? collectedText(leak) : this.#text(seen);
    });
    return [...leaked, this.#goroutines.dump()].join("\n");
  }

  #text({ header, createdBy, pcs, leaves }: Seen): string {
    const frames = [...this.#of.profiler.callersFrames(pcs.slice(leaves))]
      .filter((f) => !f.Function.startsWith("runtime."))
      .map((f) => `${f.Function}(...)\n\t${f.File}:${f.Line}\n`);
    return `${header}\n${frames.join("")}${createdBy}`;
  }
}

/** A goroutine of which no stack was taken before V8 collected it. */
function collectedText({ goid, func, createdBy }: Leak): string {
  const by =
    createdBy === null ? "" : `created by ${createdBy.func}\n\t${createdBy.file}:${createdBy.line}\n`;
  return `goroutine ${goid} [waiting (leaked)]:\n${goName(func)}(...)\n\t${createdBy?.file ?? "unknown"}:0\n${by}`;
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
    return this.of(getg());
  }

  /** The labels of a goroutine, or with null those of host code. */
  of(g: G | null): LabelSet | null {
    return g === null ? this.#host : g.labels;
  }

  set(labels: LabelSet | null): void {
    const g = getg();
    if (g === null) this.#host = labels;
    else g.labels = labels;
  }
}

/** Feeds the block profile. */
export class GoroutineWaits {
  readonly #profiler: Profiler;
  /** The places where a goroutine waits, by wait reason; by its generator, as a G serves many. */
  readonly #places = new WeakMap<object, (EventPlace | undefined)[]>();

  constructor(profiler: Profiler) {
    this.#profiler = profiler;
  }

  /** A goroutine has waited for `ns`; it is still suspended in the operation, where its stack can be taken. */
  record(g: G, ns: number, reason: number): void {
    const { block } = this.#profiler;
    const leaf = blockLeaf[reason];
    if (leaf === undefined || !block.sampled(ns)) return;
    if (block.stackPeriod === 1) {
      block.recordAt(ns, this.#bucket(g, leaf));
      return;
    }
    const place = this.#place(g, reason);
    if (block.recordTrusted(ns, place)) return;
    block.recordStack(ns, this.#bucket(g, leaf), place);
  }

  #bucket(g: G, leaf: string): number {
    return this.#profiler.sitesBucket("block", leaf, gSites(g));
  }

  #place({ gen }: G, reason: number): EventPlace {
    // Host code that waits has no generator, and no stack to take.
    if (gen === null) return new EventPlace();
    let places = this.#places.get(gen);
    if (places === undefined) {
      places = [];
      this.#places.set(gen, places);
    }
    return (places[reason] ??= new EventPlace());
  }
}

/** A lock was released for which others had waited `ns`, by the code above the function `above`. */
export function recordMutexEvent(
  profiler: Profiler,
  ns: number,
  unlock: string,
  above: (...args: never[]) => void,
): void {
  if (!profiler.mutex.sampled()) return;
  profiler.mutex.recordAt(ns, profiler.callerBucket("mutex", unlock, above));
}
