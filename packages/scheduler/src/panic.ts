/**
 * defer, panic, recover, Goexit.
 *
 * JavaScript has no hook at the end of a function. So deferred calls belong to a *frame*: the innermost running
 * `frame(function* () { ... })`, or the goroutine itself.
 *
 * A panic is a JavaScript exception. When it leaves the body of a frame, the frame runs its deferred calls, last first,
 * with a Panic record as the innermost of the goroutine. A deferred call that calls recover() marks the record. When
 * that call has returned, the panic is over: the other deferred calls run as after a normal return, and the frame
 * returns undefined. If a deferred call panics, a new Panic is linked to the old one; the crash report shows both as
 * nested `panic:` lines.
 *
 * Goexit is an exception too (GoexitSignal). It runs deferred calls, cannot be recovered, and overrides a panic in
 * progress. If one of these calls panics, Goexit is interrupted. It goes on when that panic is recovered, in any frame.
 *
 * Endless recursion is no panic: see overflow.ts.
 *
 * Unlike Go: recover() works in all functions that the deferred call calls, if no other frame is between. A `catch` can
 * stop a panic half-way. A deferred call that a deferred call registers belongs to the same frame and runs right after
 * it.
 */

import { FatalError, isRuntimeError, RuntimeError } from "@gort/base";
import { GoexitSignal, otherCopy, PanicError, PanicNilError } from "./errors.ts";
import { checkFunction, checkResult, type NotAsync } from "./functions.ts";
import { isBody } from "./op.ts";
import { fatalOf, overflowOf } from "./overflow.ts";
import { printable } from "./printable.ts";
import { DeferFrame, type G, inForeignGoroutine, m0, Panic } from "./runtime2.ts";

/** For a fatal error in a deferred call: the panics in progress. The report shows them before the error. */
const panicsBefore = new WeakMap<object, Panic>();

/** The part of a fatal error's report before `fatal error:`: the panics in whose deferred calls it was raised. */
export function printPreFatalPanics(e: object): string {
  const p = panicsBefore.get(e);
  return p === undefined ? "" : `${panicLines(p)}\t`;
}

/** The value that recover returns for a thrown value. */
export function panicValue(error: unknown): unknown {
  return error instanceof PanicError ? error.value : error;
}

function current(what: string): G {
  const g = m0.curg;
  if (g === null) {
    const where = inForeignGoroutine() ? `in a goroutine that ${otherCopy}` : "outside of a goroutine";
    throw new TypeError(`scheduler: ${what} ${where}`);
  }
  return g;
}

/** `panic(v)`: throws `v` itself if it is an Error, else wraps it in a PanicError. */
export function panic(v: unknown): never {
  if (v === null || v === undefined) throw new PanicNilError();
  throw isError(v) ? v : panicError(v);
}

/**
 * The error that carries a panic with `v`. The text of an object is made on the first read: a panic that is recovered
 * must not run the object's methods.
 */
export function panicError(v: unknown): PanicError {
  if (typeof v !== "object" && typeof v !== "function") return new PanicError(v, printpanicval(v));
  return new PanicError(v, () => {
    try {
      return printpanicval(v);
    } catch (e) {
      return (e as Error).message;
    }
  });
}

/** Ends the goroutine after its deferred calls. */
export function goexit(): never {
  current("goexit");
  throw goexitSignal;
}

export const goexitSignal = new GoexitSignal();

function callNil(): never {
  throw new RuntimeError(
    "runtime error: invalid memory address or nil pointer dereference",
    "ERR_GORT_NIL_DEREFERENCE",
  );
}

/** Registers a call for the end of the enclosing frame, or of the goroutine. `f` may be a generator function. */
export function defer<R>(f: () => NotAsync<R>): void {
  const g = current("defer");
  let call: () => unknown = f;
  // As in Go: nil is no fault here, but the call at the end of the function panics.
  if (f === null || f === undefined) call = callNil;
  else checkFunction("defer", f);
  (g.defers ??= new DeferFrame(null)).calls.push(call);
}

/** In a deferred call, stops the panic and returns its value. Otherwise returns null. */
export function recover(): unknown {
  const g = m0.curg;
  const f = g === null ? null : g.defers;
  if (f === null || !f.running) return null;
  const p = f.panicking;
  if (p === null || p.goexit || p.recovered) return null;
  p.recovered = true;
  return p.value;
}

/**
 * Gives `body` deferred calls of its own: `yield* frame(function* () { defer(...); ... })`. Returns the result of the
 * body, or undefined after a recovered panic.
 */
export function* frame<T>(
  body: () => Generator<undefined, T, unknown> | NotAsync<T>,
): Generator<undefined, T | undefined, unknown> {
  const g = current("frame");
  checkFunction("frame", body);
  const sp = g.rootSp;
  const f = new DeferFrame(g.defers);
  g.defers = f;
  let result: T | undefined;
  let p: Panic | null = null;
  try {
    const r = body();
    if (isBody(r)) {
      result = yield* r;
    } else {
      checkResult("frame", body, r);
      result = r;
    }
  } catch (e) {
    const fatal = fatalOf(e);
    if (fatal !== null) {
      g.defers = f.parent;
      throw fatal;
    }
    p = panicOf(g, e);
    result = undefined;
  }
  if (f.calls.length > 0) p = yield* runDeferred(g, f, p);
  g.defers = f.parent;
  g.rootSp = sp;
  if (p === null) return result;
  g.unwinding = p;
  throw p.error;
}

