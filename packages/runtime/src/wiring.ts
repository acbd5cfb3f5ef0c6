/**
 * The connections between the parts of a runtime. The packages do not know each other, so this file makes every
 * connection.
 *
 *     allocator.hooks.gcTrigger    -> collector asks for a cycle -> scheduler.requestSafepoint
 *     scheduler.hooks.safepoint    -> collector.pollSafepoint       runs the cycle between two goroutines
 *     allocator.hooks.sampleMalloc -> profiler.mem.alloc            the bucket stays with the object, as a special
 *     collector frees that object  -> profiler.mem.free
 *     end of mark, end of gc()     -> profiler.mem.nextCycle and flush, postSweep
 *     collector queues finalizers  -> a system goroutine of the scheduler runs them
 *     scheduler.hooks.gExit        -> the goroutine's stack slots go back to the allocator
 *     end of mark, end of sweep    -> the scavenger's goals, its background work
 *     end of mark                  -> V8 collects dropped handles at a safepoint; then the collector runs again
 *     start of a cycle             -> the pools of sync.Pool age
 *     profiler.symbolize           -> names and TypeScript lines in the scheduler's dumps
 *     scheduler's goroutines       -> the profiler's `goroutine` profile; their waits its `block` profile
 *     scheduler.hooks.mutexEvent   -> the profile `mutex`
 *     scheduler.onSwitch           -> labels of the CPU profile, while it runs
 */

import { type Allocator, SPECIAL_PROFILE } from "@gort/allocator/internal";
import { isFatalError } from "@gort/base";
import type { CollectorEvents, CollectorOptions, World, WorldThreads } from "@gort/gc";
import type { Ptr } from "@gort/memory";
import type { ProfilerOptions } from "@gort/profiling";
import type { Clock, SchedulerHooks, SchedulerOptions } from "@gort/scheduler";
import { isMarker, poolCleanup, stackText } from "@gort/scheduler/internal";
import { uint8 } from "@gort/types/internal";
import { WorkerCPUProfile } from "./cpu-profile.ts";
import { type HandleOwner, lastOfThread } from "./dropped-handles.ts";
import { parseTraceback, processEnvironment } from "./env.ts";
import { LinearArena, memProfileSampler, type RuntimeHeap } from "./heap.ts";
import { hostCollector } from "./hostgc.ts";
import { given, type RuntimeOptions } from "./options.ts";
import type { Parts } from "./parts.ts";
import { GoroutineLabels, GoroutineWaits, LeakedGoroutines, recordMutexEvent } from "./profiles.ts";
import type { Runtime } from "./runtime.ts";
import { BODY_MARKER } from "./task.ts";
import type { Tasks } from "./tasks.ts";

import { hasDefaultWorker } from "./worker-host.ts";
import type { WorkerSettings } from "./worker-messages.ts";

/** The scheduler's hooks, with the runtime that the scheduler belongs to. */
export interface RuntimeHooks extends SchedulerHooks {
  readonly runtime?: Runtime;
  /** Checks what `go` gets for a task. */
  readonly tasks?: Tasks;
}

// ---- what a part is built with ----

export function profilerOptions(parts: Parts, runtime: Runtime, options: RuntimeOptions): ProfilerOptions {
  const { godebug, stderr } = parts.settings;
  const labels = new GoroutineLabels();
  return {
    arena: new LinearArena(parts.memory, parts.attachment !== null),
    memProfileSampler: memProfileSampler(parts.allocator),
    // All threads have one rate, which M 0 sets.
    ...(parts.attachment === null ? { memProfileRate: godebug.memprofilerate } : {}),
    ...given(options, "memProfileBudget", "blockStackPeriod"),
    // The method refuses after `close`, and so does the heap profile's text.
    memStats: () => ({ ...runtime.readMemStats() }),
    isStackBase: ({ functionName }) => {
      const name = functionName.slice(functionName.indexOf("gort:"));
      return name === BODY_MARKER || isMarker(name);
    },
    goroutines: parts.profiles,
    leakedGoroutines: new LeakedGoroutines(parts, parts.profiles.here, options.leakDetection === true),
    threads: parts.profiles.threads,
    readAll: (read) => parts.profiles.read(read),
    ...remoteCPUProfile(parts),
    labels,
    onCPUProfile: (active) => {
      const { scheduler, profiler } = parts;
      scheduler.onSwitch = active ? (g) => profiler.cpu.noteLabels(labels.of(g)) : null;
    },
    stderr,
  };
}

