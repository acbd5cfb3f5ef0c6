/**
 * Channels.
 *
 * A channel is a ring of `dataqsiz` values and two queues of waiting goroutines. At least one of `sendq` and `recvq` is
 * empty, except that a goroutine may wait in both in one select. Further:
 *
 *     recvq not empty  =>  qcount == 0            (a receiver never waits beside a value)
 *     sendq not empty  =>  qcount == dataqsiz     (a sender never waits beside a free slot)
 *     closed           =>  both queues are empty
 *
 * A send therefore goes, in this order:
 *   1. closed: panic;
 *   2. a receiver waits: hand it the value directly, past the ring, and ready it;
 *   3. a free slot: store the value;
 *   4. park in `sendq`, the value in the sudog.
 * A receive:
 *   1. values in the ring: take the oldest; if a sender waits, its value takes the freed slot and it is readied, so
 *      that the order of values is always the order of sends;
 *   2. a sender waits (unbuffered): take its value, ready it;
 *   3. closed: the zero value, which is `undefined`;
 *   4. park in `recvq`; a partner, or close, fills the sudog.
 * A readied goroutine goes to `runnext`: the partner of a hand-off runs as soon as this goroutine blocks. close()
 * readies all waiters; receivers get the zero value and senders panic.
 *
 * A goroutine runs until it suspends, and only one thread touches a channel of JavaScript values. So there are no
 * locks, and select needs no lock order.
 *
 * Unlike Go: the ring of a very large channel grows as it fills. The channel of a timer (`timer` set) computes its
 * value when an operation looks at it (time.ts).
 */

import { PlainError, wrongNumber } from "@gort/base";
import { type Chan, type None, none, type RecvResult, type TryRecvResult } from "./chan-types.ts";
import { usedAfterClose } from "./errors.ts";
import { checkFunction, checkResult, type NotAsync } from "./functions.ts";
import { inspectCustom } from "./inspect.ts";
import {
  arm,
  begin,
  disarm,
  gopark,
  isBody,
  notResumed,
  Op,
  type Operation,
  PhasedOp,
  unpark,
} from "./op.ts";
import { type AnyOp, type ChanTimer, type G, Grunning, m0, type Schedt, WaitQ } from "./runtime2.ts";
import { acquireSudog } from "./sudog-cache.ts";
import { waitReasonChanReceive, waitReasonChanSend } from "./wait-reasons.ts";

/** Length of a new ring at most. The ring of a larger channel grows up to its capacity. */
const EAGER_RING = 1024;
/** The largest length of an array. */
const MAX_CAPACITY = 2 ** 32 - 1;

export class HChan<T> implements Chan<T> {
  readonly sched: Schedt;
  qcount = 0;
  readonly dataqsiz: number;
  sendx = 0;
  recvx = 0;
  closed = false;
  buf: (T | undefined)[];
  /** Slots in `buf`; less than `dataqsiz` while a large ring is still growing. */
  ringSize: number;
  readonly recvq = new WaitQ();
  readonly sendq = new WaitQ();
  timer: ChanTimer | null = null;

  constructor(sched: Schedt, size: number) {
    this.sched = sched;
    this.dataqsiz = size;
    this.ringSize = Math.min(size, EAGER_RING);
    const buf: (T | undefined)[] = [];
    for (let i = 0; i < this.ringSize; i++) buf.push(undefined);
    this.buf = buf;
  }

  get length(): number {
    // A timer's channel is unbuffered to the user: stop and reset may still take back the value in it.
    return this.timer !== null ? 0 : this.qcount;
  }

  get capacity(): number {
    return this.timer !== null ? 0 : this.dataqsiz;
  }

  toString(): string {
    return `chan(len ${this.length}, cap ${this.capacity}${this.closed ? ", closed" : ""})`;
  }

  toJSON(): { len: number; cap: number; closed: boolean } {
    return { len: this.length, cap: this.capacity, closed: this.closed };
  }

  [inspectCustom](): string {
    return this.toString();
  }

  send(value: T): Operation<void> {
    const m = m0;
    if (m.armed !== null) disarm();
    const op = sendOp as unknown as SendOp<T>;
    op.c = this;
    op.elem = value;
    return arm(op);
  }

  recv(): Operation<T | undefined> {
    const m = m0;
    if (m.armed !== null) disarm();
    const op = recvOp as unknown as RecvOp<T>;
    op.c = this;
    return arm(op);
  }

  recv2(): Operation<RecvResult<T>> {
    if (m0.armed !== null) disarm();
    const op = recv2Op as unknown as Recv2Op<T>;
    op.c = this;
    return arm(op);
  }

  trySend(value: T): boolean {
    if (this.sched.closed) throw usedAfterClose("trySend");
    return this.sendNow(value);
  }

