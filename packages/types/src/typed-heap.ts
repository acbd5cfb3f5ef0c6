/**
 * Typed access to one heap. Overview of the package:
 *
 *   type.ts          a type: size, alignment, fields, pointer mask; it belongs to no heap
 *   declare.ts       pointer(), slice(), array(), struct(); identical.ts which types are identical
 *   codec.ts         how a value is read from and written to an address; the steps of a store
 *   scalar-codec.ts  the codecs of scalars; string-codec.ts of string and bytes; bytes.ts UTF-8
 *   composite.ts     structs and arrays from plain objects and lists; pointer-codec.ts, slice-codec.ts, raw-codec.ts;
 *                    chan-codec.ts channels, whose handles another package makes
 *   cell.ts          handles: Root, Ref, View, and their ownership of roots
 *   slice.ts         slices; growslice.ts their growth
 *   type-cache.ts    the codecs and classes of each type, made once; per-type.ts its interface
 *   ref-class.ts     the class of a type's Refs; view-class.ts of its Views; elements.ts members for elements
 *   plain.ts         values for JSON and inspectors; move.ts copies of values
 *   typed-heap.ts    this file: the functions of a program
 *   type-identity.ts types that cross threads; type-graph.ts and declared.ts for it; type-records.ts their numbers
 *   crossing.ts      Refs and Slices on their way to another thread
 *   unsafe.ts        raw access; builtins.ts append, copy and the like
 *
 * A struct's fields become getters and setters on the prototype of a class, made once per heap and type. The accessors
 * are closures over the offset and the memory's views. No code is generated from text, so a Content-Security-Policy
 * without unsafe-eval is no obstacle. An access allocates only its value. A pointer field gives a new Ref (and a root).
 * A struct inside of a struct gives a small handle that shares the root. A string is decoded.
 *
 * Only `heap.storePointer`, which has the write barrier, writes pointers. While the barrier is on, a copy of values
 * with pointers goes pointer by pointer. All code here runs between two safepoints, so a local may hold an address from
 * its allocation to its root.
 */

import { show } from "@gort/base";
import type { Ptr } from "@gort/memory";
import { encodeString, scratchBytes, writeBytes } from "./bytes.ts";
import { cellOf, released } from "./cell.ts";
import type { Heap } from "./heap.ts";
import type { PerType } from "./per-type.ts";
import { listSlice, newSlice, nilSliceOf, type Slice } from "./slice.ts";
import { int32, type Type, uint8 } from "./type.ts";
import { TypeCache } from "./type-cache.ts";
import { checkType, Unsafe } from "./unsafe.ts";
import type { Init, Ref, RefMembers } from "./values.ts";

/** The codecs and classes of a heap. */
export let perTypeOf: (types: TypedHeap) => PerType;

export class TypedHeap {
  readonly heap: Heap;
  /** Raw access, without roots: for code that knows its next safepoint. */
  readonly unsafe: Unsafe;
  readonly #types: TypeCache;

  constructor(heap: Heap) {
    this.heap = heap;
    this.#types = new TypeCache(heap);
    this.unsafe = new Unsafe(this.#types);
  }

  static {
    perTypeOf = (types) => types.#types;
  }

  /** The heap's own description of the type, for `malloc`; 0 without pointers. */
  descriptor(type: Type): number {
    return this.#types.descriptor(type);
  }

  /** `new(T)`, or `&T{...}`: a zero value with `init` assigned to it, and a reference that keeps it alive. */
  newObject<T extends Type>(type: T, init?: Init<T>): Ref<T> {
    checkType("newObject", type);
    const addr = this.heap.malloc(type.size, this.#types.descriptor(type));
    const ref = this.#types.newRef(type, addr);
    if (init !== undefined) {
      try {
        // Nothing else refers to the object yet.
        this.#types.codec(type).store(addr, init);
      } catch (err) {
        ref.release();
        throw err;
      }
    }
    return ref as unknown as Ref<T>;
  }

  /**
   * Type and address of a Ref's target, for functions that keep the address beside a function of the program.
   *
   * @param what the function's name, for the error
   * @throws TypeError unless x is a live Ref of this heap
   */
  target<T extends Type>(what: string, x: RefMembers<T>): { readonly type: T; readonly addr: Ptr<T> } {
    const cell = cellOf(x);
    if (cell === null) throw new TypeError(`types: ${what} needs a Ref (got ${show(x)})`);
    const { type, roots } = cell.home;
    if (roots !== this.#types.roots)
      throw new TypeError(`types: ${what} needs a Ref (got a Ref of another heap)`);
    if (cell.slot === 0) released(`Ref<${type.name}>`);
    return { type: type as T, addr: cell.addr as Ptr<T> };
  }

  /** The address of a live Ref's target in this heap; 0 for anything else. */
  addressOf(x: unknown): number {
    const cell = cellOf(x);
    return cell === null || cell.slot === 0 || cell.home.roots !== this.#types.roots ? 0 : cell.addr;
  }

  /** Roots a raw pointer. `null` for nil. */
  ref<T extends Type>(type: T, ptr: Ptr<T>): Ref<T> | null {
    checkType("ref", type);
    return (ptr as number) === 0 ? null : (this.#types.newRef(type, ptr) as unknown as Ref<T>);
  }

  /** `make([]T, len, cap)`: zero elements. */
  makeSlice<E extends Type>(elem: E, len: number, cap = len): Slice<E> {
    checkType("makeSlice", elem);
    return newSlice<E>(this.#types.sliceOps(elem), len, cap);
  }

  /** `[]T(nil)`: no array, length and capacity 0; `append` makes an array. */
  nilSlice<E extends Type>(elem: E): Slice<E> {
    checkType("nilSlice", elem);
    return nilSliceOf<E>(this.#types.sliceOps(elem));
  }

  /** `[]T{...}`: length and capacity are the list's. */
  sliceOf<E extends Type>(elem: E, values: readonly Init<E>[]): Slice<E> {
    checkType("sliceOf", elem);
    if (typeof values !== "object" || values === null)
      throw new TypeError(`types: sliceOf needs a list of values (got ${show(values)})`);
    return listSlice<E>(this.#types.sliceOps(elem), values);
  }

  /** `[]byte(text)`: its UTF-8 form. */
  toBytes(text: string): Slice<typeof uint8> {
    checkText("toBytes", text);
    const n = encodeString(text);
    const from = scratchBytes();
    const s = newSlice<typeof uint8>(this.#types.sliceOps(uint8), n, this.heap.roundupsize(n, true));
    writeBytes(this.heap.mem, s.$addr, from, n);
    return s;
  }

  /** `[]rune(text)`: its code points. */
  toRunes(text: string): Slice<typeof int32> {
    checkText("toRunes", text);
    const runes = Array.from(text, (c) => c.codePointAt(0) as number);
    const cap = Math.floor(this.heap.roundupsize(runes.length * 4, true) / 4);
    const s = newSlice<typeof int32>(this.#types.sliceOps(int32), runes.length, cap);
    // A lone surrogate is no code point.
    for (let i = 0; i < runes.length; i++)
      s.set(i, runes[i] >= 0xd800 && runes[i] <= 0xdfff ? 0xfffd : runes[i]);
    return s;
  }
}

function checkText(what: string, text: unknown): void {
  if (typeof text !== "string") throw new TypeError(`types: ${what} needs a string (got ${show(text)})`);
}

/** Typed access to `heap`. */
export function createTypes(heap: Heap): TypedHeap {
  return new TypedHeap(heap);
}
