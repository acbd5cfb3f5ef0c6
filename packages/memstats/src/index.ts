// The record
export { BY_SIZE_LENGTH, type BySizeEntry, MemStats, newMemStats } from "./memstats.ts";

// Taking a snapshot
export { readMemStats } from "./read.ts";
export { NUM_SIZE_CLASSES, newRawStats, PAUSE_RING, type RawStats, type StatsSource } from "./source.ts";

// Looking at snapshots
export { diff, formatDiff, type MemStatsDiff, type ScalarField } from "./diff.ts";
export { formatBytes, formatDuration } from "./format.ts";
export { type GCStats, gcStats, quantile, recentPauses } from "./gcstats.ts";
export { jsonFloat, memStatsJSON } from "./json.ts";
export { summary } from "./summary.ts";
