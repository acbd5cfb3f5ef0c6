/**
 * A runtime: one linear memory with its allocator and collector, one scheduler, one profiler, wired to each other. The
 * packages know nothing of one another; every connection between them is made here.
 *
 *     allocator.hooks.gcTrigger    -> collector asks for a cycle -> scheduler.requestSafepoint
 *     scheduler.hooks.safepoint    -> collector.pollSafepoint       runs the cycle between two goroutines
 *     allocator.hooks.sampleMalloc -> profiler.mem.alloc            the bucket stays with the object, as a special
 *     collector frees that object  -> profiler.mem.free
 *     end of mark, end of gc()     -> profiler.mem.nextCycle and flush, postSweep
 *     collector queues finalizers  -> a system goroutine of the scheduler runs them
 *     scheduler.hooks.gExit        -> the goroutine's stack slots go back to the allocator
 *     end of mark, end of sweep    -> the scavenger's goals, its background work
 *     end of mark                  -> V8 is made to collect dropped handles, at a safepoint; then the collector again
 *     start of a cycle             -> the pools of sync.Pool age
 *     profiler.symbolize           -> names and TypeScript lines in the scheduler's dumps
 *     scheduler's goroutines       -> the profiler's `goroutine` profile; their waits its `block` profile
 *     scheduler.hooks.mutexEvent   -> the profile `mutex`; scheduler.onSwitch -> labels of the CPU profile, while it runs
 */

import { type Allocator, createAllocator, SPECIAL_PROFILE } from "@gort/allocator/internal";
import { type Cleanup, type Collector, createCollector, type WeakPointer } from "@gort/gc";
import { type Addr, createLinearMemory, type LinearMemory, type Ptr } from "@gort/memory";
import { type GCStats, gcStats, type MemStats, newMemStats, readMemStats, summary } from "@gort/memstats";
import type { DumpSink } from "@gort/memstats/heapdump";
import { createMetrics, type Metrics } from "@gort/memstats/metrics";
import { type CallerInfo, createProfiler, type PCs, type Profiler } from "@gort/profiling";
import {
  type Clock,
  createScheduler,
  defaultCase,
  defer,
  frame,
  goexit,
  type NotAsync,
  panic,
  recover,
  recvCase,
  type Scheduler,
  type SchedulerHooks,
  sendCase,
} from "@gort/scheduler";
import {
  checkFunction,
  checkResult,
  isBody,
  isMarker,
  poolCleanup,
  stackText,
} from "@gort/scheduler/internal";
import {
  append,
  copy,
  createTypes,
  type Ref,
  type RefMembers,
  type Type,
  type TypedHeap,
  uint8,
} from "@gort/types";
import type { SharedStats } from "./attach.ts";
import { retire } from "./closed.ts";
import { DroppedHandles, lastOfThread } from "./dropped-handles.ts";
import { parseTraceback, processEnvironment } from "./env.ts";
import { FinalizerGoroutines } from "./finalizers.ts";
import type { Godebug } from "./godebug.ts";
import { LinearArena, memProfileSampler, RuntimeHeap } from "./heap.ts";
import { dumpHeap } from "./heapdump.ts";
import { hostCollector } from "./hostgc.ts";
import { IdleWorker } from "./idle.ts";
import { RuntimeMethods } from "./methods.generated.ts";
import { CpuClasses, RuntimeMetrics } from "./metrics-source.ts";
import { type RuntimeOptions, resolveOptions } from "./options.ts";
import {
  GoroutineLabels,
  GoroutineStacks,
  GoroutineWaits,
  LeakedGoroutines,
  recordMutexEvent,
  threadStacks,
} from "./profiles.ts";
import { GoroutineRoots, type Root } from "./roots.ts";
import { BackgroundScavenger } from "./scavenge.ts";
import { SchedStats } from "./sched-stats.ts";
import { RuntimeStats } from "./stats.ts";
import { WorldStops } from "./stops.ts";
import { Unsafe } from "./unsafe-access.ts";
import { breakpoint, compiler, GOARCH, GOOS, goroot, numCPU, version } from "./version.ts";

