/** Metrics as a program sees them: descriptions, samples and their values. */

export type ValueKind = "bad" | "uint64" | "float64" | "float64-histogram";

/** Counts[i] observations lie in [Buckets[i], Buckets[i + 1]). The fields have Go's names. */
export interface Float64Histogram {
  Counts: Float64Array;
  Buckets: Float64Array;
}

/** The description of a metric. The fields have Go's names. */
export interface Description {
  readonly Name: string;
  readonly Description: string;
  readonly Kind: ValueKind;
  /** Whether it only grows. */
  readonly Cumulative: boolean;
}

/** A metric's value. An accessor of another kind than the value's throws a TypeError. */
export class Value {
  #kind: ValueKind = "bad";
  #number = 0;
  #histogram: Float64Histogram | undefined;

  kind(): ValueKind {
    return this.#kind;
  }

  /** Exact below 2^53; above lie only "no limit" (2^63) and "off" (2^64). */
  uint64(): number {
    if (this.#kind !== "uint64") throw new TypeError("metrics: called uint64 on non-uint64 metric value");
    return this.#number;
  }

  float64(): number {
    if (this.#kind !== "float64") throw new TypeError("metrics: called float64 on non-float64 metric value");
    return this.#number;
  }

  /** Filled again by the next read of the same sample: copy it to keep it. */
  float64Histogram(): Float64Histogram {
    if (this.#kind !== "float64-histogram" || this.#histogram === undefined) {
      throw new TypeError("metrics: called float64Histogram on non-float64-histogram metric value");
    }
    return this.#histogram;
  }

  /** @internal */
  $set(kind: ValueKind, n: number): void {
    this.#kind = kind;
    this.#number = n;
  }

  /** A histogram with `counts` buckets to fill in: that of the last read if it has as many. @internal */
  $histogram(counts: number): Float64Histogram {
    this.#kind = "float64-histogram";
    if (this.#histogram?.Counts.length !== counts) {
      this.#histogram = { Counts: new Float64Array(counts), Buckets: new Float64Array(counts + 1) };
    }
    return this.#histogram;
  }
}

/** One metric to read. The fields have Go's names. */
export interface Sample {
  Name: string;
  Value: Value;
}

/** A sample of the metric, to give to `read`. */
export function newSample(name: string): Sample {
  return { Name: name, Value: new Value() };
}
