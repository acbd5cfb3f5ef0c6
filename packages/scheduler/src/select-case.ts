/** The cases of a select, and a goroutine's places in the queues of local channels. select.ts has the essay. */

import { HChan, isForeignChan, sendOnClosed } from "./chan.ts";
import type { RecvChan, SendChan } from "./chan-types.ts";
import { otherCopy } from "./errors.ts";
import type { G, Sudog } from "./runtime2.ts";
import { SharedChan } from "./shared-chan.ts";
import { acquireSudog, releaseSudog } from "./sudog-cache.ts";

export const DIR_RECV = 0;
export const DIR_SEND = 1;
export const DIR_DEFAULT = 2;
/** A SharedCase. Its `c` is null. */
export const DIR_SHARED_RECV = 3;
export const DIR_SHARED_SEND = 4;

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

/** A case whose channel other threads share. */
export class SharedCase<T = unknown, K extends CaseKind = CaseKind> extends SelectCase<T, K> {
  readonly chan: SharedChan;

  constructor(dir: number, chan: SharedChan, value: T | undefined) {
    super(dir, null, value);
    this.chan = chan;
  }
}

/** `case v := <-c`; a null channel is never ready. */
export function recvCase<T>(c: RecvChan<T> | null): RecvCase<T> {
  if (c instanceof SharedChan) return new SharedCase<T, "recv">(DIR_SHARED_RECV, c, undefined);
  return new SelectCase<T, "recv">(DIR_RECV, c instanceof HChan ? c : caseChan(c, "recvCase"), undefined);
}

/** `case c <- value`; a null channel is never ready. */
export function sendCase<T>(c: SendChan<T> | null, value: T): SendCase<T> {
  if (c instanceof SharedChan) return new SharedCase<T, "send">(DIR_SHARED_SEND, c, value);
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

/** Marks cases of all copies of the package: see isForeignChan. */
const caseBrand = Symbol.for("gort.SelectCase");
Object.defineProperty(SelectCase.prototype, caseBrand, { value: true });

/** A value in a message: its kind, and what it is if that is short. */
export function shown(x: unknown): string {
  return typeof x === "object" && x !== null
    ? "an object"
    : typeof x === "function"
      ? "a function"
      : String(x);
}

/** Puts `g` into the queue of a case with a local channel. `last`: its previous sudog of the select, or null. */
export function joinQueue(g: G, k: SelectCase, index: number, last: Sudog | null): Sudog {
  const c = k.c!;
  const sg = acquireSudog(g);
  sg.isSelect = true;
  sg.index = index;
  if (last === null) g.waiting = sg;
  else last.waitlink = sg;
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
  return sg;
}

/** Takes the sudogs of a select out of the queues of local channels, and frees them. */
export function leaveQueues(g: G): void {
  let sg = g.waiting;
  g.waiting = null;
  while (sg !== null) {
    const next = sg.waitlink;
    if (sg.q !== null) sg.q.remove(sg);
    releaseSudog(sg);
    sg = next;
  }
}

/** The error of a list that holds something other than cases. */
export function badCase(k: unknown, i: number): TypeError {
  if (typeof k === "object" && k !== null && caseBrand in k) {
    return new TypeError(`scheduler: select: case ${i} ${otherCopy}`);
  }
  return new TypeError(
    `scheduler: select: case ${i} must be made by recvCase or sendCase, or be defaultCase (got ${shown(k)})`,
  );
}

/** The error of a list with two defaults. */
export function twoDefaults(first: number, second: number): TypeError {
  return new TypeError(`scheduler: select: two default cases (at ${first} and ${second})`);
}

/** Takes the sudogs out of the other queues, and returns the result of the case that won. */
export function finishLocal(g: G): SelectResult {
  const win = g.param!;
  g.param = null;
  const index = win.index;
  const value = win.elem;
  const ok = win.success;
  const sent = win.sending;
  leaveQueues(g);
  if (sent) {
    if (!ok) throw sendOnClosed();
    return { index, value: undefined, ok: false };
  }
  return { index, value, ok } as SelectResult;
}
