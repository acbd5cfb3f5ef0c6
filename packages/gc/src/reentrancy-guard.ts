/**
 * The collector's door: one caller at a time is inside, and what becomes of an error.
 *
 * - A call from within (out of a callback, or by the collector's own allocations) is refused, or does nothing.
 * - The program's callbacks (events, stderr, freeProfile, onRequest) are called between steps of work that has to be
 *   finished, sometimes at the end of an allocation. What one throws waits, the first of several, and is thrown on at
 *   the end of the next call at a safepoint, when all is in order.
 * - Whatever else throws leaves the heap between two states: an object marked and not scanned, a span half swept. Go
 *   ends the program there. We can't, so from then on there are no collections, and who asks for one is told of the
 *   first error. Allocation goes on until memory is out: the program may want to report.
 */
import { FatalError } from "@gort/base";

export class ReentrancyGuard {
  /** This thread's: it runs code of the collector. */
  busy = false;
  /** Whether the collector has ended, for all threads. */
  readonly #state: { dead: boolean };
  /** This thread's: what ended the collector. An object, as undefined can be thrown too. */
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
   * Goes in.
   *
   * @throws TypeError from within the collector
   * @throws FatalError when it has ended, with the reason as its cause
   */
  enter(call: string): void {
    if (this.busy) throw new TypeError(`gc: ${call} called from within the collector`);
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

  /** Goes out, all being in order; throws what a callback has thrown since the last time. */
  leave(): void {
    this.busy = false;
    if (this.#waiting === null) return;
    const { error } = this.#waiting;
    this.#waiting = null;
    throw error;
  }

  /** Shuts the door for ever: the error has left the heap in no order. */
  shutOver(error: unknown): void {
    this.busy = false;
    this.#state.dead = true;
    this.#fatal ??= { error };
  }

  /** The function, whose errors wait. */
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
