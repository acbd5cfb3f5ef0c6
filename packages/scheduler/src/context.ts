/**
 * `@gort/scheduler/context`: deadlines, cancellation and values that travel with a task.
 *
 * Contexts form a tree. A cancel of one cancels all contexts below it: each closes its `done()` channel, `err()` says
 * why, and `cause()` gives the reason that the program passed. A context that is never cancelled has no channel, so a
 * wait for it is a wait for a null channel.
 *
 *     context/tree.ts           the kinds of contexts, and how a cancel travels
 *     context/after-func.ts     functions that a cancel starts
 *     context/abort-signals.ts  from and to the platform's AbortSignal
 *     context/text.ts           Go's text of a context
 */

import { checkParent } from "./context/check.ts";
import {
  CancelContext,
  type Context,
  canceled,
  TimerContext,
  ValueContext,
  WithoutCancelContext,
} from "./context/tree.ts";
import { currentScheduler } from "./default.ts";
import { checkDuration } from "./time.ts";

export { fromAbortSignal, toAbortSignal } from "./context/abort-signals.ts";
export { afterFunc } from "./context/after-func.ts";
export {
  type AfterFuncer,
  background,
  type Context,
  canceled,
  cause,
  deadlineExceeded,
  todo,
} from "./context/tree.ts";

export type CancelFunc = () => void;
export type CancelCauseFunc = (cause: unknown) => void;

/** A context that `cancel` cancels. */
export function withCancel(parent: Context): { ctx: Context; cancel: CancelFunc } {
  checkParent("withCancel", parent);
  const ctx = new CancelContext(parent);
  return { ctx, cancel: () => ctx.cancel(canceled, null) };
}

/** As withCancel; the argument of `cancel` becomes the cause. */
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

/** As withDeadline; when the deadline passes, `cause` becomes the cause. */
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

/** As withTimeout; when the time is over, `cause` becomes the cause. */
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

/** A context that is cancelled at `at`. If the parent ends earlier, it needs no timer. */
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

/** A context with the values of `parent`. A cancel of `parent` does not cancel it. */
export function withoutCancel(parent: Context): Context {
  checkParent("withoutCancel", parent);
  return new WithoutCancelContext(parent);
}
