/**
 * The one owner of the heap profile's sampling: its rate, its countdowns, and the draw of the next sample. The profiler
 * reads and sets the rate here (Allocator.memProfileRate) and gets the sampled objects from hooks.sampleMalloc.
 *
 * There is one countdown of bytes for each span class, in the mcache. A run is charged to the countdown of its class
 * when an mcache takes it (mcache.ts), and its objects are used in order. So the sampled object is that in which the
 * countdown of its class reaches zero, whatever other classes do in between.
 *
 * The gaps follow an exponential distribution: those of a Poisson process with one event in `rate` bytes. Independent
 * processes of one rate over the bytes of each class are together one process of that rate over all bytes. So each byte
 * has the same chance, whichever class or call site it belongs to.
 *
 *     MHEAP.memProfileRate     the rate, for all threads
 *     MCACHE.sampleRate        the rate that this thread's countdowns were drawn with: when the two differ, the thread
 *                              draws them anew
 *     MCACHE.nextSample        this thread's countdowns
 *     MCACHE.sampleRng         this thread's random numbers: a seed repeats its samples whatever other threads do
 *
 * Unlike Go, where each allocation charges the one countdown of its P. Rejected: one countdown for all classes. A class
 * whose run is cut just short of the sample leaves the sample to the next class that takes a run. Large objects take
 * runs more often, so they would get too many samples.
 */
import type { LinearMemory } from "@gort/memory";
import { MCACHE_AT, MHEAP_AT, NUM_SPAN_CLASSES } from "./layout.ts";

export class Sampler {
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  /** f64 indices of the heap's rate, of the countdowns' rate, and of the countdown of span class 0. */
  private readonly heapRate: number;
  private readonly ownRate: number;
  private readonly next: number;
  /** Word index of the state of the random numbers. */
  private readonly rng: number;

  /** mheap, mcache: addresses of the structs. */
  constructor(mem: LinearMemory, mheap: number, mcache: number) {
    this.u32 = mem.u32;
    this.f64 = mem.f64;
    this.heapRate = (mheap + MHEAP_AT.memProfileRate) >>> 3;
    this.ownRate = (mcache + MCACHE_AT.sampleRate) >>> 3;
    this.next = (mcache + MCACHE_AT.nextSample) >>> 3;
    this.rng = (mcache + MCACHE_AT.sampleRng) >>> 2;
  }

  /** A thread takes the mcache: its samples follow from the seed. */
  start(seed: number): void {
    this.u32[this.rng] = seed >>> 0 || 1; // xorshift would stay at 0
    this.restart();
  }

  /** Mean number of bytes from one sample to the next; 1: every object, 0 and less: none. */
  get rate(): number {
    return this.f64[this.heapRate];
  }
  set rate(rate: number) {
    this.f64[this.heapRate] = rate;
  }

  /** Whether the rate has changed since the countdowns were drawn. */
  get stale(): boolean {
    return this.f64[this.ownRate] !== this.f64[this.heapRate];
  }

  /** Bytes from one sample to the next. */
  gap(): number {
    const rate = this.f64[this.ownRate];
    if (rate === 1) return 0;
    if (!(rate > 0)) return Number.POSITIVE_INFINITY;
    // xorshift32 (Marsaglia 2003)
    let x = this.u32[this.rng];
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.u32[this.rng] = x;
    return Math.floor(-Math.log(((x >>> 0) + 1) / 2 ** 32) * rate);
  }

  /** Charges a large object to the countdown of its class. True: it is one to sample. */
  charge(spanclass: number, bytes: number): boolean {
    const i = this.next + spanclass;
    const left = this.f64[i] - bytes;
    this.f64[i] = left < 0 ? this.gap() : left;
    return left < 0;
  }

  /** Draws all countdowns anew, with the heap's rate. The caller has given unused slots of runs back. */
  restart(): void {
    this.f64[this.ownRate] = this.f64[this.heapRate];
    for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) this.f64[this.next + spc] = this.gap();
  }
}
