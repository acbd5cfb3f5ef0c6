/**
 * When the memory profile takes its next sample: one countdown of bytes for each span class, in the mcache. A run is
 * charged to the countdown of its class when an mcache takes it (mcache.ts), and its objects are used in order. So the
 * sampled object is the one in which the countdown of its class reaches zero, whatever other classes do in between.
 *
 * The gaps follow an exponential distribution: those of a Poisson process with one event in `rate` bytes. Independent
 * processes of one rate over the bytes of each class are together one process of that rate over all bytes. So each byte
 * has the same chance, whichever class or site it belongs to.
 *
 * Unlike Go, where each allocation charges the one countdown of its P. Rejected: one countdown for all classes. A
 * class whose run is cut just short of the sample leaves the sample to the next class that takes a run, and large
 * objects take runs more often.
 */
import type { LinearMemory } from "@gort/memory";
import { NUM_SPAN_CLASSES } from "./layout.ts";

export class Sampler {
  /** Bytes to a sample on average; 1: every object, 0 and less: none. */
  rate = 0;
  readonly #f64: Float64Array;
  readonly #next: number;
  #rng: number;

  /** nextSample: address of the countdown of span class 0; those of the other classes follow. */
  constructor(mem: LinearMemory, nextSample: number, seed: number) {
    this.#f64 = mem.f64;
    this.#next = nextSample >>> 3;
    this.#rng = seed >>> 0 || 1;
  }

  /** Bytes from one sample to the next. */
  gap(): number {
    const { rate } = this;
    if (rate === 1) return 0;
    if (!(rate > 0)) return Number.POSITIVE_INFINITY;
    // xorshift32 (Marsaglia 2003)
    let x = this.#rng;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#rng = x >>> 0;
    return Math.floor(-Math.log(((x >>> 0) + 1) / 2 ** 32) * rate);
  }

  /** Charges a large object to the countdown of its class. True: it is one to sample. */
  charge(spanclass: number, bytes: number): boolean {
    const i = this.#next + spanclass;
    const left = this.#f64[i] - bytes;
    this.#f64[i] = left < 0 ? this.gap() : left;
    return left < 0;
  }

  /** Starts all countdowns anew. */
  restart(): void {
    for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) this.#f64[this.#next + spc] = this.gap();
  }
}
