/**
 * Waits for a span that another thread is sweeping. That takes microseconds, unless the operating system runs something
 * else in place of that thread, or the thread has died. A dead thread's span is recovered (the allocator's
 * recovery.ts). If that thread only stopped, the wait ends with a FatalError, as that for a lock does.
 */
import { throwFatal } from "@gort/base";
import { GCCONTROL_AT, type GCHeap } from "./heap.ts";

/** Looks before the thread sleeps: some microseconds. */
const SPINS = 500;
/** Length of a sleep, and time between two checks of the other thread. */
const NAP_MS = 0.1;
const CHECK_MS = 2;

export class SweepWait {
  readonly #heap: GCHeap;
  #maySleep = true;

  constructor(heap: GCHeap) {
    this.#heap = heap;
  }

  /** Returns when done() is true. */
  until(done: () => boolean): void {
    for (let k = 0; k < SPINS; k++) if (done()) return;
    const start = performance.now();
    let nextCheck = start + CHECK_MS;
    while (!done()) {
      this.#nap();
      const now = performance.now();
      if (now < nextCheck) continue;
      nextCheck = now + CHECK_MS;
      this.#check(now - start);
    }
  }

  #check(waitedMs: number): void {
    const { allocator, mem } = this.#heap;
    const thread = allocator.sweepingThread;
    if (thread === 0) return;
    // Recovers what the thread had, or throws the error that names the lock in which it died.
    if (mem.threadGone(thread)) allocator.threadExited(thread);
    else if (waitedMs > mem.lockTimeoutMs) {
      throwFatal(
        "gc: the sweep of a span does not end: its thread was terminated, or is stopped",
        `runtime: thread ${thread} has swept a span for ${Math.round(waitedMs)} ms`,
      );
    }
  }

  #nap(): void {
    if (!this.#maySleep) return;
    const { mem, control, sweepgen } = this.#heap;
    try {
      const at = (control + GCCONTROL_AT.sweepgen) >>> 2;
      Atomics.wait(mem.i32 as Int32Array<SharedArrayBuffer>, at, sweepgen | 0, NAP_MS);
    } catch {
      this.#maySleep = false;
    }
  }
}