/** Go's weak.Pointer. */
export interface WeakRefTo<T extends Type> {
  value(): Ref<T> | null;
}

/** What `weak(null)` gives. */
const nilWeak = Object.freeze({ value: () => null });

/** The scheduler's hooks, which also say whose scheduler it is. */
export interface RuntimeHooks extends SchedulerHooks {
  readonly runtime?: Runtime;
}

/** What a closed runtime keeps: see Runtime.close. */
const ofNoRuntime = [
  ...[
    "append",
    "breakpoint",
    "copy",
    "defaultCase",
    "defer",
    "frame",
    "goexit",
    "goroot",
    "keepAlive",
    "numCPU",
  ],
  ...[
    "panic",
    "recover",
    "recvCase",
    "sendCase",
    "stderr",
    "toJSON",
    "toString",
    "version",
    "close",
    "closed",
  ],
];

/** How often figures are published that only the runtime's thread knows, once other threads read them. */
const PUBLISH_MS = 1000;

export class Runtime extends RuntimeMethods {
  readonly memory: LinearMemory;
  readonly allocator: Allocator;
  readonly collector: Collector;
  readonly scheduler: Scheduler;
  readonly profiler: Profiler;
  /** Typed access to the heap; its functions are also methods of the runtime. */
  readonly types: TypedHeap;
  /** Raw pointers: valid until the goroutine's next safepoint. */
  readonly unsafe: Unsafe;
  /** Go's runtime/metrics. */
  readonly metrics: Metrics;
  /** The debug switches in force. */
  readonly godebug: Godebug;
  /** Sink of traces and crash reports. */
  readonly stderr: (text: string) => void;

  // What belongs to no runtime in particular, so that a runtime has every function of the module.
  readonly defaultCase = defaultCase;
  readonly recvCase = recvCase;
  readonly sendCase = sendCase;
  readonly defer = defer;
  readonly frame = frame;
  readonly goexit: () => never = goexit;
  readonly panic: (v: unknown) => never = panic;
  readonly recover = recover;
  readonly append = append;
  readonly copy = copy;
  readonly version = version;
  readonly goroot = goroot;
  readonly numCPU = numCPU;
  readonly breakpoint = breakpoint;
  readonly GOOS = GOOS;
  readonly GOARCH = GOARCH;
  readonly compiler = compiler;

  readonly #stats: RuntimeStats;
  /** Brings up to date what only this thread can tell, for all that read the memory. */
  readonly #publish: () => void;
  #publisher: unknown = null;
  readonly #stops: WorldStops;
  readonly #roots: GoroutineRoots;
  /** The pointers that `weak` has given, so that equal ones are the same object. */
  readonly #weakRefs = new WeakMap<WeakPointer, Map<Type, unknown>>();
  readonly #idle: IdleWorker;
  readonly #scavenger: BackgroundScavenger;
  /** Null if the switch `hostgc` is off. */
  readonly #dropped: DroppedHandles | null = null;
  readonly #startMs: number;
  readonly #now: () => number;
  #closed = false;

