/**
 * Codecs of structs, arrays and opaque values. They copy the target of a handle, and take a plain object or list apart.
 * The results for the parts are in linked lists, which a program cannot intercept: an index of `Array.prototype` may be
 * a setter.
 */

import { show } from "@gort/base";
import { cellOf, type RefBase, Root, released } from "./cell.ts";
import { assignTaken, type Codec, nothing, unchanged } from "./codec.ts";
import { isSlice } from "./slice.ts";
import type { ArrayType, StructType, Type } from "./type.ts";

/** The operations of the heap that the codecs need, for values of their type. */
export interface Place {
  /** The Root of a live Ref of the type, or an error. */
  check(cell: Root): Root;
  /** Copies a value. The two places may overlap. */
  move(dst: number, src: number): void;
  /** A zero value that nothing roots. */
  malloc(): number;
  /** A handle to the value inside of a rooted object. */
  part(addr: number, root: Root): RefBase;
}

interface StructField {
  readonly offset: number;
  readonly codec: Codec;
}

/** A field of a plain object. */
interface Part {
  readonly field: StructField;
  /** The result of the field codec's `take`, later that of its `ready`. */
  value: unknown;
  next: Part | null;
}

interface Parts {
  first: Part | null;
}

/** An element of a plain list. */
interface Item {
  /** The result of the element codec's `take`, later that of its `ready`. */
  value: unknown;
  next: Item | null;
}

interface Items {
  first: Item | null;
}

/**
 * The address from which the target of a handle is copied. Inside of a larger store, that target may lie in the target
 * [lo, hi) of the store. Then it is copied away first: `pair = { a: pair.b, b: pair.a }` swaps.
 */
function source(type: Type, place: Place, cell: Root, lo: number, hi: number): number {
  if (cell.slot === 0) released(`Ref<${type.name}>`);
  const { addr } = cell;
  if (addr >= hi || addr + type.size <= lo || lo === hi) return addr;
  const copy = place.malloc();
  place.move(copy, addr);
  return copy;
}

/** `assign` of structs and arrays: copies the target of a handle at once. Other values go through the three steps. */
function assignPlace(codec: Codec, place: Place, ref: Root, offset: number, v: unknown): void {
  const cell = cellOf(v);
  if (cell === null) {
    assignTaken(codec, ref, offset, v);
    return;
  }
  // A proxy runs code when its Root is read.
  if (ref.slot === 0) ref.gone();
  place.move(ref.addr + offset, place.check(cell).addr);
}

/** The codec of a type whose values only their own members change. */
export function opaqueCodec(type: Type, load: Codec["load"]): Codec {
  const refuse = (): never => {
    throw new TypeError(`types: ${type.name} can't be assigned: use it where it lies`);
  };
  return { load, atomic: false, store: refuse, take: refuse, ready: refuse, put: refuse, drop: nothing };
}

/** Finds the fields of a struct by name. It looks at the layout at the first use: types may be recursive. */
function fieldFinder(type: StructType, codecOf: (type: Type) => Codec): (name: string) => StructField {
  let fields: Record<string, StructField | undefined> | undefined;
  return (name) => {
    if (fields === undefined) {
      const all = Object.create(null) as Record<string, StructField | undefined>;
      for (const f of type.fields) all[f.name] = { offset: f.offset, codec: codecOf(f.type) };
      fields = all;
    }
    const field = fields[name];
    if (field === undefined) throw new TypeError(`types: struct ${type.name} has no field ${name}`);
    return field;
  };
}

/** The names of a plain object's fields. It refuses objects of other kinds: they would count as empty structs. */
function fieldNames(type: StructType, v: unknown): readonly string[] {
  if (typeof v !== "object" || v === null || Array.isArray(v) || isSlice(v) || "$addr" in v)
    throw new TypeError(`types: value must be a ${type.name} (got ${show(v)})`);
  return Object.keys(v);
}

