/**
 * A profiler: one PC table, one set of buckets, and Go's functions over them. Several can live side by side; each
 * issues its own PCs. All functions of a profiler work without `this`, so they can be taken off it and passed on.
 */

import { writeStderr, wrongNumber } from "@gort/base";
import { Profile } from "pprof-format";
import {
  type BucketKind,
  BucketTable,
  BufferArena,
  blockKind,
  memKind,
  mutexKind,
  type ProfArena,
} from "./bucket.ts";
import { type CallSite, closeCapture, openCapture, PlainError } from "./capture.ts";
import {
  BlockProfileRecord,
  BlockProfileRecorder,
  defaultStackPeriod,
  MutexProfileRecorder,
  StackRecord,
} from "./contention.ts";
import { blockProfile, blockText, type CountedStack, countProfile, countText } from "./count-profile.ts";
import { CPUProfiler } from "./cpuprof.ts";
import { type EventLoopProfileOptions, EventLoopProfiler } from "./event-loop.ts";
import {
  type CallerInfo,
  checkInteger,
  defaultMaxStackDepth,
  Frames,
  type PCs,
  StackBuffer,
  StackWalker,
} from "./extern.ts";
import { AsyncLabelStore, doWithLabels, type LabelSet, type LabelStore, makeLabels } from "./labels.ts";
import { defaultBudget, defaultMemProfileRate, MemProfileRecord, MemProfileRecorder } from "./mprof.ts";
import { type Func, PCTable, type PCTableOptions, type Symbolized } from "./pc-table.ts";
import { CustomProfile, NamedProfile, type ProfileSource } from "./profile.ts";
import { heapProfile } from "./protomem.ts";
import { heapText, type MemStatsLike } from "./text.ts";
import { type V8HeapProfileOptions, V8HeapProfiler } from "./v8-heap.ts";
import type { Sink } from "./writer.ts";

export interface ProfilerOptions extends PCTableOptions {
  /** Memory for the buckets; default: a buffer of the profiler's own. */
  arena?: ProfArena;
  /** Mean bytes between two samples of the memory profile; 0 off, 1 all. Default 512 KiB. */
  memProfileRate?: number;
  /**
   * The part of the time that the memory profile's samples may take, above 0 to 1. When they would take more, fewer are
   * taken and counted for more; 1 takes all. A rate of 1 records everything anyway. Default: 0.02 at the default rate,
   * and 1 at a rate that was set.
   */
  memProfileBudget?: number;
  /**
   * The block profile takes the stack of one wait in so many, at random, of a goroutine that had 64 equal ones. Default 1: of every wait.
   * Above 1, all waits are still counted and timed, at a fraction of the cost, but fewer than `blockStackPeriod` short waits of a goroutine, on
   * average, may stand at a place where it waited before; 16 is a good choice.
   */
  blockStackPeriod?: number;
  /** Milliseconds of a clock, for the budget; default performance.now. */
  now?: () => number;
  /** Frames kept of each stack in profiles, 1 to 1024; default 128. */
  maxStackDepth?: number;
  /** Uniform in [0, 1); default Math.random. */
  random?: () => number;
  /** The MemStats that the heap profile's text ends with; none are printed without. */
  memStats?: () => MemStatsLike;
  /** The scheduler's goroutines; without it there is no profile `goroutine`. */
  goroutines?: StackSource;
  /** Goroutines that are blocked for ever; without it there is no profile `goroutineleak`. */
  leakedGoroutines?: StackSource;
  /** The stacks that started threads; without it there is no profile `threadcreate`. */
  threads?: StackSource;
  /** Where the labels of the running goroutine are kept; default: with Node's asynchronous context. */
  labels?: LabelStore;
  /** Whether CPU profiles that the main thread of Node takes are of all worker threads too. Default true. */
  cpuWorkers?: boolean;
  /** Called when a CPU profile begins and when it ends: for a scheduler that notes labels meanwhile. */
  onCPUProfile?: (active: boolean) => void;
  /** Where complaints go that Go prints; default standard error. */
  stderr?: (text: string) => void;
}

/** A frame that its owner has symbolized. */
export interface StackFrame {
  func: string;
  file: string;
  line: number;
}

