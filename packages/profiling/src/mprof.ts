/**
 * The memory profile: which code allocated what is alive.
 *
 * Sampling. Allocations are sampled by size, as a Poisson process: after each sample the next one is due
 * after an exponentially distributed number of bytes with mean `rate` (Go's MemProfileRate, 512 KiB). Every byte has
 * the same chance to be seen whatever the sizes, so that one sampled object of `size` bytes stands for
 * 1 / (1 - exp(-size / rate)) objects. A rate of 1 samples everything, 0 nothing: no stack is taken, no memory is used.
 *
 * Budget. A stack costs V8 ten microseconds, fifty times what Go pays, and a program that allocates 1 KiB in 20 ns would
 * spend as much on samples as on the allocations. So samples may take no more than a fiftieth of the time: when they come
 * faster, only one in w (a power of two, from the measured cost and interval) is taken, at random, and counts as
 * w. Sums stay right on average; only their noise grows. The weight belongs to the bucket, so that the free of an
 * object takes away what its allocation added. A rate that the program has set is obeyed, whatever it costs, unless a
 * budget was asked for too; with a rate of 1 every object is recorded in any case.
 *
 * Credit. The first stacks of a process cost V8 a millisecond each, and a program that allocates 50 MiB in one go has
 * 100 samples: thinned by what the first ones cost, its profile would be off by half. So a process may take `burst`
 * samples before the budget counts. What a budget leaves unused is added again, so that a burst after a quiet time is
 * seen as well.
 *
 * Accounting. A sample is charged to a *bucket*: (size, stack, weight). Its allocation is known at once, its death only when a
 * sweep finds it, so counting both as they come would show a profile bent towards what was allocated since
 * the last collection. Go's remedy, kept here: a profile shows the heap as it was at the end of the last completed
 * collection. Every bucket has four sets of counters; cycle C is the number of mark phases that have ended.
 *
 *   future[(C+2) % 3]   allocations made now: they can die in cycle C+1 at the earliest, found by the sweep after it
 *   future[(C+1) % 3]   frees found now, by the sweep of cycle C; matched with the allocations of the cycle before
 *   active              what is published
 *
 *   1. alloc(size)    at an allocation that is sampled: count in future[(C+2) % 3]; the sampled object keeps the bucket
 *   2. nextCycle()    when a mark phase ends: C++
 *   3. free(bucket)   when a sweep finds a sampled object dead: count in future[(C+1) % 3]
 *   4. flush()        before the sweep after a mark phase: future[C % 3] is added to active and cleared
 *   5. postSweep()    when a full collection has swept everything: future[(C+1) % 3] likewise, so that what
 *                     this collection freed shows without waiting for the next
 *
 * Invariant: for each bucket, active + the three futures = everything recorded, and active.allocs >= active.frees.
 * As long as no mark phase ever ended, a profile publishes all four sets each time it is read.
 *
 * Unlike Go: there, without a collection only the first profile does so and later ones stay as it was. Here
 * a program without a collector (the package used alone) just calls alloc and free, and always sees exact numbers.
 *
 * Sources: Go's runtime/mprof.go and runtime/pprof/protomem.go for the meaning; the accounting's text above
 * and the recorded vectors for the figures.
 */
import { type BucketTable, counters, memKind } from "./bucket.ts";
import { StackRecord } from "./contention.ts";

/** Go's default MemProfileRate. */
export const defaultMemProfileRate = 512 * 1024;

/** The default budget: 2 % of the time. */
export const defaultBudget = 0.02;
/** What a sample is thought to cost and how often one is thought to come before any was measured, in ms. */
const firstCost = 0.01;
const firstInterval = 1000;
/** Weights of events in the two running means: quick enough to follow a loop that begins to allocate. */
const costGain = 1 / 8;
const intervalGain = 1 / 16;
const maxWeight = 1 << 16;
/** Samples between two looks at the clock, at most. */
const clockEvery = 16;
/** Samples that are taken in any case at first, and after a quiet time: 256 MiB at the default rate, for some 10 ms. */
export const defaultBurst = 512;
/**
 * What a sample costs in all, by what the clock shows of it: V8 collects what the stack was made of, caches are filled again, and the object's
 * record is made and freed. Measured with `bench/memprofile.bench.ts` of the runtime: with 1, a budget of 2 % took 4 %.
 */
const aftermath = 2;

/** Offsets of the two counters in a set, in f64s. */
const ALLOCS = 0;
const FREES = 1;
const setSize = 2;