  tryRecv(): TryRecvResult<T> {
    if (this.sched.closed) throw usedAfterClose("tryRecv");
    const v = this.recvNow();
    if (v !== none) return { value: v, ok: true, received: true };
    return { value: undefined, ok: false, received: this.closed };
  }

  *forEach<R>(f: (value: T) => NotAsync<R>): Generator<undefined, void, unknown> {
    checkFunction("forEach", f);
    for (;;) {
      let v: T | None | undefined = this.recvNow();
      if (v === none) {
        v = yield* this.recvOrNone();
        if (v === none) return;
      }
      const r = f(v);
      if (isBody(r)) yield* r as Generator<undefined>;
      else if (typeof r === "object") checkResult("forEach", f, r);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      const r = await this.recv2();
      if (!r.ok) return;
      yield r.value;
    }
  }

  close(): void {
    if (this.closed) throw new PlainError("close of closed channel", "ERR_GORT_CLOSE_OF_CLOSED_CHANNEL");
    this.closed = true;
    // As in Go: collect all waiters before one is readied, and ready them in reverse order.
    let list: G | null = null;
    for (const q of [this.recvq, this.sendq]) {
      for (let sg = q.dequeue(); sg !== null; sg = q.dequeue()) {
        sg.elem = undefined;
        sg.success = false;
        sg.g.schedlink = list;
        list = sg.g;
      }
    }
    while (list !== null) {
      const g: G = list;
      list = g.schedlink;
      g.schedlink = null;
      g.sched.ready(g);
    }
  }

  /** As recv, but gives `none` when the channel is closed and drained. */
  recvOrNone(): Operation<T | None> {
    if (m0.armed !== null) disarm();
    const op = rangeOp as unknown as RangeOp<T>;
    op.c = this;
    return arm(op);
  }

  /** Sends without waiting, or returns false. It has the buffered case only, so that V8 inlines it. */
  sendNow(value: T): boolean {
    const n = this.qcount;
    if (n < this.ringSize && !this.closed && this.recvq.first === null) {
      const i = this.sendx;
      this.buf[i] = value;
      this.sendx = i + 1 === this.ringSize ? 0 : i + 1;
      this.qcount = n + 1;
      return true;
    }
    return this.sendSlow(value);
  }

  private sendSlow(value: T): boolean {
    if (this.closed) throw sendOnClosed();
    const sg = this.recvq.dequeue();
    if (sg !== null) {
      sg.elem = value;
      sg.success = true;
      sg.g.sched.ready(sg.g);
      return true;
    }
    // No receiver: the selects of all waiters have chosen other cases, or the ring is full and may have to grow.
    return this.qcount < this.ringSize || (this.qcount < this.dataqsiz && this.growRing())
      ? this.sendNow(value)
      : false;
  }

  /** Receives without waiting. Returns `none` if the channel is empty, whether it is closed or not. */
  recvNow(): T | None {
    return this.qcount > 0 && this.sendq.first === null && this.timer === null
      ? this.take()
      : this.recvSlow();
  }

  /** Takes the oldest value out of the ring, which is not empty. */
  private take(): T {
    const i = this.recvx;
    const v = this.buf[i] as T;
    this.buf[i] = undefined;
    this.recvx = i + 1 === this.ringSize ? 0 : i + 1;
    this.qcount--;
    return v;
  }

  private recvSlow(): T | None {
    // Run the timer first, as Go does: a tick that is due while the buffer is full is dropped.
    this.timer?.maybeRunChan();
    const sg = this.sendq.dequeue();
    if (sg !== null) {
      let v: T;
      if (this.qcount === 0) {
        v = sg.elem as T;
      } else {
        // The ring is full, so the slot of the oldest value is also the next to write.
        const i = this.recvx;
        v = this.buf[i] as T;
        this.buf[i] = sg.elem as T;
        this.recvx = i + 1 === this.ringSize ? 0 : i + 1;
        this.sendx = this.recvx;
      }
      sg.elem = undefined;
      sg.success = true;
      sg.g.sched.ready(sg.g);
      return v;
    }
    return this.qcount > 0 ? this.take() : none;
  }

  /** Doubles the ring of a large channel. The ring is full, so the oldest value is at `recvx`. */
  private growRing(): boolean {
    const old = this.buf;
    const n = old.length;
    const size = Math.min(n * 2, this.dataqsiz);
    const buf: (T | undefined)[] = [];
    for (let i = 0; i < n; i++) buf.push(old[(this.recvx + i) % n]);
    for (let i = n; i < size; i++) buf.push(undefined);
    this.buf = buf;
    this.ringSize = size;
    this.recvx = 0;
    this.sendx = n;
    return true;
  }
}

/** Marks channels of all copies of the package, so that an error can name a foreign channel as such. */
const chanBrand = Symbol.for("gort.HChan");
Object.defineProperty(HChan.prototype, chanBrand, { value: true });

