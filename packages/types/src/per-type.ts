/** The objects that one heap makes once per type. TypeCache keeps them. */
import type { Home, RefBase, Root, Roots, ViewBase } from "./cell.ts";
import type { Chans } from "./chan-codec.ts";
import type { Codec } from "./codec.ts";
import type { Heap } from "./heap.ts";
import type { SliceOps } from "./slice.ts";
import type { Type } from "./type.ts";

/** The class of the Refs of a type, and what all its Refs share. */
export interface Handles {
  readonly home: Home;
  readonly Ref: new (cell: Root) => RefBase;
}

/** The class of the Views of a type. */
export type ViewClass = new (addr: number) => ViewBase;

/** Makers of codecs and classes ask here for those of other types, at the first use: types may be recursive. */
export interface PerType {
  readonly heap: Heap;
  readonly roots: Roots;
  /** The channels of the heap; null unless another package provides them. */
  chans: (() => Chans) | null;
  /** The heap's own description of the type, for `malloc`; 0 without pointers. */
  descriptor(type: Type): number;
  /** The codec of Refs and Slices. */
  codec(type: Type): Codec;
  /** The codec of Views: addresses instead of handles. */
  rawCodec(type: Type): Codec;
  handles(type: Type): Handles;
  view(type: Type): ViewClass;
  sliceOps(elem: Type): SliceOps;
  /** A Ref with a root of its own. */
  newRef(type: Type, addr: number): RefBase;
}
