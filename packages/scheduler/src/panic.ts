/**
 * defer, panic, recover, Goexit.
 *
 * JavaScript has no hook at the end of a function, so deferred calls belong to a *frame*: the innermost
 * `frame(function* () { ... })` that is running, or the goroutine itself.
 *
 * A panic is a JavaScript exception. When one leaves a frame's body, the frame runs its deferred calls, last first, with
 * a Panic record as the innermost of its goroutine. A deferred call that calls recover() marks the record; once
 * that call has returned, the panic is over, the other deferred calls run as after a normal return,
 * and the frame returns undefined. A deferred call that panics starts a new Panic linked to the old one, which is what
 * the crash report shows as nested `panic:` lines. Goexit travels as an exception too (GoexitSignal); it runs deferred
 * calls, cannot be recovered, and overrides a panic under way.
 *
 * Unlike Go: recover() works in any function called by the deferred call, as long as no other frame is
 * between; a `catch` can stop a panic half-way; a deferred call registered by a deferred call
 * belongs to the same frame and runs right after it.
 */

import { isGenerator } from "./chan.ts";
import {
  FatalError,
  GoexitSignal,
  isFatalError,
  isRuntimeError,
  otherCopy,
  PanicError,
  PanicNilError,
} from "./errors.ts";
import { checkFunction, checkResult, type NotAsync } from "./functions.ts";
import { printable } from "./printable.ts";
import { type G, inForeignGoroutine, m0 } from "./runtime2.ts";

/** A panic in progress. */
export class Panic {
  /** What is thrown. */
  readonly error: unknown;
  /** The argument of panic. */
  readonly value: unknown;
  /** The panic that was in progress when this one began. */
  readonly link: Panic | null;
  readonly goexit: boolean;
  recovered = false;
  /** Recovered, then panicked again with the same value: printed as one. */
  repanicked = false;

  constructor(error: unknown, link: Panic | null) {
    this.error = error;
    this.value = panicValue(error);
    this.link = link;
    this.goexit = error instanceof GoexitSignal;
  }
}

type Deferred = () => unknown;

/** The deferred calls of one frame. */
export class DeferFrame {
  readonly parent: DeferFrame | null;
  readonly calls: Deferred[] = [];
  /** The panic for which the deferred calls run. */
  panicking: Panic | null = null;
  running = false;

  constructor(parent: DeferFrame | null) {
    this.parent = parent;
  }
}

/** What recover gives for a thrown value. */
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
  throw v instanceof Error ? v : new PanicError(v, printpanicval(v));
}

/** Ends the goroutine after its deferred calls. */
export function goexit(): never {
  current("goexit");
  throw goexitSignal;
}

export const goexitSignal = new GoexitSignal();

/** Registers a call for the end of the enclosing frame, or of the goroutine; it may be a generator function. */
export function defer<R>(f: () => NotAsync<R>): void {
  const g = current("defer");
  if (f === null || f === undefined) throw new TypeError("scheduler: defer of nil func value");
  checkFunction("defer", f);
  (g.defers ??= new DeferFrame(null)).calls.push(f);
}

/** In a deferred call: stops the panic and returns its value. Else null. */
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
 * Gives `body` deferred calls of its own: `yield* frame(function* () { defer(...); ... })`. Returns what the
 * body returns, or undefined after a recovered panic.
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
    if (isGenerator(r)) {
      result = (yield* r) as T;
    } else {
      checkResult("frame", body, r);
      result = r as T;
    }
  } catch (e) {
    if (isFatalError(e)) throw e;
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

/** The record of a panic that arrives at a frame: the one an inner frame passed on, or a new one. */
export function panicOf(g: G, e: unknown): Panic {
  const u = g.unwinding;
  g.unwinding = null;
  return u !== null && u.error === e ? u : new Panic(e, g.panic);
}

/** Runs the deferred calls of `f`, last first, and returns the panic that is left. */
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
      if (isGenerator(r)) yield* r;
      else checkResult("defer", call, r);
      if (p?.recovered) p = null;
    } catch (e) {
      if (isFatalError(e)) throw e;
      const next = panicOf(g, e);
      if (p?.recovered && !next.goexit && sameValue(p.value, next.value)) p.repanicked = true;
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

/** Faults of JavaScript itself, whose name says more than their message. */
const engineErrors = new Set([
  "TypeError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "EvalError",
  "URIError",
]);

/**
 * A panic value as Go prints it: errors by their message, strings and numbers as such, other things by their type. Newlines
 * are followed by a tab.
 */
export function printpanicval(v: unknown): string {
  return panicText(v).replaceAll("\n", "\n\t");
}

function panicText(v: unknown): string {
  switch (typeof v) {
    case "string":
      return v;
    case "number":
    case "bigint":
    case "boolean":
    case "undefined":
      return String(v);
    case "symbol":
      return v.toString();
    case "function":
      return `(func ${printable(String(v.name)) || "literal"}) {...}`;
    default:
      break;
  }
  if (v === null) return "nil";
  if (v instanceof Error) {
    return engineErrors.has(v.name) && !isRuntimeError(v) ? `${v.name}: ${v.message}` : v.message;
  }
  const o = v as { error?: unknown; Error?: unknown; toString?: unknown };
  // Go asks for Error() and String(); the counterpart of the latter is a toString of the object's own class.
  for (const m of [o.Error, o.error, o.toString]) {
    if (typeof m !== "function" || m === Object.prototype.toString || m === Array.prototype.toString)
      continue;
    try {
      return String(m.call(v));
    } catch (e) {
      throw new FatalError(
        `panic while printing panic value: ${panicText(panicValue(e))}`,
        "ERR_GORT_PANIC_IN_PRINT",
      );
    }
  }
  const name = (v as { constructor?: { name?: string } }).constructor?.name;
  return `(${Array.isArray(v) ? "[]any" : name === undefined || name === "" ? "object" : `*main.${printable(String(name))}`}) {...}`;
}

/** The `panic:` lines of a crash report, oldest first, without a final newline. */
export function printpanics(p: Panic): string {
  let out = "";
  if (p.link !== null) {
    out = printpanics(p.link);
    if (p.link.repanicked) return out;
    if (!p.link.goexit) out += "\n\t";
  }
  if (p.goexit) return out;
  out += `panic: ${printpanicval(p.value)}`;
  if (p.repanicked) out += " [recovered, repanicked]";
  else if (p.recovered) out += " [recovered]";
  return out;
}
