/** Giving up the processor: gosched does it always, checkpoint if the time slice is over. */

import { arm, begin, disarm, notResumed, Op, type Operation, PhasedOp } from "./op.ts";
import { type G, Grunnable, Grunning, m0, type Schedt } from "./runtime2.ts";

class GoschedOp extends Op<void> {
  sched: Schedt = null as never;
  get what(): string {
    return "gosched";
  }
  next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null || g.atomicstatus !== Grunning) return notResumed(this, g);
      g.waitOp = null;
      this.done = true;
      return this;
    }
    const caller = begin(this);
    caller.atomicstatus = Grunnable;
    caller.waitOp = this;
    caller.sched.globq.pushBack(caller);
    this.done = false;
    return this;
  }
  protected hostScheduler(): Schedt {
    return this.sched;
  }
  protected replace(): void {
    if (goschedOp === this) goschedOp = new GoschedOp();
  }
}

let goschedOp = new GoschedOp();

/** Completes at once, unless the time slice is over. */
class CheckpointOp extends PhasedOp<void> {
  sched: Schedt = null as never;
  get what(): string {
    return "checkpoint";
  }
  protected start(g: G): boolean {
    if (!g.sched.shouldYield()) return true;
    g.atomicstatus = Grunnable;
    g.waitOp = this;
    g.sched.globq.pushBack(g);
    return false;
  }
  protected hostScheduler(): Schedt {
    return this.sched;
  }
  protected replace(): void {
    if (checkpointOp === this) checkpointOp = new CheckpointOp();
  }
}

let checkpointOp = new CheckpointOp();

/** Returns the op of gosched. */
export function yieldNow(s: Schedt): Operation<void> {
  if (m0.armed !== null) disarm();
  const op = goschedOp;
  op.sched = s;
  return arm(op);
}

/** Returns the op of checkpoint. */
export function yieldIfDue(s: Schedt): Operation<void> {
  if (m0.armed !== null) disarm();
  const op = checkpointOp;
  op.sched = s;
  return arm(op);
}
