/** Errors that end the program in Go. The brand makes them recognisable across copies of this package. */

const fatalBrand = Symbol.for("gort.FatalError");

/**
 * Broken internals ("throw") or a fault of the program that nothing can repair ("fatal"). `message` is Go's text
 * without its `fatal error: ` prefix; `detail` holds the lines printed before it.
 */
export class FatalError extends Error {
  override readonly name = "FatalError";
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
Object.defineProperty(FatalError.prototype, fatalBrand, { value: true });

export function isFatalError(x: unknown): x is FatalError {
  return typeof x === "object" && x !== null && (x as Record<symbol, unknown>)[fatalBrand] === true;
}

/** Ends with Go's throw(s): an invariant of the allocator doesn't hold. */
export function fatalThrow(message: string, detail?: string): never {
  throw new FatalError("throw", "ERR_GORT_THROW", message, detail);
}

/** No memory left; the detail says how much was asked for and how much there is. */
export function outOfMemory(detail: string): never {
  throw new FatalError("throw", "ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory", detail);
}
