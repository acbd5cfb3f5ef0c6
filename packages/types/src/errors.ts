/**
 * What Go panics with, thrown. The brand is found through `Symbol.for`, so that an error is recognised
 * across two copies of a package.
 */

const runtimeErrorBrand = Symbol.for("gort.RuntimeError");
const fatalErrorBrand = Symbol.for("gort.FatalError");

/** Go's `runtime.Error`. The message is Go's text, with the prefix `runtime error: ` where Go has it. */
export class RuntimeError extends Error {
  /** What happened, for programs: `ERR_GORT_...`, and never changed once published. */
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }

  /** Marks the error as Go's method does; it does nothing. */
  runtimeError(): void {}
}
Object.defineProperty(RuntimeError.prototype, "name", {
  value: "RuntimeError",
  writable: true,
  configurable: true,
});
Object.defineProperty(RuntimeError.prototype, runtimeErrorBrand, { value: true });

/** Which index of which expression was out of range. */
export type BoundsKind =
  | "index" // s[x], 0 <= x < len
  | "slice-length" // s[?:x] of a string or an array, x <= len
  | "slice-capacity" // s[?:x] of a slice, x <= cap
  | "slice" // s[x:y], x <= y
  | "slice3-length" // s[::x] of an array
  | "slice3-capacity" // s[::x] of a slice
  | "slice3-high" // s[:x:y], x <= y
  | "slice3-low"; // s[x:y:], x <= y

/** x is the offending index, y what it was compared with. */
const TEXTS: Record<BoundsKind, (x: number, y: number) => string> = {
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
  /** The index that was out of range. */
  readonly index: number;
  /** What it was compared with: a length, a capacity or another index. */
  readonly bound: number;

  constructor(kind: BoundsKind, index: number, bound: number) {
    super(`runtime error: ${TEXTS[kind](index, bound)}`, "ERR_GORT_OUT_OF_RANGE");
    this.kind = kind;
    this.index = index;
    this.bound = bound;
  }
}
Object.defineProperty(BoundsError.prototype, "name", {
  value: "BoundsError",
  writable: true,
  configurable: true,
});

/** Not to be recovered from: the heap is exhausted, or the runtime is broken. */
export class FatalError extends Error {
  readonly kind: "throw" | "fatal";
  readonly code: string;
  /** Lines to print before the message. */
  readonly detail?: string;

  constructor(kind: "throw" | "fatal", message: string, code: string, detail?: string) {
    super(message);
    this.kind = kind;
    this.code = code;
    if (detail !== undefined) this.detail = detail;
  }
}
Object.defineProperty(FatalError.prototype, "name", {
  value: "FatalError",
  writable: true,
  configurable: true,
});
Object.defineProperty(FatalError.prototype, fatalErrorBrand, { value: true });

/** What any package of this runtime throws for Go's `runtime.Error`. */
export interface RuntimeErrorLike extends Error {
  readonly code: string;
  runtimeError(): void;
}

export function isRuntimeError(x: unknown): x is RuntimeErrorLike {
  return typeof x === "object" && x !== null && (x as Record<symbol, unknown>)[runtimeErrorBrand] === true;
}

export function isFatalError(x: unknown): x is Error & { kind: "throw" | "fatal"; code: string } {
  return typeof x === "object" && x !== null && (x as Record<symbol, unknown>)[fatalErrorBrand] === true;
}

export function nilDereference(): never {
  throw new RuntimeError(
    "runtime error: invalid memory address or nil pointer dereference",
    "ERR_GORT_NIL_DEREFERENCE",
  );
}
