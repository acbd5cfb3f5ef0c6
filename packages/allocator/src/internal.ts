/** For sibling packages only: no promise of stability between versions. */

// gc, runtime: the allocator, and its calls
export { Allocator, createAllocator } from "./allocator.ts";
export type { AllocatorOptions } from "./arguments.ts";
export type { AllocatorHooks } from "./hooks.ts";

// gc, runtime: the structs, the byte offsets of their fields, and constants
export * from "./layout.ts";

// gc: the encoding of pageInfo
export * from "./page-info.ts";

// gc, runtime: size classes
export {
  classToAllocNPages,
  classToIndexMul,
  classToIndexShift,
  classToSize,
  NUM_SIZE_CLASSES,
  sizeToClass8,
  sizeToClass128,
} from "./sizeclasses.generated.ts";

// runtime: pacing of the scavenger
export {
  type BackgroundResult,
  gcPercentScavengeGoal,
  memoryLimitScavengeGoal,
  type ScavengePace,
  type Scavenger,
} from "./mgcscavenge.ts";

// runtime: figures, also for threads that only read them
export { HeapReader, type HeapStats, newHeapStats } from "./mstats.ts";
