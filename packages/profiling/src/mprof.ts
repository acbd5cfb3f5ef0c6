/**
 * The memory profile: which code allocated the objects that are alive.
 *
 * Sampling. The sampler (sampler.ts, or the allocator's own) picks allocations by size, as a Poisson process. After
 * each sample the next is due after an exponentially distributed number of bytes with mean `rate` (Go's
 * MemProfileRate, 512 KiB). So each byte has the same chance, whatever the sizes, and one sampled object of `size`
 * bytes stands for 1 / (1 - exp(-size / rate)) objects. A rate of 1 samples everything. A rate of 0 samples nothing:
 * no stack is taken, and no memory is used.
 *
 * This file files the samples that it is given. At the default rate, `sample-budget.ts` thins them so that they take no
 * more than 2 % of the time. A rate that the program has set is obeyed at any cost, unless the program also set a
 * budget. At a rate of 1 every object is recorded, with or without a budget.
 *
 * Accounting. A sample is charged to a *bucket*: (size, stack, weight). The weight belongs to the bucket, so that the
 * free of an object takes away what its allocation added. The profiler learns of an allocation at once, but of a death
 * only when a sweep finds it. A profile that counted both as they come would favour what was allocated since the last
 * collection. We use Go's remedy: a profile shows the heap as of the end of the last completed collection. Every bucket
 * has four sets of counters. Cycle C is the number of mark phases that have ended.
 *
 *   future[(C+2) % 3]   allocations made in cycle C: the sweep of cycle C+1 is the first that can find them dead
 *   future[(C+1) % 3]   frees found by the sweep of cycle C; they match the allocations of the cycle before
 *   active              the published counters
 *
 *   1. alloc(size)    at an allocation that is sampled: count in future[(C+2) % 3]; the sampled object keeps the bucket
 *   2. nextCycle()    when a mark phase ends: C++
 *   3. free(bucket)   when a sweep finds a sampled object dead: count in future[(C+1) % 3]
 *   4. flush()        before the sweep after a mark phase: add future[C % 3] to active, and clear it
 *   5. postSweep()    when a full collection has swept everything: do the same with future[(C+1) % 3], so that the
 *                     objects that this collection freed show at once
 *
 * Invariant: for each bucket, active + the three futures = everything recorded, and active.allocs >= active.frees.
 * Before the first mark phase ends, a profile publishes all four sets each time it is read.
 *
 * The cycle lies beside the buckets, in the profile header (bucket.ts). Rate, countdown and budget do not: the rate
 * belongs to the sampler, and the budget's figures to the thread that takes the stacks.
 *
 * Unlike Go: there, before the first collection only the first profile publishes all sets, and later profiles do not
 * change. Here, a program without a collector (the package used alone) calls only alloc and free, and each profile
 * shows exact numbers.
 *
 * Sources: Go's runtime/mprof.go and runtime/pprof/protomem.go for the meaning; the accounting above and the recorded
 * vectors for the figures.
 */
import { type BucketTable, COUNTERS, MEM_KIND } from "./bucket.ts";
import type { SampleBudget } from "./sample-budget.ts";
import { Countdown, type MemProfileSampler } from "./sampler.ts";

/** Go's default MemProfileRate. */
export const DEFAULT_MEM_PROFILE_RATE = 512 * 1024;

/** Offsets of the two counters in a set, in f64s. */
const ALLOCS = 0;
const FREES = 1;
const SET_SIZE = 2;

/** A stack as a profile shows it, with objects of one size. Counts are those of the samples: not scaled. */
export interface MemBucket {
  /** The buckets that have been added up. */
  buckets: readonly number[];
  /** Frame numbers, innermost first. */
  stack: ArrayLike<number>;
  size: number;
  allocs: number;
  frees: number;
  allocBytes: number;
  freeBytes: number;
}

/** The services that the memory profile needs. */
export interface MemProfileSources {
  buckets: BucketTable;
  /** The bucket for an object of `size` bytes that the present stack allocates. */
  captureBucket(size: number, weight: number): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** The owner of the rate. */
  sampler: MemProfileSampler;
  budget: SampleBudget;
  /** The program has set the budget: it holds at every rate above 1. Else it holds at the default rate only. */
  budgetAlways: boolean;
}

export class MemProfileRecorder {
  private readonly sampler: MemProfileSampler;
  private readonly countdown: Countdown;

  constructor(private readonly sources: MemProfileSources) {
    this.sampler = sources.sampler;
    this.countdown = new Countdown(sources.sampler, () => sources.random());
  }

  /** Mean number of bytes between two samples; 1 samples all, 0 none. */
  get rate(): number {
    return this.sampler.rate;
  }

  set rate(rate: number) {
    this.sampler.rate = checkRate(rate);
    this.countdown.restart();
    this.sources.budget.restart();
  }

