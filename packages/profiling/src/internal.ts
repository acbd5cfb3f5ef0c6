/**
 * For sibling packages: no promise of stability between versions.
 */

// For runtime: the place at which a goroutine waits.
export { EventPlace } from "./contention.ts";

// For runtime: the buckets of another thread, found in the linear memory.
export { BucketTable } from "./bucket.ts";

// For runtime: stacks of the goroutines of another thread.
export type { PortableStacks } from "./profile-stacks.ts";

// For the benches: profiles of stacks that are made up.
export { ProfileBuilder } from "./proto.ts";

// This export makes the entry need the whole package. The build then makes one chunk, and a program loads fewer files.
export { createProfiler } from "./profiler.ts";
