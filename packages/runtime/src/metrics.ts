/**
 * `@gort/runtime/metrics`: Go's runtime/metrics, for the runtime of the running goroutine or else the default one.
 * All of Go's names exist. A metric without a figure here reads as kind `bad`, like an unknown one.
 */
import type { Description, Sample } from "@gort/memstats/metrics";
import { currentRuntime } from "./default.ts";

export { type Description, newSample, type Sample, Value } from "@gort/memstats/metrics";

/**
 * Metrics that this runtime cannot measure under Node: none. Elsewhere, and under a clock of the program's own, the CPU
 * classes that need the host's idle time (idle, total, user) are unknown, and read as bad.
 */
export const notMeasured: readonly string[] = [];

/** All metrics, sorted by name. */
export function all(): Description[] {
  return currentRuntime().metrics.all();
}

/** Fills the value of each sample with the metric of the sample's name. */
export function read(samples: Sample[]): void {
  currentRuntime().metrics.read(samples);
}
