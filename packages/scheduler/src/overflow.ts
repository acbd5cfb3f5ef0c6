/**
 * Endless recursion. In Go a full stack ends the program: `fatal error: stack overflow`, which recover does not stop.
 * V8 throws a RangeError instead. If this error reaches a frame of deferred calls, or leaves its goroutine, it becomes
 * the fatal error. A `catch` of the program may stop it before.
 *
 * V8 throws the same RangeError for a call with too many arguments, and if a value is nested too deeply for its own
 * functions (JSON.stringify). These errors remain panics. So an overflow needs a deep stack with recursion, that is a
 * place in the program that occurs twice. One case is ambiguous and counts as fatal: a call with too many arguments
 * whose stack is cut inside a recursion.
 */

import { FatalError, isFatalError } from "@gort/base";
import { hasMarker, STACK_LINES } from "./frames.ts";
import { isRethrown } from "./rethrow.ts";

/** The messages of V8, JavaScriptCore and SpiderMonkey. */
const messages = /^(?:Maximum call stack size exceeded\.?|too much recursion)$/;

/** The end of a line with a place in the program, also in WebAssembly. Lines of engine functions have no place. */
const place = /:(?:\d+:\d+|0x[\da-f]+)\)?$/;

/** Least number of lines of a full stack that is not cut: 1 MB of frames of 2 KB. Most frames are smaller. */
const DEEP_LINES = 500;

const code = "ERR_GORT_STACK_OVERFLOW";

/** The engine's error for a full stack: `e` itself, or an error that the check of `e` has raised. Otherwise null. */
function overflowIn(e: unknown): Error | null {
  try {
    return saysOverflow(e) && !isRethrown(e) && recurs(e.stack) ? e : null;
  } catch (fault) {
    // The stack is still so full that this check overflows it, or a getter of the value throws.
    return saysOverflow(fault) ? fault : null;
  }
}

function saysOverflow(e: unknown): e is Error {
  return (
    e instanceof Error && (e.name === "RangeError" || e.name === "InternalError") && messages.test(e.message)
  );
}

/** Whether a stack is deep and shows recursion. */
function recurs(stack: unknown): boolean {
  if (typeof stack !== "string") return false; // formatted by the program
  const lines = stack.split("\n");
  const asked = Math.min(STACK_LINES, Error.stackTraceLimit ?? STACK_LINES);
  const cut = lines.length > asked && !hasMarker(stack);
  if (!cut && lines.length <= DEEP_LINES) return false;
  const seen = new Set<string>();
  return lines.some((line) => place.test(line) && seen.size === seen.add(line).size);
}

/** The fatal error that `e` is or stands for, or null. */
export function fatalOf(e: unknown): FatalError | null {
  if (isFatalError(e)) return e;
  const overflow = overflowIn(e);
  if (overflow === null) return null;
  const fatal = new FatalError(
    "throw",
    code,
    "stack overflow",
    "runtime: goroutine stack exceeds the engine's limit",
  );
  // The report shows the stack of the RangeError.
  Object.defineProperty(fatal, "cause", { value: overflow, configurable: true, writable: true });
  return fatal;
}

/** The RangeError that a fatal error stands for, or undefined. */
export function overflowOf(e: { code?: string; cause?: unknown }): unknown {
  return e.code === code ? e.cause : undefined;
}