  constructor(options: RuntimeOptions = {}) {
    super();
    const env = processEnvironment();
    const { stderr, godebug, gogc, memoryLimit, gomaxprocs } = resolveOptions(options, env);
    this.stderr = stderr;
    this.godebug = godebug;
    const { clock } = options;
    this.#now = clock === undefined ? () => performance.now() : () => clock.now();
    this.#startMs = this.#now();

    const seed = options.seed === undefined ? {} : { seed: options.seed };
    this.memory = createLinearMemory({
      ...(options.maxMemory === undefined ? {} : { maxMemory: options.maxMemory }),
      ...(options.shared === undefined ? {} : { shared: options.shared }),
    });
    this.allocator = createAllocator({ memory: this.memory, clock: this.#now, ...seed });
    const goroutines = new GoroutineStacks(
      () => this.scheduler,
      () => this.profiler,
    );
    const labels = new GoroutineLabels();
    this.profiler = createProfiler({
      arena: new LinearArena(this.memory),
      memProfileSampler: memProfileSampler(this.allocator),
      memProfileRate: this.godebug.memprofilerate,
      ...(options.memProfileBudget === undefined ? {} : { memProfileBudget: options.memProfileBudget }),
      ...(options.blockStackPeriod === undefined ? {} : { blockStackPeriod: options.blockStackPeriod }),
      memStats: () => ({ ...this.readMemStats() }),
      isStackBase: (frame) => isMarker(frame.functionName.slice(frame.functionName.indexOf("gort:"))),
      goroutines,
      leakedGoroutines: new LeakedGoroutines(
        () => this.scheduler,
        () => this.profiler,
        options.leakDetection === true,
        () => goroutines.dump(),
      ),
      threads: threadStacks,
      labels,
      onCPUProfile: (active) => {
        this.scheduler.onSwitch = active ? (g) => this.profiler.cpu.noteLabels(labels.of(g)) : null;
      },
      stderr: this.stderr,
    });
    const waits = new GoroutineWaits(this.profiler);
    const hooks: RuntimeHooks = {
      runtime: this,
      safepoint: () => {
        if (this.#closed) return;
        this.collector.pollSafepoint();
        this.#dropped?.safepoint();
        // The scheduler calls only when asked to.
        if (this.godebug.gcstress !== 0) this.scheduler.requestSafepoint();
      },
      // The goroutine that closes the runtime ends after its heap.
      gExit: (g) => {
        if (!this.#closed) this.#roots.exit(g);
      },
      blockEvent: (g, ns, reason) => waits.record(g, ns, reason),
      mutexEvent: (ns, unlock, above) => recordMutexEvent(this.profiler, ns, unlock, above),
    };
    const schedStats = new SchedStats(this.memory);
    this.scheduler = createScheduler({
      ...(clock === undefined ? {} : { clock }),
      ...seed,
      stderr: this.stderr,
      gomaxprocs,
      godebug: this.godebug,
      symbolize: (site) => this.profiler.symbolize(site),
      counters: schedStats.counters,
      latencies: schedStats,
      ...(options.leakDetection === true ? { leakDetection: true } : {}),
      ...(options.deadlock === undefined ? {} : { deadlock: options.deadlock }),
      hooks,
    });
    const { scheduler, allocator, profiler } = this;
    scheduler.tracebackAll = parseTraceback(env.GOTRACEBACK).all;
    this.#roots = new GoroutineRoots(
      allocator,
      () => this.collector,
      () => scheduler,
    );
    const nanotime = (): number => this.#now() * 1e6;
    this.#stops = new WorldStops(scheduler, nanotime, () => this.collector.record);
    const finalizers = new FinalizerGoroutines(
      scheduler,
      () => this.collector,
      () => this.#dropped?.finalizerDone(),
    );
    this.#idle = new IdleWorker(scheduler, () => this.collector);
    const scavenger = new BackgroundScavenger(allocator, scheduler, () => this.collector);
    this.#scavenger = scavenger;
    allocator.hooks.sampleMalloc = (addr, size) => {
      const bucket = profiler.mem.alloc(size);
      if (bucket === 0) return;
      // Without a special (-1: no memory for it), no sweep reports the object dead.
      if (allocator.addSpecial(addr, SPECIAL_PROFILE, bucket) <= 0) profiler.mem.lose(bucket);
    };
    this.collector = createCollector(allocator, {
      gogc,
      memoryLimit,
      godebug: this.godebug,
      stderr: this.stderr,
      ...(clock === undefined ? {} : { clock: collectorClock(clock) }),
      world: {
        stopTheWorld: (reason) => this.#stops.stopTheWorld(reason),
        startTheWorld: () => this.#stops.startTheWorld(),
        gomaxprocs: () => scheduler.gomaxprocs(0),
        ready: () => finalizers.wake(),
        currentStack: () => stackText(scheduler, false),
      },
      onRequest: () => {
        scheduler.requestSafepoint();
        this.#idle.wake();
      },
      freeProfile: (bucket, size) => profiler.mem.free(bucket, size),
      events: {
        gcStart: (_n, forced) => {
          poolCleanup(scheduler);
          this.#dropped?.cycleStart(forced);
          scavenger.cycleStart();
        },
        markDone: () => {
          profiler.mem.nextCycle();
          profiler.mem.flush();
          scavenger.cycleEnd();
          this.#dropped?.cycleEnd();
        },
        sweepDone: () => {
          scavenger.wake();
          if (this.godebug.scavtrace !== 0) this.stderr(`${allocator.scavenger.trace(false)}\n`);
        },
      },
    });
    if (this.godebug.gcstress !== 0) scheduler.requestSafepoint();
    this.#idle.watch();
    this.collector.setStackRoots((visit) => this.#roots.forEachStack(visit));

    const heap = new RuntimeHeap(allocator, this.collector);
    this.types = createTypes(heap);
    if (this.godebug.hostgc !== 0) this.#dropped = this.#dropHandles(heap);
    this.unsafe = new Unsafe(allocator, this.collector, this.types);
    const { record } = this.collector;
    this.#stats = new RuntimeStats(this.memory, allocator, record);
    const cpu = new CpuClasses({
      collector: this.collector,
      scavenger: allocator.scavenger,
      procs: () => scheduler.gomaxprocs(0),
      nanotime,
      hostTime: clock === undefined,
    });
    this.#stops.onGC = () => cpu.publish();
    this.#publish = () => {
      scheduler.readCounters();
      schedStats.setCgoCalls(scheduler.numCgoCall());
      cpu.publish();
    };
    const measured = new RuntimeMetrics(record, this.#stats, schedStats, this.#publish);
    this.metrics = createMetrics(this.#stats, measured);
  }

  #dropHandles(heap: RuntimeHeap): DroppedHandles {
    const { collector, scheduler, types, allocator } = this;
    const dropped = new DroppedHandles({
      collector,
      scheduler,
      heap,
      dropOne: () => void types.ref(uint8, allocator.zerobase as Ptr<typeof uint8>),
      hostCollector,
      // The host's time, whatever clock the program has: V8's collections take it.
      now: () => performance.now(),
      last: lastOfThread,
    });
    allocator.hooks.explainOutOfMemory = () => dropped.explainOutOfMemory();
    return dropped;
  }

  // ---- memory ----

  /** A full collection, sweep included; a safepoint. */
  gc(): void {
    this.collector.gc();
    this.profiler.mem.postSweep();
  }

  /** A full collection, then as many pages as possible go back to the operating system. Returns the bytes released. */
  freeOSMemory(): number {
    this.gc();
    const released = this.allocator.freeOSMemory();
    if (this.godebug.scavtrace !== 0) this.stderr(`${this.allocator.scavenger.trace(true)}\n`);
    return released;
  }

  /** A place where a collection that is due may run: no raw pointer survives it unrooted. */
  safepoint(): void {
    this.collector.pollSafepoint();
  }

  /** Keeps the object at `p` alive across safepoints, in the running goroutine until its frame ends. */
  root<T>(p: Ptr<T>): Root<T> {
    return this.#roots.root(p);
  }

  /** Bytes that a goroutine's stack in the heap may have: see debug.setMaxStack. */
  get maxStack(): number {
    return this.#roots.maxStack;
  }

  set maxStack(bytes: number) {
    this.#roots.maxStack = bytes;
  }

  /**
   * Has `f` called with a new reference to the object, in the goroutine of finalizers, some time after nothing else
   * refers to it; `null` takes the finalizer away. It runs once; an object in a cycle with another never gets it.
   *
   * @throws FatalError for a second finalizer on one object, as Go dies of it
   */
  setFinalizer<T extends Type, R = unknown>(x: RefMembers<T>, f: ((x: Ref<T>) => NotAsync<R>) | null): void {
    const { finalizers } = this.collector;
    if (x === null) finalizers.setFinalizer(0 as Addr, null);
    const { type, addr } = this.types.target("setFinalizer", x);
    if (f === null) {
      finalizers.setFinalizer(addr, null);
      return;
    }
    if (typeof f !== "function") {
      throw new TypeError(`runtime: setFinalizer needs a function or null (got ${typeof f})`);
    }
    checkFunction("setFinalizer", f, "runtime");
    finalizers.setFinalizer(addr, (p: Addr) => {
      const r = f(this.types.ref(type, p as Ptr<T>)!);
      // Here, as the goroutine of finalizers does not know the name of f.
      if (!isBody(r)) checkResult("setFinalizer", f, r, "runtime");
      return r;
    });
  }

  /**
   * Has `f(arg)` called in the goroutine of cleanups some time after the object is gone. Unlike a finalizer it does not
   * see the object, so several may be attached, and objects that point to each other are no obstacle. `arg` must not
   * refer to the object, or the object never goes. If `arg` is a Ref to the object or to a part of it, this panics as
   * Go does.
   */
  addCleanup<T extends Type, A, R = unknown>(x: RefMembers<T>, f: (arg: A) => NotAsync<R>, arg: A): Cleanup {
    if (x === null) panic("runtime.AddCleanup: ptr is nil");
    const { addr } = this.types.target("addCleanup", x);
    checkFunction("addCleanup", f, "runtime");
    const other = this.types.addressOf(arg);
    if (other === (addr as number)) panic("runtime.AddCleanup: ptr is equal to arg, cleanup will never run");
    const { allocator, collector } = this;
    if (allocator.findObject(addr) === 0 && addr !== (allocator.zerobase as number)) {
      panic("runtime.AddCleanup: ptr not in allocated block");
    }
    if (collector.finalizers.sameObject(addr, other as Addr)) {
      panic("runtime.AddCleanup: ptr is within arg, cleanup will never run");
    }
    return collector.finalizers.addCleanup(addr, f, arg);
  }

  /**
   * A pointer that does not keep its object alive: `value()` gives a new reference, or null once nothing else had one.
   * Pointers made from one object and type are the same object. The pointer of null has the value null.
   */
  weak<T extends Type>(x: RefMembers<T> | null): WeakRefTo<T> {
    if (x === null) return nilWeak;
    const { type, addr } = this.types.target("weak", x);
    const pointer = this.collector.finalizers.weak(addr);
    // A Ref to the first field has the address of its object and another type.
    const byType = this.#weakRefs.get(pointer) ?? new Map<Type, unknown>();
    this.#weakRefs.set(pointer, byType);
    const known = byType.get(type);
    if (known) return known as WeakRefTo<T>;
    const made: WeakRefTo<T> = { value: () => this.types.ref(type, pointer.value() as Ptr<T>) };
    byType.set(type, made);
    return made;
  }

  /** Makes sure that `x` is not collected before this call. */
  keepAlive(x: unknown): void {
    // A comparison with x needs x here, whatever is inlined or optimised.
    if (x === keptForever) throw new TypeError("runtime: keepAlive of its own mark");
  }

  // ---- statistics and profiles ----

  /** Fills `m`, or a new record, with a consistent snapshot, for which it stops the world. */
  readMemStats(m: MemStats = newMemStats()): MemStats {
    const stops = this.#stops;
    if (stops.stopped) return readMemStats(this.#stats, m);
    stops.stopTheWorld("read mem stats");
    try {
      return readMemStats(this.#stats, m);
    } finally {
      stops.startTheWorld();
    }
  }

  /**
   * Lets other threads read this runtime's statistics: give the result to a worker, which calls `attachStats` of
   * `@gort/runtime/attach` with it. From then on the heap takes its locks, which costs a few nanoseconds where a run of
   * slots is used up, and CPU times are published once a second.
   *
   * @throws TypeError if the memory can't be shared
   */
  shareStats(): SharedStats {
    this.allocator.share();
    this.#publish();
    if (this.#publisher === null) this.#publishLater();
    const memory = this.memory.memory ?? (this.memory.buffer as SharedArrayBuffer);
    return { memory, version: version() };
  }

  #publishLater(): void {
    // Does not keep the process alive.
    this.#publisher = this.scheduler.clock.setTimer(
      () => {
        if (this.#closed) return;
        this.#publish();
        this.#publishLater();
      },
      PUBLISH_MS,
      false,
    );
  }

  /** The collector's figures: pauses, their quantiles. */
  readGCStats(quantiles = 0): GCStats {
    return gcStats(this.readMemStats(), quantiles);
  }

  /**
   * Hands every object of the heap, what it points to and what holds it, piece by piece to `sink`, in the format of
   * `@gort/memstats/heapdump`; returns the number of bytes. The world is stopped meanwhile.
   */
  writeHeapDump(sink: DumpSink): number {
    const { allocator, collector, scheduler, profiler } = this;
    const memStats = this.readMemStats();
    this.#stops.stopTheWorld("write heap dump");
    try {
      return dumpHeap({ allocator, collector, scheduler, profiler, memStats }, sink);
    } finally {
      this.#stops.startTheWorld();
    }
  }

  /** One line about the collector since the runtime was created. */
  summary(): string {
    return summary(this.readMemStats(), this.#now() - this.#startMs);
  }

  /** Mean number of bytes between two samples of the memory profile: 512 KiB; 1 samples all, 0 none. */
  get memProfileRate(): number {
    return this.profiler.memProfileRate;
  }

  set memProfileRate(rate: number) {
    this.profiler.memProfileRate = rate;
  }

  /** Records waits of goroutines, one in about `rate` nanoseconds of waiting; 1 records all, 0 none. */
  setBlockProfileRate(rate: number): void {
    this.profiler.setBlockProfileRate(rate);
    this.scheduler.blockProfileEnabled = rate > 0;
  }

  /**
   * Records one in `fraction` contentions of a lock, where it is released; 0 none. Returns the fraction before; a negative
   * one only reads it.
   */
  setMutexProfileFraction(fraction: number): number {
    const old = this.profiler.setMutexProfileFraction(fraction);
    this.scheduler.mutexProfileEnabled = this.profiler.mutex.fraction > 0;
    return old;
  }

  get caller(): (skip?: number) => CallerInfo {
    return this.profiler.caller;
  }

  get callers(): (skip: number, pcs: PCs) => number {
    return this.profiler.callers;
  }

  override toString(): string {
    if (this.#closed) return `Runtime(${version()}, closed)`;
    const { gomaxprocs, goroutines, heapBytes } = this.toJSON();
    const count = goroutines === 1 ? "1 goroutine" : `${goroutines} goroutines`;
    const heap = `${(heapBytes / 2 ** 20).toFixed(1)} MiB`;
    return `Runtime(${version()}, GOMAXPROCS ${gomaxprocs}, ${count}, heap ${heap})`;
  }

  /** The figures that identify a runtime, all 0 after its close. `heapBytes` is `MemStats.HeapAlloc`. */
  toJSON(): { version: string; gomaxprocs: number; goroutines: number; heapBytes: number; closed: boolean } {
    const closed = this.#closed;
    return {
      version: version(),
      gomaxprocs: closed ? 0 : this.gomaxprocs(),
      goroutines: closed ? 0 : this.numGoroutine(),
      heapBytes: closed ? 0 : this.readMemStats().HeapAlloc,
      closed,
    };
  }

  /** One line for console.log. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Ends all goroutines, stops timers, and gives the memory's pages back. From then on every function of the runtime, of its
   * `unsafe`, `metrics` and `types`, and of the module while the runtime is its own, throws a TypeError; `main` rejects with it. What is
   * in the heap may still be read through references that exist. Another close does nothing.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.scheduler.close();
    this.#idle.close();
    this.#scavenger.close();
    if (this.#publisher !== null) this.scheduler.clock.clearTimer(this.#publisher);
    this.profiler.close();
    this.allocator.freeOSMemory();
    this.allocator.close();
    retire(this, "", ofNoRuntime, ["main"]);
    retire(this.unsafe, "unsafe.");
    retire(this.metrics, "metrics.");
    retire(this.types, "types.");
  }
}

/** What keepAlive compares with; nobody else has it. */
const keptForever = {};

/** The scheduler's clock, in the collector's units. */
function collectorClock(clock: Clock): { nanotime(): number; walltime(): bigint } {
  return {
    nanotime: () => clock.now() * 1e6,
    walltime: () => BigInt(Math.round((clock.wall === undefined ? Date.now() : clock.wall()) * 1e3)) * 1000n,
  };
}

/** Makes a runtime. See `RuntimeOptions` for what can be set. */
export function createRuntime(options: RuntimeOptions = {}): Runtime {
  return new Runtime(options);
}
