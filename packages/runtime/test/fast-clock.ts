import { FakeClock } from "@gort/scheduler/testing";

/** A clock whose time stands still while goroutines run. While all wait, it moves to the next timer at once. */
export class FastClock extends FakeClock {
  constructor() {
    super();
    // A start time of 0 means that the start of a wait is unknown.
    this.set(1);
  }

  override setTimer(fn: () => void, ms: number, ref: boolean): unknown {
    const timer = super.setTimer(fn, ms, ref);
    // Timers that keep no program alive do not move time.
    if (ref) setImmediate(() => this.#goOn());
    return timer;
  }

  #goOn(): void {
    if (this.next === Number.POSITIVE_INFINITY) return;
    this.set(Math.max(this.now(), this.next));
    this.fireNext();
  }
}
