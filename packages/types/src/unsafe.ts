/** Raw access to the values of a heap: addresses instead of handles. */

import { show } from "@gort/base";
import type { Addr, Ptr } from "@gort/memory";
import { UNROOTED } from "./cell.ts";
import { storeTaken } from "./codec.ts";
import { alignof, offsetof, sizeof } from "./declare.ts";
import { nilDereference } from "./errors.ts";
import type { PerType } from "./per-type.ts";
import { type Fields, isType, type StructType, type Type } from "./type.ts";
import type { RawValue, View } from "./values.ts";

/**
 * Raw access: addresses, loads and stores without roots. An address is valid until the goroutine's next safepoint. Code
 * that keeps it longer stores it in the heap or roots it (`TypedHeap.ref`).
 */
export class Unsafe {
  readonly #types: PerType;

  /** @internal */
  constructor(types: PerType) {
    this.#types = types;
  }

  /** A zero value. Nothing roots it. */
  newObject<T extends Type>(type: T): Ptr<T> {
    checkType("newObject", type);
    return this.#types.heap.malloc(type.size, this.#types.descriptor(type)) as Ptr<T>;
  }

  /** An array of `n` zero values. Nothing roots it. */
  newArray<T extends Type>(type: T, n: number): Ptr<T> {
    checkType("newArray", type);
    if (!Number.isSafeInteger(n) || n < 0)
      throw new RangeError(`types: n must be a whole number from 0 (got ${show(n)})`);
    return this.#types.heap.malloc(type.size * n, this.#types.descriptor(type)) as Ptr<T>;
  }

  /** A View at `ptr`, by default at nil. */
  view<T extends Type>(type: T, ptr: Ptr<T> = 0 as Ptr<T>): View<T> {
    checkType("view", type);
    if ((ptr as number) !== 0) checkAddress("view", ptr);
    return new (this.#types.view(type))(ptr) as unknown as View<T>;
  }

  /** `*ptr` */
  load<T extends Type>(type: T, ptr: Ptr<T>): RawValue<T> {
    checkType("load", type);
    checkAddress("load", ptr);
    return this.#types.rawCodec(type).load(ptr, UNROOTED) as RawValue<T>;
  }

  /** `*ptr = value`, with the write barrier for pointers. */
  store<T extends Type>(type: T, ptr: Ptr<T>, value: RawValue<T>): void {
    checkType("store", type);
    checkAddress("store", ptr);
    const codec = this.#types.rawCodec(type);
    storeTaken(codec, ptr, codec.take(value));
  }

  /** `n` bytes of the memory itself, not a copy: later writes to these addresses change them. */
  bytes(ptr: Addr, n: number): Uint8Array {
    if (!Number.isSafeInteger(n) || n < 0)
      throw new RangeError(`types: n must be a whole number from 0 (got ${show(n)})`);
    if ((ptr as number) !== 0 || n > 0) checkAddress("bytes", ptr);
    return this.#types.heap.mem.u8.subarray(ptr, ptr + n);
  }

  sizeof(type: Type): number {
    return sizeof(type);
  }
  alignof(type: Type): number {
    return alignof(type);
  }
  offsetof<F extends Fields>(type: StructType<F>, field: keyof F & string): number {
    return offsetof(type, field);
  }
}

export function checkType(what: string, type: unknown): void {
  if (!isType(type)) throw new TypeError(`types: ${what} needs a type (got ${show(type)})`);
}

/** Refuses a value that is no address: arithmetic would turn it into another address. */
function checkAddress(what: string, ptr: unknown): void {
  if (typeof ptr !== "number" || ptr >>> 0 !== ptr)
    throw new TypeError(`types: ${what} needs an address (got ${show(ptr)})`);
  if (ptr === 0) nilDereference();
}
