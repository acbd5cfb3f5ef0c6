/**
 * Addresses are unsigned byte offsets into the linear memory, held in JS numbers. 0 is nil. The brands
 * keep a size from being passed as an address; at run time they are plain numbers, so that an address
 * in optimised code is an unboxed word.
 *
 * `&`, `|`, `~`, `<<` and Math.imul give signed results: an address made by one of them takes `>>> 0`
 * before it is stored or compared. Indexing a view needs no care, as `[a >>> 2]` is unsigned already.
 */
declare const addrBrand: unique symbol;
declare const pointeeBrand: unique symbol;

/** A byte offset into a LinearMemory, 0 <= a < size. 0 is nil. */
export type Addr = number & { readonly [addrBrand]: true };

/** An address of a value whose layout is described by T. */
export type Ptr<T> = Addr & { readonly [pointeeBrand]: T };

/** The address that points to nothing. */
export const nil = 0 as Addr;

/** Whether n is a number of bytes: whole and not negative. */
export function isByteCount(n: unknown): n is number {
  return Number.isInteger(n) && (n as number) >= 0;
}
