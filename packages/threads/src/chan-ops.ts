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
  none,
  notResumed,
  Op,
  PhasedOp,
  type Schedt,
  sendOnClosed,
} from "@gort/scheduler/internal";
import { ended } from "./hchan.ts";
import type { Waiter } from "./sudog.ts";

/** A channel as its ops know it. */
export interface OpChan {
  readonly sched: Schedt;
  /** Sends, or parks `g` in `op` and returns false. */
  start(value: unknown, g: G, op: AnyOp): boolean;
  /** The received value; `ended` if the channel is closed and drained; `none` if `g` was parked in `op`. */
  receive(g: G, op: AnyOp): unknown;
  /** A wait for a receiver is over. Returns false if the channel was closed. */
  finishSend(w: Waiter): boolean;
  /** A wait for a sender is over. Returns the value, or `ended`. */
  finishRecv(w: Waiter): unknown;
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
      const v = (w.hold as OpChan).finishRecv(w);
      this.value = v === ended ? undefined : v;
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const c = this.c!;
    this.c = null;
    const v = c.receive(caller, this);
    this.value = v === ended ? undefined : v;
    this.done = v !== none;
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

/** A receive whose result tells whether the channel is closed and drained. */
abstract class ReportingOp<R> extends PhasedOp<R> {
  c: OpChan | null = null;

  get what(): string {
    return "chan receive";
  }
  protected start(g: G): boolean {
    const c = this.c!;
    this.c = null;
    const v = c.receive(g, this);
    if (v === none) return false;
    this.value = this.report(v);
    return true;
  }
  protected override finish(g: G): boolean {
    const w = g.shared as Waiter;
    this.value = this.report((w.hold as OpChan).finishRecv(w));
    return true;
  }
  /** The result for a value, or for `ended`. */
  protected abstract report(v: unknown): R;
  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
}

class HeapRecv2Op extends ReportingOp<RecvResult<unknown>> {
  protected report(v: unknown): RecvResult<unknown> {
    return v === ended ? { value: undefined, ok: false } : { value: v, ok: true };
  }
  protected replace(): void {
    if (recv2Op === this) recv2Op = new HeapRecv2Op();
  }
}

/** Gives the value, or `ended`. */
class HeapRangeOp extends ReportingOp<unknown> {
  protected report(v: unknown): unknown {
    return v;
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

/** Receives a value, or `ended` if the channel is closed and drained. */
export function armRange(c: OpChan): Operation<unknown> {
  if (m0.armed !== null) disarm();
  const op = rangeOp;
  op.c = c;
  return arm(op);
}
