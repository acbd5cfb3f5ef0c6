/**
 * @gort/profiling: Go's profiles for any Node program.
 *
 * The functions of this module belong to one default profiler. `createProfiler` makes others.
 */
import { createProfiler, type Profiler } from "./profiler.ts";

/** The profiler that the functions of this module belong to. */
export const profiler: Profiler = /* @__PURE__ */ createProfiler();

// Stacks.
export const { caller, callers, callersFrames, funcForPC } = profiler;

// Records of what was sampled.
export const { memProfile, setBlockProfileRate, blockProfile, setMutexProfileFraction, mutexProfile } =
  profiler;

/** Sets the memory profile's rate and returns the old one. See `Profiler.memProfileRate`. */
export function setMemProfileRate(rate: number): number {
  const old = profiler.memProfileRate;
  profiler.memProfileRate = rate;
  return old;
}

// Profiles by name.
export const { lookup, profiles, newProfile, writeHeapProfile } = profiler;

// V8's profilers.
export const { startCPUProfile, stopCPUProfile, setCPUProfileRate, startV8HeapProfile, stopV8HeapProfile } =
  profiler;
export const { startEventLoopProfile, stopEventLoopProfile } = profiler;

/** Always throws, as in Go. Use `startCPUProfile`. */
export function cpuProfile(): never {
  throw new Error("CPUProfile no longer available");
}

// Labels. `do` is a reserved word: import it under another name, or with a namespace (`pprof.do(...)`).
export const { do: doLabels, setGoroutineLabels, goroutineLabels } = profiler;

export { doLabels as do };

// The profiler, its options, and the interfaces by which an allocator and a scheduler feed it.
export {
  createProfiler,
  type Profiler,
  type ProfilerOptions,
  type RemoteCPUProfile,
  type StackFrame,
  type StackSource,
} from "./profiler.ts";
export type { ProfArena } from "./bucket.ts";
export type { MemProfileSampler } from "./sampler.ts";
export type { MemProfileRecorder } from "./mprof.ts";
export type { BlockProfileRecorder, MutexProfileRecorder } from "./contention.ts";
export type { MemStatsLike } from "./text.ts";

// Types of stacks and PCs.
export { type CallerInfo, type Frame, Frames, type PCs } from "./extern.ts";
export { Func, type RawFrame, type Symbolized } from "./pc-table.ts";
export type { CallSite } from "./capture.ts";

// Go's records, and the scaling of their counts.
export { BlockProfileRecord, MemProfileRecord, StackRecord } from "./records.ts";
export { scaleHeapSample } from "./mprof.ts";

// Types of profiles by name, and of what they are written to.
export { CustomProfile, NamedProfile } from "./profile.ts";
export { type NodeWritable, type Sink, writeFileAtomically } from "./writer.ts";

// CPU profiles: threads that take part, and V8's own format.
export type { CPUProfiler } from "./cpuprof.ts";
export {
  type CPUThread,
  type ProfilePort,
  type SampledThread,
  serveCPUProfile,
  workerThread,
} from "./cpu-threads.ts";
export { cpuProfileToPprof, type ThreadProfile } from "./cpu-pprof.ts";
export type { V8CallFrame, V8CPUProfile, V8ProfileNode } from "./inspect.ts";

// V8's heap and the event loop.
export type { V8HeapProfileOptions, V8HeapProfiler } from "./v8-heap.ts";
export type { EventLoopProfileOptions, EventLoopProfiler } from "./event-loop.ts";

// Types of labels.
export { type LabelSet, type LabelStore, makeLabels as labels } from "./labels.ts";
export type { LabelChange } from "./label-log.ts";
