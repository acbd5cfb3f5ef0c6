/**
 * Typed access to one heap. Overview of the package:
 *
 *   type.ts        what a type is: size, alignment, fields, pointer mask; belongs to no heap
 *   codec.ts       scalars: how a value is read from and written to an address
 *   cell.ts        handles: Root, Ref, View, and who frees what
 *   slice.ts       slices, growslice.ts their growth
 *   typed-heap.ts  this file: one class of accessors for each struct, codecs for what contains others
 *   elements.ts    what those classes have for nested values and elements
 *   unsafe.ts      raw access; builtins.ts append, copy and the like
 *
 * A struct's fields become getters and setters on the prototype of a class made for it, once a heap and
 * type. They are closures over the offset and the memory's views: no code is generated from text, so that a
 * Content-Security-Policy without unsafe-eval is no obstacle. An access allocates nothing but what its
 * value needs: a pointer field gives a new Ref (and a root), a struct inside gives a small handle that shares
 * the root, a string is decoded.
 *
 * Pointers are only ever written by `heap.storePointer`, which has the write barrier; a copy of values that
 * contain pointers goes pointer by pointer while the barrier is on. Everything here runs between two
 * safepoints, so that an address may be held in a local from its allocation to its root.
 */

import type { Addr, Ptr } from "@gort/memory";
import { RefBase, type Root, Roots, refAccessors, released, ViewBase, viewAccessors } from "./cell.ts";
import { type Codec, encodeString, scalarCodec, scratchBytes, show, writeBytes } from "./codec.ts";
import { defineElements, defineRawElements, nestedView } from "./elements.ts";
import { nilDereference } from "./errors.ts";
import type { Heap } from "./heap.ts";
import {
  checkSlice,
  loadSlice,
  newSlice,
  nilSliceOf,
  type Slice,
  type SliceOps,
  storeSlice,
} from "./slice.ts";
import {
  ArrayType,
  identical,
  int32,
  PointerType,
  ScalarType,
  SliceType,
  StructType,
  type Type,
  uint8,
  WORD,
} from "./type.ts";
import { checkType, Unsafe, type ViewClass } from "./unsafe.ts";
import type { Init, Ref } from "./values.ts";

/** For the type checker: what every generated class of Refs is. */
declare class ConcreteRef extends RefBase {
  get $type(): Type;
  get $roots(): Roots;
  $describe(): unknown;
}
type RefClass = new (addr: number, root: Root) => RefBase;

export class TypedHeap {
  readonly heap: Heap;
  /** Raw access, without roots: for those who know where the next safepoint is. */
  readonly unsafe: Unsafe;
  readonly #roots: Roots;
  readonly #codecs = new Map<Type, Codec>();
  readonly #rawCodecs = new Map<Type, Codec>();
  readonly #refs = new Map<Type, RefClass>();
  readonly #interiors = new Map<Type, RefClass>();
  readonly #views = new Map<Type, ViewClass>();
  readonly #slices = new Map<Type, SliceOps>();
  readonly #descriptors = new Map<Type, number>();

  constructor(heap: Heap) {
    this.heap = heap;
    this.#roots = new Roots((slot) => heap.releaseRef(slot));
    this.unsafe = new Unsafe(heap, {
      descriptor: (type) => this.descriptor(type),
      codec: (type) => this.#rawCodec(type),
      view: (type) => this.#view(type),
    });
  }

  /** The heap's own description of the type, for `malloc`; 0 without pointers. */
  descriptor(type: Type): number {
    let typ = this.#descriptors.get(type);
    if (typ === undefined) {
      typ = type.hasPointers ? this.heap.newType(type.size, type.pointerMask()) : 0;
      this.#descriptors.set(type, typ);
    }
    return typ;
  }

  /** `new(T)`, or `&T{...}`: a zero value, with `init` assigned to it. */
  newObject<T extends Type>(type: T, init?: Init<T>): Ref<T> {
    checkType("newObject", type);
    const addr = this.heap.malloc(type.size, this.descriptor(type));
    const ref = this.#newRef(type, addr);
    if (init !== undefined) this.#codec(type).store(addr, init);
    return ref as unknown as Ref<T>;
  }

