/**
 * `@gort/scheduler/context`: deadlines, cancellation and values that travel with a task.
 *
 * Contexts form a tree. Cancelling one cancels all below it: its `done()` channel is closed, `err()` says why and
 * `cause()` gives the reason in the user's words. A context that is never cancelled has no channel at all, so waiting for it
 * is waiting for a null channel.
 *
 * Chains of contexts may be deep, so nothing recurses along them: value, err, done and toString walk upwards in a loop, and
 * cancel walks the tree below with a list. A cancel first marks and closes everything below, then runs what hangs on it
 * (timers, afterFunc, abort signals): the program's code finds the whole tree cancelled.
 *
 *     parent's kind                                  how a child hears of its cancel
 *     a context of this package, also inside a       it is among the children of that context
 *     context of the program's own with its `done`
 *     one that is cancelled already                  at once, as it is made
 *     one with a method `afterFunc`                  that method calls the child; its stop is called when the child ends first
 *     any other                                      a goroutine waits for `done`
 */

import type { Chan, RecvChan } from "./chan.ts";
import { durationText, timeText, valueText } from "./context-text.ts";
import { currentScheduler } from "./default.ts";
import { kindOf } from "./errors.ts";
import { checkFunction, type NotAsync } from "./functions.ts";
import { panic } from "./panic.ts";
import type { Scheduler } from "./proc.ts";
import { recvCase } from "./select.ts";
import { checkDuration, type Timer } from "./time.ts";

export interface Context {
  /** When it will be cancelled at the latest, in ms since 1970; null if never. */
  deadline(): number | null;
  /** Closed when it is cancelled; null if that never happens. */
  done(): RecvChan<never> | null;
  /** Why it is cancelled: `canceled`, or `deadlineExceeded`. Null while it is not. */
  err(): Error | null;
  /** The value under `key`, here or above. */
  value(key: unknown): unknown;
}

/** A context of the program's own that can call a function when it is cancelled, so that its children need no goroutine. */
export interface AfterFuncer extends Context {
  /** Calls `f` once it is cancelled. The function returned prevents that, and says whether it did. */
  afterFunc(f: () => void): () => boolean;
}

export type CancelFunc = () => void;
export type CancelCauseFunc = (cause: unknown) => void;

class ContextError extends Error {}
Object.defineProperty(ContextError.prototype, "name", { value: "ContextError" });

class DeadlineExceededError extends ContextError {
  readonly timeout = true;
}

/** What err gives after a cancel. */
export const canceled: Error = new ContextError("context canceled");
/** What err gives after the deadline. */
export const deadlineExceeded: Error = new DeadlineExceededError("context deadline exceeded");

class EmptyContext implements Context {
  private readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
  deadline(): null {
    return null;
  }
  done(): null {
    return null;
  }
  err(): null {
    return null;
  }
  value(): undefined {
    return undefined;
  }
  toString(): string {
    return this.name;
  }
}

const backgroundCtx = new EmptyContext("context.Background");
const todoCtx = new EmptyContext("context.TODO");

/** The root of all contexts: never cancelled, without values. */
export function background(): Context {
  return backgroundCtx;
}

/** As background, where it is not yet clear which context to use. */
export function todo(): Context {
  return todoCtx;
}

/** Asking a context for this key gives the nearest one that can be cancelled. */
const cancelKey: unique symbol = Symbol("cancelCtx");

class CancelContext implements Context {
  readonly parent: Context;
  protected readonly sched: Scheduler;
  private readonly c: Chan<never>;
  private readonly children = new Set<CancelContext>();
  private error: Error | null = null;
  private reason: unknown = null;
  /** The context among whose children it is. */
  private above: CancelContext | null = null;
  /** Takes it off a parent that would call it. */
  private unhook: (() => unknown) | null = null;
  /** Aborted with this context: see toAbortSignal. */
  private controller: AbortController | null = null;

  constructor(parent: Context) {
    this.parent = parent;
    this.sched = currentScheduler();
    this.c = this.sched.makeChan<never>();
    this.propagate(parent);
  }

  private propagate(parent: Context): void {
    const done = parent.done();
    if (done === null) return;
    const up = cancelContextOf(parent, done);
    if (up !== null) {
      if (up.error !== null) {
        this.cancel(up.error, up.reason);
      } else {
        this.above = up;
        up.children.add(this);
      }
      return;
    }
    if (done.tryRecv().received) {
      this.follow(parent);
      return;
    }
    const after = (parent as Partial<AfterFuncer>).afterFunc;
    if (typeof after === "function") {
      const stop: unknown = after.call(parent, () => {
        this.unhook = null;
        this.follow(parent);
      });
      if (typeof stop !== "function") {
        throw new TypeError(`scheduler: afterFunc of a context must return a function (got ${typeof stop})`);
      }
      if (this.error === null) this.unhook = stop as () => unknown;
      return;
    }
    const self = this;
    this.sched.goSystem(function* watchContext() {
      const r = yield* self.sched.select([recvCase(done), recvCase(self.c)]);
      if (r.index === 0) self.follow(parent);
    });
  }

