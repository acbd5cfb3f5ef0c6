/**
 * A runtime: one linear memory with its allocator and collector, one scheduler, one profiler. parts.ts builds them and
 * wiring.ts connects them; here is what a program calls. Methods that only call the same method of a part are in
 * methods.generated.ts.
 */
import type { Allocator } from "@gort/allocator/internal";
import type { Cleanup, Collector } from "@gort/gc";
import type { LinearMemory, Ptr } from "@gort/memory";
import { type GCStats, gcStats, type MemStats, newMemStats, summary } from "@gort/memstats";
import type { DumpSink } from "@gort/memstats/heapdump";
import type { Metrics } from "@gort/memstats/metrics";
import type { CallerInfo, PCs, Profiler } from "@gort/profiling";
import {
  defaultCase,
  defer,
  frame,
  goexit,
  type NotAsync,
  panic,
  recover,
  recvCase,
  type Scheduler,
  sendCase,
} from "@gort/scheduler";
import { append, copy, type Ref, type RefMembers, type Type, type TypedHeap } from "@gort/types";
import type { SharedStats } from "./attach.ts";
import { retire } from "./closed.ts";
import type { Godebug } from "./godebug.ts";
import { dumpHeap } from "./heapdump.ts";
import { RuntimeMethods } from "./methods.generated.ts";
import { addCleanup, setFinalizer } from "./object-ends.ts";
import type { RuntimeOptions } from "./options.ts";
import { Parts } from "./parts.ts";
import type { Root } from "./roots.ts";
import { readStopped } from "./stats.ts";
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

  readonly #parts: Parts;

  constructor(options: RuntimeOptions = {}) {
    super();
    const parts = new Parts(this, options);
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
    return this.#parts.roots.root(p);
  }

  /** Bytes that a goroutine's stack in the heap may have: see debug.setMaxStack. */
  get maxStack(): number {
    return this.#parts.roots.maxStack;
  }

  set maxStack(bytes: number) {
    this.#parts.roots.maxStack = bytes;
  }

  /**
   * Has `f` called with a new reference to the object, in the goroutine of finalizers, some time after nothing else
   * refers to it; `null` takes the finalizer away. It runs once; an object in a cycle with another never gets it.
   *
   * @throws FatalError for a second finalizer on one object, as Go dies of it
   */
  setFinalizer<T extends Type, R = unknown>(x: RefMembers<T>, f: ((x: Ref<T>) => NotAsync<R>) | null): void {
    setFinalizer(this, x, f);
  }

  /**
   * Has `f(arg)` called in the goroutine of cleanups some time after the object is gone. Unlike a finalizer it does not
   * see the object, so several may be attached, and objects that point to each other are no obstacle. `arg` must not
   * refer to the object, or the object never goes. If `arg` is a Ref to the object or to a part of it, this panics as
   * Go does.
   */
  addCleanup<T extends Type, A, R = unknown>(x: RefMembers<T>, f: (arg: A) => NotAsync<R>, arg: A): Cleanup {
    return addCleanup(this, x, f, arg);
  }

  /**
   * A pointer that does not keep its object alive: `value()` gives a new reference, or null once nothing else had one.
   * Pointers made from one object and type are the same object. The pointer of null has the value null.
   */
  weak<T extends Type>(x: RefMembers<T> | null): WeakRefTo<T> {
    return this.#parts.weak.to(x);
  }

  /** Makes sure that `x` is not collected before this call. */
  keepAlive(x: unknown): void {
    // A comparison with x needs x here, whatever is inlined or optimised.
    if (x === keptForever) throw new TypeError("runtime: keepAlive of its own mark");
  }

  // ---- statistics and profiles ----

  /** Fills `m`, or a new record, with a consistent snapshot, for which it stops the world. */
  readMemStats(m: MemStats = newMemStats()): MemStats {
    return readStopped(this.#parts.stops, this.#parts.stats, m);
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
    this.#parts.publisher.start();
    const memory = this.memory.memory ?? (this.memory.buffer as SharedArrayBuffer);
    return { memory, version: version() };
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
    const { stops } = this.#parts;
    const memStats = this.readMemStats();
    stops.stopTheWorld("write heap dump");
    try {
      return dumpHeap({ allocator, collector, scheduler, profiler, memStats }, sink);
    } finally {
      stops.startTheWorld();
    }
  }

  /** One line about the collector since the runtime was created. */
  summary(): string {
    return summary(this.readMemStats(), this.#parts.now() - this.#parts.startMs);
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
   * Records one in `fraction` contentions of a lock, where it is released; 0 none. Returns the fraction before; a
   * negative one only reads it.
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
    if (this.closed) return `Runtime(${version()}, closed)`;
    const { gomaxprocs, goroutines, heapBytes } = this.toJSON();
    const count = goroutines === 1 ? "1 goroutine" : `${goroutines} goroutines`;
    const heap = `${(heapBytes / 2 ** 20).toFixed(1)} MiB`;
    return `Runtime(${version()}, GOMAXPROCS ${gomaxprocs}, ${count}, heap ${heap})`;
  }

  /** The figures that identify a runtime, all 0 after its close. `heapBytes` is `MemStats.HeapAlloc`. */
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
   * Ends all goroutines, stops timers, and gives the memory's pages back. From then on every function of the
   * runtime, of its `unsafe`, `metrics` and `types`, and of the module while the runtime is its own, throws a
   * TypeError; `main` rejects with it. What is in the heap may still be read through references that exist. Another
   * close does nothing.
   */
  close(): void {
    if (this.closed) return;
    disconnect(this.#parts);
    retire(this, "", keptByClosed, ["main"]);
    retire(this.unsafe, "unsafe.");
    retire(this.metrics, "metrics.");
    retire(this.types, "types.");
  }
}

/** keepAlive compares with this object, which no caller has. */
const keptForever = {};

/** Makes a runtime. See `RuntimeOptions` for what can be set. */
export function createRuntime(options: RuntimeOptions = {}): Runtime {
  return new Runtime(options);
}
