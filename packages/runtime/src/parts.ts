/**
 * The parts of a runtime, built each from those before it. A part that is built early calls a later one through the
 * callbacks of wiring.ts, which read this record; none of them runs before all parts exist.
 */
import { type Allocator, createAllocator } from "@gort/allocator/internal";
import type { Collector } from "@gort/gc";
import { attachCollector, createCollector } from "@gort/gc/internal";
import type { LinearMemory } from "@gort/memory";
import { createLinearMemory } from "@gort/memory/internal";
import { createMetrics } from "@gort/memstats/internal";
import type { Metrics } from "@gort/memstats/metrics";
import type { Profiler } from "@gort/profiling";
import { createProfiler } from "@gort/profiling/internal";
import type { Scheduler } from "@gort/scheduler";
import { createScheduler } from "@gort/scheduler/internal";
import type { Threads } from "@gort/threads";
import { HeapChans, waitersOf } from "@gort/threads/internal";
import type { TypedHeap } from "@gort/types";
import { createTypes, perTypeOf } from "@gort/types/internal";
import { DroppedHandles } from "./dropped-handles.ts";
import { processEnvironment } from "./env.ts";
import { FinalizerGoroutines } from "./finalizers.ts";
import { RuntimeHeap } from "./heap.ts";
import { IdleWorker } from "./idle.ts";
import { Machines } from "./machines.ts";
import { CpuClasses, RuntimeMetrics } from "./metrics-source.ts";
import { given, type RuntimeOptions, resolveOptions, type Settings } from "./options.ts";
import { AllProfiles } from "./profiles.ts";
import { StatsPublisher } from "./publisher.ts";
import { GoroutineRoots } from "./roots.ts";
import type { Runtime } from "./runtime.ts";
import { BackgroundScavenger } from "./scavenge.ts";
import { SchedStats } from "./sched-stats.ts";
import { RuntimeStats, StoppedStats } from "./stats.ts";
import { WorldStops } from "./stops.ts";
import { Tasks } from "./tasks.ts";
import type { WorkerLoop } from "./thread-link.ts";
import { Unsafe } from "./unsafe-access.ts";
import { WeakRefs } from "./weak.ts";
import {
  checkCollectorThread,
  collectorOptions,
  handleOwner,
  profilerOptions,
  sampleMalloc,
  schedulerOptions,
  workerSettings,
} from "./wiring.ts";
import type { MainMessage, WorkerMessage, WorkerStart } from "./worker-messages.ts";

/** How the runtime of a worker belongs to that of another thread (worker.ts). */
export interface Attachment {
  readonly start: WorkerStart;
  readonly memory: LinearMemory;
  readonly loop: WorkerLoop;
  send(message: WorkerMessage): void;
  /** Each message of M 0 is for `receive`. */
  onMessage(receive: (message: MainMessage) => void): void;
  /** The thread is an M from now on. */
  attached(threads: Threads): void;
  /** The runtime is closed. */
  ended(): void;
}

export class Parts {
  readonly settings: Settings;
  /** Null on the thread that made the runtime. */
  readonly attachment: Attachment | null;
  /** The clock's time in ms, and its reading when the runtime was created. */
  readonly now: () => number;
  /** Whether that is the host's clock. */
  readonly hostTime: boolean;
  readonly startMs: number;

  readonly memory: LinearMemory;
  readonly allocator: Allocator;
  readonly profiler: Profiler;
  readonly profiles: AllProfiles;
  readonly schedStats: SchedStats;
  readonly scheduler: Scheduler;
  readonly collector: Collector;
  readonly stops: WorldStops;
  readonly roots: GoroutineRoots;
  readonly finalizers: FinalizerGoroutines;
  readonly idle: IdleWorker;
  readonly scavenger: BackgroundScavenger;
  readonly types: TypedHeap;
  readonly weak: WeakRefs;
  readonly tasks: Tasks;
  readonly machines: Machines;
  /** Null if the switch `hostgc` is off. */
  readonly dropped: DroppedHandles | null;
  readonly unsafe: Unsafe;
  readonly stats: RuntimeStats;
  readonly stoppedStats: StoppedStats;
  /** Null on a worker: M 0 keeps the times of all threads. */
  readonly cpu: CpuClasses | null;
  readonly publisher: StatsPublisher;
  readonly metrics: Metrics;
  /** Whether the runtime is closed. */
  closed = false;
  #chans: HeapChans | undefined;

