/** Source: a channel that host code feeds. */

import { type Chan, HChan, isForeignChan, type RecvChan, type SendChan } from "../chan.ts";
import { kindOf } from "../errors.ts";
import type { Scheduler } from "../proc.ts";

/** A channel that host code feeds. */
export interface Source<T> {
  /** Closed when the host has no more. */
  readonly C: RecvChan<T>;
  /** What ended it, once `C` is closed; null at a normal end. After `stop`: what the host's clean-up threw, or null. */
  err(): unknown;
  /** Ends it early: closes `C` and tells the host. A second call does nothing. */
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

  /** From here on the host may send. With `hold` the source keeps the process alive, which has no handle for it. */
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

/** Closes `c` unless it is closed: a goroutine may have closed it, and host code has no place for that panic. */
export function closeOnce(c: SendChan<never>): void {
  if (!isClosed(c)) c.close();
}

/** A channel or a source. */
export type From<T> = RecvChan<T> | Source<T>;

/** Whether it is a channel. For one of another copy of the package, the first operation says so. */
export function isChan(x: unknown): x is HChan<never> {
  return x instanceof HChan || isForeignChan(x);
}

/** The channel to receive from, and the source that it belongs to, if any. */
export function channelOf<T>(what: string, from: From<T>): { c: RecvChan<T>; source: Source<T> | null } {
  if (isChan(from)) return { c: from, source: null };
  const c = typeof from === "object" && from !== null && "C" in from ? from.C : null;
  if (isChan(c)) return { c, source: from as Source<T> };
  throw new TypeError(`scheduler: ${what} needs a channel or a source (got ${kindOf(from)})`);
}
