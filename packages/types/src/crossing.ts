/**
 * Refs and Slices on their way to another thread. A handle is a JavaScript object and stays; its parts go: an address,
 * the number of its type (type-records.ts), and the length and capacity of a Slice. The other thread makes a handle of
 * its own from them. The caller keeps the object alive in between.
 */
import { cellOf, type Root } from "./cell.ts";
import type { RefSlot } from "./heap.ts";
import type { PerType } from "./per-type.ts";
import {
  isSlice,
  nilSliceOf,
  opsOf,
  type Slice,
  sliceAddr,
  sliceCap,
  sliceLen,
  sliceOver,
  sliceRoot,
} from "./slice.ts";
import type { Type } from "./type.ts";
import { TypeRecords } from "./type-records.ts";
import { perTypeOf, type TypedHeap } from "./typed-heap.ts";
import type { Ref } from "./values.ts";

/** The parts of a Ref or Slice, read from the handle at each access. */
export interface HandleParts {
  readonly kind: "Ref" | "Slice";
  /** The type of the target, or of the elements. */
  readonly type: Type;
  /** Whether it is a handle of this heap. */
  readonly ours: boolean;
  /** False once the handle was released. */
  readonly live: boolean;
  /** 0 for a nil slice. */
  readonly addr: number;
  readonly length: number;
  readonly cap: number;
}

class RefParts implements HandleParts {
  readonly kind = "Ref";
  readonly length = 0;
  readonly cap = 0;
  readonly ours: boolean;
  readonly #cell: Root;

  constructor(types: PerType, cell: Root) {
    this.#cell = cell;
    this.ours = cell.home.roots === types.roots;
  }

  get type(): Type {
    return this.#cell.home.type;
  }
  get live(): boolean {
    return this.#cell.slot !== 0;
  }
  get addr(): number {
    return this.#cell.addr;
  }
}

class SliceParts implements HandleParts {
  readonly kind = "Slice";
  readonly ours: boolean;
  readonly #slice: Slice<Type>;

  constructor(types: PerType, s: Slice<Type>) {
    this.#slice = s;
    this.ours = opsOf(s).roots === types.roots;
  }

  get type(): Type {
    return opsOf(this.#slice).elem;
  }
  get live(): boolean {
    return sliceRoot(this.#slice).slot !== 0;
  }
  get addr(): number {
    return sliceAddr(this.#slice);
  }
  get length(): number {
    return sliceLen(this.#slice);
  }
  get cap(): number {
    return sliceCap(this.#slice);
  }
}

/** Takes handles of one heap apart, and makes handles from parts. One object per heap and thread. */
export class Crossing {
  /** The numbers of types. */
  readonly records: TypeRecords;
  readonly #types: PerType;

  constructor(types: TypedHeap) {
    this.#types = perTypeOf(types);
    this.records = new TypeRecords(types.heap.mem);
  }

  /** The parts of a Ref or Slice; null for any other value. It reads one property of `x`, which may run its code. */
  parts(x: unknown): HandleParts | null {
    if (isSlice(x)) return new SliceParts(this.#types, x);
    const cell = cellOf(x);
    return cell === null ? null : new RefParts(this.#types, cell);
  }

  /** A Ref to the object at `addr`. The root `slot`, which holds the object, is the Ref's from now on. */
  ref<T extends Type>(type: T, addr: number, slot: RefSlot): Ref<T> {
    const { Ref, home } = this.#types.handles(type);
    return new Ref(this.#types.roots.adopt(slot, home, addr)) as unknown as Ref<T>;
  }

  /** A Slice over the array at `addr`. The root `slot`, which holds the array, is the Slice's from now on. */
  slice<E extends Type>(elem: E, addr: number, len: number, cap: number, slot: RefSlot): Slice<E> {
    return sliceOver(this.#types.sliceOps(elem), addr, len, cap, slot);
  }

  nilSlice<E extends Type>(elem: E): Slice<E> {
    return nilSliceOf(this.#types.sliceOps(elem));
  }
}
