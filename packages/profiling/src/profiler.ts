/**
 * A profiler: one PC table, one set of buckets, and Go's functions over them. Several profilers can live side by side;
 * each issues its own PCs. All functions of a profiler work without `this`, so a program can take them off it and pass
 * them on.
 */

import { writeStderr } from "@gort/base";
import { type BucketKind, BucketTable, BufferArena, MEM_KIND } from "./bucket.ts";
import type { CallSite } from "./capture.ts";
import { BlockProfileRecorder, MutexProfileRecorder } from "./contention.ts";
import { CPUProfiler } from "./cpuprof.ts";
import { type EventLoopProfileOptions, EventLoopProfiler } from "./event-loop.ts";
import { type CallerInfo, Callers, Frames, type PCs, StackWalker } from "./extern.ts";
import { AsyncLabelStore, doWithLabels, type LabelSet, type LabelStore, makeLabels } from "./labels.ts";
import { checkRate, DEFAULT_MEM_PROFILE_RATE, type MemBucket, MemProfileRecorder } from "./mprof.ts";
import { NamedProfiles } from "./named-profiles.ts";
import { type Func, PCTable, type Symbolized } from "./pc-table.ts";
import type { CustomProfile, NamedProfile } from "./profile.ts";
import { type PortableStacks, ProfileStacks } from "./profile-stacks.ts";
import {
  budgetOf,
  type ProfilerOptions,
  type StackFrame,
  type StackSource,
  stackDepthOf,
  stackPeriodOf,
} from "./profiler-options.ts";
import {
  type BlockProfileRecord,
  fillRecords,
  type MemProfileRecord,
  type RecordSlice,
  type StackRecord,
  type Taken,
  takeEventRecords,
  takeMemRecords,
  takeStackRecords,
} from "./records.ts";
import { SampleBudget } from "./sample-budget.ts";
import { SharedFrames } from "./shared-frames.ts";
import { type V8HeapProfileOptions, V8HeapProfiler } from "./v8-heap.ts";
import type { Sink } from "./writer.ts";

export type { ProfilerOptions, RemoteCPUProfile, StackFrame, StackSource } from "./profiler-options.ts";

// biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
type AnyFunction = Function;

export class Profiler {
  readonly table: PCTable;
  /** Hooks for an allocator and a collector; mprof.ts says when to call which. */
  readonly mem: MemProfileRecorder;
  /** @internal */ readonly buckets: BucketTable;
  /** @internal */ readonly walker: StackWalker;

  /** Hooks for a scheduler: how long goroutines wait, and which code held the lock. */
  readonly block: BlockProfileRecorder;
  readonly mutex: MutexProfileRecorder;
  readonly cpu: CPUProfiler;
  /** The event loop; the profile `eventloop` once it is started. */
  readonly eventLoop: EventLoopProfiler;
  /** V8's heap; the profile `v8heap` once it is started. */
  readonly v8heap: V8HeapProfiler;

  /**
   * The place of the `skip`-th caller: 0 is the function that calls `caller`. If the stack is not that deep, `ok` is
   * false and the rest empty. `pc` is the return address, for `funcForPC`.
   */
  readonly caller: (skip?: number) => CallerInfo;

  /**
   * Fills `pcs` with the return addresses of the calling stack and returns how many. Unlike in `caller`, a skip
   * of 0 is `runtime.Callers` itself, and 1 is the function that calls `callers`.
   */
  readonly callers: (skip: number, pcs: PCs) => number;

  private readonly readAll: <T>(read: () => T) => T;
  private readonly stacks: ProfileStacks;
  private readonly named: NamedProfiles;
  private readonly labelStore: LabelStore;
  private readonly options: ProfilerOptions;

