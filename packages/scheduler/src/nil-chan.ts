/** Operations on a channel that may be nil, that is null. */

import { PlainError } from "@gort/base";
import type { RecvChan, RecvResult, SendChan } from "./chan-types.ts";
import { gopark, type Operation, OwnOp } from "./op.ts";
import type { G, Schedt } from "./runtime2.ts";
import { waitReasonChanReceiveNilChan, waitReasonChanSendNilChan } from "./wait-reasons.ts";

/** Blocks for ever: an operation on a nil channel. */
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

/** `c <- value` where `c` may be nil: sending to a nil channel blocks for ever. */
export function sendTo<T>(sched: () => Schedt, c: SendChan<T> | null, value: T): Operation<void> {
  return c !== null ? c.send(value) : new NilChanOp(sched, waitReasonChanSendNilChan);
}

/** `<-c` where `c` may be nil: receiving from a nil channel blocks for ever. */
export function recvFrom<T>(sched: () => Schedt, c: RecvChan<T> | null): Operation<T | undefined> {
  return c !== null ? c.recv() : new NilChanOp(sched, waitReasonChanReceiveNilChan);
}

/** `v, ok := <-c` where `c` may be nil. */
export function recv2From<T>(sched: () => Schedt, c: RecvChan<T> | null): Operation<RecvResult<T>> {
  return c !== null ? c.recv2() : new NilChanOp(sched, waitReasonChanReceiveNilChan);
}

/** `close(c)`, `len(c)` and `cap(c)` where `c` may be nil. */
export function close(c: SendChan<never> | null): void {
  if (c === null) throw new PlainError("close of nil channel", "ERR_GORT_CLOSE_OF_NIL_CHANNEL");
  c.close();
}
export function len(c: { readonly length: number } | null): number {
  return c === null ? 0 : c.length;
}
export function cap(c: { readonly capacity: number } | null): number {
  return c === null ? 0 : c.capacity;
}
