// The allocator

// Errors
export { FatalError, isFatalError } from "./errors.ts";
export type { AllocatorHooks } from "./hooks.ts";
export { Allocator, type AllocatorOptions, createAllocator } from "./malloc.ts";
export type { LeakRecord, ViewConstructor } from "./manual.ts";
// Statistics and what the allocator calls
export { type HeapStats, newHeapStats } from "./mstats.ts";
