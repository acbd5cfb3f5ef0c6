/** `@gort/runtime/pprof`: profiles of the default runtime, in Go's formats. */
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
export { labels, serveCPUProfile, workerThread } from "@gort/profiling";

/**
 * The profile of this name, or null: `heap`, `allocs`, `block`, `mutex`, `goroutine`, `goroutineleak`, `threadcreate`, one of the
 * user's own, and `v8heap` and `eventloop` once they are started.
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

/** Writes the heap as of the last completed collection, as gzipped pprof. */
export function writeHeapProfile(sink: Sink): Promise<void> {
  return currentRuntime().profiler.writeHeapProfile(sink);
}

/** Makes a profile of the user's own. */
export function newProfile(name: string): CustomProfile {
  return currentRuntime().profiler.newProfile(name);
}

/** Starts a CPU profile of this thread, and of worker threads that serve one; written when it is stopped. */
export function startCPUProfile(sink: Sink): void {
  currentRuntime().profiler.startCPUProfile(sink);
}

/** Stops the CPU profile and writes it; resolves when it is written. */
export function stopCPUProfile(): Promise<void> {
  return currentRuntime().profiler.stopCPUProfile();
}

/** Samples the objects that V8 allocates from now on, as the profile `v8heap`: what is not in the linear memory. */
export function startV8HeapProfile(options?: V8HeapProfileOptions): void {
  currentRuntime().profiler.startV8HeapProfile(options);
}

/** Ends the sampling; the profile is gone. */
export function stopV8HeapProfile(): void {
  currentRuntime().profiler.stopV8HeapProfile();
}

/** Measures the callbacks of the event loop from now on, as the profile `eventloop`: time by who asked for them. */
export function startEventLoopProfile(options?: EventLoopProfileOptions): void {
  currentRuntime().profiler.startEventLoopProfile(options);
}

/** Ends the measuring; the profile stays. */
export function stopEventLoopProfile(): void {
  currentRuntime().profiler.stopEventLoopProfile();
}

/** The labels of the running goroutine, or null. */
export function goroutineLabels(): LabelSet | null {
  return currentRuntime().profiler.goroutineLabels();
}

/** Gives the running goroutine, and those it starts, these labels. */
export function setGoroutineLabels(labels: LabelSet | Readonly<Record<string, string>> | null): void {
  currentRuntime().profiler.setGoroutineLabels(labels);
}

/**
 * Writes a profile to a file: a complete one, or none. `gc()` first for figures as of now.
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
