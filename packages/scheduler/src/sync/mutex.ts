/**
 * Mutex, with Go's two modes.
 *
 * Normal: unlock frees the mutex and wakes the goroutine that has waited longest. That goroutine competes with
 * goroutines that ask meanwhile. Running goroutines have the advantage, which is good for throughput. A waiter that
 * loses goes back to the head of the queue.
 *
 * Starving: the mode begins when a woken waiter loses and has waited over 1 ms. In this mode unlock hands the mutex to
 * the first waiter, and newcomers queue at the tail. A waiter that gets the mutex ends the mode if no other waits or if
 * it has waited at most 1 ms.
 *
 * Unlike Go: unlock in starving mode does not give up the processor, since it is no op. An op would make every unlock a
 * `yield*`, which plain functions such as that of `defer(() => m.unlock())` cannot contain. Starvation still ends:
 * newcomers do not get a starving mutex, and the waiter that gets it is in runnext, ahead of all other goroutines. It
 * runs as soon as the unlocking goroutine suspends. A goroutine that computes for long after an unlock should write
 * `yield* gosched()`.
 */

import { FatalError } from "@gort/base";
import { currentScheduler } from "../default.ts";
import { arm, disarm, type Operation, PhasedOp, parkIn, unpark } from "../op.ts";
import { type AnyOp, type G, m0, type Schedt, type Sudog, WaitQ } from "../runtime2.ts";
import { waitReasonSyncMutexLock } from "../wait-reasons.ts";
import { Contention } from "./contention.ts";

/** A lock that a Cond can use. */
export interface Locker {
  lock(): Operation<void>;
  unlock(): void;
}

/** Go's threshold of starvation: a waiter that waits longer than this, in ms, may start the starving mode. */
const STARVATION_THRESHOLD_MS = 1;

/** Ends the program with Go's message. No deferred call may run, because the state of the lock is wrong. */
export function fatal(message: string): never {
  const e = new FatalError("fatal", "ERR_GORT_SYNC", message);
  const g = m0.curg;
  if (g === null) throw e;
  return g.sched.fatal(e);
}

/** A mutual exclusion lock. The fastest way to take it is `m.tryLock() || (yield* m.lock())`. */
export class Mutex implements Locker {
  private locked = false;
  /** A woken waiter will compete for the lock, so unlock need not wake another. */
  private woken = false;
  private starving = false;
  private readonly sema = new WaitQ();
  /** Made when a goroutine first waits while the mutex profile is on. */
  private contention: Contention | null = null;

  /** Takes the lock when it is free. */
  lock(): Operation<void> {
    if (m0.armed !== null) disarm();
    const op = lockOp;
    op.m = this;
    return arm(op);
  }

  /** Takes the lock if it is free. */
  tryLock(): boolean {
    if (this.locked || this.starving) return false;
    this.locked = true;
    return true;
  }

  /** Frees the lock. Any goroutine may call it. Fatal if the lock is free. */
  unlock(): void {
    if (!this.locked) fatal("sync: unlock of unlocked mutex");
    this.locked = false;
    const first = this.sema.first;
    if (first === null) return;
    if (this.starving) {
      this.dequeue(first);
      first.success = true;
      first.g.sched.ready(first.g);
    } else if (!this.woken) {
      this.woken = true;
      this.dequeue(first);
      first.g.sched.ready(first.g);
    }
  }

  private dequeue(sg: Sudog): void {
    this.sema.remove(sg);
    sg.g.sched.lockWaitOver(sg);
    if (this.contention === null) return;
    this.contention.charge(sg, "sync.(*Mutex).Unlock", Mutex.prototype.unlock);
    this.contention.leave(sg);
  }

  /**
   * For the op: takes the lock if it is free. With `handed`, unlock passed it to this waiter, so the mode does not
   * matter.
   */
  acquire(handed: boolean): boolean {
    if (handed ? this.locked : this.locked || this.starving) return false;
    this.locked = true;
    return true;
  }

  /** For the op: queues the goroutine at time `now`. With `again` it has waited before and goes to the head. */
  wait(g: G, op: AnyOp, again: boolean, now: number): void {
    const sg = parkIn(g, op, this.sema, waitReasonSyncMutexLock, again);
    sg.parkedAt = now;
    sg.waits = g.sched.lockWaits.begin(now);
    if (g.sched.mutexProfileEnabled) (this.contention ??= new Contention()).join(sg);
  }

  /** For the op: sets the mode after a wait, which was over 1 ms if `long`. Reports whether the caller got the lock. */
  woke(handed: boolean, long: boolean): boolean {
    if (handed) {
      if (!long || this.sema.first === null) this.starving = false;
      return this.acquire(true);
    }
    this.woken = false;
    if (long && this.locked) this.starving = true;
    return this.acquire(false);
  }
}

class LockOp extends PhasedOp<void> {
  m: Mutex = null as never;
  /** When the wait began. */
  private since = 0;
  get what(): string {
    return "mutex lock";
  }
  protected start(g: G): boolean {
    const m = this.m;
    if (m.acquire(false)) return true;
    // This wait owns the object from here on, so later calls of lock use a new one.
    this.replace();
    this.since = g.sched.clock.now();
    m.wait(g, this, false, this.since);
    return false;
  }
  protected override finish(g: G): boolean {
    const handed = g.waiting!.success;
    unpark(g);
    const m = this.m;
    const now = g.sched.clock.now();
    if (m.woke(handed, now - this.since > STARVATION_THRESHOLD_MS)) return true;
    m.wait(g, this, true, now);
    return false;
  }
  protected hostScheduler(): Schedt {
    return currentScheduler();
  }
  protected replace(): void {
    if (lockOp === this) lockOp = new LockOp();
  }
}

let lockOp = new LockOp();
