/** The one timer of the host that an idle scheduler keeps. */

import type { Clock } from "./host.ts";

export class HostTimer {
  private readonly clock: Required<Clock>;
  private readonly fire: () => void;
  private handle: unknown = null;
  private when = Infinity;
  private ref = true;

  constructor(clock: Required<Clock>, fire: () => void) {
    this.clock = clock;
    this.fire = fire;
  }

  /** Sets the timer to `when`, in ms; Infinity clears it. With `ref` it keeps the process alive. */
  arm(when: number, ref: boolean): void {
    if (when === this.when && ref === this.ref) return;
    this.clear();
    this.when = when;
    this.ref = ref;
    if (when === Infinity) return;
    let fired = false;
    const handle = this.clock.setTimer(
      () => {
        // A clock may call back twice, or despite clearTimer.
        if (fired) return;
        fired = true;
        this.handle = null;
        this.when = Infinity;
        this.fire();
      },
      Math.max(0, when - this.clock.now()),
      ref,
    );
    if (!fired) this.handle = handle;
  }

  clear(): void {
    if (this.handle !== null) this.clock.clearTimer(this.handle);
    this.handle = null;
    this.when = Infinity;
  }
}
