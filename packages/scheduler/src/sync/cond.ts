/** Cond: goroutines wait for an event that others announce. */

import { currentScheduler } from "../default.ts";
import { OwnOp, parkIn, takeBack, unpark, wakeOne } from "../op.ts";
import { panic } from "../panic.ts";
import { type G, type Schedt, WaitQ } from "../runtime2.ts";
import { waitReasonSyncCondWait } from "../wait-reasons.ts";
import type { Locker } from "./mutex.ts";

export class Cond {
  readonly L: Locker;
  private readonly notify = new WaitQ();
  /** This Cond, from its first use on. In a copy it still refers to the original, so `check` detects the copy. */
  private checker: Cond | null = null;

  constructor(l: Locker) {
    this.L = l;
  }

  /**
   * Unlocks L, waits for signal or broadcast, and locks L. Test the condition in a loop, since another goroutine may
   * have changed it again.
   */
  *wait(): Generator<undefined, void, unknown> {
    this.check();
    yield* new CondWaitOp(this.notify, this.L);
    yield* this.L.lock();
  }

  /** Wakes the goroutine that has waited longest, if any. */
  signal(): void {
    this.check();
    wakeOne(this.notify);
  }

  /** Wakes all waiting goroutines. */
  broadcast(): void {
    this.check();
    while (wakeOne(this.notify));
  }

  private check(): void {
    this.checker ??= this;
    if (this.checker !== this) panic("sync.Cond is copied");
  }
}

class CondWaitOp extends OwnOp<void> {
  private readonly q: WaitQ;
  private readonly l: Locker;
  constructor(q: WaitQ, l: Locker) {
    super();
    this.q = q;
    this.l = l;
  }
  get what(): string {
    return "cond wait";
  }
  protected start(g: G): boolean {
    // Queue before the unlock, so that the goroutine misses no signal that is given under L.
    parkIn(g, this, this.q, waitReasonSyncCondWait);
    try {
      this.l.unlock();
    } catch (e) {
      takeBack(g);
      throw e;
    }
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
