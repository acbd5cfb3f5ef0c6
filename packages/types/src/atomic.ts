/**
 * `sync/atomic`: atomic operations on values of a heap, for goroutines of all threads.
 *
 * Functions take the place of an ordinary value, as Go's take its address:
 *
 *     addInt64(fieldRef(c, "n"), 1n)      atomic.AddInt64(&c.n, 1)
 *     addInt64(s.ref(3), 1n)              atomic.AddInt64(&s[3], 1)
 *     loadPointer(fieldRef(node, "next"))
 *
 * A place is a Ref, or for code with raw pointers a View. Make the Ref once for many operations: then an operation on
 * numbers allocates nothing. The types Int32, Int64 and so on (atomic-types.ts) are values that have the operations as
 * members.
 *
 * An ordinary access to the same place is no race that could harm the heap, but it may see an older value, and a store
 * of 64 bits is two stores. Use atomic operations for every access.
 *
 * Pointers. The heap makes the exchange, with its write barrier: it shades the new pointer before the exchange makes it
 * visible, and afterwards the old pointer that the exchange has really taken out. The collector cannot end its marking
 * in between, because the thread is at no safepoint. `loadPointer` roots the pointer that it has loaded, before the
 * thread's next safepoint. So the object lives, even if another thread overwrites the place meanwhile.
 *
 * A value of the wrong type, a place of another type, and an address that is no multiple of the size are TypeErrors.
 */
import { hex, show } from "@gort/base";
import type { Addr, LinearMemory, Ptr } from "@gort/memory";
import {
  int32Words,
  int64Words,
  uint32Words,
  uint64Words,
  uintptrWords,
  type Words,
} from "./atomic-words.ts";
import { cellOf, partOf, Root, released, ViewBase } from "./cell.ts";
import { nilDereference } from "./errors.ts";
import { exchangePointer, exchangePointerIf } from "./heap.ts";
import type { PerType } from "./per-type.ts";
import { checkRef } from "./pointer-codec.ts";
import { int32, int64, PointerType, StructType, type Type, uint32, uint64, uintptr, WORD } from "./type.ts";
import type { Ref, Resolved, View } from "./values.ts";

/** The place of a T in a heap. */
export type Place<T extends Type> = Ref<T> | View<T>;

/** `&s.name`: a Ref of one field, which works as long as the Ref of the struct is not released. */
export function fieldRef<F extends object, K extends keyof F & string>(
  ref: Ref<StructType<F>>,
  name: K,
): Resolved<F[K]> extends infer T extends Type ? Ref<T> : never {
  const cell = cellOf(ref);
  if (cell === null) throw new TypeError(`types: fieldRef needs a Ref of a struct (got ${show(ref)})`);
  const { type, types } = cell.home;
  if (!(type instanceof StructType)) {
    throw new TypeError(`types: fieldRef needs a Ref of a struct (got a Ref<${type.name}>)`);
  }
  if (cell.slot === 0) released(`Ref<${type.name}>`);
  const field = type.field(name);
  const { Ref: FieldRef, home } = types.handles(field.type);
  return new FieldRef(partOf(cell, home, cell.addr + field.offset)) as never;
}

/** The Root of a Ref, or a View. Code of a proxy runs only here. */
function placeOf(what: string, p: unknown, want: string): Root | ViewBase {
  const cell = cellOf(p);
  if (cell !== null) return cell;
  if (p instanceof ViewBase) return p;
  throw new TypeError(`types: ${what} needs a Ref<${want}> (got ${show(p)})`);
}

function wrongPlace(what: string, want: string, type: Type): never {
  throw new TypeError(`types: ${what} needs a Ref<${want}> (got a Ref<${type.name}>)`);
}

/** The address of a place of `size` bytes. */
function addrAt(what: string, place: Root | ViewBase, size: number): number {
  let addr: number;
  if (place instanceof Root) {
    if (place.slot === 0) place.gone();
    addr = place.addr;
  } else {
    addr = place.$addr;
    if (addr === 0) nilDereference();
  }
  if ((addr & (size - 1)) !== 0 || addr >>> 0 !== addr) {
    throw new TypeError(`types: ${what} needs an address that is a multiple of ${size} (got ${hex(addr)})`);
  }
  return addr;
}

/** The functions of one scalar type. */
interface Functions<T extends Type, V> {
  load: (p: Place<T>) => V;
  store: (p: Place<T>, value: V) => void;
  swap: (p: Place<T>, value: V) => V;
  compareAndSwap: (p: Place<T>, old: V, value: V) => boolean;
  add: (p: Place<T>, delta: V) => V;
  and: (p: Place<T>, mask: V) => V;
  or: (p: Place<T>, mask: V) => V;
}

