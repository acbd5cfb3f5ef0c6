/** Functions of the language, which need no heap beside their arguments'. */
import type { Ptr } from "@gort/memory";
import { RefBase, released } from "./cell.ts";
import { readString, show } from "./codec.ts";
import { checkSlice, Slice } from "./slice.ts";
import type { Type, uint8 } from "./type.ts";
import type { Init, RefMembers } from "./values.ts";

/** `append(s, values...)`: another slice; it shares the array while the capacity lasts. */
export function append<E extends Type>(s: Slice<E>, ...values: Init<E>[]): Slice<E> {
  if (!(s instanceof Slice)) throw new TypeError(`types: append needs a slice (got ${show(s)})`);
  const { codec, elem } = s.$ops;
  return s.$append(values.length, (addr) => {
    for (let i = 0; i < values.length; i++) codec.store(addr + i * elem.size, values[i]);
  });
}

/** `append(s, more...)`: all elements of another slice, which may share the array. */
export function appendSlice<E extends Type>(s: Slice<E>, more: Slice<E>): Slice<E> {
  if (!(s instanceof Slice)) throw new TypeError(`types: appendSlice needs a slice (got ${show(s)})`);
  checkSlice(s.$ops, more);
  return s.$append(more.length, (addr) => s.$ops.move(addr, more.$addr, more.length));
}

/** `copy(dst, src)`: as many elements as both have; the slices may overlap. Returns how many. */
export function copy<E extends Type>(dst: Slice<E>, src: Slice<E>): number {
  if (!(dst instanceof Slice)) throw new TypeError(`types: copy needs slices (got ${show(dst)})`);
  checkSlice(dst.$ops, src);
  if (dst.$root.slot === 0) released(`slice of ${dst.$ops.elem.name}`);
  const n = Math.min(dst.length, src.length);
  dst.$ops.move(dst.$addr, src.$addr, n);
  return n;
}

/** `string(s)` of a `[]byte`: invalid UTF-8 reads as U+FFFD. */
export function bytesToString(s: Slice<typeof uint8>): string {
  checkSlice(s.$ops, s);
  return readString(s.$ops.heap.mem, s.$addr, s.length);
}

/** A copy of a `[]byte` outside of the heap. */
export function toUint8Array(s: Slice<typeof uint8>): Uint8Array {
  checkSlice(s.$ops, s);
  return s.$ops.heap.mem.u8.slice(s.$addr, s.$addr + s.length);
}

/** The raw pointer of a reference; nil for `null`. Valid until the next safepoint or the Ref's release. */
export function addrOf<T extends Type>(ref: RefMembers<T> | null): Ptr<T> {
  if (ref === null) return 0 as Ptr<T>;
  if (!(ref instanceof RefBase)) throw new TypeError(`types: addrOf needs a Ref (got ${show(ref)})`);
  if (ref.$root.slot === 0) released(`Ref<${ref.$type.name}>`);
  return ref.$addr as Ptr<T>;
}

/** `p == q` of two pointers: whether they refer to the same address. */
export function same(a: RefMembers<Type> | null, b: RefMembers<Type> | null): boolean {
  return addrOf(a) === (addrOf(b) as number);
}
