/** Raw access to the values of a heap: addresses instead of handles. */
import { show } from "@gort/base";
import type { Addr, Ptr } from "@gort/memory";
import { UNROOTED, type ViewBase } from "./cell.ts";
import { type Codec, storeTaken } from "./codec.ts";
import { nilDereference } from "./errors.ts";
import type { Heap } from "./heap.ts";
import { alignof, type Fields, isType, offsetof, type StructType, sizeof, type Type } from "./type.ts";
import type { RawValue, View } from "./values.ts";

/** The class of the Views of a type. */
export type ViewClass = new (addr: number) => ViewBase;

/** What `Unsafe` needs of its TypedHeap. */
interface UnsafeParts {
  descriptor(type: Type): number;
  codec(type: Type): Codec;
  view(type: Type): ViewClass;
}

/**
 * Raw access: addresses, loads and stores without roots. An address is valid until the goroutine's next
 * safepoint; whoever keeps it longer stores it in the heap or roots it (`TypedHeap.ref`).
 */
export class Unsafe {
  readonly #heap: Heap;
  readonly #parts: UnsafeParts;

  /** @internal */
  constructor(heap: Heap, parts: UnsafeParts) {
    this.#heap = heap;
    this.#parts = parts;
  }

  /** A zero value that nothing roots. */
  newObject<T extends Type>(type: T): Ptr<T> {
    checkType("newObject", type);
    return this.#heap.malloc(type.size, this.#parts.descriptor(type)) as Ptr<T>;
  }

  /** An array of `n` zero values that nothing roots. */
  newArray<T extends Type>(type: T, n: number): Ptr<T> {
    checkType("newArray", type);
    if (!Number.isSafeInteger(n) || n < 0)
      throw new RangeError(`types: n must be a whole number from 0 (got ${show(n)})`);
    return this.#heap.malloc(type.size * n, this.#parts.descriptor(type)) as Ptr<T>;
  }

  /** A View at `ptr`, nil if none is given. */
  view<T extends Type>(type: T, ptr: Ptr<T> = 0 as Ptr<T>): View<T> {
    checkType("view", type);
    if ((ptr as number) !== 0) checkAddress("view", ptr);
    return new (this.#parts.view(type))(ptr) as unknown as View<T>;
  }

  /** `*ptr` */
  load<T extends Type>(type: T, ptr: Ptr<T>): RawValue<T> {
    checkType("load", type);
    checkAddress("load", ptr);
    return this.#parts.codec(type).load(ptr, UNROOTED) as RawValue<T>;
  }

  /** `*ptr = value`, with the write barrier for pointers. */
  store<T extends Type>(type: T, ptr: Ptr<T>, value: RawValue<T>): void {
    checkType("store", type);
    checkAddress("store", ptr);
    const codec = this.#parts.codec(type);
    storeTaken(codec, ptr, codec.take(value));
  }

  /** `n` bytes of the memory itself, not a copy. It shows whatever lies there later. */
  bytes(ptr: Addr, n: number): Uint8Array {
    if (!Number.isSafeInteger(n) || n < 0)
      throw new RangeError(`types: n must be a whole number from 0 (got ${show(n)})`);
    if ((ptr as number) !== 0 || n > 0) checkAddress("bytes", ptr);
    return this.#heap.mem.u8.subarray(ptr, ptr + n);
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

/** An address that is no number in range would be computed with, and hit another. */
function checkAddress(what: string, ptr: unknown): void {
  if (typeof ptr !== "number" || ptr >>> 0 !== ptr)
    throw new TypeError(`types: ${what} needs an address (got ${show(ptr)})`);
  if (ptr === 0) nilDereference();
}