  /** Roots a raw pointer. `null` for nil. */
  ref<T extends Type>(type: T, ptr: Ptr<T>): Ref<T> | null {
    checkType("ref", type);
    return (ptr as number) === 0 ? null : (this.#newRef(type, ptr) as unknown as Ref<T>);
  }

  /** `make([]T, len, cap)`: zero elements. */
  makeSlice<E extends Type>(elem: E, len: number, cap = len): Slice<E> {
    checkType("makeSlice", elem);
    return newSlice<E>(this.#sliceOps(elem), len, cap);
  }

  /** `[]T(nil)`: no array, length and capacity 0; `append` makes one. */
  nilSlice<E extends Type>(elem: E): Slice<E> {
    checkType("nilSlice", elem);
    return nilSliceOf<E>(this.#sliceOps(elem));
  }

  /** `[]T{...}`: length and capacity are the list's. */
  sliceOf<E extends Type>(elem: E, values: readonly Init<E>[]): Slice<E> {
    const s = this.makeSlice(elem, values.length);
    for (let i = 0; i < values.length; i++) s.set(i, values[i]);
    return s;
  }

  /** `[]byte(text)`: its UTF-8 form. */
  toBytes(text: string): Slice<typeof uint8> {
    const n = encodeString(text);
    const s = newSlice<typeof uint8>(this.#sliceOps(uint8), n, this.heap.roundupsize(n, true));
    writeBytes(this.heap.mem, s.$addr, scratchBytes(), n);
    return s;
  }

  /** `[]rune(text)`: its code points. */
  toRunes(text: string): Slice<typeof int32> {
    const runes = Array.from(text, (c) => c.codePointAt(0) as number);
    const cap = Math.floor(this.heap.roundupsize(runes.length * 4, true) / 4);
    const s = newSlice<typeof int32>(this.#sliceOps(int32), runes.length, cap);
    // A lone surrogate is no code point.
    for (let i = 0; i < runes.length; i++)
      s.set(i, runes[i] >= 0xd800 && runes[i] <= 0xdfff ? 0xfffd : runes[i]);
    return s;
  }

  #newRef(type: Type, addr: number): RefBase {
    return new (this.#refClass(type))(addr, this.#roots.adopt(this.heap.newRef(addr as Addr)));
  }

  // -- classes ------------------------------------------------------------------------------------------

  /** The class of Refs to `type` that own a share of their root. */
  #refClass(type: Type): RefClass {
    let found = this.#refs.get(type);
    if (found === undefined) this.#refs.set(type, (found = this.#defineRef(type)));
    return found;
  }

  /** The class of handles to a `type` inside of another object. */
  #interior(type: Type): RefClass {
    let found = this.#interiors.get(type);
    if (found === undefined) {
      const Owner = this.#refClass(type) as unknown as typeof ConcreteRef;
      found = class extends Owner {
        override get $owns(): boolean {
          return false;
        }
      };
      this.#interiors.set(type, found);
    }
    return found;
  }

  #defineRef(type: Type): RefClass {
    const roots = this.#roots;
    const described: { describe: (ref: RefBase) => unknown } = { describe: () => undefined };
    class TypedRef extends RefBase {
      get $type(): Type {
        return type;
      }
      get $roots(): Roots {
        return roots;
      }
      $describe(): unknown {
        return described.describe(this);
      }
    }
    const proto = TypedRef.prototype;
    // Registered before the fields are looked at: a struct may point to itself.
    this.#refs.set(type, TypedRef);
    if (type instanceof StructType) {
      for (const f of type.fields) {
        const { load, store } = this.#codec(f.type);
        const name = `${type.name}.${f.name}`;
        Object.defineProperty(proto, f.name, refAccessors(load, store, f.offset, name));
      }
      described.describe = (ref) =>
        Object.fromEntries(type.fields.map((f) => [f.name, this.#shown(f.type, ref.$addr + f.offset, ref)]));
    } else if (type instanceof ArrayType) {
      defineElements(proto, type, this.#codec(type.elem), this.#sliceOps(type.elem));
      described.describe = (ref) => Array.from(ref as unknown as Iterable<unknown>);
    } else {
      const { load, store } = this.#codec(type);
      Object.defineProperty(proto, "value", refAccessors(load, store, 0, "value"));
      described.describe = (ref) => this.#shown(type, ref.$addr, ref);
    }
    return TypedRef;
  }

  /** A value for an inspector: pointers are not followed. */
  #shown(type: Type, addr: number, ref: RefBase): unknown {
    if (!(type instanceof PointerType)) return this.#codec(type).load(addr, ref.$root);
    const to = this.heap.mem.u32[addr >>> 2];
    return to === 0 ? null : `${type.name} 0x${to.toString(16)}`;
  }

  #view(type: Type): ViewClass {
    let found = this.#views.get(type);
    if (found === undefined) found = this.#defineView(type);
    return found;
  }

  #defineView(type: Type): ViewClass {
    class TypedView extends ViewBase {
      get $type(): Type {
        return type;
      }
    }
    const proto = TypedView.prototype;
    this.#views.set(type, TypedView);
    if (type instanceof StructType) {
      for (const f of type.fields) {
        const { load, store } = this.#rawCodec(f.type);
        const property = isInline(f.type)
          ? nestedView(() => this.#view(f.type), store, f.offset)
          : viewAccessors(load, store, f.offset);
        Object.defineProperty(proto, f.name, property);
      }
    } else if (type instanceof ArrayType) {
      defineRawElements(proto, this.#rawCodec(type.elem), type.elem.size, {
        length: () => type.length,
        base: (view) => view.$addr,
      });
    } else if (type instanceof SliceType) {
      const { u32 } = this.heap.mem;
      const word = (i: number) =>
        function (this: ViewBase): number {
          if ((this.$addr as number) === 0) nilDereference();
          return u32[(this.$addr + i * WORD) >>> 2];
        };
      Object.defineProperty(proto, "ptr", { get: word(0) });
      Object.defineProperty(proto, "cap", { get: word(2) });
      defineRawElements(proto, this.#rawCodec(type.elem), type.elem.size, {
        length: (view) => u32[(view.$addr + WORD) >>> 2],
        base: (view) => u32[view.$addr >>> 2],
      });
    } else {
      const { load, store } = this.#rawCodec(type);
      Object.defineProperty(proto, "value", viewAccessors(load, store, 0));
    }
    return TypedView;
  }

  // -- codecs -------------------------------------------------------------------------------------------

  #codec(type: Type): Codec {
    let found = this.#codecs.get(type);
    if (found === undefined) this.#codecs.set(type, (found = this.#makeCodec(type)));
    return found;
  }

  #makeCodec(type: Type): Codec {
    if (type instanceof ScalarType) return scalarCodec(this.heap, type);
    if (type instanceof PointerType) return this.#pointerCodec(type);
    if (type instanceof SliceType) return this.#sliceCodec(type);
    if (type instanceof StructType) return this.#structCodec(type);
    return this.#arrayCodec(type as ArrayType);
  }

