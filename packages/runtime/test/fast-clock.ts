import { FakeClock } from "@gort/scheduler/testing";

/** A clock of which time passes only while everybody waits: then it goes on to the next timer at once. */
export class FastClock extends FakeClock {
  constructor() {
    super();
    // A wait that began at 0 is one of which nobody knows the beginning.
    this.set(1);
  }

  override setTimer(fn: () => void, ms: number, ref: boolean): unknown {
    const timer = super.setTimer(fn, ms, ref);
    // Timers that keep no program alive don't move time either.
    if (ref) setImmediate(() => this.#goOn());
    return timer;
  }

  #goOn(): void {
    if (this.next === Number.POSITIVE_INFINITY) return;
    this.set(Math.max(this.now(), this.next));
    this.fireNext();
  }
}