/** A bucket as a profile shows it. Counts are those of the samples: not scaled. */
export interface MemBucket {
  bucket: number;
  size: number;
  allocs: number;
  frees: number;
  allocBytes: number;
  freeBytes: number;
}

/** What the memory profile needs from outside. */
export interface MemProfileSources {
  buckets: BucketTable;
  /** The bucket for an object of `size` bytes that the present stack allocates. */
  captureBucket(size: number, weight: number): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Milliseconds, of any origin. */
  now(): number;
  /** The part of the time that taking samples may cost, 0 to 1; 1 takes every sample. */
  budget: number;
  /** The budget was asked for: it holds at every rate, not only at the default one. */
  budgetAlways: boolean;
  /** Samples that are taken before the budget counts; default `defaultBurst`. */
  burst?: number;
}

export class MemProfileRecorder {
  private cycle = 0;
  private flushed = false;
  private rateBytes: number;
  private nextSample = 0;
  private cost = firstCost;
  private interval = firstInterval;
  /** One in so many samples is taken, and stands for that many. */
  private weight = 1;
  private readonly burst: number;
  /** Samples that may be taken whatever they cost. */
  private credit: number;
  /** When the clock was read last, and the samples since. */
  private last: number;
  private sinceClock = 0;

  constructor(
    private readonly sources: MemProfileSources,
    rate: number,
  ) {
    this.rateBytes = checkRate(rate);
    this.nextSample = this.drawNext();
    this.last = sources.now();
    this.burst = sources.burst ?? defaultBurst;
    this.credit = this.burst;
  }

  /** Mean number of bytes between samples; 1 samples all, 0 none. */
  get rate(): number {
    return this.rateBytes;
  }

  set rate(rate: number) {
    this.rateBytes = checkRate(rate);
    this.nextSample = this.drawNext();
    // The time up to here says nothing of how often samples come.
    this.last = this.sources.now();
  }

  /**
   * Records a sampled allocation made by the code that is running. The caller has decided that it is sampled, and gives
   * the result to `free` when the object dies. 0 when nothing was recorded: the rate is 0, or the budget is spent.
   */
  alloc(size: number): number {
    if (this.rateBytes === 0) return 0;
    if (!(size >= 0))
      throw new RangeError(`profiling: an object's size must be 0 or more (got ${String(size)})`);
    const bucket =
      this.rateBytes !== 1 && (this.sources.budgetAlways || this.rateBytes === defaultMemProfileRate)
        ? this.captureWithinBudget(size)
        : this.sources.captureBucket(size, 1);
    if (bucket !== 0) this.count((this.cycle + 2) % 3, bucket, ALLOCS);
    return bucket;
  }

  /** Takes one in `weight` samples; the weight that keeps within the budget is found anew whenever the clock is read. */
  private captureWithinBudget(size: number): number {
    const { sources, weight } = this;
    const taken = weight === 1 || sources.random() * weight < 1;
    // A sample that isn't taken comes cheap, without a look at the clock.
    if (++this.sinceClock < clockEvery && !taken) return 0;
    const start = sources.now();
    const elapsed = start - this.last;
    const interval = elapsed / this.sinceClock;
    this.interval += (interval - this.interval) * Math.min(1, this.sinceClock * intervalGain);
    this.last = start;
    this.sinceClock = 0;
    this.weight = this.weightWithinBudget(elapsed);
    if (!taken) return 0;
    if (this.credit >= 1) this.credit--;
    const bucket = sources.captureBucket(size, weight);
    this.cost += (sources.now() - start - this.cost) * costGain;
    return bucket;
  }

  /** `elapsed`: ms since the clock was read before. */
  private weightWithinBudget(elapsed: number): number {
    const { budget } = this.sources;
    if (budget >= 1) return 1;
    const { interval, cost } = this;
    let weight = 1;
    while (weight < maxWeight && interval * weight * budget < cost * aftermath) weight *= 2;
    // Only a pace that the budget allows leaves something over.
    if (weight === 1 && elapsed > 0) {
      this.credit = Math.min(this.burst, this.credit + (elapsed * budget) / (cost * aftermath));
    }
    return this.credit >= 1 ? 1 : weight;
  }

  /**
   * Decides itself whether an allocation is sampled, for callers that have no sampler: the bucket, or 0 for an
   * allocation that isn't.
   */
  sample(size: number): number {
    if ((this.nextSample -= size) > 0) return 0;
    if (this.rateBytes === 0) {
      this.nextSample = Number.POSITIVE_INFINITY;
      return 0;
    }
    this.nextSample = this.drawNext();
    return this.alloc(size);
  }

