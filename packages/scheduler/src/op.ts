/**
 * Ops: the operations on which a goroutine can block.
 *
 * Programs write `yield* op` in a goroutine and `await op` in host code. An op is its own iterator and its own iterator
 * result, and the thread has one op object of each kind. So an operation that completes at once allocates nothing and
 * suspends nothing.
 *
 * 1. Making an op (`c.recv()`) writes its arguments into the thread's op of that kind, and arms it: `m0.armed` refers
 *    to it.
 * 2. `yield*` calls `next()` at once. The armed op disarms itself and starts. If it completes, it returns itself with
 *    `done` true and its `value`.
 * 3. Otherwise it parks the goroutine: it sets `g.waitOp` to itself and returns itself with `done` false. That result
 *    travels up the `yield*` chain to the run loop. The G and its sudogs hold the whole state of the wait, since other
 *    goroutines go on using the op object.
 * 4. When the goroutine is resumed, `next()` sees `g.waitOp === this` and finishes.
 *
 * An op that is put aside still works: `const a = c.recv(); yield* other; yield* a`. If an op is made while another is
 * armed, the armed one is detached, and the thread gets a new object of its kind. An op that host code makes is
 * detached at once and waits for `then`.
 *
 * Only the run loop may resume a goroutine. A goroutine that calls `next()` of an op by hand parks and yet runs on. The
 * next op that it starts sees a status other than Grunning, takes the goroutine out of the queues and throws.
 *
 * A wait can be given up (`withSignal`). `cancelWait` takes the goroutine out of all queues, so that no value is handed
 * to it. A value that it would have received stays for the next receiver.
 *
 * In probe mode (`m0.probe` set) `next()` of a suspended op only reports its callers and suspends again. That is how
 * stacks of waiting goroutines are captured (gstack.ts).
 *
 * Rejected: generator methods (`*recv()`) cost a generator object for each call; an op object for each goroutine costs
 * memory and saves nothing.
 */

import { isGenerator } from "@gort/base";
import { otherCopy } from "./errors.ts";
import { inspectCustom } from "./inspect.ts";
import { rethrow } from "./rethrow.ts";
import {
  type AnyOp,
  type G,
  Gdead,
  Grunning,
  Gsyscall,
  Gwaiting,
  inForeignGoroutine,
  m0,
  type Schedt,
  type Sudog,
  type WaitQ,
} from "./runtime2.ts";
import { acquireSudog, releaseSudog } from "./sudog-cache.ts";

/** The operand of `yield*`: an op, or a generator that suspends in ops only. */
export interface Yieldable<T> {
  [Symbol.iterator](): Iterator<undefined, T, unknown>;
}

/** A blocking operation. Use it once: with `yield*` in a goroutine, or with `await` in an async function. */
export interface Operation<T> extends PromiseLike<T>, Yieldable<T> {
  /**
   * The same operation, given up when the signal is aborted: it then throws the signal's reason. An operation that is
   * given up has no effect: a value that it would have received stays in the channel. If the signal is aborted already,
   * the operation does not start.
   *
   * @throws TypeError for locks and other operations that cannot be given up
   */
  withSignal(signal: AbortSignal): Operation<T>;
}

export abstract class Op<T> {
  /** As an iterator result: whether the operation is complete. */
  done = false;
  /** As an iterator result: the result of the operation. */
  value: T = undefined as T;
  /** Detached and not used yet. */
  pending = false;

  /** A word for messages, such as `chan send`. */
  abstract readonly what: string;

  toString(): string {
    return `operation(${this.what})`;
  }

  toJSON(): { operation: string } {
    return { operation: this.what };
  }

  [inspectCustom](): string {
    return this.toString();
  }

  [Symbol.iterator](): Iterator<undefined, T, unknown> {
    return this as unknown as Iterator<undefined, T, unknown>;
  }

  /** `yield*` calls it to start the operation, and again each time the goroutine is resumed. */
  abstract next(): this;

  /** Whether cancelWait can end a wait in the op. */
  protected get cancellable(): boolean {
    return false;
  }

  /** Called when a wait in the op is given up. */
  abandoned(): void {}

  withSignal(signal: AbortSignal): Operation<T> {
    if (typeof signal !== "object" || signal === null || typeof signal.addEventListener !== "function") {
      throw new TypeError(`scheduler: withSignal: signal must be an AbortSignal (got ${String(signal)})`);
    }
    if (!this.cancellable) throw new TypeError(`scheduler: withSignal: a ${this.what} cannot be given up`);
    if (m0.armed === this) this.detach();
    if (!this.pending) throw usedTwice(this);
    return new SignalOp<T>(this, this.hostScheduler(), signal);
  }

  /** The scheduler that runs the operation when host code awaits it. */
  protected abstract hostScheduler(): Schedt;

