/** The codec of slices: values are Slices, lists of which a Slice is made, or null. */
import { released } from "./cell.ts";
import { assignTaken, type Codec } from "./codec.ts";
import type { PerType } from "./per-type.ts";
import {
  checkSlice,
  isSlice,
  listSlice,
  loadFirstSlice,
  loadSlice,
  nilSliceOf,
  type Slice,
  type SliceOps,
  sliceRoot,
  storeSlice,
} from "./slice.ts";
import type { SliceType, Type } from "./type.ts";
import type { Init } from "./values.ts";

/** A slice that `take` made of a list. `drop` releases it, after its header is stored. */
interface Temporary {
  readonly temporary: Slice<Type>;
}

export function sliceCodec(types: PerType, type: SliceType): Codec {
  const { heap } = types;
  let ops: SliceOps | undefined;
  const theOps = (): SliceOps => (ops ??= types.sliceOps(type.elem));
  const take = (v: unknown): Slice<Type> | Temporary | null => {
    // Code of the type's declaration runs here, and not in `put`.
    const sliceOps = theOps();
    if (v === null) return null;
    if (!Array.isArray(v)) return checkSlice(sliceOps, v);
    return { temporary: listSlice(sliceOps, v as Init<Type>[]) };
  };
  const put = (addr: number, ready: unknown): void => {
    const taken = ready as Slice<Type> | Temporary | null;
    const s = taken === null ? nilSliceOf(theOps()) : isSlice(taken) ? taken : taken.temporary;
    storeSlice(heap, addr, s);
  };
  const drop = (taken: unknown): void => {
    if (taken !== null && !isSlice(taken)) (taken as Temporary).temporary.release();
  };
  const codec: Codec = {
    load: (addr) => (ops === undefined ? loadFirstSlice(heap, addr, theOps) : loadSlice(ops, addr)),
    atomic: false,
    assign: (ref, offset, v) => {
      // A slice has no code of its own, but the type's declaration may have some at the first use.
      if (isSlice(v) && ops !== undefined) storeSlice(heap, ref.addr + offset, checkSlice(ops, v));
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
