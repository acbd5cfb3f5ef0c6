/**
 * Mutexes in the heap, which goroutines of all threads use. A mutex has the size of Go's:
 *
 *     0  state   LOCKED    a goroutine holds it
 *                WOKEN     a woken waiter will compete for it, so unlock need not wake another
 *                STARVING  unlock hands it to the first waiter
 *                PARKED    its queue in the semaphore table is not empty
 *     4  unused
 *
 * All changes of `state` are atomic. PARKED, and the queue, change only under the lock of the bucket (sema.ts).
 *
 * The modes are Go's. *Normal*: unlock frees the mutex and wakes the first waiter, which competes with goroutines that
 * ask meanwhile. A waiter that loses goes back to the head of the queue. *Starving*: begins when a woken waiter loses
 * after more than 1 ms. Unlock hands the mutex to the first waiter, and newcomers queue at the tail. A waiter that gets
 * the mutex ends the mode if no other waits or if it has waited at most 1 ms.
 *
 * lock:
 *   1. CAS 0 -> LOCKED; in general, LOCKED is set if neither LOCKED nor STARVING is.
 *   2. Otherwise, if another thread may release the mutex soon, look at it for some microseconds.
 *   3. Under the bucket's lock: try again; else set PARKED, enqueue, and park.
 * unlock:
 *   1. CAS LOCKED -> 0; in general, LOCKED is cleared. Fatal if it was not set.
 *   2. PARKED and not WOKEN: under the bucket's lock, unless another goroutine has the mutex already, set WOKEN,
 *      dequeue the first waiter and ready it.
 *   3. STARVING: under the bucket's lock, dequeue the first waiter and ready it with `success`. While STARVING is set
 *      and LOCKED is not, the mutex belongs to that waiter, and nothing else can take it.
 *
 * No wake-up is lost: a waiter sets PARKED by a CAS that expects the mutex to be held. If the holder releases it before
 * the CAS, the CAS fails; if after, the holder sees PARKED, and waits for the bucket's lock until the waiter is queued.
 * And a goroutine that found WOKEN set relies on the woken one, which clears it when it runs: it takes the mutex, or
 * queues again because a goroutine holds the mutex, whose unlock wakes it.
 *
 * A waiter that is gone (the end of a program) leaves the queue, and clears PARKED if it was the last. If it had been
 * woken, it passes the wake-up or the mutex on.
 *
 * Unlike Go: PARKED replaces a count of waiters and the semaphore's word. The count would have to be right whenever a
 * waiter disappears. As in the mutexes of one thread, unlock in starving mode does not give up the processor.
 *
 * Sources: Go's internal/sync/mutex.go; the parking lot of WebKit's WTF::Lock.
 */
import { throwFatal } from "@gort/base";
import type { Addr } from "@gort/memory";
import {
  arm,
  currentScheduler,
  disarm,
  fatal,
  type G,
  m0,
  PhasedOp,
  type Schedt,
  waitReasonSyncMutexLock,
} from "@gort/scheduler/internal";
import { type Above, Locks } from "./lock-env.ts";
import { SUDOG_AT, type Waiter } from "./sudog.ts";

const LOCKED = 1;
const WOKEN = 2;
const STARVING = 4;
const PARKED = 8;

/** Go's threshold of starvation: a waiter that waits longer than this, in ms, may start the starving mode. */
const STARVATION_THRESHOLD_MS = 1;

/** The operations on the mutexes of a heap, by address. */
export class Mutexes extends Locks {
  tryLock(addr: number): boolean {
    const s = this.kernel.cas(addr, 0, LOCKED);
    return s === 0 || this.tryLockSlow(addr, s);
  }

  private tryLockSlow(addr: number, s: number): boolean {
    const { kernel } = this;
    while ((s & (LOCKED | STARVING)) === 0) {
      const now = kernel.cas(addr, s, s | LOCKED);
      if (now === s) return true;
      s = now;
    }
    return false;
  }

