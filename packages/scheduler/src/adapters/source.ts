/** The parts that all adapters share: sources, and the checks of channels. */

import { kindOf } from "@gort/base";
import { HChan, isForeignChan } from "../chan.ts";
import type { Chan, RecvChan, SendChan } from "../chan-types.ts";
import type { Scheduler } from "../scheduler.ts";

/** A channel that host code feeds. */
export interface Source<T> {
  /** The channel to receive from. It is closed when the host has no more values. */
  readonly C: RecvChan<T>;
  /**
   * The error that ended the source, once `C` is closed; null after a normal end. After `stop`: the error of the host's
   * clean-up, or null.
   */
  err(): unknown;
  /** Ends the source early: closes `C` and makes the host clean up. A second call does nothing. */
  stop(): void;
}

export interface SourceOptions {
  /** Capacity of the channel. Default 0, for events 16. */
  size?: number;
}

/** The channel of a source, and whether it is still open. */
export class OpenChan<T> {
  readonly c: Chan<T>;
  open = false;
  private release: (() => void) | null = null;
  private readonly sched: Scheduler;

  constructor(sched: Scheduler, size: number) {
    this.sched = sched;
    this.c = sched.makeChan<T>(size);
  }

  /**
   * Opens the source: the host may send. With `hold` the open source keeps the process alive, for hosts without a
   * handle.
   */
  begin(hold = false): void {
    this.open = true;
    this.release = this.sched.hostSource({ hold });
  }

  end(): void {
    if (!this.open) return;
    this.open = false;
    closeOnce(this.c);
    this.release?.();
  }
}

export function isClosed(c: RecvChan<unknown> | SendChan<never>): boolean {
  return (c as HChan<unknown>).closed;
}

/** Closes `c` unless a goroutine has closed it. Host code could not handle the panic of a second close. */
export function closeOnce(c: SendChan<never>): void {
  if (!isClosed(c)) c.close();
}

/** A channel or a source. */
export type From<T> = RecvChan<T> | Source<T>;

/** Whether `x` is a channel, of any copy of the package. The first operation on one of another copy throws. */
export function isChan(x: unknown): x is HChan<never> {
  return x instanceof HChan || isForeignChan(x);
}

/** The channel to receive from, and its source, if `from` is one. */
export function channelOf<T>(what: string, from: From<T>): { c: RecvChan<T>; source: Source<T> | null } {
  if (isChan(from)) return { c: from, source: null };
  const c = typeof from === "object" && from !== null && "C" in from ? from.C : null;
  if (isChan(c)) return { c, source: from as Source<T> };
  throw new TypeError(`scheduler: ${what} needs a channel or a source (got ${kindOf(from)})`);
}