  /** Cancels it as its parent is cancelled, a context of the program's own. */
  private follow(parent: Context): void {
    const err = parent.err();
    if (err === null || err === undefined) panic("context: internal error: missing cancel error");
    this.cancel(err, cause(parent));
  }

  deadline(): number | null {
    let c = this.parent;
    while (c instanceof CancelContext || c instanceof ValueContext) {
      if (c instanceof TimerContext) return c.when;
      c = c.parent;
    }
    return c.deadline();
  }
  done(): RecvChan<never> {
    return this.c;
  }
  err(): Error | null {
    return this.error;
  }
  value(key: unknown): unknown {
    return lookup(this, key);
  }
  getCause(): unknown {
    return this.reason;
  }

  cancel(error: Error, reason: unknown): void {
    if (this.error !== null) return;
    this.above?.children.delete(this);
    const all: CancelContext[] = [this];
    const cause = reason ?? error;
    for (let i = 0; i < all.length; i++) {
      const x = all[i];
      x.error = error;
      x.reason = cause;
      x.above = null;
      x.c.close();
      for (const child of x.children) all.push(child);
      x.children.clear();
    }
    for (const x of all) x.finish();
  }

  private finish(): void {
    const { unhook, controller } = this;
    this.unhook = null;
    this.controller = null;
    unhook?.();
    this.onCancel();
    controller?.abort(this.reason);
  }

  protected onCancel(): void {}

  /** The signal that is aborted with it: one for all that ask. */
  abortSignal(): AbortSignal {
    if (this.error !== null) return AbortSignal.abort(this.reason);
    return (this.controller ??= new AbortController()).signal;
  }

  toString(): string {
    return describe(this);
  }
  /** For describe. */
  get suffix(): string {
    return ".WithCancel";
  }
}

class TimerContext extends CancelContext {
  readonly when: number;
  private readonly timer: Timer | null = null;

  constructor(parent: Context, when: number, reason: unknown) {
    super(parent);
    this.when = when;
    if (this.err() !== null) return;
    const ms = when - this.sched.clock.wall();
    if (ms <= 0) this.cancel(deadlineExceeded, reason);
    else this.timer = this.sched.afterFunc(ms, () => this.cancel(deadlineExceeded, reason));
  }
  override deadline(): number {
    return this.when;
  }
  protected override onCancel(): void {
    this.timer?.stop();
  }
  override get suffix(): string {
    return `.WithDeadline(${timeText(this.when)} [${durationText(this.when - this.sched.clock.wall())}])`;
  }
}

class ValueContext implements Context {
  readonly parent: Context;
  readonly key: unknown;
  readonly val: unknown;
  constructor(parent: Context, key: unknown, val: unknown) {
    this.parent = parent;
    this.key = key;
    this.val = val;
  }
  /** The nearest context above that has more than a value. */
  private get base(): Context {
    let c = this.parent;
    while (c instanceof ValueContext) c = c.parent;
    return c;
  }
  deadline(): number | null {
    return this.base.deadline();
  }
  done(): RecvChan<never> | null {
    return this.base.done();
  }
  err(): Error | null {
    return this.base.err();
  }
  value(key: unknown): unknown {
    return lookup(this, key);
  }
  toString(): string {
    return describe(this);
  }
  /** For describe. */
  get suffix(): string {
    return `.WithValue(${valueText(this.key)}, ${valueText(this.val)})`;
  }
}

class WithoutCancelContext implements Context {
  readonly parent: Context;
  constructor(parent: Context) {
    this.parent = parent;
  }
  deadline(): null {
    return null;
  }
  done(): null {
    return null;
  }
  err(): null {
    return null;
  }
  value(key: unknown): unknown {
    return lookup(this, key);
  }
  toString(): string {
    return describe(this);
  }
  /** For describe. */
  get suffix(): string {
    return ".WithoutCancel";
  }
}

/** The value under `key` in `c` or above. */
function lookup(c: Context, key: unknown): unknown {
  for (;;) {
    if (c instanceof ValueContext) {
      if (key === c.key) return c.val;
    } else if (c instanceof CancelContext) {
      if (key === cancelKey) return c;
    } else if (c instanceof WithoutCancelContext) {
      if (key === cancelKey) return undefined;
    } else {
      return c.value(key);
    }
    c = c.parent;
  }
}

/** The context of this package that is cancelled with `c`, whose channel is `done`. */
function cancelContextOf(c: Context, done: RecvChan<never>): CancelContext | null {
  const up = c.value(cancelKey);
  return up instanceof CancelContext && up.done() === done ? up : null;
}

/** Go's String of a chain of contexts. */
function describe(c: Context): string {
  const suffixes: string[] = [];
  while (c instanceof ValueContext || c instanceof CancelContext || c instanceof WithoutCancelContext) {
    suffixes.push(c.suffix);
    c = c.parent;
  }
  return valueText(c) + suffixes.reverse().join("");
}

