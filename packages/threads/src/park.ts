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
 * An M is busy if it is neither free nor dead, and
 *
 *     parked is not PARKED_ASYNC, or its inbox is not empty: then it wakes itself
 *
 * No counter says how many Ms are busy: a waker would count an M before its CAS, and take that back if the CAS fails. A
 * thread that then finds 0 wakes M 0, which may sleep again just before the CAS of that wake-up, and so on without end.
 * `busy` looks at all records instead. It may be too high for a moment, but never too low, unless the host calls an
 * idle M meanwhile:
 *
 *     M that parks     parked = PARKED_ASYNC                      looks at all Ms
 *     waker            fills the inbox      CASes parked to 0     wakes += 1
 *     count            reads wakes          parked, then inbox, of each M         reads wakes again
 *
 * 1. If the count takes a busy M for idle, the inbox of the M was filled after the look at it, by a busy M. That one
 *    parks after it has added to `wakes`. So the look at it finds it busy, or the second read of `wakes` is another
 *    one.
 * 2. The inbox comes second: if it was filled before its M parked, the M takes it only after it has woken itself, which
 *    adds to `wakes`.
 * 3. Of the Ms that park, the last one finds no other busy M, and tells M 0. M 0 tells no M: it looks each time that it
 *    has parked. More than one M may tell it.
 * 4. A count that finds no busy M counts again if `wakes` has changed. It must not take that for a busy M: an M that is
 *    called by the host, or that tells M 0, may be parked while it wakes another M, and may add to `wakes` late.
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
    const old = kernel.load(rec + PARKED);
    // If the CAS fails, the M has changed the word after the reason was made, and looks for one before it sleeps.
    if (old === 0 || kernel.cas(rec + PARKED, old, 0) !== old) return;
    if (old === PARKED_ASYNC) kernel.add(sched + SCHED_AT.wakes, 1);
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

  // ---- which Ms are busy

  private get wakes(): number {
    return this.s.kernel.load(this.s.sched + SCHED_AT.wakes);
  }

  private isBusy(rec: number): boolean {
    const { kernel } = this.s;
    const state = kernel.load(rec + MREC_AT.state);
    if (state === M_FREE || state === M_DEAD) return false;
    return kernel.load(rec + PARKED) !== PARKED_ASYNC || kernel.load(rec + MREC_AT.inbox) !== 0;
  }

  /** Ms other than this one that are busy. May be too high, never too low. */
  get othersBusy(): number {
    const { s } = this;
    for (;;) {
      const wakes = this.wakes;
      let n = 0;
      for (let m = 0; m < s.nms; m++) if (m !== s.m && this.isBusy(s.mrec(m))) n++;
      // Each M that has become busy behind the loop has added one.
      const more = (this.wakes - wakes) >>> 0;
      if (n > 0 || more === 0) return n + more;
    }
  }

  /** This M is idle, or is no more. If all are, M 0 hears of it. */
  tellIfAllIdle(): void {
    const { s } = this;
    if (s.m === 0) return;
    let wakes: number;
    do {
      wakes = this.wakes;
      for (let m = 0; m < s.nms; m++) if (this.isBusy(s.mrec(m))) return;
    } while (this.wakes !== wakes);
    const state = s.kernel.load(s.mrec(0) + MREC_AT.state);
    if (state !== M_FREE && state !== M_DEAD) this.signal(s.mrec(0));
  }

  // ---- sleeping in the event loop

  /** Parks this thread, unless it is parked: from now on it is idle. `arm` has to follow. */
  park(): void {
    const { kernel, rec } = this.s;
    this.asleep = true;
    if (kernel.cas(rec + PARKED, 0, PARKED_ASYNC) === 0) this.tellIfAllIdle();
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
    if (kernel.cas(rec + PARKED, PARKED_ASYNC, 0) === PARKED_ASYNC) kernel.add(sched + SCHED_AT.wakes, 1);
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
