/**
 * What the mutex profile is made of: the time that goroutines wait for a lock, charged to whoever releases it.
 *
 * An unlock is charged with all the time that passed for all waiters since they came, or since an earlier unlock was
 * charged; so the charges add up to what was waited, and a place that holds a lock for long while many wait is charged for
 * each of them. Two sums are enough for any number of waiters:
 *
 *     uncharged = waiters * now - sum        sum: of each waiter the later of when it came and when last was charged
 *
 * Unlike Go: Go estimates the sum of the waiters between the first and the last; and readers that one unlock lets go are
 * one event, not one each. Waits that began before the profile was switched on are not counted.
 */
import type { Sudog } from "../runtime2.ts";

export class Contention {
  private waiters = 0;
  private sum = 0;
  private chargedAt = 0;

  /** A goroutine has queued. To be called only while `mutexProfileEnabled`. */
  join(sg: Sudog): void {
    const now = sg.g.sched.clock.now();
    sg.acquiretime = now;
    this.waiters++;
    this.sum += now;
  }

  /** It has left the queue: `charge` comes first. */
  leave(sg: Sudog): void {
    if (sg.acquiretime < 0) return;
    this.waiters--;
    this.sum -= Math.max(sg.acquiretime, this.chargedAt);
    sg.acquiretime = -1;
  }

  /** The lock is being released, by the function `above`, which is Go's `unlock`, and `sg` will get it. */
  charge(sg: Sudog, unlock: string, above: (...args: never[]) => void): void {
    const { waiters } = this;
    if (waiters === 0) return;
    const { sched } = sg.g;
    const now = sched.clock.now();
    const ms = waiters * now - this.sum;
    this.sum = waiters * now;
    this.chargedAt = now;
    if (sched.mutexProfileEnabled) sched.hooks.mutexEvent?.(Math.max(0, ms) * 1e6, unlock, above);
  }
}
