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
 * A nil channel takes no part. A select of one case without default is the same as the plain operation, also in its
 * wait reason. A select without cases blocks for ever.
 */

import { PlainError } from "@gort/base";
import { HChan, isForeignChan } from "./chan.ts";
import { type Chan, none, type RecvChan, type SendChan } from "./chan-types.ts";
import { otherCopy } from "./errors.ts";
import { arm, begin, disarm, gopark, notResumed, Op, type Operation } from "./op.ts";
import { type AnyOp, type G, Grunning, m0, type Schedt, type Sudog } from "./runtime2.ts";
import { acquireSudog, releaseSudog } from "./sudog-cache.ts";
import {
  waitReasonChanReceive,
  waitReasonChanReceiveNilChan,
  waitReasonChanSend,
  waitReasonChanSendNilChan,
  waitReasonSelect,
  waitReasonSelectNoCases,
} from "./wait-reasons.ts";

const DIR_RECV = 0;
const DIR_SEND = 1;
const DIR_DEFAULT = 2;

/** Largest number of cases, as of Go's reflect.Select. A longer list is a mistake in the program. */
const MAX_CASES = 65536;

export type CaseKind = "recv" | "send" | "default";

declare const kindOf: unique symbol;

/** One case of a select. It can be used again; `value` of a send case can be set before each use. */
export class SelectCase<T = unknown, K extends CaseKind = CaseKind> {
  /** The kind of the case. It exists in the type only. */
  declare readonly [kindOf]?: K;
  readonly dir: number;
  readonly c: HChan<T> | null;
  value: T | undefined;

  constructor(dir: number, c: HChan<T> | null, value: T | undefined) {
    this.dir = dir;
    this.c = c;
    this.value = value;
  }
}

export type RecvCase<T> = SelectCase<T, "recv">;
export type SendCase<T> = SelectCase<T, "send">;
export type DefaultCase = SelectCase<never, "default">;

/** The union of the values that the receive cases of a list can give. */
export type CaseValue<C extends readonly SelectCase[]> = C[number] extends infer E
  ? E extends SelectCase<infer T, infer K>
    ? "recv" extends K
      ? T
      : never
    : never
  : never;

/**
 * The result of a select. `index` is the position of the chosen case in the list, `value` is the received value. `ok`
 * is false for send cases and default, and for a receive case if its channel is closed and drained.
 */
export type SelectResult<T = unknown, I extends number = number> =
  | { index: I; value: T; ok: true }
  | { index: I; value: undefined; ok: false };

/** The results that a list of cases can have. If the list is a tuple, `index` discriminates them. */
export type SelectResultOf<C extends readonly SelectCase[]> = number extends C["length"]
  ? SelectResult<CaseValue<C>>
  : { [I in keyof C]: ResultAt<C[I], I> }[number];

type ResultAt<E, I> = I extends `${infer N extends number}`
  ? E extends SelectCase<infer T, infer K>
    ? "recv" extends K
      ? SelectResult<T, N>
      : { index: N; value: undefined; ok: false }
    : never
  : never;

/** `case v := <-c`; a null channel is never ready. */
export function recvCase<T>(c: Chan<T> | RecvChan<T> | null): RecvCase<T> {
  return new SelectCase<T, "recv">(DIR_RECV, c instanceof HChan ? c : caseChan(c, "recvCase"), undefined);
}

/** `case c <- value`; a null channel is never ready. */
export function sendCase<T>(c: Chan<T> | SendChan<T> | null, value: T): SendCase<T> {
  return new SelectCase<T, "send">(DIR_SEND, c instanceof HChan ? c : caseChan(c, "sendCase"), value);
}

/** Returns null for a nil channel, and throws for a value that is no channel of this package. */
function caseChan(c: unknown, what: string): null {
  if (c === null) return null;
  if (isForeignChan(c)) throw new TypeError(`scheduler: ${what}: the channel ${otherCopy}`);
  throw new TypeError(`scheduler: ${what}: c must be a channel or null (got ${shown(c)})`);
}

/** `default`. */
export const defaultCase: DefaultCase = new SelectCase<never, "default">(DIR_DEFAULT, null, undefined);

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
      this.value = finishSelect(g);
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const cases = this.cases;
    this.cases = noCases;
    const r = trySelect(this.sched, cases);
    if (r !== null) {
      this.value = r;
      this.done = true;
      return this;
    }
    parkSelect(caller, cases, this);
    this.done = false;
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
      if (k.dir !== DIR_DEFAULT) continue;
      if (dflt >= 0) throw new TypeError(`scheduler: select: two default cases (at ${dflt} and ${i})`);
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

/** Marks cases of all copies of the package: see isForeignChan. */
const caseBrand = Symbol.for("gort.SelectCase");
Object.defineProperty(SelectCase.prototype, caseBrand, { value: true });

function badCase(k: unknown, i: number): TypeError {
  if (typeof k === "object" && k !== null && caseBrand in k) {
    return new TypeError(`scheduler: select: case ${i} ${otherCopy}`);
  }
  return new TypeError(
    `scheduler: select: case ${i} must be made by recvCase or sendCase, or be defaultCase (got ${shown(k)})`,
  );
}

/** A value in a message: its kind, and what it is if that is short. */
function shown(x: unknown): string {
  return typeof x === "object" && x !== null
    ? "an object"
    : typeof x === "function"
      ? "a function"
      : String(x);
}

/** Step 3, in the poll order that trySelect has made. */
function parkSelect(g: G, cases: readonly SelectCase[], op: AnyOp): void {
  const order = pollorder;
  const n = norder;
  g.param = null;
  let last: Sudog | null = null;
  for (let i = 0; i < n; i++) {
    const index = order[i];
    const k = cases[index];
    const c = k.c!;
    const sg = acquireSudog(g);
    sg.isSelect = true;
    sg.index = index;
    if (last === null) g.waiting = sg;
    else last.waitlink = sg;
    last = sg;
    if (k.dir === DIR_RECV) {
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
  if (k.dir === DIR_RECV) return k.c === null ? waitReasonChanReceiveNilChan : waitReasonChanReceive;
  return k.c === null ? waitReasonChanSendNilChan : waitReasonChanSend;
}

/** Takes the sudogs out of the other queues, and returns the result of the case that won. */
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
  return { index, value, ok } as SelectResult;
}
