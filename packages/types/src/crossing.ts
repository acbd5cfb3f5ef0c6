/**
 * Refs and Slices on their way to another thread. A handle is a JavaScript object and stays; its parts go: an address,
 * the number of its type (type-records.ts), and the length and capacity of a Slice. The other thread makes a handle of
 * its own from them. The caller keeps the object alive in between.
 */
import { cellOf, type Root } from "./cell.ts";
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
  /** For error messages: `Ref<Node>`, `[]int`. */
  readonly name: string;
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

  get name(): string {
    return refName(this.#cell);
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

  get name(): string {
    return sliceName(this.#slice);
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

/** The name of a Ref or Slice for error messages; null for any other value. */
export function handleName(x: unknown): string | null {
  if (isSlice(x)) return sliceName(x);
  const cell = cellOf(x);
  return cell === null ? null : refName(cell);
}

const refName = (cell: Root): string => `Ref<${cell.home.type.name}>`;
const sliceName = (s: Slice<Type>): string => `[]${opsOf(s).elem.name}`;

/** Takes handles of one heap apart, and makes handles from parts. One object per heap and thread. */
export class Crossing {
  readonly #types: PerType;
  #records: TypeRecords | undefined;

  constructor(types: TypedHeap) {
    this.#types = perTypeOf(types);
  }

  /** The numbers of types. The memory gets their table at the first use. */
  get records(): TypeRecords {
    return (this.#records ??= new TypeRecords(this.#types.heap.mem));
  }

  /** The parts of a Ref or Slice; null for any other value. It reads one property of `x`, which may run its code. */
  parts(x: unknown): HandleParts | null {
    if (isSlice(x)) return new SliceParts(this.#types, x);
    const cell = cellOf(x);
    return cell === null ? null : new RefParts(this.#types, cell);
  }

  /** A Ref to the object at `addr`, with a root of its own. */
  ref<T extends Type>(type: T, addr: number): Ref<T> {
    return this.#types.newRef(type, addr) as unknown as Ref<T>;
  }

  /** A Slice over the array at `addr`, with a root of its own; the nil slice if `addr` is 0. */
  slice<E extends Type>(elem: E, addr: number, len: number, cap: number): Slice<E> {
    const ops = this.#types.sliceOps(elem);
    return addr === 0 ? nilSliceOf(ops) : sliceOver(ops, addr, len, cap);
  }
}