/** Throws unless `parent` is a context, of this package or of the program. */
function checkParent(what: string, parent: Context): void {
  if (parent instanceof CancelContext || parent instanceof ValueContext) return;
  if (parent === null || parent === undefined) throw new Error("cannot create context from nil parent");
  const { deadline, done, err, value } = parent;
  for (const method of [deadline, done, err, value]) {
    if (typeof method === "function") continue;
    throw new TypeError(`scheduler: ${what}: the parent must be a context (got ${kindOf(parent)})`);
  }
}

/** A context that `cancel` cancels. */
export function withCancel(parent: Context): { ctx: Context; cancel: CancelFunc } {
  checkParent("withCancel", parent);
  const ctx = new CancelContext(parent);
  return { ctx, cancel: () => ctx.cancel(canceled, null) };
}

/** As withCancel; the argument of `cancel` is what cause gives. */
export function withCancelCause(parent: Context): { ctx: Context; cancel: CancelCauseFunc } {
  checkParent("withCancelCause", parent);
  const ctx = new CancelContext(parent);
  return { ctx, cancel: (cause) => ctx.cancel(canceled, cause) };
}

/** A context that is cancelled at `when`, in ms since 1970. */
export function withDeadline(parent: Context, when: number | Date): { ctx: Context; cancel: CancelFunc } {
  checkParent("withDeadline", parent);
  return untilTime(parent, checkTime("withDeadline", when), null);
}

export function withDeadlineCause(
  parent: Context,
  when: number | Date,
  cause: unknown,
): { ctx: Context; cancel: CancelFunc } {
  checkParent("withDeadlineCause", parent);
  return untilTime(parent, checkTime("withDeadlineCause", when), cause);
}

/** A context that is cancelled after `ms`. */
export function withTimeout(parent: Context, ms: number): { ctx: Context; cancel: CancelFunc } {
  checkParent("withTimeout", parent);
  return untilTime(parent, currentScheduler().clock.wall() + checkDuration("withTimeout", ms), null);
}

export function withTimeoutCause(
  parent: Context,
  ms: number,
  cause: unknown,
): { ctx: Context; cancel: CancelFunc } {
  checkParent("withTimeoutCause", parent);
  return untilTime(parent, currentScheduler().clock.wall() + checkDuration("withTimeoutCause", ms), cause);
}

function checkTime(what: string, when: number | Date): number {
  const at = Number(when);
  if (Number.isNaN(at)) {
    throw new TypeError(`scheduler: ${what}: when must be a Date or a number (got ${String(when)})`);
  }
  return at;
}

function untilTime(parent: Context, at: number, cause: unknown): { ctx: Context; cancel: CancelFunc } {
  const cur = parent.deadline();
  const ctx = cur !== null && cur <= at ? new CancelContext(parent) : new TimerContext(parent, at, cause);
  return { ctx, cancel: () => ctx.cancel(canceled, null) };
}

/** A context with one more value. */
export function withValue(parent: Context, key: unknown, value: unknown): Context {
  checkParent("withValue", parent);
  if (key === null || key === undefined) throw new Error("nil key");
  return new ValueContext(parent, key, value);
}

/** A context with the values of `parent`, which is not cancelled with it. */
export function withoutCancel(parent: Context): Context {
  checkParent("withoutCancel", parent);
  return new WithoutCancelContext(parent);
}

/** Why `ctx` is cancelled: what was given as the cause, or else err. Null while it is not. */
export function cause(ctx: Context): unknown {
  const c = ctx.value(cancelKey);
  // Without a reason the cancel, if any, is that of a context of the program's own.
  return c instanceof CancelContext && c.err() !== null ? c.getCause() : ctx.err();
}

class AfterFuncContext extends CancelContext {
  private f: (() => unknown) | null;
  constructor(parent: Context, f: () => unknown) {
    super(parent);
    this.f = f;
    if (this.err() !== null) this.onCancel();
  }
  stop(): boolean {
    const pending = this.f !== null;
    this.f = null;
    if (pending) this.cancel(canceled, null);
    return pending;
  }
  protected override onCancel(): void {
    const f = this.f;
    if (f === null || f === undefined) return;
    this.f = null;
    this.sched.newproc(f, [], afterFunc);
  }
}

/** Calls `f` in a goroutine of its own once `ctx` is cancelled. The function returned prevents that, if it is not too late. */
export function afterFunc<R>(ctx: Context, f: () => NotAsync<R>): () => boolean {
  checkParent("afterFunc", ctx);
  checkFunction("context.afterFunc", f);
  const a = new AfterFuncContext(ctx, f);
  return () => a.stop();
}

/** The signals of contexts that are not this package's. */
const signals = new WeakMap<Context, AbortSignal>();

/**
 * The AbortSignal that is aborted when `ctx` is cancelled, with its cause as the reason. A context has one signal, so asking
 * for it again costs nothing.
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

/** A context under its parent that is cancelled by a signal, too. */
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
    // Undefined while the constructor runs.
    this.signal?.removeEventListener("abort", this.listener);
  }
}

const signalContexts = new WeakMap<AbortSignal, WeakMap<Context, Context>>();

/**
 * The context that is cancelled when `signal` is aborted; its cause is the signal's reason. There is one for a signal and a
 * parent, so a signal that many ask about has one listener; it is removed when the parent is cancelled.
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
