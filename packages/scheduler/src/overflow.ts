/**
 * Endless recursion. In Go a goroutine whose stack is full ends the program: `fatal error: stack overflow`, which no recover
 * stops. V8 throws a RangeError instead. When one reaches a frame of deferred calls, or leaves its goroutine, it becomes that
 * fatal error. A `catch` of the program's own may stop it before.
 */

import { FatalError, isFatalError } from "./errors.ts";
import { hasMarker, stackLines, stackOfError } from "./frames.ts";
import { isRethrown } from "./rethrow.ts";

/** What V8, JavaScriptCore and SpiderMonkey say. */
const messages = /^(?:Maximum call stack size exceeded\.?|too much recursion)$/;

const code = "ERR_GORT_STACK_OVERFLOW";

/** Whether the engine has thrown `e` because the stack of the running goroutine was full. */
function isOverflow(e: unknown): e is Error {
  try {
    if (!(e instanceof Error) || (e.name !== "RangeError" && e.name !== "InternalError")) return false;
    if (!messages.test(e.message) || isRethrown(e)) return false;
  } catch (fault) {
    // Either the thrown value is hostile, or there is no room for this check: then a frame further out decides.
    if (fault instanceof RangeError && fault !== e) throw fault;
    return false;
  }
  // V8 says the same of a call with too many arguments, and so may the program. Only of a deep stack the end is not seen.
  const stack = stackOfError(e);
  const lines = stack.split("\n").length - 1;
  const asked = Math.min(stackLines, Error.stackTraceLimit ?? stackLines);
  return lines === 0 || (lines >= asked && !hasMarker(stack));
}

/** The fatal error that `e` is or stands for, or null. */
export function fatalOf(e: unknown): FatalError | null {
  if (isFatalError(e)) return e;
  if (!isOverflow(e)) return null;
  const fatal = new FatalError(
    "stack overflow",
    code,
    "throw",
    "runtime: goroutine stack exceeds the engine's limit",
  );
  // The report shows the stack of the RangeError.
  Object.defineProperty(fatal, "cause", { value: e, configurable: true, writable: true });
  return fatal;
}

/** The RangeError that a fatal error stands for, or undefined. */
export function overflowOf(e: { code?: string; cause?: unknown }): unknown {
  return e.code === code ? e.cause : undefined;
}
