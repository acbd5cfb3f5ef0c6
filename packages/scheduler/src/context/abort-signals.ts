/** Abort signals from contexts, and contexts from abort signals. */

import { checkParent } from "./check.ts";
import { background, CancelContext, type Context, cancelContextOf, canceled, cause } from "./tree.ts";

/** The signals of contexts of the program. A context of this package keeps its own. */
const signals = new WeakMap<Context, AbortSignal>();

/**
 * The AbortSignal that is aborted when `ctx` is cancelled, with the cause of `ctx` as its reason. A context has one
 * signal, so a second call costs nothing.
 */
export function toAbortSignal(ctx: Context): AbortSignal {
  if (ctx.err() !== null) return AbortSignal.abort(cause(ctx));
  const done = ctx.done();
  if (done === null) return new AbortController().signal;
  const own = cancelContextOf(ctx, done);
  if (own !== null) return own.abortSignal();
  let signal = signals.get(ctx);
  if (signal === undefined) {
    signal = new CancelContext(ctx).abortSignal();
    signals.set(ctx, signal);
  }
  return signal;
}

/** A context that an abort of a signal cancels, besides a cancel of its parent. */
class SignalContext extends CancelContext {
  private readonly signal: AbortSignal;
  private readonly listener = () => this.cancel(canceled, this.signal.reason);
  constructor(parent: Context, signal: AbortSignal) {
    super(parent);
    this.signal = signal;
    if (this.err() !== null) return;
    if (signal.aborted) this.listener();
    else signal.addEventListener("abort", this.listener);
  }
  protected override onCancel(): void {
    // Undefined while the constructor of CancelContext runs.
    this.signal?.removeEventListener("abort", this.listener);
  }
}

const signalContexts = new WeakMap<AbortSignal, WeakMap<Context, Context>>();

/**
 * The context that is cancelled when `signal` is aborted. Its cause is the reason of the signal. A pair of signal and
 * parent has one context, so the signal gets one listener however often it is given. The listener is removed when the
 * parent is cancelled.
 */
export function fromAbortSignal(signal: AbortSignal, parent: Context = background()): Context {
  if (typeof signal !== "object" || signal === null || typeof signal.aborted !== "boolean") {
    throw new TypeError(`scheduler: fromAbortSignal needs an AbortSignal (got ${typeof signal})`);
  }
  checkParent("fromAbortSignal", parent);
  let byParent = signalContexts.get(signal);
  if (byParent === undefined) signalContexts.set(signal, (byParent = new WeakMap()));
  let ctx = byParent.get(parent);
  if (ctx === undefined) byParent.set(parent, (ctx = new SignalContext(parent, signal)));
  return ctx;
}
