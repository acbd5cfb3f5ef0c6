/** The checks of arguments that several entries of the allocator share. */
import { show } from "@gort/base";

/** The error of every call after close(). */
export function closedError(): never {
  throw new TypeError("allocator: the allocator is closed");
}

/** Throws unless `size` can be the size of an object. `what` is its name in the message. */
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

/** Throws unless `p` is a number. `who` is the name of the operation in the message. */
export function checkAddress(who: string, p: number): void {
  if (typeof p !== "number") throw new TypeError(`allocator: ${who} needs an address (got ${show(p)})`);
}
