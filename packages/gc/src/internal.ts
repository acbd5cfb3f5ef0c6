/** For sibling packages only: no promise of stability between versions. */

// runtime: the word that clobberfree writes
export { CLOBBER_WORD } from "./clobber.ts";
// runtime: the collector's figures in linear memory, for any thread
export {
  CPU_TIMES,
  type FinalizerCount,
  type GCHistogram,
  GCRecord,
  GCSTATS,
  TIME_HISTOGRAM_BUCKETS,
} from "./gc-stats.ts";
// runtime: trace lines
export * from "./gc-trace.ts";
// the threads of a later release: the collector's state in linear memory
export { GCState } from "./gc-state.ts";
// testing, runtime: the parts of a collector
export { GCHeap } from "./heap.ts";
export { Marker } from "./mgcmark.ts";
export { Sweeper } from "./mgcsweep.ts";
export { Roots } from "./mark-roots.ts";

// What users get: siblings import from this entry alone, of which the build makes one file (tsup.one-file.ts).
export * from "./index.ts";
