// The collector

export { type Clock, systemClock } from "./clock.ts";
// Errors
export { FatalError, isFatalError } from "@gort/base";
export { type GCStats, newGCStats } from "./gc-stats.ts";
// Debug switches and trace lines
export { fmtNSAsMS, formatGCTrace, type GCTrace } from "./gc-trace.ts";
export type { SwitchInfo } from "@gort/base";
export { GODEBUG_SWITCHES, type Godebug, type GodebugSwitch, parseGodebug } from "./godebug.ts";
// Roots and stores
export type { WriteBarrier } from "./mbarrier.ts";
// Finalizers, cleanups, weak pointers
export type {
  Cleanup,
  CleanupFn,
  Finalization,
  FinalizationKind,
  FinalizerFn,
  Finalizers,
  WeakPointer,
} from "./mfinal.ts";
export { Collector, createCollector } from "./mgc.ts";
// Pacing, as functions
export {
  type AssistRatios,
  assistRatios,
  ConsMark,
  type CycleFigures,
  consMarkOf,
  DEFAULT_HEAP_MINIMUM,
  type GoalInputs,
  type GoalRule,
  heapGoal,
  heapGoalExact,
  heapMinimum,
  limitGoal,
  NO_MEMORY_LIMIT,
  percentGoal,
  type TriggerInputs,
  trigger,
} from "./mgcpacer.ts";
export type { StackRoots } from "./mark-roots.ts";
export type { RefSlot, RefTable } from "./ref-table.ts";
export type { CollectorEvents, CollectorOptions, World } from "./world.ts";
