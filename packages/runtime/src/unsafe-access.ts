/** Raw access to the heap: addresses instead of references. */
import type { Allocator } from "@gort/allocator/internal";
import type { Collector } from "@gort/gc";
import type { Addr, Ptr } from "@gort/memory";
import type { Fields, RawValue, StructType, Type, TypedHeap, View } from "@gort/types";
import { alignof, offsetof, sizeof } from "@gort/types/internal";

declare const rootSlotBrand: unique symbol;
/** A global root; never 0. */
export type RootSlot = Addr & { readonly [rootSlotBrand]: true };

type Trace = NonNullable<Collector["trace"]>;

/** Returns the view with a check of its pointer before each use of a field. */
function watched<V extends { readonly $addr: Addr }>(view: V, trace: Trace): V {
  const check = (v: V, key: PropertyKey): void => {
    if (key !== "$addr" && key !== "$at" && v.$addr !== 0) trace.check(v.$addr);
  };
  return new Proxy(view, {
    get(v, key) {
      check(v, key);
      return Reflect.get(v, key);
    },
    set(v, key, value) {
      check(v, key);
      return Reflect.set(v, key, value);
    },
  });
}

/**
 * Raw pointers. A raw pointer is valid until the goroutine's next safepoint (a suspension, `gc()`, `safepoint()`). A
 * pointer that must outlive the safepoint is stored in the heap, or rooted (`runtime.root`, `newRoot`).
 */
export class Unsafe {
  readonly #allocator: Allocator;
  readonly #collector: Collector;
  readonly #types: TypedHeap;
  /** Under allocfreetrace, checks every pointer before it is used. */
  readonly #trace: Trace | null;

  constructor(allocator: Allocator, collector: Collector, types: TypedHeap) {
    this.#allocator = allocator;
    this.#collector = collector;
    this.#types = types;
    this.#trace = collector.trace;
  }

  /**
   * Allocates `size` zeroed bytes. `typ`, from `newType`, describes where the pointers are; 0 means none.
   *
   * @throws RangeError if `size` is negative, fractional, NaN or over the limit
   * @throws FatalError `runtime: out of memory`
   */
  mallocgc(size: number, typ = 0): Addr {
    return this.#allocator.mallocgc(size, typ, true);
  }

  /** Like mallocgc for memory without pointers, with the fewest checks. */
  mallocNoscan(size: number): Addr {
    return this.#allocator.mallocNoscan(size);
  }

  /** One zeroed object of exactly the type's size. */
  mallocTyped(typ: number): Addr {
    return this.#allocator.mallocTyped(typ);
  }

  /** Describes objects of `size` bytes (a multiple of 8) whose 8-byte words at these positions are pointers. */
  newType(size: number, pointerWords: readonly number[]): number {
    const mask = new Uint32Array(Math.ceil(size / 256));
    for (const w of pointerWords) {
      if (!Number.isInteger(w) || w < 0 || w * 8 + 8 > size) {
        throw new RangeError(`runtime: pointer word ${w} is not in an object of ${size} bytes`);
      }
      mask[w >>> 5] |= 1 << (w & 31);
    }
    return this.#allocator.newType(size, mask);
  }

  /** Allocates a zero value that nothing roots. */
  newObject<T extends Type>(type: T): Ptr<T> {
    return this.#types.unsafe.newObject(type);
  }

  /** Allocates an array of `n` zero values that nothing roots. */
  newArray<T extends Type>(type: T, n: number): Ptr<T> {
    return this.#types.unsafe.newArray(type, n);
  }

  /** Fields by name, without allocation: a View that can be moved from object to object. */
  view<T extends Type>(type: T, ptr?: Ptr<T>): View<T> {
    const view = ptr === undefined ? this.#types.unsafe.view(type) : this.#types.unsafe.view(type, ptr);
    return this.#trace === null ? view : watched(view, this.#trace);
  }

  /** `*ptr` */
  load<T extends Type>(type: T, ptr: Ptr<T>): RawValue<T> {
    this.#trace?.check(ptr);
    return this.#types.unsafe.load(type, ptr);
  }

  /** `*ptr = value`, with the write barrier for pointers. */
  store<T extends Type>(type: T, ptr: Ptr<T>, value: RawValue<T>): void {
    this.#trace?.check(ptr);
    this.#types.unsafe.store(type, ptr, value);
  }

  /** Reads the pointer slot at `slot`. */
  loadPointer(slot: Addr): Addr {
    this.#trace?.check(slot);
    return this.#allocator.mem.u32[slot >>> 2] as Addr;
  }

  /** Writes a pointer slot of a heap object, with the write barrier. */
  storePointer(slot: Addr, value: Addr): void {
    if (this.#trace !== null) {
      this.#trace.check(slot);
      if (value !== 0) this.#trace.check(value);
    }
    this.#collector.storePointer(slot, value);
  }

  /** `n` bytes of the memory itself, not a copy. */
  bytes(ptr: Addr, n: number): Uint8Array {
    this.#trace?.check(ptr);
    return this.#types.unsafe.bytes(ptr, n);
  }

  /** A global root that holds `ptr` (0 is allowed) until it is freed. */
  newRoot(ptr: Addr | number = 0): RootSlot {
    if (ptr !== 0) this.#trace?.check(ptr as Addr);
    return this.#collector.refs.alloc(ptr) as RootSlot;
  }

  setRoot(slot: RootSlot | number, ptr: Addr | number): void {
    if (ptr !== 0) this.#trace?.check(ptr as Addr);
    this.#collector.storePointer(slot, ptr);
  }

  freeRoot(slot: RootSlot | number): void {
    this.#collector.refs.free(slot as Addr);
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
