export { FatalError, isFatalError } from "./errors.ts";
export type { AllocatorHooks } from "./hooks.ts";
export { Allocator, type AllocatorOptions, createAllocator } from "./malloc.ts";
export { type HeapStats, newHeapStats } from "./mstats.ts";
