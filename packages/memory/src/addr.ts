/**
 * Addresses are unsigned byte offsets into the linear memory, as JavaScript numbers. 0 is nil. The brands keep a size
 * from being passed as an address. At run time an address is a plain number, which optimised code keeps as an unboxed
 * word.
 *
 * `&`, `|`, `~`, `<<` and Math.imul give signed results. Apply `>>> 0` to an address that one of them made, before it
 * is stored or compared. An index into a view needs no such care, because `[a >>> 2]` is already unsigned.
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