  constructor(options: ProfilerOptions = {}) {
    const depth = stackDepthOf(options);
    const random = options.random ?? Math.random;
    this.options = options;
    const table = new PCTable(options);
    const walker = new StackWalker(table);
    const arena = options.arena ?? new BufferArena();
    const buckets = new BucketTable(arena, new SharedFrames(table, arena));
    const readAll = options.readAll ?? ((read) => read());
    const stacks = new ProfileStacks(table, walker, buckets, depth);
    this.table = table;
    this.walker = walker;
    this.buckets = buckets;
    this.readAll = readAll;
    this.stacks = stacks;
    ({ caller: this.caller, callers: this.callers } = new Callers(table, walker));
    this.callerBucket = stacks.callerBucket;
    this.mem = memRecorder(options, buckets, stacks, random);
    const events = {
      buckets,
      captureBucket: (kind: BucketKind, above: AnyFunction) => stacks.captureBucket(kind, 0, above),
      random,
    };
    this.block = new BlockProfileRecorder(events, stackPeriodOf(options));
    this.mutex = new MutexProfileRecorder(events);
    const labels = options.labels ?? new AsyncLabelStore();
    this.labelStore = {
      get: () => labels.get(),
      set: (set) => {
        labels.set(set);
        this.cpu.noteLabels(set);
      },
      shared: labels.shared === true,
    };
    this.cpu = new CPUProfiler(
      table,
      options.stderr ?? writeStderr,
      () => labels.get(),
      options.onCPUProfile,
      options.cpuWorkers,
      options.remoteCPUProfile,
    );
    this.v8heap = new V8HeapProfiler(table);
    this.eventLoop = new EventLoopProfiler(table, walker, buckets, stacks.stack, random);
    const { mem, block, mutex } = this;
    this.named = new NamedProfiles({ table, stacks, mem, block, mutex, readAll }, options);
  }

  // V8's profilers.

  /** Begins to sample V8's heap and adds the profile `v8heap`. It shows only objects that are allocated from now on. */
  readonly startV8HeapProfile = (options?: V8HeapProfileOptions): void => {
    this.v8heap.start(options);
    this.named.addV8Heap(this.v8heap);
  };

  /** Ends the sampling of V8's heap, and removes the profile. */
  readonly stopV8HeapProfile = (): void => {
    this.v8heap.stop();
    this.named.removeV8Heap();
  };

  /** Begins to measure the event loop's callbacks, and adds the profile `eventloop`. */
  readonly startEventLoopProfile = (options?: EventLoopProfileOptions): void => {
    this.eventLoop.start(options);
    this.named.addEventLoop(this.eventLoop);
  };

  /** Ends the measuring. The profile stays, with the figures until now. */
  readonly stopEventLoopProfile = (): void => this.eventLoop.stop();

  /** Begins a CPU profile that `stopCPUProfile` writes to `sink`. Throws `cpu profiling already in use`. */
  readonly startCPUProfile = (sink: Sink): void => this.cpu.start(sink);

  /** Ends the CPU profile and writes it; without one, does nothing. Rejects if writing fails. */
  readonly stopCPUProfile = (): Promise<void> => this.cpu.stop();

  /** Sets the samples per second of later CPU profiles; 0 means the default, 100. */
  readonly setCPUProfileRate = (hz: number): void => this.cpu.setRate(hz);

  /** Ends the profiles of V8's heap and of the event loop. `stopCPUProfile` ends a CPU profile. */
  readonly close = (): void => {
    this.stopEventLoopProfile();
    this.stopV8HeapProfile();
  };

  /** Bytes that the buckets of all profiles take: MemStats' BuckHashSys. */
  get buckHashSys(): number {
    return this.buckets.arena.bytes;
  }

  /** Mean bytes between two samples of the memory profile: 512 KiB by default; 1 samples all, 0 none. */
  get memProfileRate(): number {
    return this.mem.rate;
  }

  set memProfileRate(rate: number) {
    this.mem.rate = rate;
  }

  // Stacks and PCs.

  /** The frames of PCs that `callers` recorded. */
  readonly callersFrames = (pcs: Iterable<number>): Frames => new Frames(this.table, pcs);

  /** The function that has the instruction at `pc`, or null. */
  readonly funcForPC = (pc: number): Func | null => this.table.funcForPC(pc);

  /** Name and place of a call site of V8, with the source map applied. The object is shared: do not change it. */
  readonly symbolize = (site: CallSite): Symbolized => {
    const id = this.table.intern(site);
    return id === 0 ? { func: "", file: "", line: 0, column: 0 } : this.table.symbolize(id);
  };

