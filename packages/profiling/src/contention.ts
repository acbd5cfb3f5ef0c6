/**
 * Block and mutex profiles: where goroutines wait, and who made them wait.
 *
 * Both add up events by stack, in the same buckets as the memory profile, each a count and a time. The time is in
 * *cycles*, as in Go; a cycle here is a nanosecond.
 *
 *   block   rate r    an event of c cycles is taken with probability min(1, c / r), and one that is shorter than r then
 *                     counts as r / c events of c cycles: long waits are all seen, short ones fairly. 1 takes all.
 *   mutex   fraction  one event in `fraction` is taken, and counts as that many. The stack is the one that unlocks.
 *
 * A recorder that is off takes no stack and no time: `record` returns after one comparison.
 *
 * Stacks of waits. V8 asks thousands of nanoseconds for a stack, and an event of a channel lasts a hundred. Most goroutines wait again and
 * again where they waited before, but nothing short of a stack tells so. At rate 1 every event has its own stack, as in Go. Whoever would rather
 * have it cheap sets a `stackPeriod`: there is then an `EventPlace` for each goroutine and kind of
 * wait, which begins by taking the stack of every event. Once `trustAfter` in a row were equal, it takes that of one event in `stackPeriod`,
 * at random, and counts the others where the last was found: time and number of every event are counted all the same. Of a wait longer
 * than `longWait` the stack is always taken. The first stack that differs ends all this for good, so that what stands at a wrong place is
 * limited by chance to less than `stackPeriod` short waits of a goroutine, on average, however many there are. A program that waits a few
 * times at each place has every stack taken.
 */

import { wrongNumber } from "@gort/base";
import { type BucketKind, type BucketTable, blockKind, counters, mutexKind } from "./bucket.ts";

/** Nanoseconds are our cycles. */
export const cyclesPerSecond = 1_000_000_000;

/** A bucket as a profile shows it. */
export interface BlockBucket {
  bucket: number;
  count: number;
  cycles: number;
}

/** Equal stacks in a row after which a place is trusted. */
export const trustAfter = 64;
/** Nanoseconds of a wait beside which its stack costs little. */
export const longWait = 100_000;
/** Of one event in so many at a trusted place the stack is taken: by default of every one, so that each stands where it happened. */
export const defaultStackPeriod = 1;

/** Events that are likely to have one stack: the waits of one goroutine in one kind of operation. */
export class EventPlace {
  /** Of the last stack that was taken; 0: none was. */
  bucket = 0;
  /** Stacks in a row that were equal; -1: some differed. */
  equal = 0;
  /** Events to come without a stack. */
  left = 0;
}

/** What the recorders need from outside. */
export interface BlockProfileSources {
  buckets: BucketTable;
  /** The bucket of the stack above the function `above`. */
  // biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
  captureBucket(kind: BucketKind, above: Function): number;
  /** Uniform in [0, 1). */
  random(): number;
}

/** An event lasts a cycle at least, as in Go: at rate 1 also one is taken that began and ended at one reading of the clock. */
const cyclesOf = (ns: number): number => Math.max(ns, 1);

abstract class EventRecorder {
  constructor(
    protected readonly sources: BlockProfileSources,
    readonly kind: typeof blockKind | typeof mutexKind,
  ) {}

  /** How many stacks have events. */
  get count(): number {
    return this.sources.buckets.count(this.kind);
  }

  protected add(bucket: number, count: number, cycles: number): void {
    const { f64 } = this.sources.buckets.arena;
    const at = (bucket + counters) >>> 3;
    f64[at] += count;
    f64[at + 1] += cycles;
  }

  /** Calls `visit` for each stack, newest first. The object passed is reused. */
  forEach(visit: (record: BlockBucket) => void): void {
    const { buckets } = this.sources;
    const record: BlockBucket = { bucket: 0, count: 0, cycles: 0 };
    for (let b = buckets.first(this.kind); b !== 0; b = buckets.nextOf(b)) {
      const { f64 } = buckets.arena;
      const at = (b + counters) >>> 3;
      record.bucket = b;
      record.count = f64[at]!;
      record.cycles = f64[at + 1]!;
      visit(record);
    }
  }
}