  /** `unlock` is the function that the program called, for the mutex profile. */
  unlock(addr: number, above: Above): void {
    const s = this.kernel.cas(addr, LOCKED, 0);
    if (s !== LOCKED) this.unlockSlow(addr, s, above);
  }

  private unlockSlow(addr: number, s: number, above: Above): void {
    const { kernel } = this;
    for (;;) {
      if ((s & LOCKED) === 0) fatal("sync: unlock of unlocked mutex");
      const now = kernel.cas(addr, s, s & ~LOCKED);
      if (now === s) break;
      s = now;
    }
    if ((s & STARVING) !== 0) this.handOff(addr, above);
    else if ((s & (PARKED | WOKEN)) === PARKED) this.wakeOne(addr, above);
  }

  /** Wakes the first waiter of a mutex that was just freed, unless another goroutine will. */
  private wakeOne(addr: number, above: Above): void {
    const { kernel, env } = this;
    const { semas } = env;
    const bucket = semas.bucket(addr);
    const at = env.releasetime();
    semas.lock(bucket);
    const sg = semas.first(bucket, addr);
    for (let s = kernel.load(addr); ; ) {
      if (sg === 0 || (s & (LOCKED | WOKEN | STARVING)) !== 0) {
        semas.unlock(bucket);
        return;
      }
      const now = kernel.cas(addr, s, (semas.next(sg) === 0 ? s & ~PARKED : s) | WOKEN);
      if (now === s) break;
      s = now;
    }
    this.wake(addr, bucket, at, false, above);
  }

  /** Gives a starving mutex to its first waiter. */
  private handOff(addr: number, above: Above): void {
    const { kernel, env } = this;
    const { semas } = env;
    const bucket = semas.bucket(addr);
    const at = env.releasetime();
    semas.lock(bucket);
    const sg = semas.first(bucket, addr);
    if (sg === 0) {
      // The waiters have gone. Goroutines that look at the mutex meanwhile queue under the bucket's lock.
      kernel.and(addr, ~STARVING);
      semas.unlock(bucket);
      return;
    }
    if (semas.next(sg) === 0) kernel.and(addr, ~PARKED);
    this.wake(addr, bucket, at, true, above);
  }

  /** Dequeues the first waiter, unlocks the bucket and readies the waiter. */
  private wake(addr: number, bucket: number, at: number, handed: boolean, above: Above): void {
    const { env } = this;
    const { semas, waiters } = env;
    const ms = at < 0 ? -1 : semas.charge(bucket, addr, at);
    const sg = semas.dequeue(bucket, addr);
    waiters.win(sg);
    env.u32[(sg + SUDOG_AT.success) >>> 2] = handed ? 1 : 0;
    semas.unlock(bucket);
    env.charged(ms, "sync.(*Mutex).Unlock", above);
    waiters.ready(sg);
  }

  /** For the op: `g` did not get the mutex at once. Takes it, or parks the goroutine and returns false. */
  lockSlow(g: G, op: LockOp, addr: number): boolean {
    const { env } = this;
    env.spin(g, addr, LOCKED, STARVING);
    if (this.tryLock(addr)) return true;
    const now = g.sched.clock.now();
    env.sudog(g, this, addr, addr);
    const w = g.shared as Waiter;
    w.since = now;
    return this.wait(g, op, w, addr, now, false, false);
  }

  /** For the op: the goroutine was readied. Takes the mutex, or parks the goroutine again and returns false. */
  woke(g: G, op: LockOp): boolean {
    const { env, kernel } = this;
    const w = g.shared as Waiter;
    const addr = env.u32[(w.head + SUDOG_AT.elem) >>> 2];
    const now = g.sched.clock.now();
    const long = now - w.since > STARVATION_THRESHOLD_MS;
    if (env.u32[(w.head + SUDOG_AT.success) >>> 2] === 0) {
      env.sudog(g, this, addr, addr);
      return this.wait(g, op, w, addr, now, true, long);
    }
    for (let s = kernel.load(addr); ; ) {
      if ((s & (LOCKED | STARVING)) !== STARVING) throwFatal("sync: inconsistent mutex state", `state=${s}`);
      const ends = !long || (s & PARKED) === 0;
      const was = kernel.cas(addr, s, (ends ? s & ~STARVING : s) | LOCKED);
      if (was === s) break;
      s = was;
    }
    env.waiters.end(w);
    return true;
  }

