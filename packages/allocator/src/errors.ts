/** Errors that end the program in Go. The class is the memory's; its brand is that of every gort package. */
import { FatalError } from "@gort/memory";

export { FatalError, isFatalError } from "@gort/memory";

/** Ends with Go's throw(s): an invariant of the allocator doesn't hold. */
export function fatalThrow(message: string, detail?: string): never {
  throw new FatalError("throw", "ERR_GORT_THROW", message, detail);
}

/** The program goes on to use an allocator after its close. */
export function closedError(): never {
  throw new TypeError("allocator: the allocator is closed");
}

/** No memory left; the detail says how much was asked for and how much there is. */
export function outOfMemory(detail: string): never {
  throw new FatalError("throw", "ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory", detail);
}

/** What a thing is, for messages: `null`, `a Memory`, `string`. */
export function kindOf(x: unknown): string {
  if (x === null) return "null";
  return typeof x === "object" ? `a ${x.constructor?.name ?? "object"}` : typeof x;
}

/** A value, for messages: `-8`, `a Memory`. */
export function show(x: unknown): string {
  return typeof x === "object" || typeof x === "function" ? kindOf(x) : String(x);
}

/** Throws unless size can be that of an object. what: its name. */
export function checkSize(size: number, what = "size"): void {
  if (typeof size !== "number")
    throw new TypeError(`allocator: ${what} must be a number (got ${show(size)})`);
  if (size >>> 0 !== size) {
    const unit = what === "size" ? "bytes " : "";
    throw new RangeError(
      `allocator: ${what} must be a whole number ${unit && "of "}${unit}from 0 to 4294967295 (got ${size})`,
    );
  }
}

/** Throws unless p is a number. who: what needs it. */
export function checkAddress(who: string, p: number): void {
  if (typeof p !== "number") throw new TypeError(`allocator: ${who} needs an address (got ${show(p)})`);
}
