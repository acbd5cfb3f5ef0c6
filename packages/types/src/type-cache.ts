/**
 * Keeps the codecs, classes and descriptors of each type, for one heap and one thread.
 *
 * A descriptor is the heap's identity of a type: it lies in the linear memory, and is the same in every thread. All
 * else here belongs to the thread: a Type, a codec and a class of handles are JavaScript objects.
 */
import type { Addr } from "@gort/memory";
import { partOf, type RefBase, type Root, Roots } from "./cell.ts";
import { type Chans, chanCodec } from "./chan-codec.ts";
import { type Codec, holding } from "./codec.ts";
import { arrayCodec, opaqueCodec, structCodec } from "./composite.ts";
import type { Heap } from "./heap.ts";
import { move } from "./move.ts";
import { OpaqueType } from "./opaque.ts";
import type { Handles, PerType, ViewClass } from "./per-type.ts";
import { plainList } from "./plain.ts";
import { checkRef, pointerCodec } from "./pointer-codec.ts";
import { rawPointerCodec, rawViewCodec } from "./raw-codec.ts";
import { defineRefMembers, newHandles } from "./ref-class.ts";
import { scalarCodec } from "./scalar-codec.ts";
import type { SliceOps } from "./slice.ts";
import { sliceCodec } from "./slice-codec.ts";
import {
  type ArrayType,
  ChanType,
  PointerType,
  ScalarType,
  SliceType,
  StructType,
  type Type,
} from "./type.ts";
import { defineViewMembers, newViewClass } from "./view-class.ts";

export class TypeCache implements PerType {
  readonly heap: Heap;
  readonly roots: Roots;
  chans: (() => Chans) | null = null;
  readonly #codecs = new Map<Type, Codec>();
  readonly #rawCodecs = new Map<Type, Codec>();
  readonly #handles = new Map<Type, Handles>();
  readonly #views = new Map<Type, ViewClass>();
  readonly #slices = new Map<Type, SliceOps>();
  readonly #descriptors = new Map<Type, number>();

  constructor(heap: Heap) {
    this.heap = heap;
    this.roots = new Roots(
      (slot) => heap.releaseRef(slot),
      (slot) => (heap.collectRef === undefined ? heap.releaseRef(slot) : heap.collectRef(slot)),
    );
  }

  descriptor(type: Type): number {
    let typ = this.#descriptors.get(type);
    if (typ === undefined) {
      // The mask of a type that no memory has room for would be large too.
      if (type.size >= this.heap.mem.size)
        throw new RangeError(`types: ${type.name} is larger than the memory (${type.size} bytes)`);
      typ = type.hasPointers ? this.heap.newType(type.size, type.pointerMask()) : 0;
      this.#descriptors.set(type, typ);
    }
    return typ;
  }

  newRef(type: Type, addr: number): RefBase {
    const { Ref, home } =
      this.#handles.get(type) ?? holding(this.heap, addr, () => this.#defineHandles(type));
    return new Ref(this.roots.adopt(this.heap.newRef(addr as Addr), home, addr));
  }

  handles(type: Type): Handles {
    return this.#handles.get(type) ?? this.#defineHandles(type);
  }

  #defineHandles(type: Type): Handles {
    const handles = newHandles(this, type);
    // Registered before it has members: a struct may point to itself.
    this.#handles.set(type, handles);
    try {
      defineRefMembers(this, type, handles);
    } catch (err) {
      // A getter of a type failed. The next use asks again.
      this.#handles.delete(type);
      throw err;
    }
    return handles;
  }

  view(type: Type): ViewClass {
    return this.#views.get(type) ?? this.#defineView(type);
  }

  #defineView(type: Type): ViewClass {
    const view = newViewClass(this, type);
    this.#views.set(type, view);
    try {
      defineViewMembers(this, type, view);
    } catch (err) {
      this.#views.delete(type);
      throw err;
    }
    return view;
  }

  codec(type: Type): Codec {
    let found = this.#codecs.get(type);
    if (found === undefined) this.#codecs.set(type, (found = this.#makeCodec(type)));
    return found;
  }

  #makeCodec(type: Type): Codec {
    if (type instanceof ScalarType) return scalarCodec(this.heap, type);
    if (type instanceof PointerType) return pointerCodec(this, type);
    if (type instanceof ChanType) return chanCodec(this, type);
    if (type instanceof SliceType) return sliceCodec(this, type);
    let handles: Handles | undefined;
    const place = {
      check: (cell: Root) => checkRef(this.roots, type, cell, false),
      move: (dst: number, src: number) => move(this.heap, type, dst, src, 1),
      malloc: () => this.heap.malloc(type.size, this.descriptor(type)),
      part: (addr: number, root: Root) => {
        handles ??= this.handles(type);
        return new handles.Ref(partOf(root, handles.home, addr));
      },
    };
    if (type instanceof OpaqueType) return opaqueCodec(type, place.part);
    return type instanceof StructType
      ? structCodec(type, (t) => this.codec(t), place)
      : arrayCodec(type as ArrayType, (t) => this.codec(t), place);
  }

  rawCodec(type: Type): Codec {
    let found = this.#rawCodecs.get(type);
    if (found === undefined) this.#rawCodecs.set(type, (found = this.#makeRawCodec(type)));
    return found;
  }

  #makeRawCodec(type: Type): Codec {
    if (type instanceof ScalarType) return this.codec(type);
    if (type instanceof PointerType || type instanceof ChanType) return rawPointerCodec(this.heap);
    const raw = rawViewCodec(this, type);
    return type instanceof OpaqueType ? opaqueCodec(type, raw.load) : raw;
  }

  sliceOps(elem: Type): SliceOps {
    let ops = this.#slices.get(elem);
    if (ops === undefined) {
      ops = {
        heap: this.heap,
        roots: this.roots,
        elem,
        codec: this.codec(elem),
        typ: this.descriptor(elem),
        move: (dst, src, n) => move(this.heap, elem, dst, src, n),
        ref: (addr) => this.newRef(elem, addr),
        json: (addr, n) => plainList(this, elem, addr, n),
      };
      this.#slices.set(elem, ops);
    }
    return ops;
  }
}
