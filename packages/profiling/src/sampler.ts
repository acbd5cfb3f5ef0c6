/**
 * When the memory profile takes its next sample: a Poisson process over the bytes that are allocated.
 *
 * An allocator that samples by itself is the one owner of the rate: it has the countdown and draws the gaps, and
 * hands over the sampled objects by `mem.alloc`. The profiler reads and sets the rate through `MemProfileSampler`.
 * For callers without such an allocator, `Countdown` decides on each allocation that `mem.sample` reports.
 */

/** The owner of the memory profile's rate. */
export interface MemProfileSampler {
  /** Mean number of bytes between two samples; 1 samples all, 0 none. */
  rate: number;
}

/** Counts bytes down to the next sample. The gaps are exponentially distributed with mean `rate`. */
export class Countdown {
  /** Bytes to allocate until the next sample. */
  private left: number;

  constructor(
    private readonly sampler: Readonly<MemProfileSampler>,
    /** Uniform in [0, 1). */
    private readonly random: () => number,
  ) {
    this.left = this.gap();
  }

  /** Draws a new gap: the rate was set. */
  restart(): void {
    this.left = this.gap();
  }

  /** Charges an allocation; true if it is to be sampled. */
  charge(size: number): boolean {
    if ((this.left -= size) > 0) return false;
    this.left = this.gap();
    return this.left !== Number.POSITIVE_INFINITY;
  }

  private gap(): number {
    const { rate } = this.sampler;
    if (rate === 0) return Number.POSITIVE_INFINITY;
    if (rate === 1) return 0;
    return -Math.log(1 - this.random()) * rate;
  }
}
