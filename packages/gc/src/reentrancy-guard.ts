/**
 * Lets one call at a time into the collector, and decides what becomes of an error.
 *
 * - It refuses a call from within (from a callback, or by the collector's own allocations), or the call does nothing.
 * - The collector calls the program's callbacks (events, stderr, freeProfile, onRequest) between steps of work that has
 *   to be finished, sometimes at the end of an allocation. If callbacks throw, the first error waits. The next call at
 *   a safepoint throws it at its end, when the heap is in order.
 * - Calls of the world that may throw (Stops in gc-cycle.ts) come between two steps. Their errors pass to the caller.
 * - Any other error leaves the heap between two states: an object is marked and not scanned, or a span is half swept.
 *   Go ends the program there. A library cannot, so no collection is possible from then on, and a call that asks for
 *   one throws the first error as a cause. Allocation goes on until memory is out: the program may want to report the
 *   error.
 */
import { FatalError } from "@gort/base";

export class ReentrancyGuard {
  /** This thread's: it runs code of the collector. */
  busy = false;
  /** This thread's: its collector is closed. */
  closed = false;
  /** Whether a fatal error has ended the collector, for all threads. */
  readonly #state: { dead: boolean };
  /** This thread's: the error that ended the collector. In an object, as undefined can be thrown too. */
  #fatal: { error: unknown } | null = null;
  /** This thread's: the first error of a callback that no call has thrown on yet. */
  #waiting: { error: unknown } | null = null;

  constructor(state: { dead: boolean }) {
    this.#state = state;
  }

  /** Whether a fatal error has ended the collector. */
  get shut(): boolean {
    return this.#state.dead;
  }

  /**
   * Begins a call.
   *
   * @throws TypeError from within the collector, or after `close`
   * @throws FatalError if a fatal error has ended the collector. Its cause is that error, if this thread has thrown it.
   */
  enter(call: string): void {
    if (this.busy) throw new TypeError(`gc: ${call} called from within the collector`);
    if (this.closed) throw new TypeError(`gc: ${call} called after close()`);
    if (this.#state.dead) this.#refuse();
    this.busy = true;
  }

  #refuse(): never {
    const first = this.#fatal === null ? "thrown on another thread" : this.#fatal.error;
    const error = new FatalError(
      "throw",
      "ERR_GORT_THROW",
      "gc: no collection is possible after a fatal error in one",
      `runtime: the first error: ${first instanceof Error ? first.message : String(first)}`,
    );
    if (this.#fatal !== null) error.cause = first;
    throw error;
  }

  /** Ends a call; the heap is in order. Throws the error of a callback that waits. */
  leave(): void {
    this.busy = false;
    if (this.#waiting === null) return;
    const { error } = this.#waiting;
    this.#waiting = null;
    throw error;
  }

  /** Ends the collector for ever: the error has left the heap between two states. */
  shutOver(error: unknown): void {
    this.busy = false;
    this.#state.dead = true;
    this.#fatal ??= { error };
  }

  /**
   * The same in work for another thread, which gets the error as that of its own call. This thread throws it at its
   * next call.
   */
  shutQuietly(error: unknown): void {
    this.#state.dead = true;
    this.#fatal ??= { error };
  }

  /** Wraps a callback: its errors wait. */
  quiet<A extends unknown[]>(f: ((...args: A) => void) | undefined): (...args: A) => void {
    if (f === undefined) return () => {};
    return (...args) => {
      try {
        f(...args);
      } catch (error) {
        this.#waiting ??= { error };
      }
    };
  }
}