  constructor(runtime: Runtime, options: RuntimeOptions, attachment: Attachment | null = null) {
    // A worker has the settings of M 0.
    this.settings = resolveOptions(options, attachment === null ? processEnvironment() : {});
    this.attachment = attachment;
    const { godebug } = this.settings;
    const { clock } = options;
    const now = clock === undefined ? () => performance.now() : () => clock.now();
    const nanotime = (): number => now() * 1e6;
    this.now = now;
    this.hostTime = clock === undefined || attachment !== null;
    this.startMs = now();

    const memory = attachment?.memory ?? createLinearMemory(given(options, "maxMemory", "shared"));
    this.memory = memory;
    checkCollectorThread(this, options);
    const allocator = createAllocator({ memory, clock: now, ...given(options, "seed") });
    // A worker becomes an M before it touches the heap.
    this.machines = new Machines(this, options.workers, () => workerSettings(this, options));
    this.allocator = allocator;
    this.profiles = new AllProfiles(this, attachment === null);
    this.profiler = createProfiler(profilerOptions(this, runtime, options));
    // Under allocfreetrace the collector replaces this hook by one that calls it.
    allocator.hooks.sampleMalloc = sampleMalloc(this);
    this.schedStats =
      attachment === null ? SchedStats.create(memory) : SchedStats.add(memory, attachment.start.m);
    const scheduler = createScheduler(schedulerOptions(this, runtime, options));
    const newCollector = attachment === null ? createCollector : attachCollector;
    const collector = newCollector(allocator, collectorOptions(this, options));
    const { record } = collector;
    this.scheduler = scheduler;
    this.collector = collector;

    this.stops = new WorldStops(scheduler, nanotime, record);
    this.roots = new GoroutineRoots(allocator, collector, scheduler);
    this.finalizers = new FinalizerGoroutines(scheduler, collector, () => this.dropped?.finalizerDone());
    this.idle = new IdleWorker(scheduler, collector, attachment !== null);
    this.scavenger = new BackgroundScavenger(allocator, scheduler, collector);
    const heap = new RuntimeHeap(allocator, collector);
    this.types = createTypes(heap);
    perTypeOf(this.types).chans = () => this.chans;
    this.weak = new WeakRefs(collector, this.types);
    this.tasks = new Tasks(this);
    this.dropped = godebug.hostgc === 0 ? null : new DroppedHandles(handleOwner(this, heap));
    this.unsafe = new Unsafe(allocator, collector, this.types);

    this.stats = new RuntimeStats(memory, allocator, record);
    this.stoppedStats = new StoppedStats(this.stops, this.stats);
    this.cpu =
      attachment === null
        ? new CpuClasses({
            collector,
            scavenger: allocator.scavenger,
            procs: () => scheduler.gomaxprocs(0),
            nanotime,
            hostTime: this.hostTime,
            workers: () => this.machines.workerTimes,
          })
        : null;
    this.publisher = new StatsPublisher(scheduler, this.cpu);
    const publish = (): void => this.publisher.publish();
    this.metrics = createMetrics(
      this.stats,
      new RuntimeMetrics(record, this.stats, this.schedStats, publish),
    );
  }
  /** Channels in the heap. Made at the first use: other programs pay nothing for them. */
  get chans(): HeapChans {
    return (this.#chans ??= new HeapChans(this.types, this.scheduler, waitersOf(this.memory)));
  }
}
