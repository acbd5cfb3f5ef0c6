/**
 * `@gort/runtime/metrics`: Go's runtime/metrics. All of Go's names are there; one whose figure does not exist
 * here reads as kind `bad`, as an unknown one does.
 */
import type { Description, Sample } from "@gort/memstats/metrics";
import { currentRuntime } from "./default.ts";

export { type Description, newSample, type Sample, Value } from "@gort/memstats/metrics";

/**
 * Metrics that this runtime can't tell under Node: none. Elsewhere, and under a clock of one's own, the CPU classes that need
 * the host's idle time (idle, total, user) are unknown, and read as bad.
 */
export const notMeasured: readonly string[] = [];

/** All metrics, sorted by name. */
export function all(): Description[] {
  return currentRuntime().metrics.all();
}

/** Fills the values of samples, whose names say what is wanted. */
export function read(samples: Sample[]): void {
  currentRuntime().metrics.read(samples);
}
