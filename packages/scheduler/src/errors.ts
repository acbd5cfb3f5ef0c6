/**
 * What Go panics with and what Go dies of, as JavaScript errors.
 *
 * A panic of the runtime is a {@link RuntimeError} (Go's `runtime.Error`): it can be caught, and
 * `recover()` returns it. A {@link FatalError} ends the whole program; `recover()` never sees it.
 * Both are recognised by brands (`Symbol.for`), not by `instanceof` alone, so that two copies of a
 * package agree. `code` strings never change once published.
 */

const runtimeErrorBrand: unique symbol = Symbol.for("gort.RuntimeError") as never;
const fatalErrorBrand: unique symbol = Symbol.for("gort.FatalError") as never;

/** Puts a brand on a prototype, where it costs nothing an instance and does not show in dumps. */
function brand(proto: object, key: symbol): void {
  Object.defineProperty(proto, key, { value: true });
}

/** A call that a closed scheduler cannot serve. */
export function usedAfterClose(what: string): TypeError {
  return new TypeError(`scheduler: use of a scheduler after its close (${what})`);
}

/** What to do when two copies of the package meet. */
export const otherCopy =
  "belongs to another copy of @gort/scheduler: install one version, and bundle it once";

const ordinaryHasInstance = Function.prototype[Symbol.hasInstance];

/**
 * Sets `name` on a prototype without making it enumerable, as the built-in errors have it, and on the class: a bundler may rename a
 * class that refers to itself, and Node prints the class's name.
 */
function named(proto: object, name: string): void {
  Object.defineProperty(proto, "name", { value: name, configurable: true, writable: true });
  Object.defineProperty(proto.constructor, "name", { value: name, configurable: true });
}

/**
 * A panic raised by the runtime. `message` is Go's text with the prefix `runtime error: ` exactly where Go
 * has it; `goType` is what `%T` prints for the value in Go.
 */
export class RuntimeError extends Error {
  readonly code: string;
  readonly goType: string;

  constructor(message: string, code = "ERR_GORT_RUNTIME_ERROR", goType = "runtime.errorString") {
    super(message);
    this.code = code;
    this.goType = goType;
  }

  /** Also true for errors of another copy of the package, and of the packages below. Subclasses are told by prototype. */
  static override [Symbol.hasInstance](x: unknown): boolean {
    return this === RuntimeError ? isRuntimeError(x) : ordinaryHasInstance.call(this, x);
  }

  /** Marks the error as one of the runtime's, as the method of Go's interface does. */
  runtimeError(): void {}
}
brand(RuntimeError.prototype, runtimeErrorBrand);
named(RuntimeError.prototype, "RuntimeError");

/** A runtime panic whose text has no `runtime error: ` prefix, such as `send on closed channel`. */
export class PlainError extends RuntimeError {
  constructor(message: string, code = "ERR_GORT_PLAIN_ERROR") {
    super(message, code, "runtime.plainError");
  }
}
named(PlainError.prototype, "PlainError");

/** An index or slice bound out of range. */
export class BoundsError extends RuntimeError {
  constructor(message: string, code = "ERR_GORT_OUT_OF_RANGE") {
    super(`runtime error: ${message}`, code, "runtime.boundsError");
  }
}
named(BoundsError.prototype, "BoundsError");

/** A failed type assertion: `interface conversion: ...`. */
export class TypeAssertionError extends RuntimeError {
  constructor(message: string, code = "ERR_GORT_TYPE_ASSERTION") {
    super(`interface conversion: ${message}`, code, "*runtime.TypeAssertionError");
  }
}
named(TypeAssertionError.prototype, "TypeAssertionError");

/** `panic(null)`: a panic must have a value, or `recover()` could not tell it from none. */
export class PanicNilError extends RuntimeError {
  constructor() {
    super("runtime error: panic called with nil argument", "ERR_GORT_PANIC_NIL", "*runtime.PanicNilError");
  }
}
named(PanicNilError.prototype, "PanicNilError");

/**
 * Carries a panic whose value is no `Error` (`panic("boom")`, or `throw 3` in a goroutine), so that it has a
 * stack and can reject a promise. `recover()` returns `value`, never the wrapper.
 */
export class PanicError extends Error {
  readonly code = "ERR_GORT_PANIC";
  readonly value: unknown;

  /** `message` may be a function, which is called when the text is first asked for. */
  constructor(value: unknown, message: string | (() => string)) {
    super(typeof message === "string" ? message : undefined);
    this.value = value;
    if (typeof message === "string") return;
    const set = (text: string): void => {
      Object.defineProperty(this, "message", { value: text, configurable: true, writable: true });
    };
    Object.defineProperty(this, "message", {
      get: () => {
        const text = message();
        set(text);
        return text;
      },
      set,
      configurable: true,
    });
  }
}
named(PanicError.prototype, "PanicError");

/**
 * The program cannot go on. `message` is Go's text after `fatal error: `; `detail` holds lines that Go prints
 * before it. Kind `throw` is a broken invariant of the runtime, `fatal` a fault of the program.
 */
export class FatalError extends Error {
  readonly kind: "throw" | "fatal";
  readonly code: string;
  readonly detail?: string;
  /** What to do about it: the last line of the report. */
  hint?: string;

  constructor(message: string, code = "ERR_GORT_FATAL", kind: "throw" | "fatal" = "fatal", detail?: string) {
    super(message);
    this.kind = kind;
    this.code = code;
    if (detail !== undefined) this.detail = detail;
  }

  /** Also true for fatal errors of another copy of the package, and of the packages below. */
  static override [Symbol.hasInstance](x: unknown): boolean {
    return this === FatalError ? isFatalError(x) : ordinaryHasInstance.call(this, x);
  }
}
brand(FatalError.prototype, fatalErrorBrand);
named(FatalError.prototype, "FatalError");

/**
 * Thrown by `goexit()` to unwind a goroutine. It is no error: `recover()` ignores it, and a `catch` that
 * meets it should throw it on. One instance serves all, since it carries nothing.
 */
export class GoexitSignal {
  readonly code = "ERR_GORT_GOEXIT";
  toString(): string {
    return "runtime.Goexit";
  }
}

function branded(x: unknown, key: symbol): boolean {
  return typeof x === "object" && x !== null && (x as Record<symbol, unknown>)[key] === true;
}

/** Whether `x` is a panic of the runtime, from this copy of the package or another. */
export function isRuntimeError(x: unknown): x is RuntimeError {
  return branded(x, runtimeErrorBrand);
}

/** Whether `x` is a fatal error, from this copy of the package or another. */
export function isFatalError(x: unknown): x is FatalError {
  return branded(x, fatalErrorBrand);
}

/** How a value reads in an error message. */
export function kindOf(x: unknown): string {
  if (x === null) return "null";
  if (typeof x !== "object") return typeof x;
  return (x as { constructor?: { name?: string } }).constructor?.name || "object";
}

/** The error for a value that breaks a rule for numbers. */
export function wrongNumber(got: unknown, rule: string): TypeError | RangeError {
  const fault = `scheduler: ${rule} (got ${String(got)})`;
  return typeof got === "number" ? new RangeError(fault) : new TypeError(fault);
}
