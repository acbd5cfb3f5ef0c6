/**
 * WaitGroups in the heap: goroutines of all threads count, and wait for 0. A WaitGroup has the size of Go's:
 *
 *     0   counter
 *     4   waiting   1 if goroutines wait in the queue of this address
 *     8   unused
 *
 * add changes the counter atomically. If that leaves 0, it looks at `waiting`, and then wakes all waiters under the
 * lock of the bucket (sema.ts). wait, under that lock, sets `waiting` and looks at the counter once more before it
 * queues. So either wait sees the 0, or add sees the 1.
 *
 * A woken waiter panics if the counter is not 0, as in Go: the WaitGroup was used again before wait has returned. add
 * panics if it raises the counter from 0 while goroutines wait.
 */
import { show } from "@gort/base";
import type { Addr } from "@gort/memory";
import {
  arm,
  currentScheduler,
  disarm,
  type G,
  m0,
  PhasedOp,
  panic,
  type Schedt,
  waitReasonSyncWaitGroupWait,
} from "@gort/scheduler/internal";
import { Locks } from "./lock-env.ts";
import { SUDOG_AT, type Waiter } from "./sudog.ts";

const WAITING = 4;

/** The operations on the WaitGroups of a heap, by address. */
export class WaitGroups extends Locks {
  add(addr: number, delta: number): void {
    if (!Number.isInteger(delta)) {
      throw new TypeError(`threads: WaitGroup.add: delta must be an integer (got ${show(delta)})`);
    }
    if ((delta | 0) !== delta) {
      throw new RangeError(`threads: WaitGroup.add: delta must fit 32 bits (got ${delta})`);
    }
    const { kernel } = this;
    const n = (kernel.add(addr, delta) + delta) | 0;
    if (n < 0) panic("sync: negative WaitGroup counter");
    if (n > 0 && (delta !== n || delta < 0)) return;
    if (kernel.load(addr + WAITING) === 0) return;
    if (n > 0) misuse();
    this.wakeAll(addr);
  }

  private wakeAll(addr: number): void {
    const { kernel, env } = this;
    const { semas, waiters } = env;
    const bucket = semas.bucket(addr);
    semas.lock(bucket);
    const again = kernel.load(addr) !== 0;
    let list = 0;
    let last = 0;
    if (!again) {
      for (let sg = semas.dequeue(bucket, addr); sg !== 0; sg = semas.dequeue(bucket, addr)) {
        waiters.win(sg);
        if (list === 0) list = sg;
        else env.u32[(last + SUDOG_AT.next) >>> 2] = sg;
        env.u32[(sg + SUDOG_AT.next) >>> 2] = 0;
        last = sg;
      }
      kernel.store(addr + WAITING, 0);
    }
    semas.unlock(bucket);
    if (again) misuse();
    while (list !== 0) {
      const sg = list as Addr;
      list = semas.next(sg);
      waiters.ready(sg);
    }
  }

  /** For the op: returns true if the counter is 0, else parks the goroutine. */
  wait(g: G, op: WaitOp, addr: number): boolean {
    const { kernel, env } = this;
    if (kernel.load(addr) === 0) return true;
    const { semas } = env;
    const bucket = semas.bucket(addr);
    const sg = env.sudog(g, this, addr, addr);
    semas.lock(bucket);
    kernel.store(addr + WAITING, 1);
    if (kernel.load(addr) === 0) {
      if (semas.first(bucket, addr) === 0) kernel.store(addr + WAITING, 0);
      semas.unlock(bucket);
      env.waiters.end(g.shared as Waiter);
      return true;
    }
    semas.enqueue(bucket, sg, false, -1);
    semas.unlock(bucket);
    env.park(g, op, waitReasonSyncWaitGroupWait, 0, false);
    return false;
  }

  /** For the op: the goroutine was readied. */
  woke(g: G): void {
    const w = g.shared as Waiter;
    const addr = this.env.u32[(w.head + SUDOG_AT.elem) >>> 2];
    const reused = this.kernel.load(addr) !== 0;
    this.env.waiters.end(w);
    if (reused) panic("sync: WaitGroup is reused before previous Wait has returned");
  }

  unqueue(sg: Addr): void {
    const { env } = this;
    const { semas, u32 } = env;
    const addr = u32[(sg + SUDOG_AT.elem) >>> 2];
    const bucket = semas.bucket(addr);
    semas.lock(bucket);
    if (u32[(sg + SUDOG_AT.queued) >>> 2] !== 0) {
      semas.remove(bucket, sg);
      if (semas.first(bucket, addr) === 0) this.kernel.store(addr + WAITING, 0);
    }
    semas.unlock(bucket);
  }

  /** All waiters were woken: there is nothing to pass on. */
  undelivered(): void {}
}

function misuse(): never {
  panic("sync: WaitGroup misuse: Add called concurrently with Wait");
}

/** The op of all WaitGroups of this thread. A wait keeps its state in the G's Waiter, so one object serves all. */
class WaitOp extends PhasedOp<void> {
  groups: WaitGroups = null as never;
  ref: unknown = null;
  addrOf: (ref: unknown) => number = null as never;

  get what(): string {
    return "WaitGroup wait";
  }
  protected start(g: G): boolean {
    const { groups, ref } = this;
    this.ref = null;
    return groups.wait(g, this, this.addrOf(ref));
  }
  protected override finish(g: G): boolean {
    ((g.shared as Waiter).owner as WaitGroups).woke(g);
    return true;
  }
  protected hostScheduler(): Schedt {
    return currentScheduler();
  }
  protected replace(): void {
    if (waitOp === this) waitOp = new WaitOp();
  }
}

let waitOp = new WaitOp();

/** The op that waits for the WaitGroup which `ref` shows. */
export function waitForGroup(groups: WaitGroups, ref: unknown, addrOf: (ref: unknown) => number): WaitOp {
  if (m0.armed !== null) disarm();
  const op = waitOp;
  op.groups = groups;
  op.ref = ref;
  op.addrOf = addrOf;
  return arm(op);
}
