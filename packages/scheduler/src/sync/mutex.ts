/**
 * Mutex, with Go's two modes.
 *
 * Normal: unlock frees the mutex and wakes the longest waiter, which then competes with whoever asks meanwhile; those who
 * run have the advantage, which is good for throughput. A waiter that loses goes back to the head of the queue.
 * Starving: entered when a woken waiter has waited over 1 ms. unlock then hands the mutex to the first waiter and newcomers
 * queue at the tail. A waiter that gets the mutex ends the mode if it is the last or has waited less than 1 ms.
 *
 * Unlike Go: unlock in starving mode does not also give up the processor, since it is no op. Nothing is lost by it: newcomers do not
 * get a starving mutex, so the waiter that it was handed to gets it all the same, as soon as the one that unlocked suspends; and it
 * is in runnext, ahead of all others. An op would make every unlock a `yield*`, which a deferred call and a plain function
 * cannot be. Who holds the processor for long after an unlock writes `yield* gosched()`.
 */

import { currentScheduler } from "../default.ts";
import { FatalError } from "../errors.ts";
import { arm, disarm, Op, type Operation, parkIn, unpark } from "../op.ts";
import type { Scheduler } from "../proc.ts";
import { type G, m0, type Sudog, WaitQ, waitReasonSyncMutexLock } from "../runtime2.ts";
import { Contention } from "./contention.ts";

/** What a Cond can be built on. */
export interface Locker {
  lock(): Operation<void>;
  unlock(): void;
}

const starvationThresholdMs = 1;

/** Ends the program with Go's words: no deferred call may run while a lock's state is a lie. */
export function fatal(message: string): never {
  const e = new FatalError(message, "ERR_GORT_SYNC");
  const g = m0.curg;
  if (g === null) throw e;
  return g.sched.fatal(e);
}

/** A mutual exclusion lock. The fastest way to take it is `m.tryLock() || (yield* m.lock())`. */
export class Mutex implements Locker {
  private locked = false;
  /** A waiter has been woken and will compete: unlock need not wake another. */
  private woken = false;
  private starving = false;
  private readonly sema = new WaitQ();
  /** Made when a goroutine first waits while the mutex profile is on. */
  private contention: Contention | null = null;

  /** Takes the lock, waiting for it if need be. */
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

  /** Frees the lock; any goroutine may. Fatal if it is not taken. */
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

  /** For the op: takes the lock if it is free; a waiter that was `handed` it just takes it. */
  acquire(handed: boolean): boolean {
    if (handed ? this.locked : this.locked || this.starving) return false;
    this.locked = true;
    return true;
  }

  /** For the op: queues the goroutine at `now`, one that has waited before at the head. */
  wait(g: G, op: Op<unknown>, again: boolean, now: number): void {
    const sg = parkIn(g, op, this.sema, waitReasonSyncMutexLock, again);
    sg.parkedAt = now;
    sg.waits = g.sched.lockWaits.begin(now);
    if (g.sched.mutexProfileEnabled) (this.contention ??= new Contention()).join(sg);
  }

  /** For the op: settles the mode after a wait. Returns whether the lock is the caller's. */
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

class LockOp extends Op<void> {
  m: Mutex = null as never;
  /** When the wait began. */
  private since = 0;
  get what(): string {
    return "mutex lock";
  }
  protected start(g: G): boolean {
    const m = this.m;
    if (m.acquire(false)) return true;
    // From here on the object belongs to this wait.
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
    if (m.woke(handed, now - this.since > starvationThresholdMs)) return true;
    m.wait(g, this, true, now);
    return false;
  }
  protected hostScheduler(): Scheduler {
    return currentScheduler();
  }
  protected replace(): void {
    if (lockOp === this) lockOp = new LockOp();
  }
}

let lockOp = new LockOp();