/** On a worker, M 0 takes the CPU profiles. */
function remoteCPUProfile(parts: Parts): Pick<ProfilerOptions, "remoteCPUProfile"> {
  const { attachment } = parts;
  if (attachment === null) return {};
  const profile = new WorkerCPUProfile(parts, attachment.start.m);
  attachment.onMessage((message) => profile.receive(message));
  return { remoteCPUProfile: profile };
}

/** Samples an allocation for the heap profile. The special names the thread whose bucket it is. */
export function sampleMalloc(parts: Parts): Allocator["hooks"]["sampleMalloc"] {
  const { allocator, profiler } = parts;
  return (addr, size) => {
    const bucket = profiler.mem.alloc(size);
    if (bucket === 0) return;
    // Without a special (-1: no memory for it), no sweep reports the object dead.
    if (allocator.addSpecial(addr, SPECIAL_PROFILE, bucket, parts.collector.id) <= 0)
      profiler.mem.lose(bucket);
  };
}

/** The limit of GOMAXPROCS. */
function procsLimit(parts: Parts, { workers }: RuntimeOptions): NonNullable<SchedulerOptions["procs"]> {
  const { memory, attachment } = parts;
  if (!memory.shared) {
    const why = "threads cannot share the memory, so there is one";
    const isolate = ": SharedArrayBuffer needs a cross-origin isolated page (headers COOP and COEP)";
    return { max: 1, why: typeof SharedArrayBuffer === "undefined" ? why + isolate : why };
  }
  if (attachment === null && workers === undefined && !hasDefaultWorker()) {
    return { max: 1, why: "threads are workers, and here only createRuntime({ workers }) makes them" };
  }
  return { max: 256, why: "there are at most 256 Ps" };
}

/** @throws TypeError if there cannot be a thread for the option collectorThread */
export function checkCollectorThread(parts: Parts, options: RuntimeOptions): void {
  if (options.collectorThread !== true || parts.attachment !== null) return;
  const { max, why } = procsLimit(parts, options);
  if (max === 1) throw new TypeError(`runtime: collectorThread needs a second thread, but ${why}`);
  if (!parts.hostTime) throw new TypeError("runtime: collectorThread needs the host's clock (got a clock)");
}

/** What a worker gets to know of the runtime's settings when it starts. */
export function workerSettings({ settings }: Parts, options: RuntimeOptions): WorkerSettings {
  return {
    godebug: settings.godebug,
    options: given(options, "memProfileBudget", "blockStackPeriod", "leakDetection"),
    ownStderr: options.stderr !== undefined,
    ownWorkers: options.workers !== undefined,
  };
}

export function schedulerOptions(parts: Parts, runtime: Runtime, options: RuntimeOptions): SchedulerOptions {
  const { profiler, schedStats, attachment } = parts;
  const { godebug, gomaxprocs, stderr } = parts.settings;
  return {
    ...given(options, "clock", "seed", "leakDetection", "deadlock"),
    stderr,
    gomaxprocs,
    procs: procsLimit(parts, options),
    godebug,
    symbolize: profiler.symbolize,
    counters: schedStats.counters,
    latencies: schedStats,
    hooks: schedulerHooks(parts, runtime),
    ...(attachment === null ? {} : { onCrash: (e, report) => parts.machines.crashed(e, report) }),
  };
}

function schedulerHooks(parts: Parts, runtime: Runtime): RuntimeHooks {
  const { profiler } = parts;
  const { godebug } = parts.settings;
  const waits = new GoroutineWaits(profiler);
  return {
    runtime,
    get tasks() {
      return parts.tasks;
    },
    programBegin: () => parts.machines.beginProgram(),
    programEnd: () => parts.machines.endProgram(),
    safepoint: () => {
      if (parts.closed) return;
      parts.collector.pollSafepoint();
      parts.dropped?.safepoint();
      // The scheduler calls this hook only when asked to.
      if (godebug.gcstress !== 0) parts.scheduler.requestSafepoint();
    },
    // The goroutine that closes the runtime ends after its heap.
    gExit: (g) => {
      if (!parts.closed) parts.roots.exit(g);
    },
    blockEvent: (g, ns, reason) => waits.record(g, ns, reason),
    mutexEvent: (ns, unlock, above) => recordMutexEvent(profiler, ns, unlock, above),
  };
}

