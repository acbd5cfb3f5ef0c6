/** A note: one goroutine of the runtime sleeps on it until another one, or host code, wakes it. */

import { type Operation, OwnOp, parkIn, unpark, wakeOne } from "./op.ts";
import { type AnyOp, type G, type Schedt, WaitQ } from "./runtime2.ts";

/** For goroutines that serve the runtime: dumps show them with Go's wait reasons, such as `finalizer wait`. */
export class Note {
  private readonly sched: Schedt;
  private readonly reason: number;
  private readonly q = new WaitQ();
  private woken = false;

  constructor(sched: Schedt, reason: number) {
    this.sched = sched;
    this.reason = reason;
  }

  /** Waits for `wakeup`. Returns at once if `wakeup` was called since the last sleep. */
  sleep(): Operation<void> {
    return new SleepOnNote(this, this.sched);
  }

  wakeup(): void {
    this.woken = true;
    wakeOne(this.q);
  }

  /** For the op. */
  park(g: G, op: AnyOp): boolean {
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
  private readonly sched: Schedt;
  constructor(note: Note, sched: Schedt) {
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
  protected hostScheduler(): Schedt {
    return this.sched;
  }
}
