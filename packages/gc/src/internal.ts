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

// Every entry needs all of the package, which is then built as one chunk: a program has fewer files to load.
export { Collector } from "./mgc.ts";
