/**
 * Endless recursion. In Go a goroutine whose stack is full ends the program: `fatal error: stack overflow`, which no
 * recover stops. V8 throws a RangeError instead. When this error reaches a frame of deferred calls, or leaves its
 * goroutine, it becomes the fatal error. A `catch` of the program's own may stop it before.
 *
 * V8 throws the same RangeError for a call with too many arguments, and for values that its own functions find nested
 * too deeply (JSON.stringify). These remain panics. So the stack must be deep, and must show recursion: a place in
 * the program that occurs twice. A call with too many arguments whose stack is cut inside recursion cannot be told
 * apart: it is fatal.
 */

import { FatalError, isFatalError } from "@gort/base";
import { hasMarker, stackLines } from "./frames.ts";
import { isRethrown } from "./rethrow.ts";

/** What V8, JavaScriptCore and SpiderMonkey say. */
const messages = /^(?:Maximum call stack size exceeded\.?|too much recursion)$/;

/** Ends a line that names a place in the program, also in WebAssembly. Functions of the engine have none. */
const place = /:(?:\d+:\d+|0x[\da-f]+)\)?$/;

/** A stack that is not cut counts as full from so many lines on: 1 MB of frames of 2 KB. Most frames are smaller. */
const deepLines = 500;

const code = "ERR_GORT_STACK_OVERFLOW";

/** The engine's error for a full stack: `e`, or what a look at `e` has led to. Null if there is none. */
function overflowIn(e: unknown): Error | null {
  try {
    return saysOverflow(e) && !isRethrown(e) && recurs(e.stack) ? e : null;
  } catch (fault) {
    // The stack is still so full that there is no room for this check, or a getter of the value has failed.
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
  const asked = Math.min(stackLines, Error.stackTraceLimit ?? stackLines);
  const cut = lines.length > asked && !hasMarker(stack);
  if (!cut && lines.length <= deepLines) return false;
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
