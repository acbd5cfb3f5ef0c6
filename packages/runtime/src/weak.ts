/** Weak pointers to typed objects. */
import type { Collector, WeakPointer } from "@gort/gc";
import type { Ptr } from "@gort/memory";
import type { Ref, RefMembers, Type, TypedHeap } from "@gort/types";

/** Go's weak.Pointer. */
export interface WeakRefTo<T extends Type> {
  value(): Ref<T> | null;
}

/** The weak pointer of null. */
const nilWeak = Object.freeze({ value: () => null });

export class WeakRefs {
  readonly #collector: Collector;
  readonly #types: TypedHeap;
  /**
   * Equal weak pointers are the same object. A Ref to the first field of an object has its address and another
   * type.
   */
  readonly #known = new WeakMap<WeakPointer, Map<Type, unknown>>();

  constructor(collector: Collector, types: TypedHeap) {
    this.#collector = collector;
    this.#types = types;
  }

  /** See Runtime.weak. */
  to<T extends Type>(x: RefMembers<T> | null): WeakRefTo<T> {
    if (x === null) return nilWeak;
    const types = this.#types;
    const { type, addr } = types.target("weak", x);
    const pointer = this.#collector.finalizers.weak(addr);
    const byType = this.#known.get(pointer) ?? new Map<Type, unknown>();
    this.#known.set(pointer, byType);
    const known = byType.get(type);
    if (known) return known as WeakRefTo<T>;
    const made: WeakRefTo<T> = { value: () => types.ref(type, pointer.value() as Ptr<T>) };
    byType.set(type, made);
    return made;
  }
}