export function isForeignChan(x: unknown): boolean {
  return typeof x === "object" && x !== null && chanBrand in x && !(x instanceof HChan);
}

export function sendOnClosed(): PlainError {
  return new PlainError("send on closed channel", "ERR_GORT_SEND_ON_CLOSED_CHANNEL");
}

/** Parks `g` in one queue. */
function enqueue(g: G, q: WaitQ, elem: unknown): void {
  const sg = acquireSudog(g);
  sg.elem = elem;
  g.waiting = sg;
  q.enqueue(sg);
}

class SendOp<T> extends Op<void> {
  c: HChan<T> | null = null;
  elem: T | undefined = undefined;

  get what(): string {
    return "chan send";
  }

  next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null || g.atomicstatus !== Grunning) return notResumed(this, g);
      g.waitOp = null;
      const ok = g.waiting!.success;
      unpark(g);
      if (!ok) throw sendOnClosed();
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const c = this.c!;
    const elem = this.elem as T;
    this.c = null;
    this.elem = undefined;
    if (c.sendNow(elem)) {
      this.done = true;
      return this;
    }
    enqueue(caller, c.sendq, elem);
    gopark(caller, this, waitReasonChanSend);
    this.done = false;
    return this;
  }

  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (sendOp === (this as unknown)) sendOp = new SendOp();
  }
}

class RecvOp<T> extends Op<T | undefined> {
  c: HChan<T> | null = null;

  get what(): string {
    return "chan receive";
  }

  next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null || g.atomicstatus !== Grunning) return notResumed(this, g);
      g.waitOp = null;
      this.value = g.waiting!.elem as T;
      unpark(g);
      this.done = true;
      return this;
    }
    const caller = begin(this);
    const c = this.c!;
    this.c = null;
    const v = c.recvNow();
    if (v !== none) {
      this.value = v;
      this.done = true;
      return this;
    }
    if (c.closed) {
      this.value = undefined;
      this.done = true;
      return this;
    }
    parkRecv(caller, c, this);
    this.done = false;
    return this;
  }

  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (recvOp === (this as unknown)) recvOp = new RecvOp();
  }
}

function parkRecv<T>(g: G, c: HChan<T>, op: AnyOp): void {
  enqueue(g, c.recvq, undefined);
  if (c.timer !== null) {
    g.waiting!.timer = c.timer;
    c.timer.blockTimerChan();
  }
  gopark(g, op, waitReasonChanReceive);
}

class Recv2Op<T> extends PhasedOp<RecvResult<T>> {
  c: HChan<T> | null = null;
  get what(): string {
    return "chan receive";
  }
  protected start(g: G): boolean {
    const c = this.c!;
    this.c = null;
    const v = c.recvNow();
    if (v !== none) {
      this.value = { value: v, ok: true };
      return true;
    }
    if (c.closed) {
      this.value = { value: undefined, ok: false };
      return true;
    }
    parkRecv(g, c, this);
    return false;
  }
  protected override finish(g: G): boolean {
    const sg = g.waiting!;
    this.value = { value: sg.elem, ok: sg.success } as RecvResult<T>;
    unpark(g);
    return true;
  }
  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (recv2Op === (this as unknown)) recv2Op = new Recv2Op();
  }
}

class RangeOp<T> extends PhasedOp<T | None> {
  c: HChan<T> | null = null;
  get what(): string {
    return "chan receive";
  }
  protected start(g: G): boolean {
    const c = this.c!;
    this.c = null;
    const v = c.recvNow();
    this.value = v;
    if (v !== none || c.closed) return true;
    parkRecv(g, c, this);
    return false;
  }
  protected override finish(g: G): boolean {
    const sg = g.waiting!;
    this.value = sg.success ? (sg.elem as T) : none;
    unpark(g);
    return true;
  }
  protected hostScheduler(): Schedt {
    return this.c!.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (rangeOp === (this as unknown)) rangeOp = new RangeOp();
  }
}

let sendOp: SendOp<unknown> = new SendOp();
let recvOp: RecvOp<unknown> = new RecvOp();
let recv2Op: Recv2Op<unknown> = new Recv2Op();
let rangeOp: RangeOp<unknown> = new RangeOp();

/** Makes a channel. Panics as Go's make does if the size is out of range. */
export function makechan<T>(sched: Schedt, size: number): Chan<T> {
  if (typeof size !== "number" || (!Number.isInteger(size) && Math.abs(size) !== Infinity)) {
    throw wrongNumber("scheduler", size, "channel capacity must be an integer");
  }
  if (size < 0 || size > MAX_CAPACITY) {
    throw new PlainError("makechan: size out of range", "ERR_GORT_MAKECHAN_SIZE");
  }
  return new HChan<T>(sched, size);
}
