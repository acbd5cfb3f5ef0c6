/** The codec of pointers: values are Refs or null. */

import { show } from "@gort/base";
import type { Addr } from "@gort/memory";
import { cellOf, type Root, type Roots, released } from "./cell.ts";
import { type Codec, holding, nothing } from "./codec.ts";
import { identical } from "./identical.ts";
import type { Handles, PerType } from "./per-type.ts";
import type { PointerType, Type } from "./type.ts";

export function pointerCodec(types: PerType, type: PointerType): Codec {
  const { heap, roots } = types;
  const { u32 } = heap.mem;
  // The element's class is made at the first access: types may be recursive.
  let handles: Handles | undefined;
  let elem: Type | undefined;
  const take = (v: unknown): Root | null => {
    if (v === null) return null;
    elem ??= type.elem;
    // A proxy runs code when its Root is read.
    const cell = cellOf(v);
    return cell === null ? wrongValue(elem, true, show(v)) : checkRef(roots, elem, cell, true);
  };
  return {
    load: (addr) => {
      const to = u32[addr >>> 2];
      if (to === 0) return null;
      handles ??= holding(heap, to, () => types.handles(type.elem));
      return new handles.Ref(roots.adopt(heap.newRef(to as Addr), handles.home, to));
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
      // Code of another part of the value may have released the Ref.
      const cell = taken as Root;
      if (cell.slot === 0) released(`Ref<${type.elem.name}>`);
      return cell.addr;
    },
    put: (addr, ready) => heap.storePointer(addr as Addr, ready as Addr),
    drop: nothing,
  };
}

/**
 * The Root of a live Ref to `type` in the heap of `roots`, or an error. `pointer`: the Ref is for a pointer, and the
 * error says that null is possible.
 */
export function checkRef(roots: Roots, type: Type, cell: Root, pointer: boolean): Root {
  const { home } = cell;
  if (home.roots !== roots) wrongValue(type, pointer, "a Ref of another heap");
  if (home.type !== type && !identical(home.type, type))
    wrongValue(type, pointer, `a Ref<${home.type.name}>`);
  if (cell.slot === 0) released(`Ref<${type.name}>`);
  return cell;
}

function wrongValue(type: Type, pointer: boolean, got: string): never {
  const want = pointer ? `a Ref<${type.name}> or null` : `a ${type.name}`;
  throw new TypeError(`types: value must be ${want} (got ${got})`);
}
