/**
 * The source that both exporters read. A gort `Runtime` is one. For another source of statistics three lines make one:
 *
 *     const go: GoSource = {
 *       readMemStats: (m) => readMemStats(source, m),
 *       metrics: createMetrics(source),
 *     };
 *
 * Each of the two is one synchronous call that reads the runtime's own memory. So an exporter needs no messages to
 * other threads, and no timer.
 */

import type { MemStats } from "./memstats.ts";
import { type Metrics, newSample, type Sample } from "./metrics.ts";

export interface GoSource {
  /** A snapshot, into `m` if given. */
  readMemStats(m?: MemStats): MemStats;
  readonly metrics: Metrics;
  /** Goroutines of the program. Without it, the exporter takes the number that the metrics count. */
  numGoroutine?(): number;
  /** The label of `go_info`. */
  version?(): string;
  /** Whether the source has ended. The exporters then leave its figures out. */
  readonly closed?: boolean;
}

/** @throws TypeError unless `source` has the members of a GoSource */
export function checkSource(source: GoSource, exporter: string): void {
  const got = source === null ? "null" : typeof source;
  if (
    source === null ||
    typeof source !== "object" ||
    typeof source.readMemStats !== "function" ||
    typeof source.metrics?.read !== "function"
  ) {
    throw new TypeError(
      `${exporter}: source must have readMemStats and metrics, as a runtime has (got ${got})`,
    );
  }
}

/** Samples of several metrics by name, read together and reused. */
export class SampleSet {
  readonly #metrics: Metrics;
  readonly #samples: Sample[];
  readonly #byName: ReadonlyMap<string, Sample>;

  constructor(metrics: Metrics, names: Iterable<string>) {
    this.#metrics = metrics;
    this.#samples = Array.from(new Set(names), newSample);
    this.#byName = new Map(this.#samples.map((s) => [s.Name, s]));
  }

  read(): void {
    this.#metrics.read(this.#samples);
  }

  /** The sample of a name that the set was made with. */
  get(name: string): Sample {
    const sample = this.#byName.get(name);
    if (sample === undefined) throw new TypeError(`metrics: ${name} is not in this set of samples`);
    return sample;
  }

  /** The number of a metric; undefined if the source does not know it. */
  number(name: string): number | undefined {
    const { Value: value } = this.get(name);
    const kind = value.kind();
    if (kind === "uint64") return value.uint64();
    return kind === "float64" ? value.float64() : undefined;
  }
}
