/**
 * A runtime: one linear memory with its allocator and collector, one scheduler, one profiler. parts.ts builds them and
 * wiring.ts connects them; here is what a program calls. Methods that only call the same method of a part are in
 * methods.generated.ts.
 */
import type { Allocator } from "@gort/allocator/internal";
import { wrongNumber } from "@gort/base";
import type { Cleanup, Collector } from "@gort/gc";
import type { LinearMemory, Ptr } from "@gort/memory";
import type { GCStats, MemStats } from "@gort/memstats";
import type { DumpSink } from "@gort/memstats/heapdump";
import { gcStats, readMemStats, summary } from "@gort/memstats/internal";
import type { Metrics } from "@gort/memstats/metrics";
import type { CallerInfo, PCs, Profiler } from "@gort/profiling";
import { checkEventRate, checkRate } from "@gort/profiling/internal";
import type { Chan, NotAsync, Scheduler } from "@gort/scheduler";
import {
  defaultCase,
  defer,
  frame,
  goexit,
  panic,
  recover,
  recvCase,
  sendCase,
} from "@gort/scheduler/internal";
import type { HeapChan } from "@gort/threads";
import type { Ref, RefMembers, Type, TypedHeap } from "@gort/types";
import { append, copy } from "@gort/types/internal";
import type { SharedStats } from "./attach.ts";
import { retire } from "./closed.ts";
import { COMMAND } from "./commands.ts";
import type { Godebug } from "./godebug.ts";
import { dumpHeap } from "./heapdump.ts";
import { RuntimeMethods } from "./methods.generated.ts";
import { addCleanup, setFinalizer } from "./object-ends.ts";
import type { RuntimeOptions } from "./options.ts";
import { type Attachment, Parts } from "./parts.ts";
import { setBlockProfileRate, setMutexProfileFraction } from "./process-settings.ts";
import type { Root } from "./roots.ts";
import type { Unsafe } from "./unsafe-access.ts";
import { breakpoint, compiler, GOARCH, GOOS, goroot, numCPU, version } from "./version.ts";
import type { WeakRefTo } from "./weak.ts";
import { connect, disconnect } from "./wiring.ts";

