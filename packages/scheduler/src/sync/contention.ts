/**
 * Times for the mutex profile: how long goroutines wait for a lock, charged to the function that releases it.
 *
 * An unlock is charged the waits of all waiters: for each, the time since it queued or since the last charge, whichever
 * is later. So the charges add up to the total time waited. A place that holds a lock for long while many goroutines
 * wait is charged for each of them. Two sums are enough for any number of waiters:
 *
 *     uncharged = waiters * now - sum        sum: over the waiters, the later of its arrival and the last charge
 *
 * Unlike Go: Go estimates the sum of the waiters between the first and the last. Here, readers that one unlock releases
 * make one event; in Go, one each. Waits that began before the profile was switched on do not count.
 */
import type { Sudog } from "../runtime2.ts";

export class Contention {
  private waiters = 0;
  private sum = 0;
  private chargedAt = 0;

  /** A goroutine has queued. Call only while `mutexProfileEnabled`. */
  join(sg: Sudog): void {
    const now = sg.g.sched.clock.now();
    sg.acquiretime = now;
    this.waiters++;
    this.sum += now;
  }

  /** A goroutine has left the queue. Call `charge` before. */
  leave(sg: Sudog): void {
    if (sg.acquiretime < 0) return;
    this.waiters--;
    this.sum -= Math.max(sg.acquiretime, this.chargedAt);
    sg.acquiretime = -1;
  }

  /** The function `above`, whose name in Go is `unlock`, releases the lock and wakes `sg`. */
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