  /** Puts a new object in the place of this one as the thread's op of its kind. */
  protected abstract replace(): void;

  /** Makes the op independent of later ops of its kind. */
  detach(): void {
    m0.armed = null;
    this.pending = true;
    this.replace();
  }

  // biome-ignore lint/suspicious/noThenProperty: an op is meant to be awaited
  then<R1 = T, R2 = never>(
    onfulfilled?: ((value: T) => R1 | PromiseLike<R1>) | null,
    onrejected?: ((reason: unknown) => R2 | PromiseLike<R2>) | null,
  ): Promise<R1 | R2> {
    if (m0.armed === this) this.detach();
    if (!this.pending) return Promise.reject(usedTwice(this)).then(onfulfilled, onrejected);
    return new Promise<T>((resolve, reject) => {
      this.hostScheduler().goHost(this, resolve, reject);
    }).then(onfulfilled, onrejected);
  }
}

/** Arms `op`, which was just made, and returns it. In host code it is detached. */
export function arm<O extends Op<unknown>>(op: O): O {
  m0.armed = op;
  if (m0.curg === null) op.detach();
  return op;
}

/**
 * Detaches the armed op. Call it before an op gets new arguments: code that holds the armed op can then still use it.
 */
export function disarm(): void {
  m0.armed?.detach();
}

/**
 * Checks that `op` may start, disarms it and returns its goroutine. A goroutine that has closed its scheduler is dead,
 * but runs on and may start ops.
 */
export function begin(op: Op<unknown>): G {
  const m = m0;
  if (m.armed === op) m.armed = null;
  else if (op.pending) op.pending = false;
  else throw usedTwice(op);
  const g = m.curg;
  if (g === null) {
    op.pending = true;
    throw new TypeError(
      inForeignGoroutine()
        ? `scheduler: a ${op.what} in a goroutine that ${otherCopy}`
        : `scheduler: yield* on a ${op.what} outside of a goroutine (start it with go, or await the op)`,
    );
  }
  if (g.atomicstatus !== Grunning && g.atomicstatus !== Gdead) throw byHand(g);
  return g;
}

/** Ends a wait of the running goroutine that a call of `next()` by hand has begun, and returns the error to throw. */
export function byHand(g: G): TypeError {
  const what = g.waitOp === null ? "op" : `${g.waitOp.what} op`;
  takeBack(g);
  return new TypeError(
    `scheduler: next() of a ${what} was called by hand; ` +
      "an op is used with yield* (or await), which suspends the goroutine",
  );
}

/** Ends a wait of the running goroutine, which goes on: the operation that has begun the wait fails. */
export function takeBack(g: G): void {
  g.sched.unqueue(g);
  cancelWait(g);
  g.atomicstatus = Grunning;
}

/** Takes a waiting goroutine out of all queues, so that nothing wakes it. */
export function cancelWait(g: G): void {
  const { sched } = g;
  if (g.atomicstatus === Gsyscall) sched.leaveSyscall(g);
  if (g.timer !== null && g.timer.index >= 0) sched.timers.remove(g.timer);
  let sg = g.waiting;
  g.waiting = null;
  g.param = null;
  while (sg !== null) {
    const next = sg.waitlink;
    if (sg.q !== null) sg.q.remove(sg);
    releaseSudog(sg);
    sg = next;
  }
  if (g.shared !== null) g.shared.abandon();
  const op = g.waitOp;
  g.waitOp = null;
  if (op !== null) op.abandoned();
}

function usedTwice(op: AnyOp): TypeError {
  return new TypeError(
    `scheduler: ${op.what} op used twice; an op is used once, at the place where it is made`,
  );
}

/**
 * For `next()` of the op in which `g` is suspended, if `g` is not resumed. In probe mode it reports the stack of `g`,
 * which stays suspended. Otherwise a goroutine has called `next()` by hand, and it throws.
 */
export function notResumed<O extends Op<unknown>>(op: O, g: G): O {
  const { probe } = m0;
  if (probe === null) throw byHand(g);
  probe(op);
  op.done = false;
  return op;
}

/** Marks `g` as waiting in `op`. Code that wakes it calls `g.sched.ready(g)`. */
export function gopark(g: G, op: AnyOp, reason: number): void {
  g.atomicstatus = Gwaiting;
  g.waitreason = reason;
  g.waitOp = op;
  const s = g.sched;
  g.waitsince = s.coarseSec;
  if (s.blockProfileEnabled) g.blockStart = s.clock.now();
}

/** Parks `g` at the tail (or the head) of a queue. */
export function parkIn(g: G, op: AnyOp, q: WaitQ, reason: number, atHead = false): Sudog {
  const sg = acquireSudog(g);
  g.waiting = sg;
  if (atHead) q.pushFront(sg);
  else q.enqueue(sg);
  gopark(g, op, reason);
  return sg;
}

