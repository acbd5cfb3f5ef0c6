/** WaitGroup: waits for a number of goroutines to end. */

import { currentScheduler } from "../default.ts";
import type { NotAsync } from "../functions.ts";
import { checkGoroutineFunction, type Goroutine } from "../goroutine.ts";
import { arm, disarm, type Operation, PhasedOp, parkIn, unpark, wakeOne } from "../op.ts";
import { panic } from "../panic.ts";
import { type AnyOp, type G, m0, type Schedt, WaitQ } from "../runtime2.ts";
import { waitReasonSyncWaitGroupWait } from "../wait-reasons.ts";

export class WaitGroup {
  private n = 0;
  private readonly sema = new WaitQ();

  /** Adds `delta` to the counter. At 0 it wakes all waiters; below 0 it panics. */
  add(delta: number): void {
    if (!Number.isInteger(delta)) {
      throw new TypeError(`scheduler: WaitGroup.add: delta must be an integer (got ${String(delta)})`);
    }
    this.n += delta;
    if (this.n < 0) panic("sync: negative WaitGroup counter");
    if (this.n === 0) while (wakeOne(this.sema));
  }

  done(): void {
    this.add(-1);
  }

  /** Starts `f` in a goroutine, which counts until it ends. */
  go<A extends readonly unknown[], R = unknown>(f: (...args: A) => NotAsync<R>, ...args: A): Goroutine {
    // Check before add: for a function that cannot run, the counter would never return to 0.
    checkGoroutineFunction(f, "WaitGroup.go");
    this.add(1);
    return currentScheduler().newproc(f, args, this.go, () => this.add(-1));
  }

  /** Waits until the counter is 0. */
  wait(): Operation<void> {
    if (m0.armed !== null) disarm();
    const op = waitOp;
    op.wg = this;
    return arm(op);
  }

  /** For the op: queues the goroutine. Returns true if it need not wait. */
  park(g: G, op: AnyOp): boolean {
    if (this.n === 0) return true;
    parkIn(g, op, this.sema, waitReasonSyncWaitGroupWait).elem = this;
    return false;
  }

  /** For the op: a waiter continues. The counter must be 0, and no goroutine may wait for the next round. */
  checkReuse(): void {
    if (this.n !== 0 || this.sema.first !== null) {
      panic("sync: WaitGroup is reused before previous Wait has returned");
    }
  }
}

class WaitOp extends PhasedOp<void> {
  wg: WaitGroup = null as never;
  get what(): string {
    return "WaitGroup wait";
  }
  protected start(g: G): boolean {
    return this.wg.park(g, this);
  }
  protected override finish(g: G): boolean {
    // Not `this.wg`: the shared op may have served other goroutines meanwhile.
    const sg = g.waiting!;
    const wg = sg.elem as WaitGroup;
    sg.elem = undefined;
    unpark(g);
    wg.checkReuse();
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
