/**
 * Go's panics and fatal errors, as JavaScript errors.
 *
 * A {@link RuntimeError} is a panic of the runtime (Go's `runtime.Error`): a program can catch it, and `recover()`
 * returns it.
 * A {@link FatalError} ends the whole program; `recover()` never sees it. Both carry brands (`Symbol.for`), so that two
 * copies of a package recognise each other's errors where `instanceof` alone would fail. A published `code` never
 * changes.
 */

const runtimeErrorBrand: unique symbol = Symbol.for("gort.RuntimeError") as never;
const fatalErrorBrand: unique symbol = Symbol.for("gort.FatalError") as never;

const ordinaryHasInstance = Function.prototype[Symbol.hasInstance];

/** Puts a brand on a prototype: no cost per instance, and invisible in dumps. */
function brand(proto: object, key: symbol): void {
  Object.defineProperty(proto, key, { value: true });
}

function branded(x: unknown, key: symbol): boolean {
  return typeof x === "object" && x !== null && (x as Record<symbol, unknown>)[key] === true;
}

/**
 * Sets `name` on the prototype of an error class, not enumerable as in the built-in errors, and on the class itself: a
 * bundler may rename a class that refers to itself, and Node prints the name of the class.
 */
export function named(errorClass: { readonly prototype: object }, name: string): void {
  const property = { value: name, configurable: true, writable: true };
  Object.defineProperty(errorClass.prototype, "name", property);
  Object.defineProperty(errorClass, "name", { value: name, configurable: true });
}

/**
 * A panic of the runtime. `message` is Go's text, with the prefix `runtime error: ` exactly where Go has it.
 * `goType` is the text of `%T` for the value in Go.
 */
export class RuntimeError extends Error {
  /** What happened, for programs: `ERR_GORT_` and a name. */
  readonly code: string;
  readonly goType: string;

  constructor(message: string, code = "ERR_GORT_RUNTIME_ERROR", goType = "runtime.errorString") {
    super(message);
    this.code = code;
    this.goType = goType;
  }

  /** `instanceof RuntimeError` accepts the errors of another copy of this package; subclasses compare by prototype. */
  static override [Symbol.hasInstance](x: unknown): boolean {
    return this === RuntimeError ? isRuntimeError(x) : ordinaryHasInstance.call(this, x);
  }

  /** Marks the error as a panic of the runtime, like the method of Go's interface. */
  runtimeError(): void {}
}
brand(RuntimeError.prototype, runtimeErrorBrand);
named(RuntimeError, "RuntimeError");

/** A panic of the runtime whose text has no prefix `runtime error: `, such as `send on closed channel`. */
export class PlainError extends RuntimeError {
  constructor(message: string, code = "ERR_GORT_PLAIN_ERROR") {
    super(message, code, "runtime.plainError");
  }
}
named(PlainError, "PlainError");

/** Which index of which expression is out of range. */
export type BoundsKind =
  | "index" // s[x], 0 <= x < len
  | "slice-length" // s[?:x] of a string or an array, x <= len
  | "slice-capacity" // s[?:x] of a slice, x <= cap
  | "slice" // s[x:y], x <= y
  | "slice3-length" // s[::x] of an array
  | "slice3-capacity" // s[::x] of a slice
  | "slice3-high" // s[:x:y], x <= y
  | "slice3-low"; // s[x:y:], x <= y

/** x is the offending index, y its bound. */
const BOUNDS_TEXTS: Record<BoundsKind, (x: number, y: number) => string> = {
  index: (x, y) => (x < 0 ? `index out of range [${x}]` : `index out of range [${x}] with length ${y}`),
  "slice-length": (x, y) => sliceText(`:${x}`, x < 0 ? "" : ` with length ${y}`),
  "slice-capacity": (x, y) => sliceText(`:${x}`, x < 0 ? "" : ` with capacity ${y}`),
  slice: (x, y) => sliceText(x < 0 ? `${x}:` : `${x}:${y}`, ""),
  "slice3-length": (x, y) => sliceText(`::${x}`, x < 0 ? "" : ` with length ${y}`),
  "slice3-capacity": (x, y) => sliceText(`::${x}`, x < 0 ? "" : ` with capacity ${y}`),
  "slice3-high": (x, y) => sliceText(x < 0 ? `:${x}:` : `:${x}:${y}`, ""),
  "slice3-low": (x, y) => sliceText(x < 0 ? `${x}::` : `${x}:${y}:`, ""),
};

function sliceText(bounds: string, more: string): string {
  return `slice bounds out of range [${bounds}]${more}`;
}

/** An index or a slice bound out of range, in Go's words for each form of the expression. */
export class BoundsError extends RuntimeError {
  readonly kind: BoundsKind;
  /** The index that is out of range. */
  readonly index: number;
  /** The length, the capacity or the other index that it exceeds. */
  readonly bound: number;

  constructor(kind: BoundsKind, index: number, bound: number) {
    super(
      `runtime error: ${BOUNDS_TEXTS[kind](index, bound)}`,
      "ERR_GORT_OUT_OF_RANGE",
      "runtime.boundsError",
    );
    this.kind = kind;
    this.index = index;
    this.bound = bound;
  }
}
named(BoundsError, "BoundsError");

/** A failed type assertion: `interface conversion: ...`. */
export class TypeAssertionError extends RuntimeError {
  constructor(message: string, code = "ERR_GORT_TYPE_ASSERTION") {
    super(`interface conversion: ${message}`, code, "*runtime.TypeAssertionError");
  }
}
named(TypeAssertionError, "TypeAssertionError");

/**
 * The program cannot go on. `message` is Go's text after `fatal error: `, where Go has the error. Kind `throw` is a
 * broken invariant of the runtime, kind `fatal` a fault of the program that nothing can repair.
 */
export class FatalError extends Error {
  readonly kind: "throw" | "fatal";
  readonly code: string;
  /** The lines that a report prints before the message, with the numbers. */
  readonly detail?: string;
  /** What to do about it: the last line of a report. */
  hint?: string;

  constructor(kind: "throw" | "fatal", code: string, message: string, detail?: string) {
    super(message);
    this.kind = kind;
    this.code = code;
    if (detail !== undefined) this.detail = detail;
  }

  /** `instanceof FatalError` accepts the errors of another copy of this package; subclasses compare by prototype. */
  static override [Symbol.hasInstance](x: unknown): boolean {
    return this === FatalError ? isFatalError(x) : ordinaryHasInstance.call(this, x);
  }
}
brand(FatalError.prototype, fatalErrorBrand);
named(FatalError, "FatalError");

/** Reports whether `x` is a panic of the runtime, from this copy of the package or another. */
export function isRuntimeError(x: unknown): x is RuntimeError {
  return branded(x, runtimeErrorBrand);
}

/** Reports whether `x` is a fatal error, from this copy of the package or another. */
export function isFatalError(x: unknown): x is FatalError {
  return branded(x, fatalErrorBrand);
}

/** Go's `throw`: an invariant of the runtime does not hold. `detail` carries the numbers. */
export function throwFatal(message: string, detail?: string): never {
  throw new FatalError("throw", "ERR_GORT_THROW", message, detail);
}

/** Go's `throw` without memory. `detail` names the allocation that failed, with the figures that are known. */
export function outOfMemory(detail: string): never {
  throw new FatalError("throw", "ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory", detail);
}