  #pointerCodec(type: PointerType): Codec {
    const { heap } = this;
    const { u32 } = heap.mem;
    // The element's class is made at the first access: types may be recursive.
    let Class: RefClass | undefined;
    return {
      load: (addr) => {
        const to = u32[addr >>> 2];
        if (to === 0) return null;
        Class ??= this.#refClass(type.elem);
        return new Class(to, this.#roots.adopt(heap.newRef(to as Addr)));
      },
      store: (addr, v) => {
        heap.storePointer(addr as Addr, v === null ? (0 as Addr) : this.#target(type, v));
      },
    };
  }

  /** The address that a value for a pointer stands for. */
  #target(type: PointerType, v: unknown): Addr {
    const ref = this.#checkRef(type.elem, v, `a Ref<${type.elem.name}> or null`);
    return ref.$addr as Addr;
  }

  #checkRef(type: Type, v: unknown, want: string): RefBase {
    if (!(v instanceof RefBase)) throw new TypeError(`types: value must be ${want} (got ${show(v)})`);
    if (v.$roots !== this.#roots)
      throw new TypeError(`types: value must be ${want} (got a Ref of another heap)`);
    if (v.$type !== type && !identical(v.$type, type)) {
      throw new TypeError(`types: value must be ${want} (got a Ref<${v.$type.name}>)`);
    }
    if (v.$root.slot === 0) released(`Ref<${type.name}>`);
    return v;
  }

  #sliceCodec(type: SliceType): Codec {
    let ops: SliceOps | undefined;
    const theOps = (): SliceOps => (ops ??= this.#sliceOps(type.elem));
    return {
      load: (addr) => loadSlice(theOps(), addr),
      store: (addr, v) => {
        if (v === null) storeSlice(this.heap, addr, nilSliceOf(theOps()));
        else if (Array.isArray(v)) {
          const s = this.sliceOf(type.elem, v as Init<Type>[]);
          storeSlice(this.heap, addr, s as unknown as Slice<Type>);
          s.release();
        } else storeSlice(this.heap, addr, checkSlice(theOps(), v));
      },
    };
  }