const OPERATIONS = ["load", "store", "swap", "compareAndSwap", "add", "and", "or"];

function functions<T extends Type, V>(name: string, type: T, words: Words<V>): Functions<T, V> {
  const { size, take } = words;
  // The memory of the place that `at` has found last.
  let mem: LinearMemory;
  const at = (what: string, p: unknown): number => {
    const place = placeOf(what, p, type.name);
    const root = place instanceof Root;
    const found = root ? place.home.type : place.$type;
    if (found !== type) wrongPlace(what, type.name, found);
    mem = (root ? place.home.types : place.$types).heap.mem;
    return addrAt(what, place, size);
  };
  const [load, store, swap, cas, add, and, or] = OPERATIONS.map((operation) => `${operation}${name}`);
  return {
    load(p) {
      const addr = at(load, p);
      return words.load(mem, addr);
    },
    store(p, value) {
      const addr = at(store, p);
      words.store(mem, addr, take(value));
    },
    swap(p, value) {
      const addr = at(swap, p);
      return words.swap(mem, addr, take(value));
    },
    compareAndSwap(p, old, value) {
      const addr = at(cas, p);
      return words.compareAndSwap(mem, addr, take(old), take(value));
    },
    add(p, delta) {
      const addr = at(add, p);
      return words.add(mem, addr, take(delta));
    },
    and(p, mask) {
      const addr = at(and, p);
      return words.and(mem, addr, take(mask));
    },
    or(p, mask) {
      const addr = at(or, p);
      return words.or(mem, addr, take(mask));
    },
  };
}

const i32 = /* @__PURE__ */ functions("Int32", int32, int32Words);
const u32 = /* @__PURE__ */ functions("Uint32", uint32, uint32Words);
const i64 = /* @__PURE__ */ functions("Int64", int64, int64Words);
const u64 = /* @__PURE__ */ functions("Uint64", uint64, uint64Words);
const ptr = /* @__PURE__ */ functions("Uintptr", uintptr, uintptrWords);

/** Returns the value. */
export const loadInt32: typeof i32.load = i32.load;
export const loadUint32: typeof u32.load = u32.load;
export const loadInt64: typeof i64.load = i64.load;
export const loadUint64: typeof u64.load = u64.load;
export const loadUintptr: typeof ptr.load = ptr.load;

/** Stores a value. */
export const storeInt32: typeof i32.store = i32.store;
export const storeUint32: typeof u32.store = u32.store;
export const storeInt64: typeof i64.store = i64.store;
export const storeUint64: typeof u64.store = u64.store;
export const storeUintptr: typeof ptr.store = ptr.store;

/** Stores a value and returns the old one. */
export const swapInt32: typeof i32.swap = i32.swap;
export const swapUint32: typeof u32.swap = u32.swap;
export const swapInt64: typeof i64.swap = i64.swap;
export const swapUint64: typeof u64.swap = u64.swap;
export const swapUintptr: typeof ptr.swap = ptr.swap;

/** Stores a value if the old one is `old`, and returns whether it was. */
export const compareAndSwapInt32: typeof i32.compareAndSwap = i32.compareAndSwap;
export const compareAndSwapUint32: typeof u32.compareAndSwap = u32.compareAndSwap;
export const compareAndSwapInt64: typeof i64.compareAndSwap = i64.compareAndSwap;
export const compareAndSwapUint64: typeof u64.compareAndSwap = u64.compareAndSwap;
export const compareAndSwapUintptr: typeof ptr.compareAndSwap = ptr.compareAndSwap;

/** Adds `delta`, and returns the new value. It wraps around. To subtract c from an unsigned value, add 2^32 - c. */
export const addInt32: typeof i32.add = i32.add;
export const addUint32: typeof u32.add = u32.add;
export const addInt64: typeof i64.add = i64.add;
export const addUint64: typeof u64.add = u64.add;
export const addUintptr: typeof ptr.add = ptr.add;

/** Clears the bits that are 0 in the mask, and returns the old value. */
export const andInt32: typeof i32.and = i32.and;
export const andUint32: typeof u32.and = u32.and;
export const andInt64: typeof i64.and = i64.and;
export const andUint64: typeof u64.and = u64.and;
export const andUintptr: typeof ptr.and = ptr.and;

/** Sets the bits that are 1 in the mask, and returns the old value. */
export const orInt32: typeof i32.or = i32.or;
export const orUint32: typeof u32.or = u32.or;
export const orInt64: typeof i64.or = i64.or;
export const orUint64: typeof u64.or = u64.or;
export const orUintptr: typeof ptr.or = ptr.or;

// ---- pointers