/** Stacks that somebody else keeps, such as those of a scheduler's goroutines. */
export interface StackSource {
  /** Calls `visit` for each stack, innermost frame first: PCs of this profiler, or symbolized frames. */
  forEach(visit: (stack: readonly number[] | readonly StackFrame[], labels?: LabelSet | null) => void): void;
  /** How many there are, where this is known without taking stacks. */
  count?(): number;
  /** All of them as a panic prints them: what the profile is with debug 2. */
  dump?(): string;
  /** Called before a profile is written, which can wait: for a source that has to look around first. */
  prepare?(): Promise<void>;
}

// biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
type AnyFunction = Function;

export class Profiler {
  readonly table: PCTable;
  /** Hooks for an allocator and a collector; see mprof.ts for when to call which. */
  readonly mem: MemProfileRecorder;
  /** @internal */ readonly buckets: BucketTable;
  /** @internal */ readonly walker: StackWalker;

  /** Hooks for a scheduler: how long goroutines wait, and who held the lock. */
  readonly block: BlockProfileRecorder;
  readonly mutex: MutexProfileRecorder;
  readonly cpu: CPUProfiler;
  /** The event loop, as the profile `eventloop` once it is started. */
  readonly eventLoop: EventLoopProfiler;
  /** V8's heap, as the profile `v8heap` once it is started. */
  readonly v8heap: V8HeapProfiler;

  private readonly stack: StackBuffer;
  /** Frames of a stack in a profile, at most. */
  private readonly depth: number;
  private readonly labelStore: LabelStore;
  private readonly options: ProfilerOptions;
  private readonly named = new Map<string, NamedProfile>();

