/** What programs see of a channel. */

import type { NotAsync } from "./functions.ts";
import type { Operation } from "./op.ts";

/** The end of a channel that values are sent to. */
export interface SendChan<T> {
  /** Sends `value`, waiting for room or a receiver. Panics on a closed channel. */
  send(value: T): Operation<void>;
  /** Sends if that is possible at once. Panics on a closed channel. */
  trySend(value: T): boolean;
  /** Lets receivers see the end. Panics if the channel is closed already. */
  close(): void;
  /** Values in the buffer. */
  readonly length: number;
  readonly capacity: number;
}

/** The end of a channel that values are received from. */
export interface RecvChan<T> extends AsyncIterable<T> {
  /** Receives a value; `undefined` once the channel is closed and drained. */
  recv(): Operation<T | undefined>;
  /** Receives a value; `ok` is false once the channel is closed and drained. */
  recv2(): Operation<RecvResult<T>>;
  /** Receives if that is possible at once. `received` tells; `ok` is as for recv2. */
  tryRecv(): TryRecvResult<T>;
  /** Calls `f` with every value until the channel is closed and drained; `f` may be a generator function. */
  forEach<R>(f: (value: T) => NotAsync<R>): Generator<undefined, void, unknown>;
  readonly length: number;
  readonly capacity: number;
}

export interface Chan<T> extends SendChan<T>, RecvChan<T> {}

/** What recv2 gives. */
export type RecvResult<T> = { value: T; ok: true } | { value: undefined; ok: false };

/** What tryRecv gives. `received` with `ok` false: the channel is closed and drained. */
export type TryRecvResult<T> =
  | { value: T; ok: true; received: true }
  | { value: undefined; ok: false; received: boolean };

/** Stands for "nothing to receive now". Registered, so that two copies of the package mean the same. */
export const none: unique symbol = Symbol.for("gort.none") as never;
export type None = typeof none;