/** Releases the single sudog of a wait that is over. */
export function unpark(g: G): void {
  const sg = g.waiting!;
  g.waiting = null;
  releaseSudog(sg);
}

/** Readies the first waiter, and returns whether there was one. */
export function wakeOne(q: WaitQ): boolean {
  const sg = q.dequeue();
  if (sg === null) return false;
  sg.success = true;
  sg.g.sched.ready(sg.g);
  return true;
}

/**
 * An op in two phases. Its `next()` serves many classes, so V8 cannot inline `start` and `finish`. SendOp, RecvOp,
 * SelectOp and GoschedOp therefore have a `next()` of their own with the same steps. With this one a buffered send
 * costs 1.75 times as much, an unbuffered one and gosched 1.5 times, a select 1.3 times.
 */
export abstract class PhasedOp<T> extends Op<T> {
  next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null || g.atomicstatus !== Grunning) return notResumed(this, g);
      g.waitOp = null;
      this.done = this.finish(g);
      return this;
    }
    this.done = this.start(begin(this));
    return this;
  }

  /** Does the operation, or parks `g` and returns false. */
  protected abstract start(g: G): boolean;

  /** Sets `value` after a wait, or throws into the goroutine, or parks it again and returns false. */
  protected finish(_g: G): boolean {
    return true;
  }
}

/**
 * An op with an object of its own, which is never shared. For operations that are rare or slow by nature.
 */
export abstract class OwnOp<T> extends PhasedOp<T> {
  constructor() {
    super();
    this.pending = true;
  }
  protected override replace(): void {}
}

/** An op that a signal can end. It waits in another op, but `g.waitOp` is this one. */
class SignalOp<T> extends OwnOp<T> {
  private readonly inner: Op<T>;
  private readonly sched: Schedt;
  private readonly signal: AbortSignal;
  private listener: (() => void) | null = null;
  private aborted = false;

  constructor(inner: Op<T>, sched: Schedt, signal: AbortSignal) {
    super();
    this.inner = inner;
    this.sched = sched;
    this.signal = signal;
  }

  get what(): string {
    return this.inner.what;
  }

  protected override get cancellable(): boolean {
    return true;
  }

  protected start(g: G): boolean {
    if (this.signal.aborted) {
      this.inner.pending = false;
      rethrow(this.signal.reason, this.next);
    }
    return this.step(g);
  }

  protected override finish(g: G): boolean {
    this.unlisten();
    if (this.aborted) rethrow(this.signal.reason, this.next);
    g.waitOp = this.inner;
    return this.step(g);
  }

  private step(g: G): boolean {
    if (this.inner.next().done) {
      this.value = this.inner.value;
      return true;
    }
    g.waitOp = this;
    const id = g.goid;
    this.listener = () => {
      // If `g` was readied before the abort, the operation has happened.
      const waits = g.atomicstatus === Gwaiting || g.atomicstatus === Gsyscall;
      if (g.goid !== id || g.waitOp !== this || !waits) return;
      // A goroutine of another thread may have completed the operation, so that `g` will be readied.
      if (g.shared !== null && !g.shared.cancel()) return;
      this.aborted = true;
      cancelWait(g);
      g.waitOp = this;
      g.atomicstatus = Gwaiting;
      g.sched.ready(g);
    };
    try {
      this.signal.addEventListener("abort", this.listener);
    } catch (e) {
      this.listener = null;
      takeBack(g);
      throw e;
    }
    return false;
  }

  private unlisten(): void {
    if (this.listener !== null) this.signal.removeEventListener("abort", this.listener);
    this.listener = null;
  }

  override abandoned(): void {
    this.unlisten();
    this.inner.abandoned();
  }

  protected hostScheduler(): Schedt {
    return this.sched;
  }
}

/** What the iterators of maps, arrays, strings and iterator helpers print as. */
const BUILT_IN_ITERATOR = /^\[object (?:.+ Iterator|Iterator Helper)\]$/;

/**
 * Reports whether `x`, which a function has returned, is the body of a goroutine: a generator, an op, which is its own
 * iterator, or an iterator written by hand. The engine's own iterators, such as that of a `Map`, are ordinary results.
 */
export function isBody(x: unknown): x is Generator<undefined, unknown, unknown> {
  if (isGenerator(x) || x instanceof Op) return true;
  // `in` comes first: proxies such as those of assertion libraries throw when a missing property is read.
  if (typeof x !== "object" || x === null || !("next" in x) || typeof x.next !== "function") return false;
  return !BUILT_IN_ITERATOR.test(Object.prototype.toString.call(x));
}