  constructor(options: ProfilerOptions = {}) {
    const depth = options.maxStackDepth ?? defaultMaxStackDepth;
    if (!Number.isInteger(depth) || depth < 1 || depth > 1024) {
      throw wrongNumber("profiling", depth, "maxStackDepth must be an integer from 1 to 1024");
    }
    this.options = options;
    this.table = new PCTable(options);
    this.walker = new StackWalker(this.table);
    this.buckets = new BucketTable(options.arena ?? new BufferArena());
    this.stack = new StackBuffer(depth);
    this.depth = depth;
    this.mem = new MemProfileRecorder(
      {
        buckets: this.buckets,
        captureBucket: (size, weight) =>
          this.captureBucket(memKind, size, MemProfileRecorder.prototype.alloc, weight),
        random: options.random ?? Math.random,
        now: options.now ?? (() => performance.now()),
        budget: checkBudget(
          options.memProfileBudget === undefined ? defaultBudget : options.memProfileBudget,
        ),
        budgetAlways: options.memProfileBudget !== undefined,
      },
      options.memProfileRate === undefined ? defaultMemProfileRate : options.memProfileRate,
    );
    const events = {
      buckets: this.buckets,
      captureBucket: (kind: BucketKind, above: AnyFunction) => this.captureBucket(kind, 0, above),
      random: options.random ?? Math.random,
    };
    this.block = new BlockProfileRecorder(
      events,
      checkPeriod(options.blockStackPeriod === undefined ? defaultStackPeriod : options.blockStackPeriod),
    );
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
      this.table,
      options.stderr ?? writeStderr,
      () => labels.get(),
      options.onCPUProfile,
      options.cpuWorkers,
    );
    this.v8heap = new V8HeapProfiler(this.table);
    const random = options.random ?? Math.random;
    this.eventLoop = new EventLoopProfiler(this.table, this.walker, this.buckets, this.stack, random);
    this.addBuiltins();
  }

  /** The profiles that exist from the start. */
  private addBuiltins(): void {
    const { table, buckets, options } = this;
    for (const name of ["heap", "allocs"] as const) {
      this.addNamed({
        name,
        count: () => this.memProfile(null, true).n,
        toBytes: () => heapProfile(table, buckets, this.mem, name),
        toText: () => heapText(table, buckets, this.mem, options.memStats?.()),
      });
    }
    for (const [name, recorder] of [
      ["block", this.block],
      ["mutex", this.mutex],
    ] as const) {
      this.addNamed({
        name,
        count: () => recorder.count,
        toBytes: () => blockProfile(table, buckets, recorder),
        toText: () => blockText(table, buckets, recorder),
      });
    }
    for (const [name, source] of [
      ["goroutine", options.goroutines],
      ["goroutineleak", options.leakedGoroutines],
      ["threadcreate", options.threads],
    ] as const) {
      if (source === undefined) continue;
      this.addNamed({
        name,
        count: () => this.countOf(source),
        toBytes: () => countProfile(table, name, this.stacksOf(source)),
        toText: (debug) =>
          debug >= 2 && source.dump !== undefined
            ? source.dump()
            : countText(table, name, this.stacksOf(source)),
        ...(source.prepare === undefined ? {} : { prepare: () => source.prepare!() }),
      });
    }
  }

  /** Begins to sample V8's heap and adds the profile `v8heap`. Objects allocated before aren't seen. */
  readonly startV8HeapProfile = (options?: V8HeapProfileOptions): void => {
    this.v8heap.start(options);
    if (this.named.has("v8heap")) return;
    this.addNamed({
      name: "v8heap",
      count: () => Profile.decode(this.v8heap.toBytes()).sample.length,
      toBytes: () => this.v8heap.toBytes(),
      toText: () => {
        throw new Error("profiling: v8heap has no text form");
      },
    });
  };

  /** Ends it; the profile is gone. */
  readonly stopV8HeapProfile = (): void => {
    this.v8heap.stop();
    this.named.delete("v8heap");
  };

  /** Begins to measure the event loop's callbacks, as the profile `eventloop`. */
  readonly startEventLoopProfile = (options?: EventLoopProfileOptions): void => {
    const { eventLoop } = this;
    eventLoop.start(options);
    if (this.named.has("eventloop")) return;
    this.addNamed({
      name: "eventloop",
      count: () => eventLoop.count,
      toBytes: () => eventLoop.toBytes(),
      toText: () => {
        throw new Error("profiling: eventloop has no text form");
      },
    });
  };

  /** Ends it; the profile stays, with what was measured. */
  readonly stopEventLoopProfile = (): void => this.eventLoop.stop();

  /** Begins a CPU profile that `stopCPUProfile` writes to `sink`. Throws `cpu profiling already in use`. */
  readonly startCPUProfile = (sink: Sink): void => this.cpu.start(sink);

  /** Ends the CPU profile and writes it; without one, does nothing. Rejects when writing fails. */
  readonly stopCPUProfile = (): Promise<void> => this.cpu.stop();

  /** Samples a second of the CPU profiles to come; 0: 100. */
  readonly setCPUProfileRate = (hz: number): void => this.cpu.setRate(hz);

  /** Ends what is being measured: the profiles of V8's heap and of the event loop. A CPU profile ends with `stopCPUProfile`. */
  readonly close = (): void => {
    this.stopEventLoopProfile();
    this.stopV8HeapProfile();
  };

  private addNamed(source: ProfileSource): void {
    this.named.set(source.name, new NamedProfile(source));
  }

  private countOf(source: StackSource): number {
    if (source.count !== undefined) return source.count();
    let n = 0;
    source.forEach(() => {
      n++;
    });
    return n;
  }

  private stacksOf(source: StackSource): CountedStack[] {
    const out: CountedStack[] = [];
    source.forEach((stack, labels = null) => {
      out.push({ stack: this.framesOf(stack).slice(0, this.depth), labels });
    });
    return out;
  }

  /** Frame numbers of a stack that was given from outside; PCs that were never issued are left out. */
  private framesOf(stack: readonly number[] | readonly StackFrame[]): number[] {
    const ids: number[] = [];
    for (const at of stack) {
      const id =
        typeof at === "number"
          ? this.table.frameIdAt(at - 1)
          : this.table.synthetic(at.func, at.file, at.line);
      if (id !== 0) ids.push(id);
    }
    return ids;
  }

  private captureBucket(kind: BucketKind, size: number, above: AnyFunction, weight = 1): number {
    const { stack } = this;
    this.walker.walk(stack, 0, above, this.isOwn);
    return this.buckets.find(kind, size, stack.ids, stack.length, weight);
  }

  /** Bytes that the buckets of all profiles take: MemStats' BuckHashSys. */
  get buckHashSys(): number {
    return this.buckets.arena.bytes;
  }

  /** Mean bytes between two samples of the memory profile: 512 KiB by default, 1 samples all, 0 none. */
  get memProfileRate(): number {
    return this.mem.rate;
  }

  set memProfileRate(rate: number) {
    this.mem.rate = rate;
  }

  /**
   * The place of the `skip`-th caller: 0 is the function that calls `caller`. `ok` is false and the rest empty when the
   * stack isn't that deep. `pc` is the return address, for `funcForPC`.
   */
  readonly caller = (skip = 0): CallerInfo => {
    checkInteger("skip", skip);
    const { walker, table } = this;
    let id = walker.callerFrame;
    if (skip >= 0) {
      const one = this.oneFrame;
      const asked = walker.sitesFor(one, skip);
      let sites: unknown;
      if (openCapture(asked)) {
        try {
          sites = new PlainError().stack;
        } finally {
          closeCapture();
        }
      }
      if (walker.take(sites, asked, one, skip, this.caller) === 0)
        return { pc: 0, file: "", line: 0, ok: false };
      id = one.ids[0]!;
    }
    const { file, line } = table.symbolize(id);
    return { pc: table.pcOf(id), file, line, ok: true };
  };
  private readonly oneFrame = new StackBuffer(1);

  /**
   * Fills `pcs` with the return addresses of the calling stack and returns how many. Unlike `caller`'s, a skip of 0 is
   * `runtime.Callers` itself and 1 the function that calls `callers`.
   */
  readonly callers = (skip: number, pcs: PCs): number => {
    checkInteger("skip", skip);
    const { walker, table } = this;
    let n = 0;
    if (skip <= 0 && pcs.length > 0) pcs[n++] = table.pcOf(walker.callersFrame);
    if (n === pcs.length) return n;
    const buffer = this.walkBuffer(pcs.length - n);
    const asked = walker.sitesFor(buffer, Math.max(0, skip - 1));
    let sites: unknown;
    if (openCapture(asked)) {
      try {
        sites = new PlainError().stack;
      } finally {
        closeCapture();
      }
    }
    const found = walker.take(sites, asked, buffer, Math.max(0, skip - 1), this.callers);
    for (let i = 0; i < found; i++) pcs[n++] = table.pcOf(buffer.ids[i]);
    return n;
  };

  /** A buffer of exactly this many frames; the usual sizes are kept. */
  private walkBuffer(capacity: number): StackBuffer {
    if (capacity > 256) return new StackBuffer(capacity);
    return (this.walkBuffers[capacity] ??= new StackBuffer(capacity));
  }
  private readonly walkBuffers: (StackBuffer | undefined)[] = [];

  /** The frames of PCs that `callers` recorded. */
  readonly callersFrames = (pcs: Iterable<number>): Frames => new Frames(this.table, pcs);

  /** The function that has the instruction at `pc`, or null. */
  readonly funcForPC = (pc: number): Func | null => this.table.funcForPC(pc);

  /** Name and place of a call site of V8, with the source map applied; the object is shared, don't change it. */
  readonly symbolize = (site: CallSite): Symbolized => {
    const id = this.table.intern(site);
    return id === 0 ? { func: "", file: "", line: 0, column: 0 } : this.table.symbolize(id);
  };

  /** The return addresses of call sites taken elsewhere, innermost first, up to the stack base. */
  readonly internSites = (sites: readonly CallSite[]): number[] => {
    const out = new StackBuffer(sites.length + 1);
    const n = this.walker.internSites(sites, out);
    return Array.from(out.ids.subarray(0, n), (id) => this.table.pcOf(id));
  };

  /**
   * The memory profile, not scaled. `n` is the number of records; if `p` has room for all, they are put in its first
   * `n` elements and `ok` is true, else `p` is left as it is. With `inuseZero`, also records of which all is freed.
   */
  readonly memProfile = (
    p: (MemProfileRecord | null | undefined)[] | null,
    inuseZero: boolean,
  ): { n: number; ok: boolean } => {
    let n = 0;
    this.mem.forEach(inuseZero, () => n++);
    const room = p === null ? 0 : p.length;
    if (n > room) return { n, ok: false };
    let i = 0;
    this.mem.forEach(inuseZero, (r) => {
      const record = (p![i++] ??= new MemProfileRecord());
      record.AllocBytes = r.allocBytes;
      record.FreeBytes = r.freeBytes;
      record.AllocObjects = r.allocs;
      record.FreeObjects = r.frees;
      this.fillStack0(record.Stack0, this.buckets.stackOf(r.bucket));
    });
    return { n, ok: true };
  };

  /**
   * Sets the rate of the block profile: mean nanoseconds of waiting between two samples. 1 takes every event, 0
   * none.
   */
  readonly setBlockProfileRate = (rate: number): void => {
    this.block.rate = rate;
  };

  /** Takes one in `fraction` events for the mutex profile, 0: none; returns the old fraction. Negative: only reads. */
  readonly setMutexProfileFraction = (fraction: number): number => this.mutex.setFraction(fraction);

  /** The block profile; protocol as that of `memProfile`. */
  readonly blockProfile = (p: (BlockProfileRecord | null | undefined)[] | null): { n: number; ok: boolean } =>
    this.eventProfile(this.block, p);

  /** The mutex profile; protocol as that of `memProfile`. */
  readonly mutexProfile = (p: (BlockProfileRecord | null | undefined)[] | null): { n: number; ok: boolean } =>
    this.eventProfile(this.mutex, p);

  private eventProfile(
    recorder: BlockProfileRecorder | MutexProfileRecorder,
    p: (BlockProfileRecord | null | undefined)[] | null,
  ): { n: number; ok: boolean } {
    const n = recorder.count;
    if (n > (p?.length ?? 0)) return { n, ok: false };
    let i = 0;
    recorder.forEach((r) => {
      const record = (p![i++] ??= new BlockProfileRecord());
      record.Count = Math.trunc(r.count);
      record.Cycles = Math.trunc(r.cycles);
      this.fillStack0(record.Stack0, this.buckets.stackOf(r.bucket));
    });
    return { n, ok: true };
  }

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
    if (this.countOf(source) > (p?.length ?? 0)) return { n: this.countOf(source), ok: false };
    const stacks = this.stacksOf(source);
    if (stacks.length > (p?.length ?? 0)) return { n: stacks.length, ok: false };
    for (const [i, { stack }] of stacks.entries())
      this.fillStack0((p![i] ??= new StackRecord()).Stack0, stack);
    return { n: stacks.length, ok: true };
  }

  private fillStack0(pcs: number[], stack: ArrayLike<number>): void {
    for (let i = 0; i < 32; i++) pcs[i] = i < stack.length ? this.table.pcOf(stack[i]) : 0;
  }

  /** The bucket of a stack that somebody else took, for `block.recordAt` and `mutex.recordAt`. */
  readonly eventBucket = (
    kind: "block" | "mutex",
    stack: readonly number[] | readonly StackFrame[],
  ): number => {
    const ids = Uint32Array.from(this.framesOf(stack));
    return this.buckets.find(kind === "block" ? blockKind : mutexKind, 0, ids, ids.length);
  };

  /**
   * The bucket of call sites that somebody else took, innermost first, up to the stack base: cheaper than frames, since nothing
   * is symbolized. A frame with the name `leaf` takes the place of the runtime's own frames that they begin with.
   */
  readonly sitesBucket = (kind: "block" | "mutex", leaf: string, sites: readonly CallSite[]): number => {
    const { stack } = this;
    this.walker.internSites(sites, stack, 0, 0, this.isRuntime);
    return this.bucketUnder(kind, leaf, stack);
  };

  /** The bucket of the running code: the stack above the function `above`, which shows as `leaf`. */
  readonly callerBucket = (kind: "block" | "mutex", leaf: string, above: AnyFunction): number => {
    const { stack } = this;
    this.walker.walk(stack, 0, above, this.isRuntime);
    return this.bucketUnder(kind, leaf, stack);
  };

  private bucketUnder(kind: "block" | "mutex", leaf: string, stack: StackBuffer): number {
    let frame = this.leaves.get(leaf);
    if (frame === undefined) {
      frame = this.table.synthetic(leaf, "<runtime>", 0);
      this.leaves.set(leaf, frame);
    }
    const { ids } = stack;
    let own = 0;
    while (own < stack.length - 1 && this.isRuntime(ids[own])) own++;
    const n = Math.min(ids.length, stack.length - own + 1);
    ids.copyWithin(1, own, stack.length);
    ids[0] = frame;
    return this.buckets.find(kind === "block" ? blockKind : mutexKind, 0, ids, n);
  }
  private readonly leaves = new Map<string, number>();

  /** Whether a frame is code of the runtime's own packages, without a look at source maps: those are read when a profile is written. */
  private readonly isOwn = (id: number): boolean => this.table.isOwn(id);

  /** The same, with source maps. */
  private readonly isRuntime = (id: number): boolean => {
    let known = this.runtimeFrames[id];
    if (known === undefined) {
      known =
        id !== this.table.goexit &&
        (this.table.isOwn(id) || this.table.symbolize(id).func.startsWith("runtime."));
      this.runtimeFrames[id] = known;
    }
    return known;
  };
  private readonly runtimeFrames: (boolean | undefined)[] = [];

  /** Return addresses without the runtime's own at the end, but for the stack base. */
  readonly withoutOuterRuntime = (pcs: readonly number[]): number[] => {
    const { table } = this;
    let n = pcs.length;
    while (n > 0) {
      const id = table.frameIdAt(pcs[n - 1] - 1);
      if (id !== table.goexit && !this.isRuntime(id)) break;
      n--;
    }
    return pcs.slice(0, n);
  };

  /** The return addresses that stand for operations of the runtime, such as `runtime.gopark`, with which a stack begins. */
  readonly operationPCs = (names: readonly string[]): number[] =>
    names.map((name) => this.table.pcOf(this.table.synthetic(name, "<runtime>", 0)));

  /** Makes a profile of the user's own; its name must not be in use. */
  readonly newProfile = (name: string): CustomProfile => {
    if (typeof name !== "string" || name === "") throw new Error("pprof: NewProfile with empty name");
    if (this.named.has(name)) throw new Error(`pprof: NewProfile name already in use: ${name}`);
    const { table } = this;
    const profile = new CustomProfile(
      {
        depth: this.depth,
        addFrame: table.synthetic("runtime/pprof.(*Profile).Add", "<runtime>", 0),
        capture: (skip, above) => {
          const { stack } = this;
          return stack.ids.slice(0, this.walker.walk(stack, skip, above));
        },
      },
      (entries) => {
        const stacks = () => Array.from(entries.values(), (stack): CountedStack => ({ stack, labels: null }));
        return {
          name,
          count: () => entries.size,
          toBytes: () => countProfile(table, name, stacks()),
          toText: () => countText(table, name, stacks()),
        };
      },
    );
    this.named.set(name, profile);
    return profile;
  };

  /** Runs `f` with labels added to those of the running goroutine; see `doWithLabels`. */
  readonly do = <T>(labels: LabelSet | Readonly<Record<string, string>>, f: (labels: LabelSet) => T): T =>
    doWithLabels(
      this.labelStore,
      labels instanceof Map ? labels : makeLabels(labels as Record<string, string>),
      f,
    );

  /** Replaces the labels of the running goroutine. */
  readonly setGoroutineLabels = (labels: LabelSet | Readonly<Record<string, string>> | null): void => {
    this.labelStore.set(
      labels === null || labels instanceof Map ? labels : makeLabels(labels as Record<string, string>),
    );
  };

  /** The labels of the running goroutine. */
  readonly goroutineLabels = (): LabelSet | null => this.labelStore.get();

  /** The profile of this name, or null. */
  readonly lookup = (name: string): NamedProfile | null => this.named.get(name) ?? null;

  /** All profiles, sorted by name. */
  readonly profiles = (): NamedProfile[] =>
    [...this.named.values()].sort((a, b) => (a.name() < b.name() ? -1 : a.name() > b.name() ? 1 : 0));

  /** Writes the heap profile as gzipped pprof: `lookup("heap").writeTo(sink, 0)`. */
  readonly writeHeapProfile = (sink: Sink): Promise<void> => this.named.get("heap")!.writeTo(sink, 0);
}

function checkPeriod(period: number): number {
  const fault = `profiling: blockStackPeriod must be an integer, 1 or more (got ${String(period)})`;
  if (typeof period !== "number") throw new TypeError(fault);
  if (!Number.isInteger(period) || period < 1) throw new RangeError(fault);
  return period;
}

function checkBudget(budget: number): number {
  const fault = `profiling: memProfileBudget must be above 0 and at most 1 (got ${String(budget)})`;
  if (typeof budget !== "number") throw new TypeError(fault);
  if (!(budget > 0 && budget <= 1)) throw new RangeError(fault);
  return budget;
}

/** Makes a profiler of its own. */
export function createProfiler(options: ProfilerOptions = {}): Profiler {
  return new Profiler(options);
}