  /** The return addresses of call sites that were taken outside, innermost first, up to the stack base. */
  readonly internSites = (sites: readonly CallSite[]): number[] => this.stacks.internSites(sites);

  /** The bucket of a stack that was taken outside of the profiler, for `block.recordAt` and `mutex.recordAt`. */
  readonly eventBucket = (
    kind: "block" | "mutex",
    stack: readonly number[] | readonly StackFrame[],
  ): number => this.stacks.eventBucket(kind, stack);

  /**
   * The bucket of call sites that were taken outside of the profiler, innermost first, up to the stack base. Cheaper
   * than from frames, since nothing is symbolized. One frame with the name `leaf` replaces the runtime's own
   * innermost frames.
   */
  readonly sitesBucket = (kind: "block" | "mutex", leaf: string, sites: readonly CallSite[]): number =>
    this.stacks.sitesBucket(kind, leaf, sites);

  /**
   * The bucket of the running code: the stack above the function `above`. One frame with the name `leaf` replaces the
   * runtime's own innermost frames.
   */
  readonly callerBucket: (kind: "block" | "mutex", leaf: string, above: AnyFunction) => number;

  /** Return addresses without the stack base and the runtime's own outermost frames. */
  readonly withoutOuterRuntime = (pcs: readonly number[]): number[] => this.stacks.withoutOuterRuntime(pcs);

  /**
   * The return addresses that stand for operations of the runtime with which a stack begins, such as
   * `runtime.gopark`.
   */
  readonly operationPCs = (names: readonly string[]): number[] => this.stacks.operationPCs(names);

  // Other threads.

  /** Makes the frames of this thread's buckets readable for the other threads of the arena; see `readAll`. */
  readonly publishFrames = (): void => this.buckets.publishFrames();

  /** The stacks of a source as plain data, which `adoptStacks` of another thread's profiler takes. */
  readonly portableStacks = (source: StackSource): PortableStacks => this.stacks.portable(source);

  /** The stacks that the profiler of another thread has described, as PCs of this one. */
  readonly adoptStacks = (from: PortableStacks): { stack: number[]; labels: LabelSet | null }[] =>
    this.stacks.adopt(from);

  /** The memory profile with the buckets of each stack: for a heap dump, whose samples name buckets. */
  readonly memBuckets = (): MemBucket[] =>
    this.readAll(() => {
      const all: MemBucket[] = [];
      this.mem.forEach(true, (r) => all.push({ ...r, buckets: [...r.buckets], stack: Array.from(r.stack) }));
      return all;
    });

  // Go's records.

  /**
   * The memory profile, not scaled. `n` is the number of records. If `p` has room for all of them, they are put in
   * its first `n` elements and `ok` is true, else `p` is left as it is. With `inuseZero`, the profile includes records
   * whose objects are all freed.
   */
  readonly memProfile = (
    p: (MemProfileRecord | null | undefined)[] | null,
    inuseZero: boolean,
  ): { n: number; ok: boolean } =>
    this.fill(p, (room) => takeMemRecords(this.table, this.mem, room, inuseZero));

  /**
   * Sets the rate of the block profile: mean nanoseconds of waiting between two samples. 1 takes every event, 0
   * none.
   */
  readonly setBlockProfileRate = (rate: number): void => {
    this.block.rate = rate;
  };

  /**
   * Takes one event in `fraction` for the mutex profile; 0: none. Returns the old fraction. A negative number only
   * reads.
   */
  readonly setMutexProfileFraction = (fraction: number): number => this.mutex.setFraction(fraction);

  /** The block profile; protocol as that of `memProfile`. */
  readonly blockProfile = (p: (BlockProfileRecord | null | undefined)[] | null): { n: number; ok: boolean } =>
    this.fill(p, (room) => takeEventRecords(this.table, this.block, room));

  /** The mutex profile; protocol as that of `memProfile`. */
  readonly mutexProfile = (p: (BlockProfileRecord | null | undefined)[] | null): { n: number; ok: boolean } =>
    this.fill(p, (room) => takeEventRecords(this.table, this.mutex, room));

