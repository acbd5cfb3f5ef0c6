/**
 * Chooses the waits for locks that are timed, by a token bucket.
 *
 * The bucket refills at one token in 10 us. While it has tokens, all waits are timed. When it is empty, about one in 16
 * of the waits shorter than `LONG_LOCK_MS` is timed, at random, and stands for the waits before it.
 */

/** Burst size of the token bucket: so many waits are all timed. */
const LOCK_BURST = 64;
/** Refill interval of the token bucket, in ms a token. */
const LOCK_MS = 0.01;
/**
 * Longer waits are always timed, in ms: the two clock readings cost little beside them, and a few of them may be most
 * of the sum.
 */
export const LONG_LOCK_MS = 0.05;

/** The token bucket. */
export class LockWaits {
  /** At 0: when the last considered wait began, in ms. At 1: tokens left, at most `LOCK_BURST`. */
  private readonly budget = new Float64Array([0, LOCK_BURST]);
  private random = 1;
  /** Waits until the next one that is timed. */
  private left = 1;
  /** Waits that the next timed one stands for, itself included. */
  private stride = 1;

  /**
   * A goroutine starts to wait at `now`, in ms. Returns how many waits this one stands for, or 0 if it is not timed.
   */
  begin(now: number): number {
    if (--this.left > 0) return 0;
    const { budget, stride } = this;
    const tokens = Math.min(LOCK_BURST, budget[1] + (now - budget[0]) / LOCK_MS);
    budget[0] = now;
    budget[1] = Math.max(0, tokens - 1);
    this.random = (Math.imul(this.random, 1664525) + 1013904223) | 0;
    this.left = tokens >= 1 ? 1 : 1 + (this.random >>> 27);
    this.stride = this.left;
    return stride;
  }
}
