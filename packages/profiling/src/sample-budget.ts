/**
 * Keeps the time that samples of the memory profile take within a budget.
 *
 * Why. A stack costs V8 ten microseconds, fifty times as much as Go. A program that allocates 1 KiB in 20 ns would
 * spend as much on samples as on allocations.
 *
 * Weight. By default samples take at most a fiftieth of the time. If they come faster, only one in w is taken, at
 * random, and counts as w. w is a power of two, computed from the measured cost and interval of samples. So sums stay
 * right on average, and only their noise grows.
 *
 * Credit. The first stacks of a process cost V8 a millisecond each, and a program that allocates 50 MiB at once has 100
 * samples. Thinned by the cost of the first stacks, its profile would be off by half. So a process may take `burst`
 * samples before the budget counts. A budget that is not used up is added to the credit, so that a burst after a quiet
 * time is sampled in full too.
 *
 * All figures here belong to one thread: they measure how long a stack takes in it.
 */

/** The default budget: 2 % of the time. */
export const DEFAULT_BUDGET = 0.02;
/** The assumed cost of a sample, and the assumed interval between samples, before any is measured, in ms. */
const FIRST_COST = 0.01;
const FIRST_INTERVAL = 1000;
/** Weights of one event in the running means: large enough to follow a loop that begins to allocate. */
const COST_GAIN = 1 / 8;
const INTERVAL_GAIN = 1 / 16;
const MAX_WEIGHT = 1 << 16;
/** Samples between two readings of the clock, at most. */
const CLOCK_EVERY = 16;
/**
 * Samples that are taken before the budget counts, and after a quiet time: 256 MiB at the default rate, in about 10
 * ms.
 */
export const DEFAULT_BURST = 512;
/**
 * The full cost of a sample, as a multiple of the time that the clock shows. Later, V8 collects the objects of the
 * stack, caches are filled again, and the object's record is made and freed. Measured with the runtime's
 * `bench/memprofile.bench.ts`: with a factor of 1, a budget of 2 % took 4 %.
 */
const AFTERMATH = 2;

export interface SampleBudgetOptions {
  /** The part of the time that samples may take, above 0 to 1; 1 takes every sample. */
  budget: number;
  /** Samples that are taken before the budget counts; default `DEFAULT_BURST`. */
  burst?: number;
  /** Milliseconds, of any origin. */
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
}

export class SampleBudget {
  private readonly burst: number;
  /** Running means of a sample's cost, and of the interval between two samples, in ms. */
  private cost = FIRST_COST;
  private interval = FIRST_INTERVAL;
  /** One in `weight` samples is taken, and stands for `weight` samples. */
  private weight = 1;
  /** Samples that may be taken whatever they cost. */
  private credit: number;
  /** The last reading of the clock, and the samples since. */
  private last: number;
  private sinceClock = 0;

  constructor(private readonly options: SampleBudgetOptions) {
    this.burst = options.burst ?? DEFAULT_BURST;
    this.credit = this.burst;
    this.last = options.now();
  }

  /** Forgets the time until now: it does not show how often samples come. */
  restart(): void {
    this.last = this.options.now();
  }

  /**
   * Decides about one sample: returns its weight, or 0 if it is not taken. After a weight, take the sample and call
   * `taken` once. Each reading of the clock computes the weight of the next samples.
   */
  admit(): number {
    const { options, weight } = this;
    const taken = weight === 1 || options.random() * weight < 1;
    // A sample that is not taken is cheap: it does not read the clock.
    if (++this.sinceClock < CLOCK_EVERY && !taken) return 0;
    const now = options.now();
    const elapsed = now - this.last;
    const interval = elapsed / this.sinceClock;
    this.interval += (interval - this.interval) * Math.min(1, this.sinceClock * INTERVAL_GAIN);
    this.last = now;
    this.sinceClock = 0;
    this.weight = this.weightWithinBudget(elapsed);
    if (!taken) return 0;
    if (this.credit >= 1) this.credit--;
    return weight;
  }

  /** A sample that `admit` allowed has been taken. */
  taken(): void {
    this.cost += (this.options.now() - this.last - this.cost) * COST_GAIN;
  }

  /** The weight of the next samples. `elapsed`: ms between the last two readings of the clock. */
  private weightWithinBudget(elapsed: number): number {
    const { budget } = this.options;
    if (budget >= 1) return 1;
    const { interval, cost } = this;
    let weight = 1;
    while (weight < MAX_WEIGHT && interval * weight * budget < cost * AFTERMATH) weight *= 2;
    // Time is left over only while samples come within the budget.
    if (weight === 1 && elapsed > 0) {
      this.credit = Math.min(this.burst, this.credit + (elapsed * budget) / (cost * AFTERMATH));
    }
    return this.credit >= 1 ? 1 : weight;
  }
}
