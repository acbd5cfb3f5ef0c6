// The allocator

// Errors
export type { LeakRecord } from "./block-checks.ts";
export { FatalError, isFatalError } from "@gort/base";
export type { AllocatorHooks } from "./hooks.ts";
export { Allocator, createAllocator } from "./allocator.ts";
export type { AllocatorOptions } from "./arguments.ts";
export type { ViewConstructor } from "./manual.ts";
// Statistics and what the allocator calls
export { type HeapStats, newHeapStats } from "./mstats.ts";
