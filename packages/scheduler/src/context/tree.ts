/**
 * The tree of contexts: its kinds, and how a cancel travels through it.
 *
 * Chains of contexts may be deep, so nothing recurses along them: value, err, done and toString walk upwards in a loop,
 * and cancel walks the tree below with a list. A cancel works in two passes:
 *
 *     1. It marks every context below and closes its channel.
 *     2. It runs the actions of these contexts: stops timers, starts functions of afterFunc, aborts signals.
 *
 * So code of the program that runs in the second pass finds the whole tree cancelled.
 *
 *     kind of the parent                             how the cancel of the parent reaches the child
 *     a context of this package, also inside a       that context has the child among its children
 *     context of the program with the same `done`
 *     a context that is cancelled already            the constructor cancels the child
 *     a context with a method `afterFunc`            that method calls the child; if the child ends first, it calls
 *                                                    the stop function that `afterFunc` returned
 *     any other context                              a goroutine waits for `done`
 */

import type { Chan, RecvChan } from "../chan-types.ts";
import { currentScheduler } from "../default.ts";
import { panic } from "../panic.ts";
import type { Scheduler } from "../scheduler.ts";
import { recvCase } from "../select-case.ts";
import type { Timer } from "../time.ts";
import { durationText, timeText, valueText } from "./text.ts";

export interface Context {
  /** When the context is cancelled at the latest, in ms since 1970; null without a deadline. */
  deadline(): number | null;
  /** A channel that is closed when the context is cancelled; null if that never happens. */
  done(): RecvChan<never> | null;
  /** Why the context is cancelled: `canceled`, or `deadlineExceeded`. Null while it is not. */
  err(): Error | null;
  /** The value under `key` in this context or the nearest one above. */
  value(key: unknown): unknown;
}

/** A context of the program that can call a function when it is cancelled, so that its children need no goroutine. */
export interface AfterFuncer extends Context {
  /** Calls `f` once the context is cancelled. The returned function prevents that, and reports whether it did. */
  afterFunc(f: () => void): () => boolean;
}

class ContextError extends Error {}
Object.defineProperty(ContextError.prototype, "name", { value: "ContextError" });

class DeadlineExceededError extends ContextError {
  readonly timeout = true;
}

/** The result of `err` after a cancel. */
export const canceled: Error = new ContextError("context canceled");
/** The result of `err` after the deadline. */
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

/** As background, for code that does not know yet which context to use. */
export function todo(): Context {
  return todoCtx;
}

/** `ctx.value(cancelKey)` gives the nearest context that can be cancelled, from `ctx` upwards. */
const cancelKey: unique symbol = Symbol("cancelCtx");

export class CancelContext implements Context {
  readonly parent: Context;
  protected readonly sched: Scheduler;
  private readonly c: Chan<never>;
  private readonly children = new Set<CancelContext>();
  private error: Error | null = null;
  private reason: unknown = null;
  /** The context whose `children` include this one. */
  private above: CancelContext | null = null;
  /** Cancels the call that the parent's `afterFunc` has promised. */
  private unhook: (() => unknown) | null = null;
  /** The controller behind `abortSignal`, from its first use. */
  private controller: AbortController | null = null;

  constructor(parent: Context) {
    this.parent = parent;
    this.sched = currentScheduler();
    this.c = this.sched.makeChan<never>();
    this.propagate(parent);
  }

  /** Arranges that a cancel of the parent reaches this context. */
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

  /** Cancels this context with the error and cause of its parent, which is a context of the program and cancelled. */
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

  /** The signal that is aborted with this context. A context has one signal, however often it is asked. */
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

export class TimerContext extends CancelContext {
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

export class ValueContext implements Context {
  readonly parent: Context;
  readonly key: unknown;
  readonly val: unknown;
  constructor(parent: Context, key: unknown, val: unknown) {
    this.parent = parent;
    this.key = key;
    this.val = val;
  }
  /** The nearest context above that is no ValueContext. */
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

export class WithoutCancelContext implements Context {
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

/** The value under `key` in `c` or the nearest context above. */
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

/** The context of this package that is cancelled with `c`, if there is one. `done` is the channel of `c`. */
export function cancelContextOf(c: Context, done: RecvChan<never>): CancelContext | null {
  const up = c.value(cancelKey);
  return up instanceof CancelContext && up.done() === done ? up : null;
}

/** Why `ctx` is cancelled: the cause given to the cancel function, or else err. Null while it is not cancelled. */
export function cause(ctx: Context): unknown {
  const c = ctx.value(cancelKey);
  // If `c` is not cancelled, a context of the program between `ctx` and `c` may be: it has an err and no cause.
  return c instanceof CancelContext && c.err() !== null ? c.getCause() : ctx.err();
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
