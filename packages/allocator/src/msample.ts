/**
 * When the memory profile takes its next sample: a countdown of bytes in the mcache, which runs are charged to (mcache.ts).
 * The gaps follow an exponential distribution, those of a Poisson process with one event in rate bytes.
 */
import type { LinearMemory } from "@gort/memory";

export class Sampler {
  /** Bytes to a sample on average; 1: every object, 0 and less: none. */
  rate = 0;
  readonly #f64: Float64Array;
  readonly #next: number;
  #rng: number;

  /** nextSample: address of the countdown. */
  constructor(mem: LinearMemory, nextSample: number, seed: number) {
    this.#f64 = mem.f64;
    this.#next = nextSample >>> 3;
    this.#rng = seed >>> 0 || 1;
  }

  /** Starts the countdown anew. */
  draw(): void {
    const { rate } = this;
    let next = Number.POSITIVE_INFINITY;
    if (rate === 1) next = 0;
    else if (rate > 0) {
      // xorshift32 (Marsaglia 2003)
      let x = this.#rng;
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      this.#rng = x >>> 0;
      next = Math.floor(-Math.log(((x >>> 0) + 1) / 2 ** 32) * rate);
    }
    this.#f64[this.#next] = next;
  }
}
