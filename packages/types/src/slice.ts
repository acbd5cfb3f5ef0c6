/**
 * Slices: pointer, length, capacity, over an array that a root keeps alive. As in Go a Slice is a value:
 * `append` and `slice` give another one, which may share the array. `push` is `s = append(s, v)` in place, for
 * loops.
 */

import type { Addr, Ptr } from "@gort/memory";
import { DEAD, type Root, type Roots, released, UNROOTED } from "./cell.ts";
import type { Codec } from "./codec.ts";
import { BoundsError, RuntimeError } from "./errors.ts";
import { growCap } from "./growslice.ts";
import type { Heap } from "./heap.ts";
import { identical, type Type } from "./type.ts";
import type { Init, Ref, Value } from "./values.ts";

/** What all slices of one element type in one heap share. */
export interface SliceOps {
  readonly heap: Heap;
  readonly roots: Roots;
  readonly elem: Type;
  readonly codec: Codec;
  /** The heap's descriptor of the element type; 0 without pointers. */
  readonly typ: number;
  /** Copies n elements; the ranges may overlap. */
  move(dst: number, src: number, n: number): void;
  /** A Ref with a root of its own. */
  ref(addr: number): unknown;
}

const dispose: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);

export class Slice<E extends Type> implements Iterable<Value<E>> {
  /** @internal */
  readonly $ops: SliceOps;
  /** @internal */
  $root: Root;
  /** The address of the first element; 0 for nil. Valid until the goroutine's next safepoint. */
  $addr: Ptr<E>;
  #len: number;
  #cap: number;

  /** Use `makeSlice`. @internal */
  constructor(ops: SliceOps, root: Root, addr: number, len: number, cap: number) {
    this.$ops = ops;
    this.$root = root;
    this.$addr = addr as Ptr<E>;
    this.#len = len;
    this.#cap = cap;
  }

  /** `len(s)` */
  get length(): number {
    return this.#len;
  }

  /** `cap(s)` */
  get cap(): number {
    return this.#cap;
  }

  /** The element type. */
  get elem(): E {
    return this.$ops.elem as E;
  }

  /** `s == nil` */
  get isNil(): boolean {
    return this.$addr === 0;
  }

