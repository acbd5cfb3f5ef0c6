/**
 * What the collector throws. The brands and shapes are those of every gort package, so that an error is
 * recognised across two copies of a package (`Symbol.for`, never `instanceof` alone).
 */

const fatalBrand: unique symbol = Symbol.for("gort.FatalError") as never;

/** Ends the program: `throw` marks a broken invariant of the runtime, `fatal` a fault of the user beyond repair. */
export class FatalError extends Error {
  override readonly name = "FatalError";

  constructor(
    /** Go's text, without the `fatal error: ` prefix. */
    message: string,
    readonly kind: "throw" | "fatal",
    /** Permanent identifier of the error. */
    readonly code: string,
    /** Lines that Go prints before the message: the numbers. */
    readonly detail?: string,
  ) {
    super(message);
  }
}
Object.defineProperty(FatalError.prototype, fatalBrand, { value: true });

/** True for a fatal error of any gort package. */
export function isFatalError(
  x: unknown,
): x is Error & { kind: "throw" | "fatal"; code: string; detail?: string } {
  return typeof x === "object" && x !== null && (x as Record<symbol, unknown>)[fatalBrand] === true;
}

/** Ends the program over a broken invariant; `detail` carries the numbers. */
export function throwFatal(message: string, detail?: string): never {
  throw new FatalError(message, "throw", `gc.${message.replace(/[^a-z0-9]+/gi, "_")}`, detail);
}

/** An address as Go prints pointers. */
export function hex(addr: number): string {
  return `0x${(addr >>> 0).toString(16)}`;
}
