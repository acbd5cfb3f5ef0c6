/**
 * The block and mutex profiles: where goroutines wait, and which code made them wait.
 *
 * Both add up events by stack, in the same buckets as the memory profile: a count and a time for each stack. The time
 * is in *cycles*, as in Go. A cycle here is a nanosecond.
 *
 *   block   rate r    An event of c cycles is taken with probability min(1, c / r). If it is shorter than r, it then
 *                     counts as r / c events of c cycles. So long waits are all taken, and the sums of short waits are
 *                     right on average. A rate of 1 takes every event.
 *   mutex   fraction  One event in `fraction` is taken, and counts as `fraction` events. Its stack is that of the
 *                     unlock.
 *
 * A recorder that is off takes no stack and no time: `record` returns after one comparison.
 *
 * Stacks of waits. A stack costs V8 thousands of nanoseconds, and an event of a channel lasts a hundred. Most
 * goroutines wait again and again at the same place, but only a stack proves it. With the default `stackPeriod` of 1
 * every event that is taken has its own stack, as in Go. With a larger one the caller trades exactness for speed:
 *
 *   1. An `EventPlace` stands for each goroutine and kind of wait. At first the stack of every event is taken.
 *   2. After `TRUST_AFTER` equal stacks in a row, the stack of one event in `stackPeriod` is taken, at random. The
 *      other events are counted at the last stack. Number and time of every event are still counted.
 *   3. The stack of a wait of `LONG_WAIT` nanoseconds or more is always taken.
 *   4. The first stack that differs ends the sampling of stacks at this place for good.
 *
 * So, on average, fewer than `stackPeriod` short waits of a goroutine stand at a wrong place, however many there are. A
 * program that waits a few times at each place has every stack taken.
 */

import { wrongNumber } from "@gort/base";
import { BLOCK_KIND, type BucketKind, type BucketTable, COUNTERS, MUTEX_KIND } from "./bucket.ts";

/** Nanoseconds are our cycles. */
export const CYCLES_PER_SECOND = 1_000_000_000;

/** A stack as a profile shows it. */
export interface BlockBucket {
  /** Frame numbers, innermost first. */
  stack: ArrayLike<number>;
  count: number;
  cycles: number;
}

/** Equal stacks in a row after which a place is trusted. */
export const TRUST_AFTER = 64;
/** Waits of at least this many nanoseconds always get a stack: the capture costs little beside them. */
const LONG_WAIT = 100_000;
/** Events at a trusted place for each stack. By default 1: every event stands at its own stack. */
export const DEFAULT_STACK_PERIOD = 1;

/** Events that probably have one stack: the waits of one goroutine in one kind of operation. */
export class EventPlace {
  /** The bucket of the last stack that was taken; 0 before the first. */
  bucket = 0;
  /** Equal stacks in a row; -1 once a stack differed. */
  equal = 0;
  /** Events to come without a stack. */
  left = 0;
}

/** The services that the recorders need. */
export interface EventSources {
  buckets: BucketTable;
  /** The bucket of the stack above the function `above`. */
  // biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
  captureBucket(kind: BucketKind, above: Function): number;
  /** Uniform in [0, 1). */
  random(): number;
}

/**
 * An event lasts at least one cycle, as in Go. So rate 1 also takes an event that began and ended at the same reading
 * of the clock.
 */
const cyclesOf = (ns: number): number => Math.max(ns, 1);

export abstract class EventRecorder {
  constructor(
    protected readonly sources: EventSources,
    readonly kind: typeof BLOCK_KIND | typeof MUTEX_KIND,
  ) {}

  /** How many stacks have events. */
  get count(): number {
    const { buckets } = this.sources;
    if (!buckets.several) return buckets.count(this.kind);
    let n = 0;
    buckets.forEachStack(this.kind, () => {
      n++;
    });
    return n;
  }

  protected add(bucket: number, count: number, cycles: number): void {
    const { f64 } = this.sources.buckets.arena;
    const at = (bucket + COUNTERS) >>> 3;
    f64[at] += count;
    f64[at + 1] += cycles;
  }

  /** Calls `visit` for each stack, newest first. The object passed is reused. */
  forEach(visit: (record: BlockBucket) => void): void {
    const { buckets } = this.sources;
    const record: BlockBucket = { stack: [], count: 0, cycles: 0 };
    buckets.forEachStack(this.kind, (group, stack) => {
      const { f64 } = buckets.arena;
      record.stack = stack;
      record.count = 0;
      record.cycles = 0;
      for (const b of group) {
        const at = (b + COUNTERS) >>> 3;
        record.count += f64[at];
        record.cycles += f64[at + 1];
      }
      visit(record);
    });
  }
}

