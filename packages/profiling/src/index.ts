/**
 * @gort/profiling: Go's profiles for any Node program.
 *
 * The functions here belong to one default profiler; `createProfiler` makes others.
 */
import { createProfiler, type Profiler } from "./profiler.ts";

// The default profiler and its functions.
/** The profiler that the functions of this module belong to. */
export const profiler: Profiler = /* @__PURE__ */ createProfiler();
export const { caller, callers, callersFrames, funcForPC, memProfile, lookup, profiles, writeHeapProfile } =
  profiler;

/** Sets the memory profile's rate and returns the old one. See `Profiler.memProfileRate`. */
export function setMemProfileRate(rate: number): number {
  const old = profiler.memProfileRate;
  profiler.memProfileRate = rate;
  return old;
}

export type { ProfArena } from "./bucket.ts";
// Stacks.
export type { CallSite } from "./capture.ts";
export { type CallerInfo, type Frame, Frames, type PCs } from "./extern.ts";
// Labels.
export { type LabelSet, type LabelStore, makeLabels as labels } from "./labels.ts";

// Waiting.
export {
  BlockProfileRecord,
  type BlockProfileRecorder,
  type MutexProfileRecorder,
  StackRecord,
} from "./mblock.ts";

// The memory profile.
export { MemProfileRecord, type MemProfileRecorder, scaleHeapSample } from "./mprof.ts";
export type { RawFrame, Symbolized } from "./pctab.ts";
export { Func } from "./pctab.ts";
// Writing.
export { CustomProfile, NamedProfile } from "./profile.ts";
// Own instances.
export {
  createProfiler,
  type Profiler,
  type ProfilerOptions,
  type StackFrame,
  type StackSource,
} from "./profiler.ts";
export type { MemStatsLike } from "./text.ts";
export { type NodeWritable, type Sink, writeFileAtomically } from "./writer.ts";
