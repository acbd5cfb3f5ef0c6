/** For sibling packages only: no promise of stability between versions. */

// gc, runtime: the allocator and what it calls
export type { AllocatorHooks } from "./hooks.ts";
// gc: the structs, and constants of their fields
export * from "./layout.ts";
export { Allocator, createAllocator } from "./allocator.ts";
export type { AllocatorOptions } from "./arguments.ts";
// runtime: pacing of the scavenger
export {
  type BackgroundResult,
  gcPercentScavengeGoal,
  memoryLimitScavengeGoal,
  type ScavengePace,
  type Scavenger,
} from "./mgcscavenge.ts";
// gc: what is on a page
export * from "./page-info.ts";
// runtime, memstats
export { HeapReader, type HeapStats, newHeapStats } from "./mstats.ts";
// gc, types: size classes
export {
  classToAllocNPages,
  classToIndexMul,
  classToIndexShift,
  classToSize,
  NUM_SIZE_CLASSES,
  sizeToClass8,
  sizeToClass128,
} from "./sizeclasses.generated.ts";
