// The collector

export { attachCollector, Collector, createCollector } from "./mgc.ts";
export type { CollectorThreads } from "./collector-threads.ts";
export type { CollectorEvents, CollectorOptions, World, WorldThreads } from "./world.ts";
export { type Clock, systemClock } from "./clock.ts";
export { type GCStats, newGCStats } from "./gc-stats.ts";

// Errors

export { FatalError, isFatalError } from "@gort/base";

// Debug switches and trace lines

export type { SwitchInfo } from "@gort/base";
export { GODEBUG_SWITCHES, type Godebug, type GodebugSwitch, parseGodebug } from "./godebug.ts";
export { fmtNSAsMS, formatGCTrace, type GCTrace } from "./gc-trace.ts";

// Roots and stores

export type { WriteBarrier } from "./mbarrier.ts";
export type { StackRoots } from "./mark-roots.ts";
export type { RefSlot, RefTable } from "./ref-table.ts";

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
