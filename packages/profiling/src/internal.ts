/**
 * For sibling packages: no promise of stability between versions.
 */

// For runtime: buckets in the linear memory, hooks for the allocator and the collector.
export { BucketTable, BufferArena, type ProfArena } from "./bucket.ts";
// For scheduler and runtime: call sites to frames, and the stack's text.
export { captureSites, parseStack } from "./capture.ts";
export { StackBuffer, StackWalker } from "./extern.ts";
export { EventPlace } from "./contention.ts";
export { MemProfileRecorder } from "./mprof.ts";
export { PCTable, type PCTableOptions } from "./pc-table.ts";

// For cli: building profiles from other stacks.
export { ProfileBuilder, type ProfileShape } from "./proto.ts";
