/**
 * `@gort/scheduler/context`: deadlines, cancellation and values that travel with a task.
 *
 * Contexts form a tree. Cancelling one cancels all below it: its `done()` channel is closed, `err()` says why and
 * `cause()` gives the reason in the user's words. A context that is never cancelled has no channel at all, so waiting for it
 * is waiting for a null channel.
 */

import type { Chan, RecvChan } from "./chan.ts";
import { currentScheduler } from "./default.ts";
import { checkFunction, type NotAsync } from "./functions.ts";
import type { Scheduler } from "./proc.ts";
import { recvCase } from "./select.ts";
import type { Timer } from "./time.ts";

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
  protected readonly parent: Context;
  protected readonly sched: Scheduler;
  private readonly c: Chan<never>;
  private readonly children = new Set<CancelContext>();
  private error: Error | null = null;
  private reason: unknown = null;
  /** The context among whose children it is. */
  private above: CancelContext | null = null;

  constructor(parent: Context) {
    if (parent === null || parent === undefined) throw new Error("cannot create context from nil parent");
    this.parent = parent;
    this.sched = currentScheduler();
    this.c = this.sched.makeChan<never>();
    const up = parent.value(cancelKey);
    if (up instanceof CancelContext && up.done() === parent.done()) {
      if (up.error !== null) this.cancel(up.error, up.reason);
      else {
        this.above = up;
        up.children.add(this);
      }
      return;
    }
    const done = parent.done();
    if (done === null) return;
    // A context of somebody else's making: a goroutine has to watch it.
    const self = this;
    this.sched.goSystem(function* watchContext() {
      yield* self.sched.select([recvCase(done), recvCase(self.c)]);
      const err = parent.err();
      if (err !== null) self.cancel(err, cause(parent));
    });
  }

  deadline(): number | null {
    return this.parent.deadline();
  }
  done(): RecvChan<never> {
    return this.c;
  }
  err(): Error | null {
    return this.error;
  }
  value(key: unknown): unknown {
    return key === cancelKey ? this : this.parent.value(key);
  }
  getCause(): unknown {
    return this.reason;
  }

  cancel(error: Error, reason: unknown): void {
    if (this.error !== null) return;
    this.error = error;
    this.reason = reason ?? error;
    this.c.close();
    for (const child of this.children) child.cancel(error, this.reason);
    this.children.clear();
    this.above?.children.delete(this);
    this.onCancel();
  }

  protected onCancel(): void {}

  toString(): string {
    return `${String(this.parent)}.WithCancel`;
  }
}

class TimerContext extends CancelContext {
  private readonly when: number;
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
  override toString(): string {
    return `${String(this.parent)}.WithDeadline(${new Date(this.when).toISOString()})`;
  }
}

class ValueContext implements Context {
  private readonly parent: Context;
  private readonly key: unknown;
  private readonly val: unknown;
  constructor(parent: Context, key: unknown, val: unknown) {
    this.parent = parent;
    this.key = key;
    this.val = val;
  }
  deadline(): number | null {
    return this.parent.deadline();
  }
  done(): RecvChan<never> | null {
    return this.parent.done();
  }
  err(): Error | null {
    return this.parent.err();
  }
  value(key: unknown): unknown {
    return key === this.key ? this.val : this.parent.value(key);
  }
  toString(): string {
    return `${String(this.parent)}.WithValue(${String(this.key)}, ${String(this.val)})`;
  }
}

class WithoutCancelContext implements Context {
  private readonly parent: Context;
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
    return key === cancelKey ? undefined : this.parent.value(key);
  }
  toString(): string {
    return `${String(this.parent)}.WithoutCancel`;
  }
}

/** A context that `cancel` cancels. */
export function withCancel(parent: Context): { ctx: Context; cancel: CancelFunc } {
  const ctx = new CancelContext(parent);
  return { ctx, cancel: () => ctx.cancel(canceled, null) };
}

/** As withCancel; the argument of `cancel` is what cause gives. */
export function withCancelCause(parent: Context): { ctx: Context; cancel: CancelCauseFunc } {
  const ctx = new CancelContext(parent);
  return { ctx, cancel: (cause) => ctx.cancel(canceled, cause) };
}

/** A context that is cancelled at `when`, in ms since 1970. */
export function withDeadline(parent: Context, when: number | Date): { ctx: Context; cancel: CancelFunc } {
  return withDeadlineCause(parent, when, null);
}

export function withDeadlineCause(
  parent: Context,
  when: number | Date,
  cause: unknown,
): { ctx: Context; cancel: CancelFunc } {
  if (parent === null || parent === undefined) throw new Error("cannot create context from nil parent");
  const at = Number(when);
  if (Number.isNaN(at)) throw new TypeError(`scheduler: withDeadline: not a time (got ${String(when)})`);
  const cur = parent.deadline();
  if (cur !== null && cur <= at) return withCancel(parent);
  const ctx = new TimerContext(parent, at, cause);
  return { ctx, cancel: () => ctx.cancel(canceled, null) };
}

/** A context that is cancelled after `ms`. */
export function withTimeout(parent: Context, ms: number): { ctx: Context; cancel: CancelFunc } {
  return withDeadline(parent, currentScheduler().clock.wall() + ms);
}

export function withTimeoutCause(
  parent: Context,
  ms: number,
  cause: unknown,
): { ctx: Context; cancel: CancelFunc } {
  return withDeadlineCause(parent, currentScheduler().clock.wall() + ms, cause);
}

/** A context with one more value. */
export function withValue(parent: Context, key: unknown, value: unknown): Context {
  if (parent === null || parent === undefined) throw new Error("cannot create context from nil parent");
  if (key === null || key === undefined) throw new Error("nil key");
  return new ValueContext(parent, key, value);
}

/** A context with the values of `parent`, which is not cancelled with it. */
export function withoutCancel(parent: Context): Context {
  return new WithoutCancelContext(parent);
}

/** Why `ctx` is cancelled: what was given as the cause, or else err. Null while it is not. */
export function cause(ctx: Context): unknown {
  const c = ctx.value(cancelKey);
  return c instanceof CancelContext ? c.getCause() : ctx.err();
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
  checkFunction("context.afterFunc", f);
  const a = new AfterFuncContext(ctx, f);
  return () => a.stop();
}

/** An AbortSignal that is aborted when `ctx` is cancelled, with its cause as the reason. */
export function toAbortSignal(ctx: Context): AbortSignal {
  const controller = new AbortController();
  if (ctx.err() !== null) controller.abort(cause(ctx));
  else if (ctx.done() !== null) {
    new AbortContext(ctx, controller);
  }
  return controller.signal;
}

/** Hangs under a context and aborts a signal with it, without a goroutine. */
class AbortContext extends CancelContext {
  private readonly controller: AbortController;
  constructor(parent: Context, controller: AbortController) {
    super(parent);
    this.controller = controller;
  }
  protected override onCancel(): void {
    this.controller.abort(this.getCause());
  }
}

/** A context that is cancelled when `signal` is aborted; its cause is the signal's reason. */
export function fromAbortSignal(signal: AbortSignal, parent: Context = background()): Context {
  const ctx = new CancelContext(parent);
  if (signal.aborted) {
    ctx.cancel(canceled, signal.reason);
    return ctx;
  }
  signal.addEventListener("abort", () => ctx.cancel(canceled, signal.reason), { once: true });
  return ctx;
}
