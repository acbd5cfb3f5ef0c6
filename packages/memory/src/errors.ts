/** The error that ends a program. Its brand makes it recognisable across copies of this package and across siblings. */

const fatalBrand = Symbol.for("gort.FatalError");

/**
 * Broken internals ("throw") or a fault of the program that nothing can repair ("fatal"). `message` is Go's text
 * without its `fatal error: ` prefix, where Go has the error; `detail` holds the lines printed before it.
 */
export class FatalError extends Error {
  readonly kind: "throw" | "fatal";
  readonly code: string;
  readonly detail?: string;
  constructor(kind: "throw" | "fatal", code: string, message: string, detail?: string) {
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
Object.defineProperty(FatalError.prototype, fatalBrand, { value: true });

export function isFatalError(x: unknown): x is FatalError {
  return typeof x === "object" && x !== null && (x as Record<symbol, unknown>)[fatalBrand] === true;
}

/** A lock is used against its rules, or its holder is dead. */
export function lockError(message: string): FatalError {
  return new FatalError("throw", "ERR_GORT_LOCK", message);
}
