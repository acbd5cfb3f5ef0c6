/**
 * Typed access to one heap. Overview of the package:
 *
 *   type.ts        what a type is: size, alignment, fields, pointer mask; belongs to no heap
 *   codec.ts       scalars: how a value is read from and written to an address
 *   cell.ts        handles: Root, Ref, View, and who frees what
 *   slice.ts       slices, growslice.ts their growth
 *   typed-heap.ts  this file: one class of accessors for each struct, codecs for what contains others
 *   elements.ts    what those classes have for nested values and elements
 *   composite.ts   structs and arrays from plain objects and lists
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

import { show } from "@gort/base";
import type { Addr, Ptr } from "@gort/memory";
import {
  cellOf,
  type Home,
  partOf,
  RefBase,
  type Root,
  Roots,
  refAccessors,
  released,
  UNROOTED,
  ViewBase,
  viewAccessors,
} from "./cell.ts";
import {
  assignTaken,
  type Codec,
  copyOut,
  encodeString,
  nothing,
  scalarCodec,
  scratchBytes,
  unchanged,
  writeBytes,
} from "./codec.ts";
import { arrayCodec, structCodec } from "./composite.ts";
import { defineElements, defineRawElements, nestedView } from "./elements.ts";
import { nilDereference } from "./errors.ts";
import type { Heap } from "./heap.ts";
import {
  checkSlice,
  isSlice,
  loadSlice,
  newSlice,
  nilSliceOf,
  type Slice,
  type SliceOps,
  sliceAddr,
  sliceRoot,
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
import type { Init, Ref, RefMembers } from "./values.ts";

/** What handles of a type are made with. */
interface Handles {
  readonly home: Home;
  readonly Ref: new (cell: Root) => RefBase;
}

/** What JSON.stringify is inside of: pointers that lead back are an error, as in Go. */
interface Path {
  readonly type: Type;
  readonly addr: number;
  readonly outer: Path | null;
}

export class TypedHeap {
  readonly heap: Heap;
  /** Raw access, without roots: for those who know where the next safepoint is. */
  readonly unsafe: Unsafe;
  readonly #roots: Roots;
  readonly #codecs = new Map<Type, Codec>();
  readonly #rawCodecs = new Map<Type, Codec>();
  readonly #handles = new Map<Type, Handles>();
  readonly #views = new Map<Type, ViewClass>();
  readonly #slices = new Map<Type, SliceOps>();
  readonly #descriptors = new Map<Type, number>();

