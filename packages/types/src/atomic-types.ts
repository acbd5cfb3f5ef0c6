/**
 * The types of atomic values: Go's atomic.Int64 and so on. A value is a field, an element or an object of its own, and
 * only its methods touch it:
 *
 *     const Stats = struct("Stats", { hits: Int64, head: Pointer(Node) });
 *     const s = rt.newObject(Stats);
 *     s.hits.add(1n);
 *
 * They have the sizes of Go's types. `s.hits` makes a Ref; keep it for many operations. The names are Go's, with a
 * capital, since `int64` is the type of an ordinary value.
 */
import { show } from "@gort/base";
import type { Addr } from "@gort/memory";
import {
  int32Words,
  int64Words,
  uint32Words,
  uint64Words,
  uintptrWords,
  type Words,
} from "./atomic-words.ts";
import { cellOf, type Root } from "./cell.ts";
import { exchangePointer, exchangePointerIf } from "./heap.ts";
import { type OpaqueHome, OpaqueType, opaqueFamily } from "./opaque.ts";
import { checkRef } from "./pointer-codec.ts";
import { type Type, WORD } from "./type.ts";
import type { Ref } from "./values.ts";

/** The methods of an atomic number. */
export interface AtomicMembers<V> {
  load(): V;
  store(value: V): void;
  /** Stores a value and returns the old one. */
  swap(value: V): V;
  /** Stores a value if the old one is `old`, and returns whether it was. */
  compareAndSwap(old: V, value: V): boolean;
  /** Adds `delta`, and returns the new value. It wraps around. */
  add(delta: V): V;
  /** Clears the bits that are 0 in the mask, and returns the old value. */
  and(mask: V): V;
  /** Sets the bits that are 1 in the mask, and returns the old value. */
  or(mask: V): V;
}

function numberType<V>(name: string, words: Words<V>): OpaqueType<AtomicMembers<V>> {
  const { size, take } = words;
  return new OpaqueType(`atomic.${name}`, size, size, ({ heap: { mem }, addrOf }) => ({
    load() {
      return words.load(mem, addrOf(this));
    },
    store(value) {
      words.store(mem, addrOf(this), take(value));
    },
    swap(value) {
      return words.swap(mem, addrOf(this), take(value));
    },
    compareAndSwap(old, value) {
      return words.compareAndSwap(mem, addrOf(this), take(old), take(value));
    },
    add(delta) {
      return words.add(mem, addrOf(this), take(delta));
    },
    and(mask) {
      return words.and(mem, addrOf(this), take(mask));
    },
    or(mask) {
      return words.or(mem, addrOf(this), take(mask));
    },
  }));
}

export const Int32: OpaqueType<AtomicMembers<number>> = /* @__PURE__ */ numberType("Int32", int32Words);
export const Uint32: OpaqueType<AtomicMembers<number>> = /* @__PURE__ */ numberType("Uint32", uint32Words);
export const Int64: OpaqueType<AtomicMembers<bigint>> = /* @__PURE__ */ numberType("Int64", int64Words);
export const Uint64: OpaqueType<AtomicMembers<bigint>> = /* @__PURE__ */ numberType("Uint64", uint64Words);
export const Uintptr: OpaqueType<AtomicMembers<number>> = /* @__PURE__ */ numberType("Uintptr", uintptrWords);

/** The methods of an atomic boolean. */
export interface AtomicBoolMembers {
  load(): boolean;
  store(value: boolean): void;
  /** Stores a value and returns the old one. */
  swap(value: boolean): boolean;
  /** Stores a value if the old one is `old`, and returns whether it was. */
  compareAndSwap(old: boolean, value: boolean): boolean;
}

function bit(value: unknown): number {
  if (typeof value === "boolean") return value ? 1 : 0;
  throw new TypeError(`types: bool must be a boolean (got ${show(value)})`);
}

export const Bool: OpaqueType<AtomicBoolMembers> = /* @__PURE__ */ new OpaqueType(
  "atomic.Bool",
  4,
  4,
  ({ heap: { mem }, addrOf }) => {
    const { kernel } = mem;
    return {
      load() {
        return kernel.load(addrOf(this)) !== 0;
      },
      store(value) {
        kernel.store(addrOf(this), bit(value));
      },
      swap(value) {
        return kernel.xchg(addrOf(this), bit(value)) !== 0;
      },
      compareAndSwap(old, value) {
        const from = bit(old);
        return kernel.cas(addrOf(this), from, bit(value)) === from;
      },
    };
  },
);

/** The methods of an atomic pointer. `load` and `swap` make a Ref, which roots the target. */
export interface AtomicPointerMembers<E extends Type> {
  load(): Ref<E> | null;
  store(value: Ref<E> | null): void;
  /** Stores a pointer and returns the old one. */
  swap(value: Ref<E> | null): Ref<E> | null;
  /** Stores a pointer if the old one is `old`, and returns whether it was. */
  compareAndSwap(old: Ref<E> | null, value: Ref<E> | null): boolean;
}

const POINTER = "atomic.Pointer";

/** `atomic.Pointer[T]`. Pass a thunk for a type that is declared later. */
export function Pointer<E extends Type>(elem: E | (() => E)): OpaqueType<AtomicPointerMembers<E>, E> {
  const type: OpaqueType<AtomicPointerMembers<E>, E> = new OpaqueType(
    POINTER,
    WORD,
    WORD,
    (home) => pointerMembers<E>(home, () => type.elem as E),
    elem,
  );
  return type;
}
opaqueFamily(POINTER, Pointer);

function pointerMembers<E extends Type>(
  { heap, types, addrOf }: OpaqueHome,
  elemOf: () => E,
): AtomicPointerMembers<E> {
  const { kernel } = heap.mem;
  /** The Root of a Ref, or null. Code of the value or of a type runs only here. */
  const take = (value: unknown): Root | null => {
    if (value === null) return null;
    const elem = elemOf();
    const cell = cellOf(value);
    if (cell !== null) return checkRef(types.roots, elem, cell, true);
    throw new TypeError(`types: value must be a Ref<${elem.name}> or null (got ${show(value)})`);
  };
  const target = (root: Root | null): Addr => {
    if (root === null) return 0 as Addr;
    if (root.slot === 0) root.gone();
    return root.addr as Addr;
  };
  const result = (elem: E, addr: number): Ref<E> | null =>
    addr === 0 ? null : (types.newRef(elem, addr) as unknown as Ref<E>);
  return {
    load() {
      const elem = elemOf();
      return result(elem, kernel.load(addrOf(this)) >>> 0);
    },
    store(value) {
      const root = take(value);
      exchangePointer(heap, addrOf(this) as Addr, target(root));
    },
    swap(value) {
      const elem = elemOf();
      const root = take(value);
      return result(elem, exchangePointer(heap, addrOf(this) as Addr, target(root)));
    },
    compareAndSwap(old, value) {
      const from = take(old);
      const to = take(value);
      return exchangePointerIf(heap, addrOf(this) as Addr, target(from), target(to));
    },
  };
}