/** A place of a pointer, with what its operations need. */
interface PointerPlace {
  readonly types: PerType;
  readonly elem: Type;
}

/** May run code of the program: the thunk of a type. */
function pointerPlace(what: string, place: Root | ViewBase): PointerPlace {
  const root = place instanceof Root;
  const type = root ? place.home.type : place.$type;
  if (!(type instanceof PointerType)) wrongPlace(what, "*T", type);
  return { types: root ? place.home.types : place.$types, elem: type.elem };
}

/** A value for a place: the Root of a Ref, null, or at a View an address. May run code of the program. */
function take({ types, elem }: PointerPlace, place: Root | ViewBase, value: unknown): Root | number | null {
  if (place instanceof Root) {
    if (value === null) return null;
    const cell = cellOf(value);
    if (cell !== null) return checkRef(types.roots, elem, cell, true);
    throw new TypeError(`types: value must be a Ref<${elem.name}> or null (got ${show(value)})`);
  }
  if (typeof value !== "number" || value >>> 0 !== value) {
    throw new TypeError(`types: value must be an address (got ${show(value)})`);
  }
  return value;
}

/** The address that a taken value stands for. Code of other values may have released the Ref. */
function target(value: Root | number | null): Addr {
  if (value === null || typeof value === "number") return (value ?? 0) as Addr;
  if (value.slot === 0) value.gone();
  return value.addr as Addr;
}

/** The value for an address that was in a place. */
function result({ types, elem }: PointerPlace, place: Root | ViewBase, addr: number): unknown {
  if (!(place instanceof Root)) return addr;
  return addr === 0 ? null : types.newRef(elem, addr);
}

type PointerTo<E extends Type> = PointerType<E>;
type AtRef<E extends Type> = Ref<E> | null;

/** Returns the pointer: a new Ref or null, at a View an address. */
export function loadPointer<E extends Type>(p: Ref<PointerTo<E>>): AtRef<E>;
export function loadPointer<E extends Type>(p: View<PointerTo<E>>): Ptr<E>;
export function loadPointer(p: unknown): unknown {
  const what = "loadPointer";
  const place = placeOf(what, p, "*T");
  const pointer = pointerPlace(what, place);
  const addr = addrAt(what, place, WORD);
  return result(pointer, place, pointer.types.heap.mem.kernel.load(addr) >>> 0);
}

/** Stores a pointer. */
export function storePointer<E extends Type>(p: Ref<PointerTo<E>>, value: AtRef<E>): void;
export function storePointer<E extends Type>(p: View<PointerTo<E>>, value: Ptr<E>): void;
export function storePointer(p: unknown, value: unknown): void {
  const what = "storePointer";
  const place = placeOf(what, p, "*T");
  const pointer = pointerPlace(what, place);
  const v = take(pointer, place, value);
  exchangePointer(pointer.types.heap, addrAt(what, place, WORD) as Addr, target(v));
}

/** Stores a pointer, and returns the old one. */
export function swapPointer<E extends Type>(p: Ref<PointerTo<E>>, value: AtRef<E>): AtRef<E>;
export function swapPointer<E extends Type>(p: View<PointerTo<E>>, value: Ptr<E>): Ptr<E>;
export function swapPointer(p: unknown, value: unknown): unknown {
  const what = "swapPointer";
  const place = placeOf(what, p, "*T");
  const pointer = pointerPlace(what, place);
  const v = take(pointer, place, value);
  const old = exchangePointer(pointer.types.heap, addrAt(what, place, WORD) as Addr, target(v));
  return result(pointer, place, old);
}

/** Stores a pointer if the old one is `old`, and returns whether it was. */
export function compareAndSwapPointer<E extends Type>(
  p: Ref<PointerTo<E>>,
  old: AtRef<E>,
  value: AtRef<E>,
): boolean;
export function compareAndSwapPointer<E extends Type>(
  p: View<PointerTo<E>>,
  old: Ptr<E>,
  value: Ptr<E>,
): boolean;
export function compareAndSwapPointer(p: unknown, old: unknown, value: unknown): boolean {
  const what = "compareAndSwapPointer";
  const place = placeOf(what, p, "*T");
  const pointer = pointerPlace(what, place);
  const o = take(pointer, place, old);
  const v = take(pointer, place, value);
  const addr = addrAt(what, place, WORD) as Addr;
  return exchangePointerIf(pointer.types.heap, addr, target(o), target(v));
}

export {
  type AtomicBoolMembers,
  type AtomicMembers,
  type AtomicPointerMembers,
  Bool,
  Int32,
  Int64,
  Pointer,
  Uint32,
  Uint64,
  Uintptr,
} from "./atomic-types.ts";
