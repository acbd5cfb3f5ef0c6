/**
 * The blocking operations on channels in the heap: one op of each kind for the thread, as for local channels (op.ts of
 * the scheduler has the protocol). Their channel is in `c` from the call that makes the op until it starts. A parked
 * goroutine's channel is in its Waiter.
 */

import type { Operation, RecvResult } from "@gort/scheduler";
import {
  type AnyOp,
  arm,
  begin,
  disarm,
  type G,
  Grunning,
  m0,
  notResumed,
  Op,
  PhasedOp,
  type Schedt,
  sendOnClosed,
} from "@gort/scheduler/internal";
import type { ElemType } from "./elem-type.ts";
import { EMPTY, RECEIVED } from "./hchan.ts";
import type { Waiter } from "./sudog.ts";

/** A channel as its ops know it. */
export interface OpChan {
  readonly sched: Schedt;
  readonly elem: ElemType;
  /** Sends, or parks `g` in `op` and returns false. */
  start(value: unknown, g: G, op: AnyOp): boolean;
  /** Receives, or parks `g` in `op`. Returns the outcome: see hchan.ts. */
  receive(g: G, op: AnyOp): number;
  /** A wait for a receiver is over. Returns false if the channel was closed. */
  finishSend(w: Waiter): boolean;
  /** A wait for a sender is over. Returns whether an element has landed. */
  finishRecv(w: Waiter): boolean;
}

class HeapSendOp extends Op<void> {
  c: OpChan | null = null;
  elem: unknown = undefined;

  get what(): string {
    return "chan send";
  }

  next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null || g.atomicstatus !== Grunning) return notResumed(this, g);
      g.waitOp = null;
      const w = g.shared as Waiter;
      if (!(w.hold as OpChan).finishSend(w)) throw sendOnClosed();
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const c = this.c!;
    const { elem } = this;
    this.c = null;
    this.elem = undefined;
    this.done = c.start(elem, caller, this);
    return this;
  }

  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (sendOp === this) sendOp = new HeapSendOp();
  }
}

class HeapRecvOp extends Op<unknown> {
  c: OpChan | null = null;

  get what(): string {
    return "chan receive";
  }

  next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null || g.atomicstatus !== Grunning) return notResumed(this, g);
      g.waitOp = null;
      const w = g.shared as Waiter;
      const c = w.hold as OpChan;
      this.value = c.finishRecv(w) ? c.elem.landed() : undefined;
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const c = this.c!;
    this.c = null;
    const outcome = c.receive(caller, this);
    this.value = outcome === RECEIVED ? c.elem.landed() : undefined;
    this.done = outcome !== EMPTY;
    return this;
  }

  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (recvOp === this) recvOp = new HeapRecvOp();
  }
}

/** A receive that tells whether it has received. */
abstract class ReportingOp<R> extends PhasedOp<R> {
  c: OpChan | null = null;

  get what(): string {
    return "chan receive";
  }
  protected start(g: G): boolean {
    const c = this.c!;
    this.c = null;
    const outcome = c.receive(g, this);
    if (outcome === EMPTY) return false;
    this.report(c, outcome === RECEIVED);
    return true;
  }
  protected override finish(g: G): boolean {
    const w = g.shared as Waiter;
    const c = w.hold as OpChan;
    this.report(c, c.finishRecv(w));
    return true;
  }
  /** Sets the result. With `ok` an element has landed. */
  protected abstract report(c: OpChan, ok: boolean): void;
  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
}

class HeapRecv2Op extends ReportingOp<RecvResult<unknown>> {
  protected report(c: OpChan, ok: boolean): void {
    this.value = ok ? { value: c.elem.landed(), ok } : { value: undefined, ok };
  }
  protected replace(): void {
    if (recv2Op === this) recv2Op = new HeapRecv2Op();
  }
}

/** Leaves the element where it has landed. */
class HeapRangeOp extends ReportingOp<boolean> {
  protected report(_c: OpChan, ok: boolean): void {
    this.value = ok;
  }
  protected replace(): void {
    if (rangeOp === this) rangeOp = new HeapRangeOp();
  }
}

let sendOp = new HeapSendOp();
let recvOp = new HeapRecvOp();
let recv2Op = new HeapRecv2Op();
let rangeOp = new HeapRangeOp();

export function armSend(c: OpChan, value: unknown): Operation<void> {
  if (m0.armed !== null) disarm();
  const op = sendOp;
  op.c = c;
  op.elem = value;
  return arm(op);
}

export function armRecv(c: OpChan): Operation<unknown> {
  if (m0.armed !== null) disarm();
  const op = recvOp;
  op.c = c;
  return arm(op);
}

export function armRecv2(c: OpChan): Operation<RecvResult<unknown>> {
  if (m0.armed !== null) disarm();
  const op = recv2Op;
  op.c = c;
  return arm(op);
}

/** Waits until an element has landed (true), or the channel is closed and drained (false). */
export function armRange(c: OpChan): Operation<boolean> {
  if (m0.armed !== null) disarm();
  const op = rangeOp;
  op.c = c;
  return arm(op);
}
