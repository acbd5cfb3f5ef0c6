/**
 * A collection begins and ends at a safepoint, so a goroutine that never comes to one keeps it from doing so while the
 * heap grows. On one thread it keeps timers and everybody else waiting too: the only place left to notice it are its
 * own allocations. They look at the clock now and then, and after DEADLINE_NS the goroutine is named on standard error:
 * its number, what it runs and where it was created. Once, until a safepoint has come.
 */
import type { Clock } from "./clock.ts";

/** Longest time that a program without fault is expected to take between two safepoints. */
export const DEADLINE_NS = 10e9;

/** Bytes allocated between two looks at the clock. */
export const WATCH_BYTES = 1 << 20;

export class SafepointWatch {
  readonly #clock: Clock;
  readonly #stack: () => string;
  readonly #stderr: (text: string) => void;
  /** nanotime of the first look since the last safepoint; 0 before it. */
  #since = 0;
  #lastLive = 0;
  #reported = false;

  constructor(clock: Clock, stack: () => string, stderr: (text: string) => void) {
    this.#clock = clock;
    this.#stack = stack;
    this.#stderr = stderr;
  }

  /** A safepoint has come. */
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
      `runtime: a collection has waited ${Math.floor(waited / 1e9)} s for a safepoint (${heapLive >>> 20} MB in use): ` +
        `this goroutine allocates without yielding\n${this.#stack().replace(/\n*$/, "\n")}`,
    );
  }
}