  constructor(heap: Heap) {
    this.heap = heap;
    this.#roots = new Roots(
      (slot) => heap.releaseRef(slot),
      (slot) => (heap.collectRef === undefined ? heap.releaseRef(slot) : heap.collectRef(slot)),
    );
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
      // A mask of a type that no memory has room for would be large too.
      if (type.size >= this.heap.mem.size)
        throw new RangeError(`types: ${type.name} is larger than the memory (${type.size} bytes)`);
      typ = type.hasPointers ? this.heap.newType(type.size, type.pointerMask()) : 0;
      this.#descriptors.set(type, typ);
    }
    return typ;
  }

  /** `new(T)`, or `&T{...}`: a zero value with `init` assigned to it, and a reference that keeps it alive. */
  newObject<T extends Type>(type: T, init?: Init<T>): Ref<T> {
    checkType("newObject", type);
    const addr = this.heap.malloc(type.size, this.descriptor(type));
    const ref = this.#newRef(type, addr);
    if (init !== undefined) {
      try {
        // Nothing else refers to the object yet.
        this.#codec(type).store(addr, init);
      } catch (err) {
        ref.release();
        throw err;
      }
    }
    return ref as unknown as Ref<T>;
  }

  /**
   * The address of what `x` refers to, for functions that keep it beside a function of the program.
   *
   * @param what the function's name, for the error
   * @throws TypeError for what is no Ref of this heap, or one that was released
   */
  target<T extends Type>(what: string, x: RefMembers<T>): { readonly type: T; readonly addr: Ptr<T> } {
    const cell = cellOf(x);
    if (cell === null) throw new TypeError(`types: ${what} needs a Ref (got ${show(x)})`);
    const { type, roots } = cell.home;
    if (roots !== this.#roots) throw new TypeError(`types: ${what} needs a Ref (got a Ref of another heap)`);
    if (cell.slot === 0) released(`Ref<${type.name}>`);
    return { type: type as T, addr: cell.addr as Ptr<T> };
  }

  /** Where the object of a live Ref of this heap is; 0 for anything else. */
  addressOf(x: unknown): number {
    const cell = cellOf(x);
    return cell === null || cell.slot === 0 || cell.home.roots !== this.#roots ? 0 : cell.addr;
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
    checkType("sliceOf", elem);
    if (typeof values !== "object" || values === null)
      throw new TypeError(`types: sliceOf needs a list of values (got ${show(values)})`);
    const n = values.length;
    const s = newSlice<E>(this.#sliceOps(elem), n, n);
    try {
      const { store } = this.#codec(elem);
      const { size } = elem;
      const base = sliceAddr(s as unknown as Slice<Type>);
      // Nothing else refers to the array yet.
      for (let i = 0; i < n; i++) store(base + i * size, values[i]);
    } catch (err) {
      s.release();
      throw err;
    }
    return s;
  }

  /** `[]byte(text)`: its UTF-8 form. */
  toBytes(text: string): Slice<typeof uint8> {
    checkText("toBytes", text);
    const n = encodeString(text);
    const from = scratchBytes();
    const s = newSlice<typeof uint8>(this.#sliceOps(uint8), n, this.heap.roundupsize(n, true));
    writeBytes(this.heap.mem, s.$addr, from, n);
    return s;
  }

  /** `[]rune(text)`: its code points. */
  toRunes(text: string): Slice<typeof int32> {
    checkText("toRunes", text);
    const runes = Array.from(text, (c) => c.codePointAt(0) as number);
    const cap = Math.floor(this.heap.roundupsize(runes.length * 4, true) / 4);
    const s = newSlice<typeof int32>(this.#sliceOps(int32), runes.length, cap);
    // A lone surrogate is no code point.
    for (let i = 0; i < runes.length; i++)
      s.set(i, runes[i] >= 0xd800 && runes[i] <= 0xdfff ? 0xfffd : runes[i]);
    return s;
  }

  #newRef(type: Type, addr: number): RefBase {
    const { Ref, home } = this.#handlesOf(type);
    return new Ref(this.#roots.adopt(this.heap.newRef(addr as Addr), home, addr));
  }

  // -- classes ------------------------------------------------------------------------------------------

  #handlesOf(type: Type): Handles {
    return this.#handles.get(type) ?? this.#defineHandles(type);
  }

  #defineHandles(type: Type): Handles {
    const home: Home = {
      type,
      roots: this.#roots,
      describe: (at) => this.#described(type, at),
      json: (at) => this.#plain(type, at.addr, null),
    };
    class TypedRef extends RefBase {}
    const handles: Handles = { home, Ref: TypedRef };
    const proto = TypedRef.prototype;
    // Registered before the fields are looked at: a struct may point to itself.
    this.#handles.set(type, handles);
    try {
      if (type instanceof StructType) {
        for (const f of type.fields) {
          const name = `${type.name}.${f.name}`;
          Object.defineProperty(proto, f.name, refAccessors(this.#codec(f.type), home, f.offset, name));
        }
      } else if (type instanceof ArrayType) {
        defineElements(proto, type, home, this.#codec(type.elem), this.#sliceOps(type.elem));
      } else {
        Object.defineProperty(proto, "value", refAccessors(this.#codec(type), home, 0, "value"));
      }
    } catch (err) {
      // A getter of a type failed: the next use asks again.
      this.#handles.delete(type);
      throw err;
    }
    return handles;
  }

  /** What an inspector shows. */
  #described(type: Type, at: Root): unknown {
    const { addr } = at;
    if (type instanceof StructType)
      return Object.fromEntries(type.fields.map((f) => [f.name, this.#shown(f.type, addr + f.offset, at)]));
    if (type instanceof ArrayType) {
      const { elem } = type;
      return Array.from({ length: type.length }, (_, i) => this.#shown(elem, addr + i * elem.size, at));
    }
    return this.#shown(type, addr, at);
  }

  /** The value as JSON has it. */
  #plain(type: Type, addr: number, path: Path | null): unknown {
    const { mem } = this.heap;
    if (type instanceof StructType) {
      return Object.fromEntries(type.fields.map((f) => [f.name, this.#plain(f.type, addr + f.offset, path)]));
    }
    if (type instanceof ArrayType) return this.#plainList(type.elem, addr, type.length, path);
    if (type instanceof PointerType) {
      const to = mem.u32[addr >>> 2];
      if (to === 0) return null;
      for (let p = path; p !== null; p = p.outer) {
        if (p.addr === to && p.type === type)
          throw new TypeError(`types: JSON of a cycle through ${type.name}`);
      }
      return this.#plain(type.elem, to, { type, addr: to, outer: path });
    }
    if (type instanceof SliceType) {
      const to = mem.u32[addr >>> 2];
      if (to === 0) return null;
      for (let p = path; p !== null; p = p.outer) {
        if (p.addr === to && p.type === type)
          throw new TypeError(`types: JSON of a cycle through ${type.name}`);
      }
      const n = mem.u32[(addr + WORD) >>> 2];
      return this.#plainList(type.elem, to, n, { type, addr: to, outer: path }, true);
    }
    const v = this.#codec(type).load(addr, UNROOTED);
    if (typeof v === "bigint") return Number.isSafeInteger(Number(v)) ? Number(v) : String(v);
    return type.kind === "bytes" ? (mem.u32[addr >>> 2] === 0 ? null : base64(v as Uint8Array)) : v;
  }

  #plainList(elem: Type, addr: number, n: number, path: Path | null, inSlice = false): unknown {
    if (inSlice && elem === uint8) return base64(copyOut(this.heap.mem, addr, n));
    return Array.from({ length: n }, (_, i) => this.#plain(elem, addr + i * elem.size, path));
  }

  /** A value for an inspector: pointers are not followed. */
  #shown(type: Type, addr: number, at: Root): unknown {
    if (!(type instanceof PointerType)) return this.#codec(type).load(addr, at);
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
        const codec = this.#rawCodec(f.type);
        const property = isInline(f.type)
          ? nestedView(() => this.#view(f.type), codec, f.offset)
          : viewAccessors(codec, f.offset);
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
      Object.defineProperty(proto, "value", viewAccessors(this.#rawCodec(type), 0));
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
    let handles: Handles | undefined;
    const place = {
      check: (cell: Root) => this.#check(type, cell, false),
      move: (dst: number, src: number) => this.#move(type, dst, src, 1),
      malloc: () => this.heap.malloc(type.size, this.descriptor(type)),
      part: (addr: number, root: Root) => {
        handles ??= this.#handlesOf(type);
        return new handles.Ref(partOf(root, handles.home, addr));
      },
    };
    return type instanceof StructType
      ? structCodec(type, (t) => this.#codec(t), place)
      : arrayCodec(type as ArrayType, (t) => this.#codec(t), place);
  }

  #pointerCodec(type: PointerType): Codec {
    const { heap } = this;
    const { u32 } = heap.mem;
    // The element's class is made at the first access: types may be recursive.
    let handles: Handles | undefined;
    let elem: Type | undefined;
    const take = (v: unknown): Root | null => {
      if (v === null) return null;
      elem ??= type.elem;
      // A proxy runs code when it is asked for its Root.
      const cell = cellOf(v);
      return cell === null ? wrongValue(elem, true, show(v)) : this.#check(elem, cell, true);
    };
    return {
      load: (addr) => {
        const to = u32[addr >>> 2];
        if (to === 0) return null;
        handles ??= this.#handlesOf(type.elem);
        return new handles.Ref(this.#roots.adopt(heap.newRef(to as Addr), handles.home, to));
      },
      atomic: false,
      store: (addr, v) => {
        const cell = take(v);
        heap.storePointer(addr as Addr, (cell === null ? 0 : cell.addr) as Addr);
      },
      assign: (ref, offset, v) => {
        const cell = take(v);
        if (ref.slot === 0) ref.gone();
        heap.storePointer((ref.addr + offset) as Addr, (cell === null ? 0 : cell.addr) as Addr);
      },
      take,
      ready: (taken) => {
        if (taken === null) return 0;
        // Code of another part of the value may have released it.
        const cell = taken as Root;
        if (cell.slot === 0) released(`Ref<${type.elem.name}>`);
        return cell.addr;
      },
      put: (addr, ready) => heap.storePointer(addr as Addr, ready as Addr),
      drop: nothing,
    };
  }

  /** The Root of a live Ref to `type` in this heap; for a pointer, the error says that null will do. */
  #check(type: Type, cell: Root, pointer: boolean): Root {
    const { home } = cell;
    if (home.roots !== this.#roots) wrongValue(type, pointer, "a Ref of another heap");
    if (home.type !== type && !identical(home.type, type))
      wrongValue(type, pointer, `a Ref<${home.type.name}>`);
    if (cell.slot === 0) released(`Ref<${type.name}>`);
    return cell;
  }

  #sliceCodec(type: SliceType): Codec {
    let ops: SliceOps | undefined;
    const theOps = (): SliceOps => (ops ??= this.#sliceOps(type.elem));
    const take = (v: unknown): Slice<Type> | Temporary | null => {
      if (v === null) return null;
      if (!Array.isArray(v)) return checkSlice(theOps(), v);
      return { temporary: this.sliceOf(type.elem, v as Init<Type>[]) };
    };
    const put = (addr: number, ready: unknown): void => {
      const taken = ready as Slice<Type> | Temporary | null;
      const s = taken === null ? nilSliceOf(theOps()) : isSlice(taken) ? taken : taken.temporary;
      storeSlice(this.heap, addr, s);
    };
    const drop = (taken: unknown): void => {
      if (taken !== null && !isSlice(taken)) (taken as Temporary).temporary.release();
    };
    const codec: Codec = {
      load: (addr) => loadSlice(theOps(), addr),
      atomic: false,
      assign: (ref, offset, v) => {
        // A slice has no code of its own.
        if (isSlice(v)) storeSlice(this.heap, ref.addr + offset, checkSlice(theOps(), v));
        else assignTaken(codec, ref, offset, v);
      },
      store: (addr, v) => {
        const taken = take(v);
        put(addr, taken);
        drop(taken);
      },
      take,
      ready: (taken) => {
        if (isSlice(taken) && sliceRoot(taken).slot === 0) released(`slice of ${type.elem.name}`);
        return taken;
      },
      put,
      drop,
    };
    return codec;
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
    const ready = unchanged;
    const drop = nothing;
    if (type instanceof PointerType) {
      const take = (v: unknown): Addr => {
        if (typeof v !== "number" || v >>> 0 !== v) {
          throw new TypeError(`types: value must be an address (got ${show(v)})`);
        }
        return v as Addr;
      };
      const store = (addr: number, v: unknown): void => heap.storePointer(addr as Addr, take(v));
      return { load: (addr) => u32[addr >>> 2], atomic: true, store, take, ready, put: store, drop };
    }
    const take = (v: unknown): number => {
      if (!(v instanceof ViewBase) || !identical(v.$type, type)) {
        throw new TypeError(`types: value must be a View of ${type.name} (got ${show(v)})`);
      }
      const from: unknown = v.$addr;
      if (typeof from !== "number" || from >>> 0 !== from)
        throw new TypeError(`types: value must be a View of an address (got ${show(from)})`);
      if (from === 0) nilDereference();
      return from;
    };
    const put = (addr: number, from: unknown): void => this.#move(type, addr, from as number, 1);
    return {
      load: (addr) => new (this.#view(type))(addr),
      atomic: false,
      store: (addr, v) => put(addr, take(v)),
      take,
      ready,
      put,
      drop,
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
        json: (addr, n) => this.#plainList(elem, addr, n, null, true),
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

/** A slice that was made of a list, until its header is stored. */
interface Temporary {
  readonly temporary: Slice<Type>;
}

function wrongValue(type: Type, pointer: boolean, got: string): never {
  const want = pointer ? `a Ref<${type.name}> or null` : `a ${type.name}`;
  throw new TypeError(`types: value must be ${want} (got ${got})`);
}

function checkText(what: string, text: unknown): void {
  if (typeof text !== "string") throw new TypeError(`types: ${what} needs a string (got ${show(text)})`);
}

/** As Go writes bytes in JSON. */
function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
  return btoa(text);
}

/** Types whose values lie inside of what contains them, and are seen through a handle. */
function isInline(type: Type): boolean {
  return type instanceof StructType || type instanceof ArrayType || type instanceof SliceType;
}

/** Typed access to `heap`. */
export function createTypes(heap: Heap): TypedHeap {
  return new TypedHeap(heap);
}
