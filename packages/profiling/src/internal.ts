/**
 * For sibling packages: no promise of stability between versions.
 */

// For runtime: the place at which a goroutine waits.
export { EventPlace } from "./contention.ts";

// For runtime: the buckets of another thread, found in the linear memory.
export { BucketTable } from "./bucket.ts";

// For the benches: profiles of stacks that are made up.
export { ProfileBuilder } from "./proto.ts";

// Every entry needs all of the package, which is then built as one chunk: a program has fewer files to load.
export { createProfiler } from "./profiler.ts";