  /** `s[i]` */
  get(i: number): Value<E> {
    return this.$ops.codec.load(this.#at(i), this.$root) as Value<E>;
  }

  /** `s[i] = value` */
  set(i: number, value: Init<E>): void {
    this.$ops.codec.store(this.#at(i), value);
  }

  /** `&s[i]`: a reference that keeps the array alive by itself. */
  ref(i: number): Ref<E> {
    return this.$ops.ref(this.#at(i)) as Ref<E>;
  }

  #at(i: number): number {
    if (this.$root.slot === 0) released(`slice of ${this.$ops.elem.name}`);
    if (i >>> 0 === i && i < this.#len) return this.$addr + i * this.$ops.elem.size;
    return outOfRange(i, this.#len);
  }

  /** `s[lo:hi:max]`; it shares the array. */
  slice(lo = 0, hi = this.#len, max?: number): Slice<E> {
    const cap = this.#cap;
    if (this.$root.slot === 0) released(`slice of ${this.$ops.elem.name}`);
    checkBounds(lo, hi, max, cap, "capacity");
    const newCap = (max ?? cap) - lo;
    // An empty rest keeps the array's start: an address one past the end would keep the next object alive.
    const addr = newCap === 0 ? this.$addr : this.$addr + lo * this.$ops.elem.size;
    return share(this, addr, hi - lo, newCap);
  }

  /** `s = append(s, value)`, in place. */
  push(value: Init<E>): void {
    if (this.$root.slot === 0) released(`slice of ${this.$ops.elem.name}`);
    const n = this.#len;
    if (n === this.#cap) this.#grow(n + 1);
    this.$ops.codec.store(this.$addr + n * this.$ops.elem.size, value);
    this.#len = n + 1;
  }

  /** Moves to a larger array; length stays. */
  #grow(newLen: number): void {
    const { heap, roots, elem, typ } = this.$ops;
    const cap = growCap(heap, elem.size, typ === 0, newLen, this.#cap);
    const addr = heap.malloc(cap * elem.size, typ);
    this.$ops.move(addr, this.$addr, this.#len);
    const old = this.$root;
    this.$root = roots.adopt(heap.newRef(addr));
    this.$addr = addr as Ptr<E>;
    this.#cap = cap;
    roots.drop(old);
  }

  /** @internal */
  $append(count: number, fill: (addr: number) => void): Slice<E> {
    if (this.$root.slot === 0) released(`slice of ${this.$ops.elem.name}`);
    const { heap, roots, elem, typ } = this.$ops;
    const oldLen = this.#len;
    const newLen = oldLen + count;
    let out: Slice<E>;
    if (newLen <= this.#cap) {
      out = share(this, this.$addr, newLen, this.#cap);
    } else {
      const cap = growCap(heap, elem.size, typ === 0, newLen, this.#cap);
      const addr = heap.malloc(cap * elem.size, typ);
      this.$ops.move(addr, this.$addr, oldLen);
      out = new Slice(this.$ops, roots.adopt(heap.newRef(addr)), addr, newLen, cap);
    }
    fill(out.$addr + oldLen * elem.size);
    return out;
  }

  /** The elements as a JavaScript array. */
  toArray(): Value<E>[] {
    return Array.from(this);
  }

  *[Symbol.iterator](): Generator<Value<E>, void, undefined> {
    // As in Go's range, the length is the one at the start.
    const n = this.#len;
    for (let i = 0; i < n; i++) yield this.get(i);
  }

  /**
   * Gives up this slice's share of the root. Other slices of the same array keep working, each until it is
   * released or collected itself.
   */
  release(): void {
    const root = this.$root;
    this.$root = DEAD;
    this.$ops.roots.drop(root);
  }

  [dispose](): void {
    this.release();
  }

  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    const name = `[]${this.$ops.elem.name}`;
    if (this.$root.slot === 0) return `${name} (released)`;
    return this.isNil
      ? `${name} nil`
      : `${name}(len ${this.#len}, cap ${this.#cap}) ${inspect(this.toArray(), options)}`;
  }
}

/** Another slice over the same array, with a share of its root. */
function share<E extends Type>(s: Slice<E>, addr: number, len: number, cap: number): Slice<E> {
  s.$root.shares++;
  return new Slice<E>(s.$ops, s.$root, addr, len, cap);
}

/** The error of an index that is not in [0, length). */
export function outOfRange(i: number, length: number): never {
  if (!Number.isSafeInteger(i)) throw new TypeError(`types: index must be a whole number (got ${String(i)})`);
  throw new BoundsError("index", i, length);
}

/** Go's checks of `x[lo:hi:max]`, in Go's order: the largest bound first. */
export function checkBounds(
  lo: number,
  hi: number,
  max: number | undefined,
  limit: number,
  kind: "capacity" | "length",
): void {
  for (const bound of max === undefined ? [lo, hi] : [lo, hi, max]) {
    if (!Number.isSafeInteger(bound)) {
      throw new TypeError(`types: slice bound must be a whole number (got ${String(bound)})`);
    }
  }
  if (max === undefined) {
    if (hi < 0 || hi > limit) throw new BoundsError(`slice-${kind}`, hi, limit);
    if (lo < 0 || lo > hi) throw new BoundsError("slice", lo, hi);
    return;
  }
  if (max < 0 || max > limit) throw new BoundsError(`slice3-${kind}`, max, limit);
  if (hi < 0 || hi > max) throw new BoundsError("slice3-high", hi, max);
  if (lo < 0 || lo > hi) throw new BoundsError("slice3-low", lo, hi);
}

/** A slice without an array. */
export function nilSliceOf<E extends Type>(ops: SliceOps): Slice<E> {
  return new Slice<E>(ops, UNROOTED, 0, 0, 0);
}

/** The slice whose header lies at `header`. */
export function loadSlice<E extends Type>(ops: SliceOps, header: number): Slice<E> {
  const { u32 } = ops.heap.mem;
  const addr = u32[header >>> 2];
  if (addr === 0) return nilSliceOf(ops);
  const root = ops.roots.adopt(ops.heap.newRef(addr as Addr));
  return new Slice<E>(ops, root, addr, u32[(header + 8) >>> 2], u32[(header + 16) >>> 2]);
}

export function storeSlice(heap: Heap, header: number, s: Slice<Type>): void {
  const { u32 } = heap.mem;
  heap.storePointer(header as Addr, s.$addr);
  u32[(header + 8) >>> 2] = s.length;
  u32[(header + 16) >>> 2] = s.cap;
}

/** A slice of `len` zero elements over an array of `cap`. */
export function newSlice<E extends Type>(ops: SliceOps, len: number, cap: number): Slice<E> {
  const { heap, elem } = ops;
  const max = heap.mem.size;
  const size = elem.size;
  wholeSize("len", len);
  wholeSize("cap", cap);
  if (len < 0 || len * size > max) throw makeSliceError("len");
  if (cap < len || cap * size > max) throw makeSliceError("cap");
  const addr = heap.malloc(cap * size, ops.typ);
  return new Slice<E>(ops, ops.roots.adopt(heap.newRef(addr)), addr, len, cap);
}

function wholeSize(what: string, n: number): void {
  if (!Number.isSafeInteger(n))
    throw new TypeError(`types: ${what} must be a whole number (got ${String(n)})`);
}

function makeSliceError(what: "len" | "cap"): RuntimeError {
  return new RuntimeError(
    `runtime error: makeslice: ${what} out of range`,
    what === "len" ? "ERR_GORT_MAKESLICE_LEN" : "ERR_GORT_MAKESLICE_CAP",
  );
}

/** The slice that was meant, or an error that says what was given. */
export function checkSlice(ops: SliceOps, value: unknown): Slice<Type> {
  if (!(value instanceof Slice)) {
    throw new TypeError(
      `types: value must be a slice of ${ops.elem.name} (got ${value === null ? "null" : typeof value})`,
    );
  }
  const s = value as Slice<Type>;
  if (s.$ops !== ops && (s.$ops.heap !== ops.heap || !identical(s.$ops.elem, ops.elem))) {
    const where = s.$ops.heap === ops.heap ? "" : " of another heap";
    throw new TypeError(
      `types: value must be a slice of ${ops.elem.name} (got a slice of ${s.$ops.elem.name}${where})`,
    );
  }
  if (s.$root.slot === 0) released(`slice of ${ops.elem.name}`);
  return s;
}
