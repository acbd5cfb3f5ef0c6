/** Codecs of Views: pointers are addresses, and values that lie inside of others are Views. */

import { show } from "@gort/base";
import type { Addr } from "@gort/memory";
import { ViewBase } from "./cell.ts";
import { type Codec, nothing, unchanged } from "./codec.ts";
import { nilDereference } from "./errors.ts";
import type { Heap } from "./heap.ts";
import { identical } from "./identical.ts";
import { move } from "./move.ts";
import type { PerType } from "./per-type.ts";
import type { Type } from "./type.ts";

export function rawPointerCodec(heap: Heap): Codec {
  const { u32 } = heap.mem;
  const take = (v: unknown): Addr => {
    if (typeof v !== "number" || v >>> 0 !== v) {
      throw new TypeError(`types: value must be an address (got ${show(v)})`);
    }
    return v as Addr;
  };
  const store = (addr: number, v: unknown): void => heap.storePointer(addr as Addr, take(v));
  return {
    load: (addr) => u32[addr >>> 2],
    atomic: true,
    store,
    take,
    ready: unchanged,
    put: store,
    drop: nothing,
  };
}

/** For structs, arrays and slices. A slice's View shows its header. */
export function rawViewCodec(types: PerType, type: Type): Codec {
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
  const put = (addr: number, from: unknown): void => move(types.heap, type, addr, from as number, 1);
  return {
    load: (addr) => new (types.view(type))(addr),
    atomic: false,
    store: (addr, v) => put(addr, take(v)),
    take,
    ready: unchanged,
    put,
    drop: nothing,
  };
}
