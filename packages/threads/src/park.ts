/**
 * How an M sleeps and how others wake it. All sleep is on one word of its record, `parked`:
 *
 *     0             the thread runs
 *     PARKED_ASYNC  it is in its event loop and has nothing to run. Only this counts as idle.
 *     PARKED_SYNC   it blocks in Atomics.wait, while the world is stopped or in Threads.block
 *
 * No wake-up is lost (Dekker's pattern; atomics have one order):
 *
 *     sleeper   parked = 1        looks for a reason to run        waits while parked is 1
 *     waker     makes the reason  looks whether parked is not 0    CASes it to 0, notifies
 *
 * At least one of the two looks sees the other thread's store. If the sleeper sees the reason, it takes the word back.
 *
 * A thread has at most one Atomics.waitAsync pending. It stays pending while the thread works because of an event of
 * its own. So a call may come late, or find that the thread sleeps again: `onWake` then looks for a reason anew. A
 * waker notifies all waiters of the word, as a pending waitAsync and an Atomics.wait can wait for it at once.
 *
 *     busy = number of Ms that are neither free nor dead and have parked != PARKED_ASYNC
 *
 * A waker counts the M before its CAS, and takes the count back if the CAS fails. So `busy` may be too high for a
 * moment, but never too low: an M that others have woken is busy from then on, not from when it runs.
 */

import { setSignal } from "./inbox.ts";
import { M_DEAD, M_FREE, MREC_AT, PARKED_ASYNC, PARKED_SYNC, SCHED_AT } from "./layout.ts";
import type { SharedState } from "./shared-state.ts";

const PARKED = MREC_AT.parked;

export class Parking {
  private readonly s: SharedState;
  /** Called in the event loop when the thread is woken, or may be. */
  private readonly onWake: () => void;
  private readonly onAsync: () => void;
  /** A waitAsync is pending. */
  private armed = false;
  /** The thread has nothing to run, so it is parked whenever it is in its event loop. */
  asleep = false;

  constructor(s: SharedState, onWake: () => void) {
    this.s = s;
    this.onWake = onWake;
    this.onAsync = () => {
      this.armed = false;
      onWake();
    };
  }

  // ---- waking

  /** Wakes the M of the record if it sleeps. The caller has made the reason. */
  unpark(rec: number): void {
    const { kernel, sched } = this.s;
    for (;;) {
      const old = kernel.load(rec + PARKED);
      if (old === 0) return;
      if (old === PARKED_ASYNC) kernel.add(sched + SCHED_AT.busy, 1);
      if (kernel.cas(rec + PARKED, old, 0) === old) break;
      if (old === PARKED_ASYNC) this.uncount();
    }
    this.s.notify(rec + PARKED);
  }

  /** Wakes the M of the record if it blocks. */
  unparkSync(rec: number): void {
    if (this.s.kernel.cas(rec + PARKED, PARKED_SYNC, 0) === PARKED_SYNC) this.s.notify(rec + PARKED);
  }

  /** Makes the M of the record look around: `poll`. */
  signal(rec: number): void {
    setSignal(this.s, rec);
    this.unpark(rec);
  }

  /** One M less is busy. If it was the last, M 0 hears of it. */
  uncount(): void {
    const { kernel, sched, m } = this.s;
    if (kernel.add(sched + SCHED_AT.busy, -1) !== 1 || m === 0) return;
    const m0 = this.s.mrec(0);
    const state = kernel.load(m0 + MREC_AT.state);
    if (state === M_FREE || state === M_DEAD) return;
    kernel.store(sched + SCHED_AT.allIdle, 1);
    this.signal(m0);
  }

  // ---- sleeping in the event loop

  /** Parks this thread, unless it is parked: from now on it is idle. `arm` has to follow. */
  park(): void {
    const { kernel, rec } = this.s;
    this.asleep = true;
    if (kernel.cas(rec + PARKED, 0, PARKED_ASYNC) === 0) this.uncount();
  }

  /** Makes sure that onWake is called once a reason is there. The thread is parked, or another one has woken it. */
  arm(): void {
    const { s } = this;
    const { rec } = s;
    if (this.called) {
      this.unparkSelf();
      s.host.task(this.onWake);
    } else if (!this.armed) {
      this.armed = s.host.waitAsync(s.mem.i32, (rec + PARKED) >>> 2, PARKED_ASYNC, this.onAsync);
      if (!this.armed) s.host.task(this.onWake);
    }
  }

  /** This thread is busy again, if it was parked and no other thread has woken it. */
  unparkSelf(): void {
    const { kernel, sched, rec } = this.s;
    if (kernel.load(rec + PARKED) !== PARKED_ASYNC) return;
    kernel.add(sched + SCHED_AT.busy, 1);
    if (kernel.cas(rec + PARKED, PARKED_ASYNC, 0) !== PARKED_ASYNC) kernel.add(sched + SCHED_AT.busy, -1);
  }

  // ---- sleeping in Atomics.wait

  /** Announces that this thread is going to block. The caller then looks for a reason to run. It is not asleep. */
  beginSync(): void {
    this.s.kernel.store(this.s.rec + PARKED, PARKED_SYNC);
  }

  /** Blocks until a thread wakes this one, at most `ms` milliseconds. False if the time has passed. */
  waitSync(ms: number): boolean {
    const { s } = this;
    s.wait(s.rec + PARKED, PARKED_SYNC, ms);
    return s.kernel.load(s.rec + PARKED) !== PARKED_SYNC;
  }

  endSync(): void {
    this.s.kernel.store(this.s.rec + PARKED, 0);
  }

  /** Whether this thread's inbox holds a node or a signal. */
  get called(): boolean {
    return this.s.kernel.load(this.s.rec + MREC_AT.inbox) !== 0;
  }
}