  /**
   * Records a sampled allocation made by the running code. The caller has decided to sample it, and passes the result
   * to `free` when the object dies. Returns 0 if nothing was recorded: the rate is 0, or the budget is spent.
   */
  alloc(size: number): number {
    const { rate } = this.sampler;
    if (rate === 0) return 0;
    if (!(size >= 0))
      throw new RangeError(`profiling: an object's size must be 0 or more (got ${String(size)})`);
    const { sources } = this;
    const bucket =
      rate !== 1 && (sources.budgetAlways || rate === DEFAULT_MEM_PROFILE_RATE)
        ? this.captureWithinBudget(size)
        : sources.captureBucket(size, 1);
    if (bucket !== 0) this.count((sources.buckets.cycle + 2) % 3, bucket, ALLOCS);
    return bucket;
  }

  private captureWithinBudget(size: number): number {
    const { sources } = this;
    const weight = sources.budget.admit();
    if (weight === 0) return 0;
    const bucket = sources.captureBucket(size, weight);
    sources.budget.taken();
    return bucket;
  }

  /**
   * Decides whether an allocation is sampled, for callers without a sampler of their own. Returns the bucket, or 0
   * for an allocation that is not sampled.
   */
  sample(size: number): number {
    return this.countdown.charge(size) ? this.alloc(size) : 0;
  }

  /** Records that a sampled object died. Its bucket knows its size. */
  free(bucket: number, _size?: number): void {
    if (bucket === 0) return;
    const { buckets } = this.sources;
    if (!buckets.is(bucket, MEM_KIND)) {
      throw new RangeError(`profiling: free of a bucket that was never issued (got ${bucket})`);
    }
    this.count((buckets.cycle + 1) % 3, bucket, FREES);
  }

  /**
   * Records that no sweep will report the death of the object just sampled. The sample counts as freed in the set in
   * which it counts as allocated.
   */
  lose(bucket: number): void {
    this.count((this.sources.buckets.cycle + 2) % 3, bucket, FREES);
  }

  private count(future: number, bucket: number, what: typeof ALLOCS | typeof FREES): void {
    const { f64 } = this.sources.buckets.arena;
    f64[((bucket + COUNTERS) >>> 3) + (1 + future) * SET_SIZE + what] += 1;
  }

  /** A mark phase has ended. */
  nextCycle(): void {
    const { buckets } = this.sources;
    buckets.cycle++;
    buckets.flushed = false;
  }

  /** Publishes the cycle that the last mark phase ended. Further calls in the same cycle do nothing. */
  flush(): void {
    const { buckets } = this.sources;
    if (buckets.flushed) return;
    buckets.flushed = true;
    this.publish(buckets.cycle % 3);
  }

  /** A collection has swept everything: also publishes the objects that it freed. */
  postSweep(): void {
    this.flush();
    this.publish((this.sources.buckets.cycle + 1) % 3);
  }

  private publish(future: number): void {
    const { buckets } = this.sources;
    const { f64 } = buckets.arena;
    buckets.forEach(MEM_KIND, (b) => {
      const active = (b + COUNTERS) >>> 3;
      const from = active + (1 + future) * SET_SIZE;
      for (let i = 0; i < SET_SIZE; i++) {
        f64[active + i] += f64[from + i];
        f64[from + i] = 0;
      }
    });
  }

  /** Calls `visit` for each stack and size that a profile shows. The object passed is reused. */
  forEach(inuseZero: boolean, visit: (record: MemBucket) => void): void {
    const { buckets } = this.sources;
    // Before the first collection: publish everything, so that programs that never collect can be profiled.
    if (buckets.cycle === 0) for (let future = 0; future < 3; future++) this.publish(future);
    const { f64 } = buckets.arena;
    const record: MemBucket = {
      buckets: [],
      stack: [],
      size: 0,
      allocs: 0,
      frees: 0,
      allocBytes: 0,
      freeBytes: 0,
    };
    buckets.forEachStack(MEM_KIND, (group, stack) => {
      record.buckets = group;
      record.stack = stack;
      record.size = buckets.sizeOf(group[0]);
      record.allocs = 0;
      record.frees = 0;
      for (const b of group) {
        const at = (b + COUNTERS) >>> 3;
        const weight = buckets.weightOf(b);
        record.allocs += f64[at + ALLOCS] * weight;
        record.frees += f64[at + FREES] * weight;
      }
      record.allocBytes = record.allocs * record.size;
      record.freeBytes = record.frees * record.size;
      if (inuseZero || record.allocBytes !== record.freeBytes) visit(record);
    });
  }
}

/** Throws unless `rate` is a rate; returns it. */
export function checkRate(rate: number): number {
  const fault = `profiling: memProfileRate must be a whole number of bytes, 0 or more (got ${String(rate)})`;
  if (typeof rate !== "number") throw new TypeError(fault);
  if (!Number.isInteger(rate) || rate < 0) throw new RangeError(fault);
  return rate;
}

/**
 * How many objects, and how many bytes, `count` sampled objects stand for. `bytes` is the sum of their sizes. This is
 * Go's scaling of the binary heap profile, truncated as Go does.
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
