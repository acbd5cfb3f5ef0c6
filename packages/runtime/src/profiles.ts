/**
 * Goroutines as the profiler sees them: their stacks and labels, the place and the duration of their waits, and the
 * code that made them wait.
 *
 * Stacks begin as Go's do, with the operation of the runtime that the goroutine waits in. In the profile `block`
 * that is one frame (`runtime.chanrecv1`); in `goroutine` it follows `runtime.gopark`. Frames of the runtime's own
 * code are left out.
 */
import type { Collector } from "@gort/gc";
import type { LabelSet, LabelStore, Profiler, StackFrame, StackSource } from "@gort/profiling";
import { EventPlace, type PortableStacks } from "@gort/profiling/internal";
import type { G, Leak, Scheduler } from "@gort/scheduler";
import {
  createdBy,
  creationSite,
  dumpOthers,
  G_HOST,
  G_SYSTEM,
  Gdead,
  Gsyscall,
  Gwaiting,
  gDerived,
  getg,
  goName,
  goroutineHeader,
  gSites,
  isShown,
  systemFunc,
  waitReasonStrings,
} from "@gort/scheduler/internal";
import { COMMAND, type ThreadProfiles } from "./commands.ts";
import { MainCPUProfile } from "./cpu-profile.ts";
import { hostCollector } from "./hostgc.ts";
import type { Machines } from "./machines.ts";
import type { Tasks } from "./tasks.ts";

/** Waits that are events of the block profile: a goroutine waits for another goroutine. */
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

/** The runtime's frames at the leaf of a goroutine's stack. */
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

/** The stack of a goroutine. One that has not begun is shown at the place that started it. */
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

type VisitStack = Parameters<StackSource["forEach"]>[0];
/** The user's goroutines on this thread. Their number and their dumps are those of all threads. */
export class GoroutineStacks implements StackSource {
  readonly #of: ProfiledRuntime;

  constructor(of: ProfiledRuntime) {
    this.#of = of;
  }

