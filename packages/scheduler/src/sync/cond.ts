/** Cond: goroutines wait for an event that others announce. */

import { currentScheduler } from "../default.ts";
import { OwnOp, parkIn, unpark, wakeOne } from "../op.ts";
import { panic } from "../panic.ts";
import type { Scheduler } from "../proc.ts";
import { type G, WaitQ, waitReasonSyncCondWait } from "../runtime2.ts";
import type { Locker } from "./mutex.ts";

export class Cond {
  readonly L: Locker;
  private readonly notify = new WaitQ();
  /** Itself, from the first use: a copy is found out. */
  private checker: Cond | null = null;

  constructor(l: Locker) {
    this.L = l;
  }

  /** Unlocks L, waits for signal or broadcast, locks L. The condition may have changed again: test it in a loop. */
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

  /** Wakes all. */
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
    // Queued before L is free, so that no signal given under L is missed.
    parkIn(g, this, this.q, waitReasonSyncCondWait);
    this.l.unlock();
    return false;
  }
  protected override finish(g: G): boolean {
    unpark(g);
    return true;
  }
  protected hostScheduler(): Scheduler {
    return currentScheduler();
  }
}
