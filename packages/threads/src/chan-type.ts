/**
 * `chan T`: the type of places in the heap that hold a channel, such as fields of structs, elements of slices, and
 * elements of other channels. A place is a pointer to the record of the channel (hchan.ts).
 */
import { ChanType, Type } from "@gort/types/internal";
import type { HeapChan } from "./heap-chan.ts";

const made = new WeakMap<Type, ChanType>();

/**
 * `chan T`. The values are the channels of `makeChan(T, n)`, and null. Pass a thunk for a type that is declared later.
 * The same element type gives the same type.
 */
export function chan<T extends Type>(elem: T | (() => T)): ChanType<T, HeapChan<T>> {
  if (!(elem instanceof Type)) return new ChanType(elem);
  let type = made.get(elem);
  if (type === undefined) made.set(elem, (type = new ChanType(elem)));
  return type as ChanType<T, HeapChan<T>>;
}
