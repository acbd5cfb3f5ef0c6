/**
 * For sibling packages: no promise of stability between versions.
 */

// For runtime: the place at which a goroutine waits.
export { EventPlace } from "./contention.ts";

// For runtime: settings are checked before the stop of the world in which they change.
export { checkEventRate } from "./contention.ts";
export { checkRate } from "./mprof.ts";

// For runtime: the buckets of another thread, found in the linear memory.
export { BucketTable } from "./bucket.ts";

// For runtime: stacks of the goroutines of another thread.
export type { PortableStacks } from "./profile-stacks.ts";

// For the benches: profiles of stacks that are made up.
export { ProfileBuilder } from "./proto.ts";

// For runtime, which makes a profiler of its own: what users get. index.ts would make one more.
export { serveCPUProfile, workerThread } from "./cpu-threads.ts";
export { makeLabels as labels } from "./labels.ts";
export { createProfiler } from "./profiler.ts";
export { BlockProfileRecord, MemProfileRecord, StackRecord } from "./records.ts";
export { writeFileAtomically } from "./writer.ts";
