/** Operations whose channel may be nil (null). */

import { PlainError } from "@gort/base";
import type { RecvChan, RecvResult, SendChan } from "./chan-types.ts";
import { gopark, type Operation, OwnOp } from "./op.ts";
import type { G, Schedt } from "./runtime2.ts";
import { waitReasonChanReceiveNilChan, waitReasonChanSendNilChan } from "./wait-reasons.ts";

/** An operation on a nil channel: it blocks for ever. */
class NilChanOp extends OwnOp<never> {
  readonly what: string;
  private readonly sched: () => Schedt;
  private readonly reason: number;
  constructor(sched: () => Schedt, reason: number) {
    super();
    this.sched = sched;
    this.reason = reason;
    this.what = reason === waitReasonChanSendNilChan ? "chan send" : "chan receive";
  }
  protected start(g: G): boolean {
    gopark(g, this, this.reason);
    return false;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected hostScheduler(): Schedt {
    return this.sched();
  }
}

/** `c <- value`. A send to a nil channel blocks for ever. */
export function sendTo<T>(sched: () => Schedt, c: SendChan<T> | null, value: T): Operation<void> {
  return c !== null ? c.send(value) : new NilChanOp(sched, waitReasonChanSendNilChan);
}

/** `<-c`. A receive from a nil channel blocks for ever. */
export function recvFrom<T>(sched: () => Schedt, c: RecvChan<T> | null): Operation<T | undefined> {
  return c !== null ? c.recv() : new NilChanOp(sched, waitReasonChanReceiveNilChan);
}

/** `v, ok := <-c`. A receive from a nil channel blocks for ever. */
export function recv2From<T>(sched: () => Schedt, c: RecvChan<T> | null): Operation<RecvResult<T>> {
  return c !== null ? c.recv2() : new NilChanOp(sched, waitReasonChanReceiveNilChan);
}

/** `close(c)`. Panics on a nil channel. */
export function close(c: SendChan<never> | null): void {
  if (c === null) throw new PlainError("close of nil channel", "ERR_GORT_CLOSE_OF_NIL_CHANNEL");
  c.close();
}
/** `len(c)`: 0 for a nil channel. */
export function len(c: { readonly length: number } | null): number {
  return c === null ? 0 : c.length;
}
/** `cap(c)`: 0 for a nil channel. */
export function cap(c: { readonly capacity: number } | null): number {
  return c === null ? 0 : c.capacity;
}
