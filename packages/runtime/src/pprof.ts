/** `@gort/runtime/pprof`: profiles in Go's formats, of the running goroutine's runtime or else the default one. */
import type {
  CustomProfile,
  EventLoopProfileOptions,
  LabelSet,
  NamedProfile,
  Sink,
  V8HeapProfileOptions,
} from "@gort/profiling";
import { currentRuntime } from "./default.ts";

export type {
  CPUThread,
  CustomProfile,
  EventLoopProfileOptions,
  LabelSet,
  NamedProfile,
  NodeWritable,
  Sink,
  V8HeapProfileOptions,
} from "@gort/profiling";
export { labels, serveCPUProfile, workerThread } from "@gort/profiling/internal";

/**
 * The profile of this name, or null: `heap`, `allocs`, `block`, `mutex`, `goroutine`, `goroutineleak`,
 * `threadcreate`, a profile made by `newProfile`, and `v8heap` and `eventloop` once they are started.
 */
export function lookup(name: string): NamedProfile | null {
  const { profiler } = currentRuntime();
  if (typeof name !== "string") {
    throw new TypeError(`pprof: a profile's name must be a string (got ${typeof name})`);
  }
  return profiler.lookup(name);
}

/** All profiles, sorted by name. */
export function profiles(): NamedProfile[] {
  return currentRuntime().profiler.profiles();
}

/** Writes the heap profile of the last completed collection, as gzipped pprof. */
export function writeHeapProfile(sink: Sink): Promise<void> {
  return currentRuntime().profiler.writeHeapProfile(sink);
}

/** Makes a profile whose entries the program adds. */
export function newProfile(name: string): CustomProfile {
  return currentRuntime().profiler.newProfile(name);
}

/** Starts a CPU profile of this thread, and of worker threads that serve one. `stopCPUProfile` writes it. */
export function startCPUProfile(sink: Sink): void {
  currentRuntime().profiler.startCPUProfile(sink);
}

/** Stops the CPU profile and writes it. Resolves when the profile is written. */
export function stopCPUProfile(): Promise<void> {
  return currentRuntime().profiler.stopCPUProfile();
}

/** Samples objects that V8 allocates from now on, outside of the linear memory, as the profile `v8heap`. */
export function startV8HeapProfile(options?: V8HeapProfileOptions): void {
  currentRuntime().profiler.startV8HeapProfile(options);
}

/** Ends the sampling and removes the profile. */
export function stopV8HeapProfile(): void {
  currentRuntime().profiler.stopV8HeapProfile();
}

/**
 * Measures callbacks of the event loop from now on, as the profile `eventloop`: time by the place that requested
 * them.
 */
export function startEventLoopProfile(options?: EventLoopProfileOptions): void {
  currentRuntime().profiler.startEventLoopProfile(options);
}

/** Ends the measuring. The profile stays. */
export function stopEventLoopProfile(): void {
  currentRuntime().profiler.stopEventLoopProfile();
}

/** The labels of the running goroutine, or null. */
export function goroutineLabels(): LabelSet | null {
  return currentRuntime().profiler.goroutineLabels();
}

/** Gives these labels to the running goroutine and to goroutines that it starts. */
export function setGoroutineLabels(labels: LabelSet | Readonly<Record<string, string>> | null): void {
  currentRuntime().profiler.setGoroutineLabels(labels);
}

/**
 * Writes a profile to a file: a complete one, or none. Call `gc()` first for current figures.
 *
 * @param debug 0 for gzipped pprof, 1 for text
 */
export async function writeProfileFile(name: string, path: string, debug = 0): Promise<void> {
  const profile = lookup(name);
  if (profile === null) throw new RangeError(`pprof: no profile has the name ${JSON.stringify(name)}`);
  await profile.writeFile(path, debug);
}

/** Runs `f` with labels added to the goroutine's own: Go's pprof.Do. */
function doLabels<T>(labels: LabelSet | Readonly<Record<string, string>>, f: (labels: LabelSet) => T): T {
  return currentRuntime().profiler.do(labels, f);
}

export { doLabels as do };
