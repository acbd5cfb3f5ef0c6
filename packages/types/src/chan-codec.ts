/**
 * The codec of channels: values are handles or null. Another package has the channels. It tells a heap of them with
 * `PerType.chans`, and makes and checks the handles.
 */
import type { Addr } from "@gort/memory";
import { type Codec, nothing } from "./codec.ts";
import type { PerType } from "./per-type.ts";
import type { ChanType, Type } from "./type.ts";

/** A handle of a channel. */
export interface ChanHandle {
  release(): void;
  toJSON(): unknown;
}

/** The channels of one heap on one thread, with elements of one type. */
export interface ChanOps {
  /** A handle of the channel at `addr`, with a root of its own. It throws if the channel has other elements. */
  readonly open: (addr: Addr) => ChanHandle;
  /**
   * The value, if it is a live handle of such a channel, else an error. Other threads may find the channel from then
   * on. Code of the value does not run.
   */
  readonly take: (value: unknown) => ChanHandle;
  /** The channel's address, or an error if the handle was released. */
  readonly addrOf: (handle: ChanHandle) => Addr;
}

export interface Chans {
  /** All that may run code of the element type's declaration runs here. */
  of(elem: Type): ChanOps;
}

export function chanCodec(types: PerType, type: ChanType): Codec {
  const { heap } = types;
  const { u32 } = heap.mem;
  // Made at the first access of a channel: types may be recursive.
  let ops: ChanOps | undefined;
  const makeOps = (): ChanOps => {
    if (types.chans === null) throw new TypeError(`types: this heap has no channels (got ${type.name})`);
    ops = types.chans().of(type.elem);
    return ops;
  };
  const take = (v: unknown): ChanHandle | null => (v === null ? null : (ops ?? makeOps()).take(v));
  const ready = (taken: unknown): Addr => (taken === null ? 0 : ops!.addrOf(taken as ChanHandle)) as Addr;
  const put = (addr: number, to: unknown): void => heap.storePointer(addr as Addr, to as Addr);
  return {
    load: (addr) => {
      if (u32[addr >>> 2] === 0) return null;
      const { open } = ops ?? makeOps();
      // Code of the type's declaration may have changed the place.
      const to = u32[addr >>> 2];
      return to === 0 ? null : open(to as Addr);
    },
    atomic: false,
    store: (addr, v) => put(addr, ready(take(v))),
    take,
    ready,
    put,
    drop: nothing,
  };
}