  /** The stacks of all goroutines; protocol as that of `memProfile`. */
  readonly goroutineProfile = (p: (StackRecord | null | undefined)[] | null): { n: number; ok: boolean } =>
    this.stackProfile(this.options.goroutines, p);

  /** The stacks that started threads; protocol as that of `memProfile`. */
  readonly threadCreateProfile = (p: (StackRecord | null | undefined)[] | null): { n: number; ok: boolean } =>
    this.stackProfile(this.options.threads, p);

  private stackProfile(
    source: StackSource | undefined,
    p: (StackRecord | null | undefined)[] | null,
  ): { n: number; ok: boolean } {
    if (source === undefined) return { n: 0, ok: true };
    return this.fill(p, (room) => {
      const n = this.stacks.countOf(source);
      if (n > room) return { n, records: null };
      const stacks = this.stacks.stacksOf(source).map(({ stack }) => stack);
      return takeStackRecords(this.table, stacks, room);
    });
  }

  /** Fills the program's slice with records that `take` reads. */
  private fill<R extends StackRecord>(
    p: RecordSlice<R>,
    take: (room: number) => Taken<R>,
  ): { n: number; ok: boolean } {
    const room = p?.length ?? 0;
    const taken = this.readAll(() => take(room));
    return fillRecords(p, taken);
  }

  // Labels.

  /** Runs `f` with labels added to those of the running goroutine; see `doWithLabels`. */
  readonly do = <T>(labels: LabelSet | Readonly<Record<string, string>>, f: (labels: LabelSet) => T): T =>
    doWithLabels(this.labelStore, labelSetOf(labels), f);

  /** Replaces the labels of the running goroutine. */
  readonly setGoroutineLabels = (labels: LabelSet | Readonly<Record<string, string>> | null): void => {
    this.labelStore.set(labels === null ? null : labelSetOf(labels));
  };

  /** The labels of the running goroutine. */
  readonly goroutineLabels = (): LabelSet | null => this.labelStore.get();

  // Profiles by name.

  /** Makes a profile of the user's own; its name must not be in use. */
  readonly newProfile = (name: string): CustomProfile => this.named.addCustom(name);

  /** The profile of this name, or null. */
  readonly lookup = (name: string): NamedProfile | null => this.named.lookup(name);

  /** All profiles, sorted by name. */
  readonly profiles = (): NamedProfile[] => this.named.all();

  /** Writes the heap profile as gzipped pprof: `lookup("heap").writeTo(sink, 0)`. */
  readonly writeHeapProfile = (sink: Sink): Promise<void> => this.named.lookup("heap")!.writeTo(sink, 0);
}

/** The recorder of the memory profile. Without a sampler in the options, it owns the rate. */
function memRecorder(
  options: ProfilerOptions,
  buckets: BucketTable,
  stacks: ProfileStacks,
  random: () => number,
): MemProfileRecorder {
  const { memProfileSampler: given, memProfileRate } = options;
  const sampler = given ?? { rate: DEFAULT_MEM_PROFILE_RATE };
  if (memProfileRate !== undefined) sampler.rate = checkRate(memProfileRate);
  const now = options.now ?? (() => performance.now());
  return new MemProfileRecorder({
    buckets,
    captureBucket: (size, weight) =>
      stacks.captureBucket(MEM_KIND, size, MemProfileRecorder.prototype.alloc, weight),
    random,
    sampler,
    budget: new SampleBudget({ budget: budgetOf(options), now, random }),
    budgetAlways: options.memProfileBudget !== undefined,
  });
}

/** A set of our own: the program may change its Map later, and a subclass runs code of the program when it is read. */
function labelSetOf(labels: LabelSet | Readonly<Record<string, string>>): LabelSet {
  return labels instanceof Map ? new Map(labels) : makeLabels(labels as Record<string, string>);
}

/** Makes a profiler of its own. */
export function createProfiler(options: ProfilerOptions = {}): Profiler {
  return new Profiler(options);
}
