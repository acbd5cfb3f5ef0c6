/**
 * Channels in memory that several threads share, as select knows them. @gort/threads implements them; select-shared.ts
 * has the algorithm.
 */

import type { G, SharedWait } from "./runtime2.ts";

/** Outcomes of `selectRecv` and `selectSend`: the case cannot proceed. */
export const CASE_WAITS = 0;
/** The case was performed: `afterSelect` follows. */
export const CASE_DONE = 1;
/** The channel is closed (for a receive: and drained). */
export const CASE_CLOSED = 2;

export abstract class SharedChan {
  /** The channels that one select may have together. */
  abstract readonly group: SharedChans;
  /** Locks are taken in this order. Equal for the handles of one channel, different for channels of one group. */
  abstract readonly order: number;
  /** Whether another thread may use the channel. */
  abstract readonly needsLock: boolean;

  // ---- before the locks

  /** Reads and checks a value to send, which may run code of the program. */
  abstract take(value: unknown): unknown;
  /** Prepares the result of `take` for `selectSend`. */
  abstract ready(taken: unknown): unknown;
  /** Ends the use of the result of `take`. */
  abstract drop(taken: unknown): void;
  /** Prepares `selectRecv`. */
  abstract reserve(): void;

  // ---- under the lock: no code of the program runs, and nothing can fail

  abstract lockForSelect(): void;
  abstract selectRecv(): number;
  abstract selectSend(ready: unknown): number;
  abstract unlockForSelect(): void;

  // ---- after the unlock

  /** Ends a case that was performed: wakes its partner, and returns the value of a receive. */
  abstract afterSelect(received: boolean): unknown;
}

/** The waits of selects in the channels of one memory. */
export interface SharedChans {
  /** Begins the wait of a select, which keeps `chans` alive: `g.shared`. */
  beginSelect(g: G, chans: readonly SharedChan[]): SharedWait;
  /** Adds a case: `index` is its position. Before the locks. */
  addCase(w: SharedWait, c: SharedChan, index: number, sends: boolean, ready: unknown): void;
  /** Enters the queues of all cases. Under the locks. */
  enqueueCases(w: SharedWait): void;
  /** Leaves all queues, and ends the wait. Returns the case that a partner has chosen; null if there is none. */
  endSelect(w: SharedWait): ChosenCase | null;
}

/** The case by which a wait has ended. */
export interface ChosenCase {
  /** Its position. */
  readonly index: number;
  readonly sends: boolean;
  /** It was performed. False: the channel was closed. */
  readonly ok: boolean;
  /** The received value. */
  readonly value: unknown;
}