/** Members that a closed runtime keeps: see Runtime.close. */
const keptByClosed = (
  "append breakpoint close closed copy defaultCase defer frame goexit goroot keepAlive numCPU panic recover recvCase " +
  "sendCase stderr toJSON toString version"
).split(" ");

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
  /** Receives traces and crash reports. */
  readonly stderr: (text: string) => void;

  // Functions that need no runtime, so that a runtime has every function of the module.
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

  readonly #parts: Parts;

  /** @param attachment for attachRuntime */
  constructor(options: RuntimeOptions = {}, attachment: Attachment | null = null) {
    super();
    const parts = new Parts(this, options, attachment);
    this.#parts = parts;
    this.memory = parts.memory;
    this.allocator = parts.allocator;
    this.collector = parts.collector;
    this.scheduler = parts.scheduler;
    this.profiler = parts.profiler;
    this.types = parts.types;
    this.unsafe = parts.unsafe;
    this.metrics = parts.metrics;
    this.godebug = parts.settings.godebug;
    this.stderr = parts.settings.stderr;
    connect(parts);
  }

  // ---- channels ----

  /** Makes a channel in the heap with room for `n` values of a heap type. Goroutines of every thread can use it. */
  // `T extends Type` would refuse `typeof makeChan<string>`, which takes the types for all signatures.
  makeChan<T>(type: T & Type, n?: number): HeapChan<T & Type>;
  /** Makes a channel of JavaScript values with room for `n` of them, for the goroutines of this thread. */
  makeChan<T>(n?: number): Chan<T>;
  makeChan(typeOrSize: Type | number = 0, n = 0): Chan<unknown> | HeapChan {
    if (typeof typeOrSize !== "object") return this.scheduler.makeChan(typeOrSize);
    return this.#parts.chans.make(typeOrSize, n);
  }

  // ---- memory ----

  /** Runs a full collection, sweep included. The call is a safepoint. */
  gc(): void {
    this.collector.gc();
    this.#parts.profiles.read(() => this.profiler.mem.postSweep());
  }

  /**
   * Runs a full collection, then returns as many pages as possible to the operating system. Returns the bytes
   * released.
   */
  freeOSMemory(): number {
    this.gc();
    const { attachment, machines } = this.#parts;
    // A worker returns no pages: scavenge.ts says why.
    const released =
      attachment === null
        ? this.allocator.freeOSMemory()
        : machines.commands!.ask<number>(COMMAND.freeOSMemory, 0).reduce((sum, bytes) => sum + bytes, 0);
    if (this.godebug.scavtrace !== 0) this.stderr(`${this.allocator.scavenger.trace(true)}\n`);
    return released;
  }

  /**
   * Runs a collection if one is due, and stops here while another thread has stopped the world. A raw pointer that is
   * not rooted does not survive the call.
   */
  safepoint(): void {
    const { threads } = this.#parts.machines;
    if (threads?.pending) threads.poll();
    this.collector.pollSafepoint();
  }

  /** Keeps the object at `p` alive across safepoints, in the running goroutine until its frame ends. */
  root<T>(p: Ptr<T>): Root<T> {
    return this.#parts.roots.root(p);
  }

  /** Largest stack of a goroutine in the heap, in bytes: see debug.setMaxStack. */
  get maxStack(): number {
    return this.#parts.roots.maxStack;
  }

  set maxStack(bytes: number) {
    if (typeof bytes !== "number") throw wrongNumber("runtime", bytes, "maxStack must be a number of bytes");
    this.#change(() => {
      this.#parts.roots.maxStack = bytes;
    });
  }

  /** Whether crash reports show all goroutines: see debug.setTraceback. */
  get tracebackAll(): boolean {
    return this.scheduler.tracebackAll;
  }

  set tracebackAll(all: boolean) {
    this.#change(() => {
      this.scheduler.tracebackAll = all;
    });
  }

  /**
   * Runs `change`, which changes a setting, and gives the setting to all threads, in a stop of the world. The value is
   * checked before the call: its conversion and the text of the error may run code of the program.
   */
  #change<T>(change: () => T): T {
    const { commands } = this.#parts.machines;
    return commands === null ? change() : commands.changeSettings(change);
  }

  /** How many threads the runtime may use: see debug.setMaxThreads. */
  get maxThreads(): number {
    return this.#parts.machines.maxThreads;
  }

  set maxThreads(n: number) {
    this.#parts.machines.setMaxThreads(n);
  }

  /**
   * Sets the object's finalizer: `f` is called once with a new reference to the object, in the goroutine of finalizers,
   * some time after the last other reference is gone. `null` removes the finalizer. The finalizer of an
   * object that is in a cycle with another object never runs.
   *
   * @throws FatalError for a second finalizer on one object, which is fatal in Go too
   */
  setFinalizer<T extends Type, R = unknown>(x: RefMembers<T>, f: ((x: Ref<T>) => NotAsync<R>) | null): void {
    setFinalizer(this, x, f);
  }

  /**
   * Adds a cleanup: `f(arg)` is called in the goroutine of cleanups some time after the object is gone. A cleanup does
   * not get the object, so an object may have several, and cleanups of objects in a cycle run too. `arg` must not
   * refer to the object, or the object is never collected. If `arg` is a Ref to the object or to a part of it, the
   * call panics as in Go.
   */
  addCleanup<T extends Type, A, R = unknown>(x: RefMembers<T>, f: (arg: A) => NotAsync<R>, arg: A): Cleanup {
    return addCleanup(this, x, f, arg);
  }

  /**
   * Makes a pointer that does not keep its object alive. `value()` returns a new reference, or null after the object is
   * collected. Two pointers to one object with the same type are equal (`===`). The pointer of null has the value null.
   */
  weak<T extends Type>(x: RefMembers<T> | null): WeakRefTo<T> {
    return this.#parts.weak.to(x);
  }

  /** Keeps `x` alive until this call. */
  keepAlive(x: unknown): void {
    // The comparison needs x here, even in inlined and optimised code.
    if (x === keptForever) throw new TypeError("runtime: keepAlive of its own mark");
  }

  // ---- statistics and profiles ----

  /** Fills `m`, or a new record, with a consistent snapshot, for which it stops the world. */
  readMemStats(m?: MemStats): MemStats {
    return readMemStats(this.#parts.stoppedStats, m);
  }

  /**
   * Lets other threads read this runtime's statistics: pass the result to a worker, which calls `attachStats` of
   * `@gort/runtime/attach` with it. From then on the heap takes its locks, which costs a few nanoseconds for each
   * run of slots that is used up. CPU times are published once a second.
   *
   * @throws TypeError if the memory cannot be shared
   */
  shareStats(): SharedStats {
    this.allocator.share();
    this.#parts.publisher.start();
    const memory = this.memory.memory ?? (this.memory.buffer as SharedArrayBuffer);
    return { memory, version: version() };
  }

  /** The collector's figures: pauses, their quantiles. */
  readGCStats(quantiles = 0): GCStats {
    return gcStats(this.readMemStats(), quantiles);
  }

  /**
   * Passes every object of the heap, its pointers and its roots to `sink`, piece by piece, in the format of
   * `@gort/memstats/heapdump`. Returns the number of bytes. The world is stopped meanwhile.
   */
  writeHeapDump(sink: DumpSink): number {
    const { allocator, collector, scheduler, profiler } = this;
    const { stops } = this.#parts;
    stops.stopTheWorld("write heap dump");
    try {
      const memStats = this.readMemStats();
      return dumpHeap({ allocator, collector, scheduler, profiler, memStats }, sink);
    } finally {
      stops.startTheWorld();
    }
  }

  /** Describes the collector's work since the runtime was created, in one line. */
  summary(): string {
    return summary(this.readMemStats(), this.#parts.now() - this.#parts.startMs);
  }

  /** Mean number of bytes between two samples of the memory profile. Default 512 KiB; 1 samples all, 0 none. */
  get memProfileRate(): number {
    return this.profiler.memProfileRate;
  }

  set memProfileRate(rate: number) {
    checkRate(rate);
    this.#change(() => {
      this.profiler.memProfileRate = rate;
    });
  }

  /** Records one wait of goroutines in about `rate` nanoseconds of waiting; 1 records all waits, 0 none. */
  setBlockProfileRate(rate: number): void {
    checkEventRate("block profile rate", rate);
    this.#change(() => setBlockProfileRate(this, rate));
  }

  /**
   * Records one in `fraction` contentions of locks, at the place that releases the lock; 0 records none. Returns the
   * previous fraction. A negative fraction changes nothing.
   */
  setMutexProfileFraction(fraction: number): number {
    checkEventRate("mutex profile fraction", fraction);
    if (fraction < 0) return this.profiler.setMutexProfileFraction(fraction);
    return this.#change(() => setMutexProfileFraction(this, fraction));
  }

  get caller(): (skip?: number) => CallerInfo {
    return this.profiler.caller;
  }

  get callers(): (skip: number, pcs: PCs) => number {
    return this.profiler.callers;
  }

  override toString(): string {
    if (this.closed) return `Runtime(${version()}, closed)`;
    const { gomaxprocs, goroutines, heapBytes } = this.toJSON();
    const count = goroutines === 1 ? "1 goroutine" : `${goroutines} goroutines`;
    const heap = `${(heapBytes / 2 ** 20).toFixed(1)} MiB`;
    return `Runtime(${version()}, GOMAXPROCS ${gomaxprocs}, ${count}, heap ${heap})`;
  }

  /** Figures that identify the runtime, all 0 after its close. `heapBytes` is `MemStats.HeapAlloc`. */
  toJSON(): { version: string; gomaxprocs: number; goroutines: number; heapBytes: number; closed: boolean } {
    const { closed } = this;
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
    return this.#parts.closed;
  }

  /**
   * Ends all goroutines, stops timers, and returns the memory's pages to the operating system. From then on every
   * function of the runtime, and of its `unsafe`, `metrics` and `types`, throws a TypeError; `main` rejects with
   * it. So do the module's functions while this runtime is the default one. Existing references can still read the
   * heap. Another close does nothing.
   */
  close(): void {
    if (this.closed) return;
    if (this.#parts.attachment !== null) {
      throw new TypeError("runtime: close on a worker: only the thread that made the runtime closes it");
    }
    this.#close();
  }

  /** The worker's part of a close on the thread that made the runtime. */
  static closeWorker(rt: Runtime): void {
    rt.#close();
  }

  #close(): void {
    disconnect(this.#parts);
    retire(this, "", keptByClosed, ["main"]);
    retire(this.unsafe, "unsafe.");
    retire(this.metrics, "metrics.");
    retire(this.types, "types.");
  }
}

/** keepAlive compares with this object, which no caller has. */
const keptForever = {};

/** Makes a runtime. `RuntimeOptions` describes the options. */
export function createRuntime(options: RuntimeOptions = {}): Runtime {
  return new Runtime(options);
}

/** Makes the runtime of a worker: it works on the memory of another thread's runtime. See worker.ts. */
export function attachRuntime(attachment: Attachment): Runtime {
  const { start, send } = attachment;
  const { godebug, ownStderr, options } = start.settings;
  return new Runtime(
    {
      ...options,
      godebug,
      ...(ownStderr ? { stderr: (text: string) => send({ stderr: text }) } : {}),
    },
    attachment,
  );
}