/** Time spent waiting, by the place that waits. */
export class BlockProfileRecorder extends EventRecorder {
  private rateCycles = 0;

  constructor(
    sources: BlockProfileSources,
    /** At a place where many stacks were equal, one event in so many has its stack taken; 1: every event. */
    readonly stackPeriod: number,
  ) {
    super(sources, blockKind);
  }

  /** Mean nanoseconds of waiting between two samples; 1 takes every event, 0 none. */
  get rate(): number {
    return this.rateCycles;
  }

  set rate(rate: number) {
    checkNumber("block profile rate", rate);
    this.rateCycles = rate <= 0 ? 0 : Math.floor(Math.max(1, rate));
  }

  /** Decides whether an event of this length is taken. Follow a `true` by exactly one `recordAt`. */
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
   * Records an event that `sampled` took, at a place whose stack is known well enough. False: take its stack, and call
   * `recordStack`.
   */
  recordTrusted(ns: number, place: EventPlace): boolean {
    if (place.left === 0 || ns >= longWait) return false;
    place.left--;
    this.recordAt(ns, place.bucket);
    return true;
  }

  /** Records an event that `sampled` took, with the bucket of its stack. */
  recordStack(ns: number, bucket: number, place: EventPlace): void {
    if (place.equal >= 0) {
      if (bucket === place.bucket || place.bucket === 0) {
        // From 0 to twice the mean: at equal distances, a program with a period of its own would always be met at the same place.
        if (++place.equal >= trustAfter && place.left === 0) {
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

  /** Records an event that `sampled` took, of a stack whose bucket is known. */
  recordAt(ns: number, bucket: number): void {
    const cycles = cyclesOf(ns);
    if (cycles < this.rateCycles) this.add(bucket, this.rateCycles / cycles, this.rateCycles);
    else this.add(bucket, 1, cycles);
  }
}

/** Time that others waited for a lock, by the place that released it. */
export class MutexProfileRecorder extends EventRecorder {
  private every = 0;

  constructor(sources: BlockProfileSources) {
    super(sources, mutexKind);
  }

  /** One in so many events is taken; 0 none. */
  get fraction(): number {
    return this.every;
  }

  /** Sets the fraction and returns the old one; a negative number only reads. */
  setFraction(fraction: number): number {
    checkNumber("mutex profile fraction", fraction);
    const old = this.every;
    if (fraction >= 0) this.every = Math.floor(fraction);
    return old;
  }

  /** Decides whether an event is taken. */
  sampled(): boolean {
    return this.every === 1 || (this.every > 1 && this.sources.random() * this.every < 1);
  }

  /** Records that the running code released a lock for which others had waited `ns` nanoseconds in all. */
  record(ns: number): void {
    if (this.every === 0 || !this.sampled()) return;
    this.recordAt(ns, this.sources.captureBucket(this.kind, MutexProfileRecorder.prototype.record));
  }

  /** Records an event that `sampled` took, of a stack whose bucket is known. */
  recordAt(ns: number, bucket: number): void {
    this.add(bucket, this.every, this.every * ns);
  }
}

function checkNumber(what: string, n: number): void {
  if (typeof n !== "number" || Number.isNaN(n) || n === Number.POSITIVE_INFINITY) {
    throw wrongNumber("profiling", n, `${what} must be a number`);
  }
}

/** A stack, Go's runtime.StackRecord. */
export class StackRecord {
  /** PCs (return addresses), innermost first, ended by 0 if shorter than 32. */
  Stack0: number[] = new Array<number>(32).fill(0);

  /** The PCs of Stack0 before the first 0. */
  stack(): number[] {
    const end = this.Stack0.indexOf(0);
    return end < 0 ? this.Stack0.slice() : this.Stack0.slice(0, end);
  }
}

/** Events at one stack, Go's runtime.BlockProfileRecord. */
export class BlockProfileRecord extends StackRecord {
  Count = 0;
  /** Nanoseconds. */
  Cycles = 0;
}
