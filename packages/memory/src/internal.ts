/** For sibling packages only: no promise of stability between versions. */

// allocator, memstats: where the counters live
export { CONTROL, CONTROL_BASE, CONTROL_END, sysStatAddr, sysStatNames } from "./layout.ts";
// tests of the fallbacks
export type { Platform } from "./linear-memory.ts";
// allocator, runtime: whether and how pages are returned
export { findReleaser, osPageSize } from "./release.ts";
