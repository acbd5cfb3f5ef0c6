/** Channels as programs see them. */

import type { NotAsync } from "./functions.ts";
import type { Operation } from "./op.ts";

/** The sending end of a channel. */
export interface SendChan<T> {
  /** Sends `value`; waits for room or for a receiver. Panics on a closed channel. */
  send(value: T): Operation<void>;
  /** Sends if that is possible at once. Panics on a closed channel. */
  trySend(value: T): boolean;
  /** Closes the channel: receivers drain it and then see its end. Panics if the channel is closed already. */
  close(): void;
  /** Values in the buffer. */
  readonly length: number;
  readonly capacity: number;
}

/** The receiving end of a channel. */
export interface RecvChan<T> extends AsyncIterable<T> {
  /** Receives a value; `undefined` once the channel is closed and drained. */
  recv(): Operation<T | undefined>;
  /** Receives a value; `ok` is false once the channel is closed and drained. */
  recv2(): Operation<RecvResult<T>>;
  /** Receives if that is possible at once. `received` reports whether it was; `ok` is as for recv2. */
  tryRecv(): TryRecvResult<T>;
  /** Calls `f` with each value until the channel is closed and drained. `f` may be a generator function. */
  forEach<R>(f: (value: T) => NotAsync<R>): Generator<undefined, void, unknown>;
  readonly length: number;
  readonly capacity: number;
}

export interface Chan<T> extends SendChan<T>, RecvChan<T> {}

/** The result of recv2. */
export type RecvResult<T> = { value: T; ok: true } | { value: undefined; ok: false };

/** The result of tryRecv. If `received` without `ok`, the channel is closed and drained. */
export type TryRecvResult<T> =
  | { value: T; ok: true; received: true }
  | { value: undefined; ok: false; received: boolean };

/** Stands for "no value to receive now". A registered symbol, so that it is the same in all copies of the package. */
export const none: unique symbol = Symbol.for("gort.none") as never;
export type None = typeof none;
