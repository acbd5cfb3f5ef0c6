/**
 * Reports a goroutine that allocates without reaching a safepoint.
 *
 * A collection begins and ends at a safepoint. A goroutine that never reaches one delays both, while the heap grows. On
 * one thread it also delays timers and all other goroutines, so only its own allocations can notice it. They read the
 * clock now and then. After DEADLINE_NS one of them names the goroutine on standard error: its number, its stack and
 * where it was created. It does so once until the next safepoint.
 *
 * All of its state belongs to this thread: it is about the goroutine that runs here.
 */
import type { Clock } from "./clock.ts";

/** Longest time that a correct program should need between two safepoints. */
export const DEADLINE_NS = 10e9;

/** Bytes allocated between two readings of the clock. */
export const WATCH_BYTES = 1 << 20;

export class SafepointWatch {
  readonly #clock: Clock;
  readonly #stack: () => string;
  readonly #stderr: (text: string) => void;
  /** nanotime of the first reading since the last safepoint; 0 before it. */
  #since = 0;
  #lastLive = 0;
  #reported = false;

  constructor(clock: Clock, stack: () => string, stderr: (text: string) => void) {
    this.#clock = clock;
    this.#stack = stack;
    this.#stderr = stderr;
  }

  /** The goroutine has reached a safepoint. */
  safepoint(): void {
    this.#since = 0;
    this.#reported = false;
  }

  /** The collector waits for a safepoint, and an allocation has brought the heap to heapLive. */
  allocation(heapLive: number): void {
    if (this.#since !== 0 && (this.#reported || heapLive - this.#lastLive < WATCH_BYTES)) return;
    this.#lastLive = heapLive;
    const now = this.#clock.nanotime();
    if (this.#since === 0) {
      this.#since = now;
      return;
    }
    const waited = now - this.#since;
    if (waited < DEADLINE_NS) return;
    this.#reported = true;
    this.#stderr(
      `runtime: a collection has waited ${Math.floor(waited / 1e9)} s for a safepoint ` +
        `(${heapLive >>> 20} MB in use): ` +
        `this goroutine allocates without yielding\n${this.#stack().replace(/\n*$/, "\n")}`,
    );
  }
}