  forEach(visit: VisitStack): void {
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

/** The parts of a thread that its profiles are made from. */
export interface ProfiledThread extends ProfiledRuntime {
  readonly collector: Collector;
  readonly machines: Machines;
  readonly tasks: Tasks;
}

/**
 * The profiles of all threads. Counters of the other threads' buckets are in linear memory, but those threads must not
 * change them while they are read, and must have made their frames readable. So a reader stops the world, and each
 * thread settles.
 *
 * As a source of stacks: the user's goroutines on all threads, as the profile `goroutine` shows them.
 */
export class AllProfiles implements ThreadProfiles, StackSource {
  readonly #of: ProfiledThread;
  /** The goroutines of this thread. */
  readonly here: GoroutineStacks;
  readonly threads: ThreadStacks;

  readonly cpu: MainCPUProfile | null;

  /** @param first this is M 0 */
  constructor(of: ProfiledThread, first: boolean) {
    this.#of = of;
    this.cpu = first ? new MainCPUProfile(of) : null;
    this.here = new GoroutineStacks(of);
    this.threads = new ThreadStacks(of);
  }

  /** Runs `read`, which reads the profiles of all threads. */
  read<T>(read: () => T): T {
    const { commands } = this.#of.machines;
    return commands === null ? read() : commands.readProfiles(read);
  }

  settle(): void {
    const { collector, profiler } = this.#of;
    collector.threads.takeSamples();
    profiler.publishFrames();
  }

  goroutines(): PortableStacks {
    return this.#of.profiler.portableStacks(this.here);
  }

  starts(): PortableStarts {
    return this.threads.portable();
  }

  forEach(visit: VisitStack): void {
    const { commands, threads } = this.#of.machines;
    if (commands === null || threads === null) {
      this.here.forEach(visit);
      return;
    }
    commands.stopped("profile", () => {
      const { profiler, tasks } = this.#of;
      this.here.forEach(visit);
      for (const theirs of commands.ask<PortableStacks>(COMMAND.goroutines, 0)) {
        for (const { stack, labels } of profiler.adoptStacks(theirs)) visit(stack, labels);
      }
      threads.forEachTask((task) => {
        const { site, labels } = tasks.describe(task).origin;
        visit(site === null ? [] : [site], labels);
      });
    });
  }

  count(): number {
    return this.here.count();
  }

  dump(): string {
    return this.here.dump();
  }
}

/** A goroutine as a search noted it, for the case that V8 collects it. */
interface Seen {
  /** The first line of its dump. */
  header: string;
  /** The last two lines of its dump, or "". */
  createdBy: string;
  labels: LabelSet | null;
  /** Its stack as return addresses. The first `leaves` of them are the runtime's. */
  pcs: number[];
  leaves: number;
}

/**
 * Goroutines that can never run again, as the profile `goroutineleak` shows them. V8's collector finds them, and
 * collects them together with their stacks. So the profile is written in two steps:
 *
 *   1. We note the stack of every waiting goroutine, as numbers that keep nothing alive. The scheduler drops its
 *      references to these goroutines.
 *   2. In a later turn of the event loop, V8 collects. (Until then V8 keeps every object that was read.) Goroutines
 *      that are gone are leaked, and we keep their stacks. We forget the other stacks, and the scheduler holds the
 *      other goroutines again.
 *
 * With the scheduler's `leakDetection` the scheduler never holds waiting goroutines, and V8 may collect one before
 * a search has noted it. Then only its function and the place that started it are known. All leaked goroutines stay
 * in the profile.
 */
export class LeakedGoroutines implements StackSource {
  readonly #of: ProfiledRuntime;
  readonly #goroutines: GoroutineStacks;
  /** `leakDetection` is on. */
  readonly #always: boolean;
  /** By goid. */
  #seen = new Map<number, Seen>();
  /** Searches that have noted stacks and not yet found the leaked goroutines. */
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
        "runtime: goroutineleak needs createRuntime({ leakDetection: true }) where a program cannot make V8 collect",
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
    if (g.atomicstatus !== Gwaiting || (g.flags & (G_SYSTEM | G_HOST)) !== 0) return;
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

  forEach(visit: VisitStack): void {
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

  /** Leaked goroutines that are known so far: only the writing of a profile can wait until V8 has collected. */
  count(): number {
    return this.#find().length;
  }

  /** The leaked goroutines, then all others. */
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

/** A goroutine that V8 has collected before a search noted its stack. */
function collectedText({ goid, func, createdBy }: Leak): string {
  const by =
    createdBy === null ? "" : `created by ${createdBy.func}\n\t${createdBy.file}:${createdBy.line}\n`;
  return `goroutine ${goid} [waiting (leaked)]:\n${goName(func)}(...)\n\t${createdBy?.file ?? "unknown"}:0\n${by}`;
}

/** The stacks on one thread that started threads, as plain data: the Ms, and a stack for each. */
export interface PortableStarts extends PortableStacks {
  readonly ms: readonly number[];
}

/** The stacks that started threads, on all threads. No stack of the program started the first one. */
export class ThreadStacks implements StackSource {
  readonly #of: ProfiledThread;

  constructor(of: ProfiledThread) {
    this.#of = of;
  }

  /** Those of this thread, for another thread. */
  portable(): PortableStarts {
    const { machines, profiler } = this.#of;
    const { startStacks } = machines;
    const stacks: StackSource = {
      forEach: (visit) => {
        for (const pcs of startStacks.values()) visit(this.#ofProgram(pcs));
      },
    };
    return { ms: [...startStacks.keys()], ...profiler.portableStacks(stacks) };
  }

  forEach(visit: VisitStack): void {
    visit([]);
    const { commands } = this.#of.machines;
    if (commands === null) return;
    const byM = new Map<number, readonly number[]>();
    const add = (starts: PortableStarts): void => {
      this.#of.profiler.adoptStacks(starts).forEach(({ stack }, i) => void byM.set(starts.ms[i], stack));
    };
    add(this.portable());
    commands.ask<PortableStarts>(COMMAND.starts, 0).forEach(add);
    for (const m of [...byM.keys()].sort((a, b) => a - b)) visit(byM.get(m)!);
  }

  /** The stack with one frame for the runtime's own code. */
  #ofProgram(pcs: readonly number[]): readonly number[] {
    const { profiler } = this.#of;
    const isRuntime = (pc: number): boolean =>
      profiler
        .funcForPC(pc - 1)
        ?.name()
        .startsWith("runtime.") === true;
    const from = pcs.findIndex((pc) => !isRuntime(pc));
    if (from < 0) return [];
    return profiler.operationPCs(["runtime.newm"]).concat(profiler.withoutOuterRuntime(pcs.slice(from)));
  }
}

/**
 * Labels belong to the goroutine that set them, and pass to goroutines that it starts. Host code has a set of its
 * own.
 */
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
  /** The places where a goroutine waits, by its generator (a G serves many goroutines) and by wait reason. */
  readonly #places = new WeakMap<object, (EventPlace | undefined)[]>();

  constructor(profiler: Profiler) {
    this.#profiler = profiler;
  }

  /** A goroutine has waited for `ns`. It is still suspended in the operation, so its stack can be captured. */
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
    // Host code that waits has no generator, and no stack to capture.
    if (gen === null) return new EventPlace();
    let places = this.#places.get(gen);
    if (places === undefined) {
      places = [];
      this.#places.set(gen, places);
    }
    return (places[reason] ??= new EventPlace());
  }
}

/** Records that the caller of the function `above` released a lock for which others had waited `ns`. */
export function recordMutexEvent(
  profiler: Profiler,
  ns: number,
  unlock: string,
  above: (...args: never[]) => void,
): void {
  if (!profiler.mutex.sampled()) return;
  profiler.mutex.recordAt(ns, profiler.callerBucket("mutex", unlock, above));
}
