/**
 * Conds in the heap: goroutines of all threads wait for an event that others announce.
 *
 *     0   waiting   1 if goroutines wait in the queue of this address
 *     4   checker   the Cond's address, from its first use on: in a copy it is another one
 *     8   unused
 *
 * wait queues the goroutine before it unlocks, so that the goroutine misses no signal that is given under the lock.
 * `waiting` changes only under the lock of the bucket (sema.ts). signal reads it without that lock. A goroutine that
 * signals under L, or after it has seen a change that was made under L, sees the waiters of that time.
 *
 * A waiter that a signal has woken, and that is gone, passes the signal on.
 *
 * Unlike Go: a Cond has no field L, because types of the heap have no interfaces, and Go's L is one. `wait` gets the
 * lock as its argument; all calls give the same one. The size is Go's nevertheless: 56 bytes.
 */
import { show } from "@gort/base";
import type { Addr } from "@gort/memory";
import {
  currentScheduler,
  type G,
  PhasedOp,
  panic,
  type Schedt,
  takeBack,
  waitReasonSyncCondWait,
} from "@gort/scheduler/internal";
import type { Locker } from "@gort/scheduler/sync";
import { Locks } from "./lock-env.ts";
import { SUDOG_AT, type Waiter } from "./sudog.ts";

const CHECKER = 4;

/** Values of `success`. */
const SIGNAL = 1;
const BROADCAST = 2;

/** The operations on the Conds of a heap, by address. */
export class Conds extends Locks {
  /** Wakes one waiter, or all. */
  wake(addr: number, all: boolean): void {
    this.check(addr);
    if (this.kernel.load(addr) === 0) return;
    const { kernel, env } = this;
    const { semas, waiters, u32 } = env;
    const bucket = semas.bucket(addr);
    let list = 0;
    let last = 0;
    semas.lock(bucket);
    do {
      const sg = semas.dequeue(bucket, addr);
      if (sg === 0) break;
      waiters.win(sg);
      u32[(sg + SUDOG_AT.success) >>> 2] = all ? BROADCAST : SIGNAL;
      u32[(sg + SUDOG_AT.next) >>> 2] = 0;
      if (list === 0) list = sg;
      else u32[(last + SUDOG_AT.next) >>> 2] = sg;
      last = sg;
    } while (all);
    if (semas.first(bucket, addr) === 0) kernel.store(addr, 0);
    semas.unlock(bucket);
    while (list !== 0) {
      const sg = list as Addr;
      list = semas.next(sg);
      waiters.ready(sg);
    }
  }

  /** For the op: queues and parks the goroutine, and releases its lock. */
  wait(g: G, op: WaitOp, addr: number, l: Locker): void {
    this.check(addr);
    const { env } = this;
    const { semas } = env;
    const bucket = semas.bucket(addr);
    const sg = env.sudog(g, this, addr, addr);
    semas.lock(bucket);
    this.kernel.store(addr, 1);
    semas.enqueue(bucket, sg, false, -1);
    semas.unlock(bucket);
    env.park(g, op, waitReasonSyncCondWait, 0, false);
    try {
      l.unlock();
    } catch (e) {
      takeBack(g);
      throw e;
    }
  }

  private check(addr: number): void {
    const was = this.kernel.cas(addr + CHECKER, 0, addr) >>> 0;
    if (was !== 0 && was !== addr) panic("sync.Cond is copied");
  }

  unqueue(sg: Addr): void {
    const { env } = this;
    const { semas, u32 } = env;
    const addr = u32[(sg + SUDOG_AT.elem) >>> 2];
    const bucket = semas.bucket(addr);
    semas.lock(bucket);
    if (u32[(sg + SUDOG_AT.queued) >>> 2] !== 0) {
      semas.remove(bucket, sg);
      if (semas.first(bucket, addr) === 0) this.kernel.store(addr, 0);
    }
    semas.unlock(bucket);
  }

  undelivered(sg: Addr): void {
    const { u32 } = this.env;
    if (u32[(sg + SUDOG_AT.success) >>> 2] === SIGNAL) this.wake(u32[(sg + SUDOG_AT.elem) >>> 2], false);
  }

  /** Ends the wait of a readied goroutine. */
  woke(g: G): void {
    this.env.waiters.end(g.shared as Waiter);
  }
}

/** One object for each wait: it keeps the lock to release. */
class WaitOp extends PhasedOp<void> {
  private readonly conds: Conds;
  private readonly addr: () => number;
  private readonly l: Locker;

  constructor(conds: Conds, addr: () => number, l: Locker) {
    super();
    this.pending = true;
    this.conds = conds;
    this.addr = addr;
    this.l = l;
  }
  get what(): string {
    return "cond wait";
  }
  protected start(g: G): boolean {
    this.conds.wait(g, this, this.addr(), this.l);
    return false;
  }
  protected override finish(g: G): boolean {
    this.conds.woke(g);
    return true;
  }
  protected hostScheduler(): Schedt {
    return currentScheduler();
  }
  protected override replace(): void {}
}

/** Releases `l`, waits for a signal, and takes `l` again. */
export function* waitForCond(
  conds: Conds,
  addr: () => number,
  l: Locker,
): Generator<undefined, void, unknown> {
  if (typeof l?.lock !== "function" || typeof l.unlock !== "function") {
    throw new TypeError(`threads: Cond.wait needs the lock that it releases (got ${show(l)})`);
  }
  yield* new WaitOp(conds, addr, l);
  yield* l.lock();
}
