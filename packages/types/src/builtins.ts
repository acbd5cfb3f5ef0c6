/** Built-in functions of Go. They need no heap besides those of their arguments. */

import { show } from "@gort/base";
import type { Ptr } from "@gort/memory";
import { copyOut, readString } from "./bytes.ts";
import { cellOf, released } from "./cell.ts";
import { identical } from "./identical.ts";
import {
  appendAll,
  appendTaken,
  checkSlice,
  isSlice,
  opsOf,
  type Slice,
  type SliceOps,
  sliceAddr,
  sliceLen,
  sliceRoot,
} from "./slice.ts";
import { type Type, uint8 } from "./type.ts";
import type { Init, RefMembers } from "./values.ts";

/** The part that the slice shares with others, or an error that names the given value. */
function sliceArgument(what: string, s: unknown): SliceOps {
  if (!isSlice(s)) throw new TypeError(`types: ${what} (got ${show(s)})`);
  return opsOf(s);
}

/**
 * `append(s, values...)`: another slice, which shares the array while the capacity lasts. It reads and checks all
 * values first. If it refuses a value, nothing has changed.
 */
export function append<E extends Type>(s: Slice<E>, ...values: Init<E>[]): Slice<E> {
  const { codec } = sliceArgument("append needs a slice", s);
  const taken: unknown[] = values;
  let i = 0;
  try {
    for (; i < taken.length; i++) taken[i] = codec.take(taken[i]);
  } catch (err) {
    while (--i >= 0) codec.drop(taken[i]);
    throw err;
  }
  return appendTaken(s as unknown as Slice<Type>, taken) as unknown as Slice<E>;
}

/** `append(s, more...)`: appends all elements of another slice, which may share the array. */
export function appendSlice<E extends Type>(s: Slice<E>, more: Slice<E>): Slice<E> {
  const ops = sliceArgument("appendSlice needs a slice", s);
  return appendAll(s as unknown as Slice<Type>, checkSlice(ops, more)) as unknown as Slice<E>;
}

/** `copy(dst, src)`: copies as many elements as both have. The slices may overlap. Returns the number copied. */
export function copy<E extends Type>(dst: Slice<E>, src: Slice<E>): number {
  const ops = sliceArgument("copy needs slices", dst);
  const from = checkSlice(ops, src);
  const to = checkSlice(ops, dst);
  const n = Math.min(sliceLen(to), sliceLen(from));
  ops.move(sliceAddr(to), sliceAddr(from), n);
  return n;
}

/** `s` as a live slice of uint8, or an error. */
function byteSlice(what: string, s: unknown): Slice<Type> {
  const { elem } = sliceArgument(`${what} needs a slice of uint8`, s);
  if (!identical(elem, uint8))
    throw new TypeError(`types: ${what} needs a slice of uint8 (got a slice of ${elem.name})`);
  const found = s as Slice<Type>;
  if (sliceRoot(found).slot === 0) released("slice of uint8");
  return found;
}

/** `string(s)` of a `[]byte`: invalid UTF-8 reads as U+FFFD. */
export function bytesToString(s: Slice<typeof uint8>): string {
  const b = byteSlice("bytesToString", s);
  return readString(opsOf(b).heap.mem, sliceAddr(b), sliceLen(b));
}

/** A copy of a `[]byte` outside of the heap. */
export function toUint8Array(s: Slice<typeof uint8>): Uint8Array {
  const b = byteSlice("toUint8Array", s);
  return copyOut(opsOf(b).heap.mem, sliceAddr(b), sliceLen(b));
}

/** The raw pointer of a reference; nil for `null`. It is valid until the next safepoint or the Ref's release. */
export function addrOf<T extends Type>(ref: RefMembers<T> | null): Ptr<T> {
  if (ref === null) return 0 as Ptr<T>;
  const cell = cellOf(ref);
  if (cell === null) throw new TypeError(`types: addrOf needs a Ref (got ${show(ref)})`);
  if (cell.slot === 0) released(`Ref<${cell.home.type.name}>`);
  return cell.addr as Ptr<T>;
}

/** `p == q` of two pointers: whether they refer to the same address. */
export function same(a: RefMembers<Type> | null, b: RefMembers<Type> | null): boolean {
  return addrOf(a) === (addrOf(b) as number);
}