/** Time spent waiting, by the stack that waits. */
export class BlockProfileRecorder extends EventRecorder {
  private rateCycles = 0;

  constructor(
    sources: EventSources,
    /** At a trusted place, the stack of one event in `stackPeriod` is taken; 1: of every event. */
    readonly stackPeriod: number,
  ) {
    super(sources, BLOCK_KIND);
  }

  /** Mean nanoseconds of waiting between two samples; 1 takes every event, 0 none. */
  get rate(): number {
    return this.rateCycles;
  }

  set rate(rate: number) {
    checkEventRate("block profile rate", rate);
    this.rateCycles = rate <= 0 ? 0 : Math.floor(Math.max(1, rate));
  }

  /** Decides whether an event of this length is taken. After `true`, call `recordAt` exactly once. */
  sampled(ns: number): boolean {
    const rate = this.rateCycles;
    if (rate <= 0) return false;
    const cycles = cyclesOf(ns);
    return cycles >= rate || this.sources.random() * rate < cycles;
  }

  /** Records that the running code has waited for `ns` nanoseconds. */
  record(ns: number): void {
    if (this.rateCycles <= 0 || !this.sampled(ns)) return;
    this.recordAt(ns, this.sources.captureBucket(this.kind, BlockProfileRecorder.prototype.record));
  }

  /**
   * Records an event that `sampled` took without its stack, if its place is trusted. If it returns false, take the
   * stack and call `recordStack`.
   */
  recordTrusted(ns: number, place: EventPlace): boolean {
    if (place.left === 0 || ns >= LONG_WAIT) return false;
    place.left--;
    this.recordAt(ns, place.bucket);
    return true;
  }

  /** Records an event that `sampled` took, with the bucket of its stack. */
  recordStack(ns: number, bucket: number, place: EventPlace): void {
    if (place.equal >= 0) {
      if (bucket === place.bucket || place.bucket === 0) {
        // The distance is uniform from 0 to twice the mean. With equal distances, a program whose period matches would
        // always have its stack taken at the same place.
        if (++place.equal >= TRUST_AFTER && place.left === 0) {
          place.left = Math.floor(this.sources.random() * (2 * this.stackPeriod - 1));
        }
      } else {
        place.equal = -1;
        place.left = 0;
      }
    }
    place.bucket = bucket;
    this.recordAt(ns, bucket);
  }

  /** Records an event that `sampled` took, in the bucket of its stack. */
  recordAt(ns: number, bucket: number): void {
    const cycles = cyclesOf(ns);
    if (cycles < this.rateCycles) this.add(bucket, this.rateCycles / cycles, this.rateCycles);
    else this.add(bucket, 1, cycles);
  }
}

/** Time that goroutines waited for a lock, by the stack that released it. */
export class MutexProfileRecorder extends EventRecorder {
  private every = 0;

  constructor(sources: EventSources) {
    super(sources, MUTEX_KIND);
  }

  /** One event in `fraction` is taken; 0: none. */
  get fraction(): number {
    return this.every;
  }

  /** Sets the fraction and returns the old one; a negative number only reads. */
  setFraction(fraction: number): number {
    checkEventRate("mutex profile fraction", fraction);
    const old = this.every;
    if (fraction >= 0) this.every = Math.floor(fraction);
    return old;
  }

  /** Decides whether an event is taken. */
  sampled(): boolean {
    return this.every === 1 || (this.every > 1 && this.sources.random() * this.every < 1);
  }

  /** Records that the running code released a lock for which goroutines had waited `ns` nanoseconds in all. */
  record(ns: number): void {
    if (this.every === 0 || !this.sampled()) return;
    this.recordAt(ns, this.sources.captureBucket(this.kind, MutexProfileRecorder.prototype.record));
  }

  /** Records an event that `sampled` took, in the bucket of its stack. */
  recordAt(ns: number, bucket: number): void {
    this.add(bucket, this.every, this.every * ns);
  }
}

/** Throws unless `n` is a rate or a fraction of events. */
export function checkEventRate(what: string, n: number): void {
  if (typeof n !== "number" || Number.isNaN(n) || n === Number.POSITIVE_INFINITY) {
    throw wrongNumber("profiling", n, `${what} must be a number`);
  }
}