  /** Records that a sampled object died. Its bucket knows its size. */
  free(bucket: number, _size?: number): void {
    if (bucket === 0) return;
    if (!this.sources.buckets.is(bucket, memKind)) {
      throw new RangeError(`profiling: free of a bucket that was never issued (got ${bucket})`);
    }
    this.count((this.cycle + 1) % 3, bucket, FREES);
  }

  /** Records that nothing will report the end of an object just sampled: the sample counts as freed at once. */
  lose(bucket: number): void {
    this.count((this.cycle + 2) % 3, bucket, FREES);
  }

  private count(future: number, bucket: number, what: typeof ALLOCS | typeof FREES): void {
    const { f64 } = this.sources.buckets.arena;
    f64[((bucket + counters) >>> 3) + (1 + future) * setSize + what] += 1;
  }

  /** A mark phase has ended. */
  nextCycle(): void {
    this.cycle++;
    this.flushed = false;
  }

  /** Publishes the cycle that the last mark phase ended; once a cycle, further calls do nothing. */
  flush(): void {
    if (this.flushed) return;
    this.flushed = true;
    this.publish(this.cycle % 3);
  }

  /** A collection has swept all: publishes also what it freed. */
  postSweep(): void {
    this.flush();
    this.publish((this.cycle + 1) % 3);
  }

  private publish(future: number): void {
    const { buckets } = this.sources;
    const { f64 } = buckets.arena;
    for (let b = buckets.first(memKind); b !== 0; b = buckets.nextOf(b)) {
      const active = (b + counters) >>> 3;
      const from = active + (1 + future) * setSize;
      for (let i = 0; i < setSize; i++) {
        f64[active + i] += f64[from + i];
        f64[from + i] = 0;
      }
    }
  }

  /** Calls `visit` for each bucket that a profile shows. The object passed is reused. */
  forEach(inuseZero: boolean, visit: (record: MemBucket) => void): void {
    const { buckets } = this.sources;
    // No collection yet: show what there is, so that programs that never collect can be profiled.
    if (this.cycle === 0) for (let future = 0; future < 3; future++) this.publish(future);
    const { f64 } = buckets.arena;
    const record: MemBucket = { bucket: 0, size: 0, allocs: 0, frees: 0, allocBytes: 0, freeBytes: 0 };
    for (let b = buckets.first(memKind); b !== 0; b = buckets.nextOf(b)) {
      const at = (b + counters) >>> 3;
      const weight = buckets.weightOf(b);
      record.bucket = b;
      record.size = buckets.sizeOf(b);
      record.allocs = f64[at + ALLOCS] * weight;
      record.frees = f64[at + FREES] * weight;
      record.allocBytes = record.allocs * record.size;
      record.freeBytes = record.frees * record.size;
      if (!inuseZero && record.allocBytes === record.freeBytes) continue;
      visit(record);
    }
  }

  private drawNext(): number {
    const { rateBytes } = this;
    if (rateBytes === 0) return Number.POSITIVE_INFINITY;
    if (rateBytes === 1) return 0;
    return -Math.log(1 - this.sources.random()) * rateBytes;
  }
}

function checkRate(rate: number): number {
  const fault = `profiling: memProfileRate must be a whole number of bytes, 0 or more (got ${String(rate)})`;
  if (typeof rate !== "number") throw new TypeError(fault);
  if (!Number.isInteger(rate) || rate < 0) throw new RangeError(fault);
  return rate;
}

/**
 * What `count` sampled objects of `size` bytes in all stand for: Go's scaling of the binary heap profile,
 * truncated as Go does. `bytes` is the sum of their sizes.
 */
export function scaleHeapSample(
  count: number,
  bytes: number,
  rate: number,
): { count: number; bytes: number } {
  if (count === 0 || bytes === 0) return { count: 0, bytes: 0 };
  if (rate <= 1) return { count, bytes };
  const scale = 1 / (1 - Math.exp(-(bytes / count) / rate));
  return { count: Math.trunc(count * scale), bytes: Math.trunc(bytes * scale) };
}

/** One record of a memory profile, Go's runtime.MemProfileRecord. Counts are those of the samples: not scaled. */
export class MemProfileRecord extends StackRecord {
  AllocBytes = 0;
  FreeBytes = 0;
  AllocObjects = 0;
  FreeObjects = 0;

  inUseBytes(): number {
    return this.AllocBytes - this.FreeBytes;
  }

  inUseObjects(): number {
    return this.AllocObjects - this.FreeObjects;
  }
}
