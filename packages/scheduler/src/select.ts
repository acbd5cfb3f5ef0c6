/**
 * select.
 *
 * 1. Shuffle the cases with a channel into a poll order: each permutation is equally likely, so that no ready case is
 *    preferred.
 * 2. The first case in poll order that can proceed is done.
 * 3. None: take `default` if there is one; else stand in the queue of every case, one sudog each, and
 *    park. The first partner to dequeue one of the sudogs makes it the winner (`g.param`); the others are skipped
 *    by WaitQ.dequeue, and removed when the goroutine runs again.
 *
 * A nil channel takes no part. A select of one case and no default is that plain operation, to the point of its wait
 * reason; one without cases blocks for ever.
 */

import { type Chan, type HChan, none, type RecvChan, type SendChan } from "./chan.ts";
import { PlainError } from "./errors.ts";
import { arm, begin, disarm, gopark, Op, type Operation, probed } from "./op.ts";
import type { Scheduler } from "./proc.ts";
import {
  acquireSudog,
  type G,
  m0,
  releaseSudog,
  type Sudog,
  waitReasonChanReceive,
  waitReasonChanReceiveNilChan,
  waitReasonChanSend,
  waitReasonChanSendNilChan,
  waitReasonSelect,
  waitReasonSelectNoCases,
} from "./runtime2.ts";

const dirRecv = 0;
const dirSend = 1;
const dirDefault = 2;

/** One case of a select. May be kept and used again; `value` of a send case may be set anew before each use. */
export class SelectCase<T = unknown> {
  readonly dir: number;
  readonly c: HChan<T> | null;
  value: T | undefined;

  constructor(dir: number, c: HChan<T> | null, value: T | undefined) {
    this.dir = dir;
    this.c = c;
    this.value = value;
  }
}

/** What the receive cases of a list give. */
export type CaseValue<C extends readonly SelectCase[]> = C[number] extends SelectCase<infer T> ? T : never;

export interface SelectResult<T = unknown> {
  /** Position of the chosen case in the list. */
  index: number;
  /** What a receive case received. */
  value: T | undefined;
  /** False if a receive case met a closed, drained channel. */
  ok: boolean;
}

/** `case v := <-c`; a null channel is never ready. */
export function recvCase<T>(c: Chan<T> | RecvChan<T> | null): SelectCase<T> {
  return new SelectCase<T>(dirRecv, c as HChan<T> | null, undefined);
}

/** `case c <- value`; a null channel is never ready. */
export function sendCase<T>(c: Chan<T> | SendChan<T> | null, value: T): SelectCase<T> {
  return new SelectCase<T>(dirSend, c as HChan<T> | null, value);
}

/** `default`. */
export const defaultCase: SelectCase<never> = new SelectCase<never>(dirDefault, null, undefined);

/** Poll orders are made here: a select never runs inside another. */
let pollorder = new Uint16Array(64);

class SelectOp extends Op<SelectResult> {
  cases: readonly SelectCase[] = [];
  sched: Scheduler = null as never;

  get what(): string {
    return "select";
  }

  override next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null) return probed(this, m.probe);
      g.waitOp = null;
      this.value = finishSelect(g);
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const cases = this.cases;
    this.cases = [];
    const r = trySelect(this.sched, cases);
    if (r !== null) {
      this.value = r;
      this.done = true;
      return this;
    }
    parkSelect(caller, cases, this as Op<unknown>);
    this.done = false;
    return this;
  }

  protected start(): boolean {
    return true;
  }
  protected hostScheduler(): Scheduler {
    return this.sched;
  }
  protected replace(): void {
    if (selectOp === this) selectOp = new SelectOp();
  }
}

let selectOp = new SelectOp();

/** Makes the op of a select. */
export function selectgo(sched: Scheduler, cases: readonly SelectCase[]): Operation<SelectResult> {
  if (m0.armed !== null) disarm();
  const op = selectOp;
  op.sched = sched;
  op.cases = cases;
  return arm(op);
}

/** Passes 1 and 2: does a ready case, or default, or returns null. */
function trySelect(sched: Scheduler, cases: readonly SelectCase[]): SelectResult | null {
  const n = cases.length;
  if (n > pollorder.length) pollorder = new Uint16Array(Math.min(65536, n * 2));
  const order = pollorder;
  let norder = 0;
  let dflt = -1;
  for (let i = 0; i < n; i++) {
    const k = cases[i];
    if (k.c === null) {
      if (k.dir === dirDefault) dflt = i;
      continue;
    }
    const j = norder === 0 ? 0 : sched.randn(norder + 1);
    order[norder++] = order[j];
    order[j] = i;
  }
  for (let i = 0; i < norder; i++) {
    const index = order[i];
    const k = cases[index];
    const c = k.c!;
    if (k.dir === dirRecv) {
      const v = c.recvNow();
      if (v !== none) return { index, value: v, ok: true };
      if (c.closed) return { index, value: undefined, ok: false };
    } else if (c.sendNow(k.value)) {
      return { index, value: undefined, ok: false };
    }
  }
  return dflt < 0 ? null : { index: dflt, value: undefined, ok: false };
}

/** Pass 3. */
function parkSelect(g: G, cases: readonly SelectCase[], op: Op<unknown>): void {
  const n = cases.length;
  g.param = null;
  let last: Sudog | null = null;
  for (let i = 0; i < n; i++) {
    const k = cases[i];
    const c = k.c;
    if (c === null) continue;
    const sg = acquireSudog(g);
    sg.isSelect = true;
    sg.index = i;
    if (last === null) g.waiting = sg;
    else last.waitlink = sg;
    last = sg;
    if (k.dir === dirRecv) {
      c.recvq.enqueue(sg);
      if (c.timer !== null) {
        sg.timer = c.timer;
        c.timer.blockTimerChan();
      }
    } else {
      sg.elem = k.value;
      sg.sending = true;
      c.sendq.enqueue(sg);
    }
  }
  gopark(g, op, selectReason(cases));
}

function selectReason(cases: readonly SelectCase[]): number {
  if (cases.length === 0) return waitReasonSelectNoCases;
  if (cases.length > 1) return waitReasonSelect;
  const k = cases[0];
  if (k.dir === dirRecv) return k.c === null ? waitReasonChanReceiveNilChan : waitReasonChanReceive;
  return k.c === null ? waitReasonChanSendNilChan : waitReasonChanSend;
}

/** Leaves the queues of the cases that lost, and gives the result of the one that won. */
function finishSelect(g: G): SelectResult {
  const win = g.param!;
  g.param = null;
  const index = win.index;
  const value = win.elem;
  const ok = win.success;
  const sent = win.sending;
  let sg = g.waiting;
  g.waiting = null;
  while (sg !== null) {
    const next = sg.waitlink;
    if (sg.q !== null) sg.q.remove(sg);
    releaseSudog(sg);
    sg = next;
  }
  if (sent) {
    if (!ok) throw new PlainError("send on closed channel", "ERR_GORT_SEND_ON_CLOSED_CHANNEL");
    return { index, value: undefined, ok: false };
  }
  return { index, value, ok };
}