export function structCodec(type: StructType, codecOf: (type: Type) => Codec, place: Place): Codec {
  const fieldNamed = fieldFinder(type, codecOf);
  const drop = (taken: unknown): void => {
    if (typeof taken !== "object" || taken === null || taken instanceof Root) return;
    for (let p = (taken as Parts).first; p !== null; p = p.next) p.field.codec.drop(p.value);
  };
  const codec: Codec = {
    load: place.part,
    atomic: false,
    assign: (ref, offset, v) => assignPlace(codec, place, ref, offset, v),
    store(addr, v) {
      const cell = cellOf(v);
      if (cell !== null) {
        place.move(addr, place.check(cell).addr);
        return;
      }
      const names = fieldNames(type, v);
      for (let i = 0; i < names.length; i++) {
        const { offset, codec } = fieldNamed(names[i]);
        const value = (v as Record<string, unknown>)[names[i]];
        if (value !== undefined) codec.store(addr + offset, value);
      }
    },
    take(v): Root | Parts {
      const cell = cellOf(v);
      if (cell !== null) return place.check(cell);
      const names = fieldNames(type, v);
      const parts: Parts = { first: null };
      let last: Part | null = null;
      try {
        for (let i = 0; i < names.length; i++) {
          const field = fieldNamed(names[i]);
          const value = (v as Record<string, unknown>)[names[i]];
          if (value === undefined) continue;
          const part: Part = { field, value: field.codec.take(value), next: null };
          if (last === null) parts.first = part;
          else last.next = part;
          last = part;
        }
      } catch (err) {
        drop(parts);
        throw err;
      }
      return parts;
    },
    ready(taken, lo, hi): number | Parts {
      if (taken instanceof Root) return source(type, place, taken, lo, hi);
      const end = lo === hi ? lo + type.size : hi;
      for (let p = (taken as Parts).first; p !== null; p = p.next) {
        p.value = p.field.codec.ready(p.value, lo, end);
      }
      return taken as Parts;
    },
    put(addr, ready) {
      if (typeof ready === "number") {
        place.move(addr, ready);
        return;
      }
      for (let p = (ready as Parts).first; p !== null; p = p.next) {
        p.field.codec.put(addr + p.field.offset, p.value);
      }
    },
    drop,
  };
  return codec;
}

export function arrayCodec(type: ArrayType, codecOf: (type: Type) => Codec, place: Place): Codec {
  let found: Codec | undefined;
  const elements = (): Codec => (found ??= codecOf(type.elem));
  const { length } = type;
  const lengthOf = (v: unknown): number => {
    const n: unknown = Array.isArray(v) ? v.length : undefined;
    if (typeof n !== "number" || !(n >= 0 && n <= length) || !Number.isInteger(n)) {
      const got = typeof n === "number" ? `${n} elements` : show(v);
      throw new TypeError(`types: value must be a list of at most ${length} elements (got ${got})`);
    }
    return n;
  };
  const drop = (taken: unknown): void => {
    if (typeof taken !== "object" || taken === null || taken instanceof Root) return;
    const element = elements();
    if (element.drop === nothing) return;
    for (let p = (taken as Items).first; p !== null; p = p.next) element.drop(p.value);
  };
  const codec: Codec = {
    load: place.part,
    atomic: false,
    assign: (ref, offset, v) => assignPlace(codec, place, ref, offset, v),
    store(addr, v) {
      const cell = cellOf(v);
      if (cell !== null) {
        place.move(addr, place.check(cell).addr);
        return;
      }
      const n = lengthOf(v);
      const { store } = elements();
      const { size } = type.elem;
      for (let i = 0; i < n; i++) store(addr + i * size, (v as unknown[])[i]);
    },
    take(v): Root | Items {
      const cell = cellOf(v);
      if (cell !== null) return place.check(cell);
      const n = lengthOf(v);
      const { take } = elements();
      const items: Items = { first: null };
      let last: Item | null = null;
      try {
        for (let i = 0; i < n; i++) {
          const item: Item = { value: take((v as unknown[])[i]), next: null };
          if (last === null) items.first = item;
          else last.next = item;
          last = item;
        }
      } catch (err) {
        drop(items);
        throw err;
      }
      return items;
    },
    ready(taken, lo, hi): number | Items {
      if (taken instanceof Root) return source(type, place, taken, lo, hi);
      const end = lo === hi ? lo + type.size : hi;
      const { ready } = elements();
      if (ready !== unchanged)
        for (let p = (taken as Items).first; p !== null; p = p.next) p.value = ready(p.value, lo, end);
      return taken as Items;
    },
    put(addr, ready) {
      if (typeof ready === "number") {
        place.move(addr, ready);
        return;
      }
      const { put } = elements();
      const { size } = type.elem;
      let to = addr;
      for (let p = (ready as Items).first; p !== null; p = p.next) {
        put(to, p.value);
        to += size;
      }
    },
    drop,
  };
  return codec;
}
