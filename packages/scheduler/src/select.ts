/**
 * select.
 *
 * 1. Shuffle the cases with a channel into a poll order. Each permutation is equally likely, so that no ready case is
 *    preferred.
 * 2. Perform the first case in poll order that can proceed.
 * 3. If there is none, take `default` if it is a case. Otherwise put a sudog into the queue of each case and park. The
 *    first partner that dequeues one of the sudogs makes it the winner (`g.param`). WaitQ.dequeue skips the others, and
 *    they are removed when the goroutine runs again. The sudogs enter the queues in poll order, so that two cases with
 *    the same channel are equally likely to win.
 *
 * Channels that other threads share need more: select-shared.ts.
 *
 * A nil channel takes no part. A select of one case without default is the same as the plain operation, also in its
 * wait reason. A select without cases blocks for ever.
 */

import { none } from "./chan-types.ts";
import { arm, begin, disarm, gopark, notResumed, Op, type Operation } from "./op.ts";
import { type AnyOp, type G, Grunning, m0, type Schedt, type Sudog } from "./runtime2.ts";
import {
  badCase,
  DIR_DEFAULT,
  DIR_RECV,
  DIR_SHARED_RECV,
  DIR_SHARED_SEND,
  finishLocal,
  joinQueue,
  SelectCase,
  type SelectResult,
  shown,
  twoDefaults,
} from "./select-case.ts";
import { finishShared, selectShared } from "./select-shared.ts";
import {
  waitReasonChanReceive,
  waitReasonChanReceiveNilChan,
  waitReasonChanSend,
  waitReasonChanSendNilChan,
  waitReasonSelect,
  waitReasonSelectNoCases,
} from "./wait-reasons.ts";

/** Largest number of cases, as of Go's reflect.Select. A longer list is a mistake in the program. */
const MAX_CASES = 65536;

const noCases: readonly SelectCase[] = [];

/** The poll order of the running select. One array serves all, since a select never runs inside another. */
let pollorder = new Uint16Array(64);
/** Cases in `pollorder`. */
let norder = 0;

class SelectOp extends Op<SelectResult> {
  cases: readonly SelectCase[] = noCases;
  sched: Schedt = null as never;

  get what(): string {
    return "select";
  }

  next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null || g.atomicstatus !== Grunning) return notResumed(this, g);
      g.waitOp = null;
      this.value = g.shared === null ? finishLocal(g) : finishShared(g);
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const cases = this.cases;
    this.cases = noCases;
    const r = trySelect(this.sched, cases);
    if (r === withSharedCases) return this.nextShared(caller, cases);
    if (r !== null) {
      this.value = r;
      this.done = true;
      return this;
    }
    parkSelect(caller, cases, this);
    this.done = false;
    return this;
  }

  private nextShared(g: G, cases: readonly SelectCase[]): this {
    const r = selectShared(this.sched, g, cases);
    if (r !== null) this.value = r;
    else gopark(g, this, selectReason(cases));
    this.done = r !== null;
    return this;
  }

  protected hostScheduler(): Schedt {
    return this.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (selectOp === this) selectOp = new SelectOp();
  }
}

let selectOp = new SelectOp();

/** Returns the op of a select. */
export function selectgo(sched: Schedt, cases: readonly SelectCase[]): Operation<SelectResult> {
  if (!Array.isArray(cases)) {
    throw new TypeError(`scheduler: select: cases must be an array (got ${shown(cases)})`);
  }
  if (cases.length > MAX_CASES) {
    throw new RangeError(`scheduler: select: too many cases (got ${cases.length}, at most ${MAX_CASES})`);
  }
  if (m0.armed !== null) disarm();
  const op = selectOp;
  op.sched = sched;
  op.cases = cases;
  return arm(op);
}

/** An answer of trySelect: a channel of the cases is shared, and nothing was done. */
const withSharedCases = {} as SelectResult;

/** Steps 1 and 2: performs a ready case or default, or returns null. */
function trySelect(sched: Schedt, cases: readonly SelectCase[]): SelectResult | null {
  const n = cases.length;
  if (n > pollorder.length) pollorder = new Uint16Array(Math.min(MAX_CASES, n * 2));
  const order = pollorder;
  let len = 0;
  let dflt = -1;
  for (let i = 0; i < n; i++) {
    const k = cases[i];
    if (!(k instanceof SelectCase)) throw badCase(k, i);
    if (k.c === null) {
      if (k.dir > DIR_DEFAULT) return withSharedCases;
      if (k.dir !== DIR_DEFAULT) continue;
      if (dflt >= 0) throw twoDefaults(dflt, i);
      dflt = i;
      continue;
    }
    const j = len === 0 ? 0 : sched.randn(len + 1);
    order[len++] = order[j];
    order[j] = i;
  }
  norder = len;
  for (let i = 0; i < len; i++) {
    const index = order[i];
    const k = cases[index];
    const c = k.c!;
    if (k.dir === DIR_RECV) {
      const v = c.recvNow();
      if (v !== none) return { index, value: v, ok: true };
      if (c.closed) return { index, value: undefined, ok: false };
    } else if (c.sendNow(k.value)) {
      return { index, value: undefined, ok: false };
    }
  }
  return dflt < 0 ? null : { index: dflt, value: undefined, ok: false };
}

/** Step 3, in the poll order that trySelect has made. */
function parkSelect(g: G, cases: readonly SelectCase[], op: AnyOp): void {
  const order = pollorder;
  const n = norder;
  g.param = null;
  let last: Sudog | null = null;
  for (let i = 0; i < n; i++) {
    const index = order[i];
    last = joinQueue(g, cases[index], index, last);
  }
  gopark(g, op, selectReason(cases));
}

function selectReason(cases: readonly SelectCase[]): number {
  if (cases.length === 0) return waitReasonSelectNoCases;
  if (cases.length > 1) return waitReasonSelect;
  const k = cases[0];
  if (k.dir === DIR_SHARED_RECV) return waitReasonChanReceive;
  if (k.dir === DIR_SHARED_SEND) return waitReasonChanSend;
  if (k.dir === DIR_RECV) return k.c === null ? waitReasonChanReceiveNilChan : waitReasonChanReceive;
  return k.c === null ? waitReasonChanSendNilChan : waitReasonChanSend;
}