/** The record of a panic that begins with the exception `e`; `link` is the panic in progress. */
export function newPanic(e: unknown, link: Panic | null): Panic {
  return new Panic(e, panicValue(e), e instanceof GoexitSignal, link);
}

/** The record of a panic that arrives at a frame: the record that an inner frame has passed on, or a new one. */
export function panicOf(g: G, e: unknown): Panic {
  const u = g.unwinding;
  g.unwinding = null;
  return u !== null && u.error === e ? u : newPanic(e, g.panic);
}

/** Runs the deferred calls of `f`, last first, and returns the panic that is left, or null. */
export function* runDeferred(
  g: G,
  f: DeferFrame,
  p: Panic | null,
): Generator<undefined, Panic | null, unknown> {
  const outer = g.panic;
  f.running = true;
  for (let call = f.calls.pop(); call !== undefined; call = f.calls.pop()) {
    f.panicking = p;
    if (p !== null) g.panic = p;
    try {
      const r = call();
      if (isBody(r)) yield* r;
      else checkResult("defer", call, r);
      if (p?.recovered) p = p.exiting;
    } catch (e) {
      const fatal = fatalOf(e);
      if (fatal !== null) {
        // For a stack overflow there is no such part: Go reports it from another stack, without the panics.
        const known = panicsBefore.has(fatal) || overflowOf(fatal) !== undefined;
        if (g.panic !== null && !known) panicsBefore.set(fatal, g.panic);
        f.running = false;
        g.defers = f.parent;
        g.panic = outer;
        throw fatal;
      }
      const next = panicOf(g, e);
      if (p?.recovered && !next.goexit && sameValue(p.value, next.value)) p.repanicked = true;
      if (p !== null) next.exiting = p.goexit ? p : p.exiting;
      p = next;
    }
    g.defers = f;
    g.panic = outer;
  }
  f.running = false;
  f.panicking = null;
  return p;
}

function sameValue(a: unknown, b: unknown): boolean {
  return Object.is(a, b);
}

/** Errors of JavaScript itself: their name says more than their message. */
const engineErrors = new Set([
  "TypeError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "EvalError",
  "URIError",
]);

/**
 * A panic value as Go prints it: an error by its message, strings and numbers as they are, other values by their type.
 * A tab follows each newline.
 */
export function printpanicval(v: unknown): string {
  return panicText(v).replaceAll("\n", "\n\t");
}

function isError(v: unknown): v is Error {
  try {
    return v instanceof Error;
  } catch {
    // `v` is a proxy whose handler throws.
    return false;
  }
}

function panicText(v: unknown): string {
  if ((typeof v !== "object" || v === null) && typeof v !== "function") return primitiveText(v);
  try {
    return typeof v === "function" ? functionText(v) : objectText(v);
  } catch (e) {
    throw new FatalError(
      "fatal",
      "ERR_GORT_PANIC_IN_PRINT",
      `panic while printing panic value: ${causeText(panicValue(e))}`,
    );
  }
}

function primitiveText(v: unknown): string {
  return v === null ? "nil" : String(v);
}

function functionText(v: { name: string }): string {
  return `(func ${printable(String(v.name)) || "literal"}) {...}`;
}

function objectText(v: object): string {
  if (v instanceof Error) {
    return engineErrors.has(v.name) && !isRuntimeError(v) ? `${v.name}: ${v.message}` : String(v.message);
  }
  const o = v as { error?: unknown; Error?: unknown; toString?: unknown };
  // Go calls Error() and String(). The counterpart of String() is a toString of the object's own class.
  for (const m of [o.Error, o.error, o.toString]) {
    if (typeof m !== "function" || m === Object.prototype.toString || m === Array.prototype.toString)
      continue;
    return String(m.call(v));
  }
  return typeText(v);
}

function typeText(v: object): string {
  if (Array.isArray(v)) return "([]any) {...}";
  const name = (v as { constructor?: { name?: unknown } }).constructor?.name;
  return `(${typeof name !== "string" || name === "" ? "object" : `*main.${printable(name)}`}) {...}`;
}

/** The text of a value that was thrown while a panic value was printed. Calls none of that value's methods. */
function causeText(v: unknown): string {
  try {
    if (v instanceof Error) return String(v.message);
    return (typeof v === "object" && v !== null) || typeof v === "function" ? typeText(v) : primitiveText(v);
  } catch {
    return "(object) {...}";
  }
}

/** The `panic:` lines of a crash report, oldest first, without a final newline. */
export function printpanics(p: Panic): string {
  const lines = panicLines(p);
  return lines.endsWith("\n") ? lines.slice(0, -1) : lines;
}

/** The same with a newline after each panic. Not recursive: the chain may be longer than the stack is deep. */
function panicLines(last: Panic): string {
  const chain: Panic[] = [];
  for (let p: Panic | null = last; p !== null; p = p.link) chain.push(p);
  let out = "";
  for (let p = chain.pop(); p !== undefined; p = chain.pop()) {
    const { link } = p;
    // The next record is the same panic again.
    if (link?.repanicked) continue;
    if (link !== null && !link.goexit) out += "\t";
    if (p.goexit) continue;
    out += `panic: ${printpanicval(p.value)}`;
    if (p.repanicked) out += " [recovered, repanicked]";
    else if (p.recovered) out += " [recovered]";
    out += "\n";
  }
  return out;
}