  #structCodec(type: StructType): Codec {
    let Class: RefClass | undefined;
    let fields: Map<string, { offset: number; codec: Codec }> | undefined;
    return {
      load: (addr, root) => {
        Class ??= this.#interior(type);
        return new Class(addr, root);
      },
      store: (addr, v) => {
        if (v instanceof RefBase) {
          this.#move(type, addr, this.#checkRef(type, v, `a ${type.name}`).$addr, 1);
          return;
        }
        if (typeof v !== "object" || v === null) {
          throw new TypeError(`types: value must be a ${type.name} (got ${show(v)})`);
        }
        fields ??= new Map(
          type.fields.map((f) => [f.name, { offset: f.offset, codec: this.#codec(f.type) }]),
        );
        for (const [name, value] of Object.entries(v)) {
          const field = fields.get(name);
          if (field === undefined) throw new TypeError(`types: struct ${type.name} has no field ${name}`);
          if (value !== undefined) field.codec.store(addr + field.offset, value);
        }
      },
    };
  }

  #arrayCodec(type: ArrayType): Codec {
    let Class: RefClass | undefined;
    return {
      load: (addr, root) => {
        Class ??= this.#interior(type);
        return new Class(addr, root);
      },
      store: (addr, v) => {
        if (v instanceof RefBase) {
          this.#move(type, addr, this.#checkRef(type, v, `a ${type.name}`).$addr, 1);
          return;
        }
        if (!Array.isArray(v) || v.length > type.length) {
          const got = Array.isArray(v) ? `${v.length} elements` : show(v);
          throw new TypeError(`types: value must be a list of at most ${type.length} elements (got ${got})`);
        }
        const { store } = this.#codec(type.elem);
        for (let i = 0; i < v.length; i++) store(addr + i * type.elem.size, v[i]);
      },
    };
  }

  #rawCodec(type: Type): Codec {
    let found = this.#rawCodecs.get(type);
    if (found === undefined) this.#rawCodecs.set(type, (found = this.#makeRawCodec(type)));
    return found;
  }

  #makeRawCodec(type: Type): Codec {
    if (type instanceof ScalarType) return this.#codec(type);
    const { heap } = this;
    const { u32 } = heap.mem;
    if (type instanceof PointerType) {
      return {
        load: (addr) => u32[addr >>> 2],
        store: (addr, v) => {
          if (typeof v !== "number" || v >>> 0 !== v) {
            throw new TypeError(`types: value must be an address (got ${show(v)})`);
          }
          heap.storePointer(addr as Addr, v as Addr);
        },
      };
    }
    return {
      load: (addr) => new (this.#view(type))(addr),
      store: (addr, v) => {
        if (!(v instanceof ViewBase) || !identical(v.$type, type)) {
          throw new TypeError(`types: value must be a View of ${type.name} (got ${show(v)})`);
        }
        if ((v.$addr as number) === 0) nilDereference();
        this.#move(type, addr, v.$addr, 1);
      },
    };
  }

  // -- slices and copies --------------------------------------------------------------------------------

  #sliceOps(elem: Type): SliceOps {
    let ops = this.#slices.get(elem);
    if (ops === undefined) {
      ops = {
        heap: this.heap,
        roots: this.#roots,
        elem,
        codec: this.#codec(elem),
        typ: this.descriptor(elem),
        move: (dst, src, n) => this.#move(elem, dst, src, n),
        ref: (addr) => this.#newRef(elem, addr),
      };
      this.#slices.set(elem, ops);
    }
    return ops;
  }

  /** Copies n values of `type`, right also when the ranges overlap. */
  #move(type: Type, dst: number, src: number, n: number): void {
    const { heap } = this;
    const size = type.size * n;
    if (size === 0 || dst === src) return;
    if (!type.hasPointers || heap.writeBarrierEnabled?.() === false) {
      heap.mem.kernel.copy(dst, src, size);
      return;
    }
    // Word by word, pointers by the barrier; upwards or downwards so that no word is read after it was written.
    const { u32 } = heap.mem;
    const mask = type.pointerMask();
    const words = size / WORD;
    const perValue = type.size / WORD;
    const down = dst > src;
    for (let k = 0; k < words; k++) {
      const w = down ? words - 1 - k : k;
      const bit = w % perValue;
      const from = (src + w * WORD) >>> 2;
      const to = dst + w * WORD;
      if ((mask[bit >>> 5] & (1 << (bit & 31))) !== 0) {
        heap.storePointer(to as Addr, u32[from] as Addr);
      } else {
        u32[to >>> 2] = u32[from];
        u32[(to >>> 2) + 1] = u32[from + 1];
      }
    }
  }
}

/** Types whose values lie inside of what contains them, and are seen through a handle. */
function isInline(type: Type): boolean {
  return type instanceof StructType || type instanceof ArrayType || type instanceof SliceType;
}

/** Typed access to `heap`. */
export function createTypes(heap: Heap): TypedHeap {
  return new TypedHeap(heap);
}