export function collectorOptions(parts: Parts, options: RuntimeOptions): CollectorOptions {
  const { profiler, settings } = parts;
  const { godebug, gogc, memoryLimit, stderr } = settings;
  const clock = parts.attachment === null ? options.clock : { now: parts.now };
  return {
    gogc,
    memoryLimit,
    godebug,
    stderr,
    ...(clock === undefined ? {} : { clock: collectorClock(clock) }),
    dedicated: parts.attachment?.start.collects === true,
    world: collectorWorld(parts),
    onRequest: () => parts.idle.request(),
    freeProfile: (bucket, size) => profiler.mem.free(bucket, size),
    events: collectorEvents(parts),
  };
}

/** The scheduler's clock, in the collector's units. */
function collectorClock(clock: Clock): { nanotime(): number; walltime(): bigint } {
  return {
    nanotime: () => clock.now() * 1e6,
    walltime: () => BigInt(Math.round((clock.wall === undefined ? Date.now() : clock.wall()) * 1e3)) * 1000n,
  };
}

function collectorWorld(parts: Parts): World {
  return {
    stopTheWorld: (reason) => parts.stops.stopTheWorld(reason),
    startTheWorld: () => parts.stops.startTheWorld(),
    gomaxprocs: () => parts.scheduler.gomaxprocs(0),
    ready: () => parts.finalizers.wake(),
    currentStack: () => stackText(parts.scheduler, false),
    get threads() {
      return parts.machines.collectorThreads as WorldThreads;
    },
  };
}

/** A worker's collector does not work for the scavenger, which is M 0's. */
function collectorEvents(parts: Parts): CollectorEvents {
  const { profiler, allocator, settings, attachment } = parts;
  const first = attachment === null;
  return {
    gcStart: (_n, forced) => {
      poolCleanup(parts.scheduler);
      parts.dropped?.cycleStart(forced);
      if (first) parts.scavenger.cycleStart();
    },
    markDone: () => {
      if (first) {
        // The cycle of the memory profile is that of all threads, which are stopped now.
        profiler.mem.nextCycle();
        profiler.mem.flush();
        parts.scavenger.cycleEnd();
      }
      parts.dropped?.cycleEnd();
    },
    sweepDone: () => {
      parts.scavenger.wake();
      if (settings.godebug.scavtrace !== 0) settings.stderr(`${allocator.scavenger.trace(false)}\n`);
    },
  };
}

export function handleOwner(parts: Parts, heap: RuntimeHeap): HandleOwner {
  const { collector, scheduler, types, allocator } = parts;
  return {
    collector,
    scheduler,
    heap,
    dropOne: () => void types.ref(uint8, allocator.zerobase as Ptr<typeof uint8>),
    hostCollector,
    // The host's time even if the program has a clock of its own: V8's collections take host time.
    now: () => performance.now(),
    last: lastOfThread,
  };
}

// ---- when all parts exist ----

export function connect(parts: Parts): void {
  const {
    allocator,
    collector,
    scheduler,
    roots,
    stops,
    cpu,
    idle,
    dropped,
    settings,
    machines,
    attachment,
  } = parts;
  scheduler.tracebackAll = parseTraceback(processEnvironment().GOTRACEBACK).all;
  collector.setStackRoots((visit) => roots.forEachStack(visit));
  if (cpu !== null) stops.onGC = () => cpu.publish();
  if (dropped !== null) allocator.hooks.explainOutOfMemory = () => dropped.explainOutOfMemory();
  if (settings.godebug.gcstress !== 0) {
    scheduler.safepointsAlways = true;
    scheduler.requestSafepoint();
  }
  if (attachment !== null) {
    machines.attach(attachment);
    return;
  }
  idle.watch();
  if (settings.collectorThread) machines.startCollector();
}

export function disconnect(parts: Parts): void {
  parts.closed = true;
  const { scheduler, idle, scavenger, publisher, machines, profiler, allocator } = parts;
  for (const part of [scheduler, idle, scavenger, publisher, machines, profiler])
    inSpiteOf(() => part.close());
  // The heap of a worker is not its own.
  if (parts.attachment === null) inSpiteOf(() => allocator.freeOSMemory());
  inSpiteOf(() => allocator.close());
}

/** A step of a close. A worker may have died with a lock that it takes: the other parts close all the same. */
function inSpiteOf(step: () => void): void {
  try {
    step();
  } catch (e) {
    if (!isFatalError(e) || e.code !== "ERR_GORT_LOCK") throw e;
  }
}