  /**
   * Takes the mutex, or queues the goroutine at the tail. With `again` it is the woken waiter, and goes to the head.
   * `long`: it then begins the starving mode.
   */
  private wait(
    g: G,
    op: LockOp,
    w: Waiter,
    addr: number,
    now: number,
    again: boolean,
    long: boolean,
  ): boolean {
    const { env, kernel } = this;
    const { semas } = env;
    const bucket = semas.bucket(addr);
    const timed = env.acquiretime(g, now);
    const clear = again ? ~WOKEN : ~0;
    semas.lock(bucket);
    for (let s = kernel.load(addr); ; ) {
      const free = (s & (LOCKED | STARVING)) === 0;
      const set = free ? LOCKED : long && (s & LOCKED) !== 0 ? PARKED | STARVING : PARKED;
      const was = kernel.cas(addr, s, (s & clear) | set);
      if (was !== s) {
        s = was;
      } else if (free) {
        semas.unlock(bucket);
        env.waiters.end(w);
        return true;
      } else break;
    }
    semas.enqueue(bucket, w.head, again, timed);
    semas.unlock(bucket);
    env.park(g, op, waitReasonSyncMutexLock, now, true);
    return false;
  }

  // ---- waiters that are gone

  unqueue(sg: Addr): void {
    const { env } = this;
    const { semas, u32 } = env;
    const addr = u32[(sg + SUDOG_AT.elem) >>> 2];
    const bucket = semas.bucket(addr);
    semas.lock(bucket);
    if (u32[(sg + SUDOG_AT.queued) >>> 2] !== 0) {
      semas.remove(bucket, sg);
      if (semas.first(bucket, addr) === 0) this.kernel.and(addr, ~PARKED);
    }
    semas.unlock(bucket);
  }

  undelivered(sg: Addr): void {
    const { kernel, env } = this;
    const addr = env.u32[(sg + SUDOG_AT.elem) >>> 2];
    if (env.u32[(sg + SUDOG_AT.success) >>> 2] !== 0) this.handOff(addr, this.undelivered);
    else if ((kernel.and(addr, ~WOKEN) & (LOCKED | PARKED | STARVING)) === PARKED) {
      this.wakeOne(addr, this.undelivered);
    }
  }
}

/** The op of all mutexes of this thread. A wait keeps its state in the G's Waiter, so one object serves all. */
class LockOp extends PhasedOp<void> {
  mutexes: Mutexes = null as never;
  ref: unknown = null;
  addrOf: (ref: unknown) => number = null as never;

  get what(): string {
    return "mutex lock";
  }

  protected start(g: G): boolean {
    const { mutexes, ref } = this;
    this.ref = null;
    const addr = this.addrOf(ref);
    return mutexes.tryLock(addr) || mutexes.lockSlow(g, this, addr);
  }

  protected override finish(g: G): boolean {
    return ((g.shared as Waiter).owner as Mutexes).woke(g, this);
  }

  protected hostScheduler(): Schedt {
    return currentScheduler();
  }

  protected replace(): void {
    if (lockOp === this) lockOp = new LockOp();
  }
}

let lockOp = new LockOp();

/** The op that takes the mutex which `ref` shows: `addrOf` gives its address when the op starts. */
export function lockMutex(mutexes: Mutexes, ref: unknown, addrOf: (ref: unknown) => number): LockOp {
  if (m0.armed !== null) disarm();
  const op = lockOp;
  op.mutexes = mutexes;
  op.ref = ref;
  op.addrOf = addrOf;
  return arm(op);
}
