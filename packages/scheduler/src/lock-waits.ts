/**
 * Waits for locks are all timed, unless there are more than one in 10 us for long; then, of those shorter than `longLockMs`, one in 16
 * or so, which stands for those before it.
 */

/** Waits for locks that are timed all if they come in a burst, and how often one can be for long. */
const lockBurst = 64;
const lockMs = 0.01;
/** A longer wait for a lock is always timed: what it costs is little beside it, and few of them may be most of the sum. */
export const longLockMs = 0.05;

/** Which waits for locks are timed. */
export class LockWaits {
  /** At 0 when the last wait began, at 1 how many may be timed at once, of `lockBurst`. */
  private readonly budget = new Float64Array([0, lockBurst]);
  private random = 1;
  /** Waits until the next that is timed. */
  private left = 1;
  /** Waits that it stands for. */
  private stride = 1;

  /** A goroutine starts to wait at `now`, in ms. Returns how many waits its own is to stand for, or 0. */
  begin(now: number): number {
    if (--this.left > 0) return 0;
    const { budget, stride } = this;
    const tokens = Math.min(lockBurst, budget[1] + (now - budget[0]) / lockMs);
    budget[0] = now;
    budget[1] = Math.max(0, tokens - 1);
    this.random = (Math.imul(this.random, 1664525) + 1013904223) | 0;
    this.left = tokens >= 1 ? 1 : 1 + (this.random >>> 27);
    this.stride = this.left;
    return stride;
  }
}
