/** Weighted: a semaphore of `size` units, first come, first served. */

import { wrongNumber } from "@gort/base";
import { currentScheduler } from "../default.ts";
import { type Operation, OwnOp, parkIn, unpark } from "../op.ts";
import { panic } from "../panic.ts";
import { type AnyOp, type G, type Schedt, WaitQ } from "../runtime2.ts";
import { waitReasonSemacquire } from "../wait-reasons.ts";

export class Weighted {
  readonly size: number;
  private cur = 0;
  private readonly waiters = new WaitQ();

  constructor(size: number) {
    if (!Number.isInteger(size) || size < 0) {
      throw wrongNumber("scheduler", size, "semaphore size must be an integer of at least 0");
    }
    this.size = size;
  }

  /** Takes `n` units when they are free. A call that asks for more than `size` waits for ever. */
  acquire(n = 1): Operation<void> {
    return new AcquireOp(this, checkUnits(n));
  }

  tryAcquire(n = 1): boolean {
    checkUnits(n);
    // A call for few units must not overtake a goroutine that waits for many.
    if (this.size - this.cur < n || this.waiters.first !== null) return false;
    this.cur += n;
    return true;
  }

  release(n = 1): void {
    this.cur -= checkUnits(n);
    if (this.cur < 0) panic("semaphore: released more than held");
    for (let sg = this.waiters.first; sg !== null; sg = this.waiters.first) {
      if (this.size - this.cur < sg.index) return;
      this.cur += sg.index;
      this.waiters.remove(sg);
      sg.g.sched.ready(sg.g);
    }
  }

  /** For the op: queues a goroutine that waits for `n` units. */
  park(g: G, op: AnyOp, n: number): void {
    parkIn(g, op, this.waiters, waitReasonSemacquire).index = n;
  }
}

function checkUnits(n: number): number {
  if (!Number.isInteger(n) || n < 0) {
    throw wrongNumber("scheduler", n, "semaphore units must be an integer of at least 0");
  }
  return n;
}

class AcquireOp extends OwnOp<void> {
  private readonly s: Weighted;
  private readonly n: number;
  constructor(s: Weighted, n: number) {
    super();
    this.s = s;
    this.n = n;
  }
  get what(): string {
    return "semaphore acquire";
  }
  protected start(g: G): boolean {
    if (this.s.tryAcquire(this.n)) return true;
    this.s.park(g, this, this.n);
    return false;
  }
  protected override finish(g: G): boolean {
    unpark(g);
    return true;
  }
  protected hostScheduler(): Schedt {
    return currentScheduler();
  }
}
