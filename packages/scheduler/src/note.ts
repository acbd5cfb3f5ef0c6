/** A note: one goroutine of the runtime sleeps on it until somebody wakes it. */

import { type Op, type Operation, OwnOp, parkIn, unpark, wakeOne } from "./op.ts";
import type { Scheduler } from "./proc.ts";
import { type G, WaitQ } from "./runtime2.ts";

/** For goroutines that serve the runtime, whose dumps should show Go's wait reasons, such as `finalizer wait`. */
export class Note {
  private readonly sched: Scheduler;
  private readonly reason: number;
  private readonly q = new WaitQ();
  private woken = false;

  constructor(sched: Scheduler, reason: number) {
    this.sched = sched;
    this.reason = reason;
  }

  /** Waits for wakeup; returns at once if it has come since the last sleep. */
  sleep(): Operation<void> {
    return new SleepOnNote(this, this.sched);
  }

  wakeup(): void {
    this.woken = true;
    wakeOne(this.q);
  }

  /** For the op. */
  park(g: G, op: Op<unknown>): boolean {
    if (!this.woken) {
      parkIn(g, op, this.q, this.reason);
      return false;
    }
    this.woken = false;
    return true;
  }

  clear(): void {
    this.woken = false;
  }
}

class SleepOnNote extends OwnOp<void> {
  private readonly note: Note;
  private readonly sched: Scheduler;
  constructor(note: Note, sched: Scheduler) {
    super();
    this.note = note;
    this.sched = sched;
  }
  get what(): string {
    return "note";
  }
  protected start(g: G): boolean {
    return this.note.park(g, this);
  }
  protected override finish(g: G): boolean {
    unpark(g);
    this.note.clear();
    return true;
  }
  protected hostScheduler(): Scheduler {
    return this.sched;
  }
}
