// The allocator
export { Allocator, createAllocator } from "./allocator.ts";
export type { AllocatorOptions } from "./arguments.ts";
export type { LeakRecord } from "./block-checks.ts";
export type { ViewConstructor } from "./manual.ts";

// Calls from the allocator
export type { AllocatorHooks } from "./hooks.ts";

// Statistics
export { type HeapStats, newHeapStats } from "./mstats.ts";

// Errors
export { FatalError, isFatalError } from "@gort/base";
