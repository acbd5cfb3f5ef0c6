/**
 * Slices: pointer, length and capacity, over an array that a root keeps alive. As in Go a Slice is a value: `append`
 * and `slice` return another Slice, which may share the array. `push` is `s = append(s, v)` in place, for loops.
 */

import { BoundsError, RuntimeError, show } from "@gort/base";
import type { Addr, Ptr } from "@gort/memory";
import { addShare, DEAD, KEY, notConstructible, type Root, type Roots, released, UNROOTED } from "./cell.ts";
import { type Codec, holding, storeTaken } from "./codec.ts";
import { growCap } from "./growslice.ts";
import type { Heap } from "./heap.ts";
import { identical } from "./identical.ts";
import type { Type } from "./type.ts";
import type { Init, Ref, Value } from "./values.ts";

/** The part that all slices of one element type in one heap share. */
export interface SliceOps {
  readonly heap: Heap;
  readonly roots: Roots;
  readonly elem: Type;
  readonly codec: Codec;
  /** The heap's descriptor of the element type; 0 without pointers. */
  readonly typ: number;
  /** Copies n elements. The ranges may overlap. */
  move(dst: number, src: number, n: number): void;
  /** A Ref with a root of its own. */
  ref(addr: number): unknown;
  /** n elements as JSON.stringify writes them. */
  json(addr: number, n: number): unknown;
}

const TWO32 = 4294967296;

const dispose: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);

/** Whether `x` is a genuine Slice. */
export let isSlice: (x: unknown) => x is Slice<Type>;
/** The part that the slice shares with others of its type. */
export let opsOf: (s: Slice<Type>) => SliceOps;
// The slice's fields. A program may give a Slice a `length` or `$addr` of its own: that changes none of these.
export let sliceRoot: (s: Slice<Type>) => Root;
export let sliceAddr: (s: Slice<Type>) => number;
export let sliceLen: (s: Slice<Type>) => number;
export let sliceCap: (s: Slice<Type>) => number;
/** `append(s, taken...)` of values that `take` of the element's codec has returned. It drops them. */
export let appendTaken: (s: Slice<Type>, taken: unknown[]) => Slice<Type>;
/** `append(s, more...)` for a slice of the same type and heap. */
export let appendAll: (s: Slice<Type>, more: Slice<Type>) => Slice<Type>;

export class Slice<E extends Type> implements Iterable<Value<E>> {
  readonly #ops: SliceOps;
  #root: Root;
  #addr: number;
  #len: number;
  #cap: number;

  /** Use `makeSlice`. @internal */
  constructor(key: typeof KEY, ops: SliceOps, root: Root, addr: number, len: number, cap: number) {
    if (key !== KEY) notConstructible("a Slice", "makeSlice");
    this.#ops = ops;
    this.#root = root;
    this.#addr = addr;
    this.#len = len;
    this.#cap = cap;
  }

  /** The address of the first element; 0 for nil. Valid until the goroutine's next safepoint. */
  get $addr(): Ptr<E> {
    return this.#addr as Ptr<E>;
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
    return this.#ops.elem as E;
  }

  /** `s == nil` */
  get isNil(): boolean {
    return this.#addr === 0;
  }

  /** `s[i]` */
  get(i: number): Value<E> {
    return this.#ops.codec.load(this.#at(i), this.#root) as Value<E>;
  }

  /** `s[i] = value` */
  set(i: number, value: Init<E>): void {
    const { codec } = this.#ops;
    if (codec.atomic) {
      codec.store(this.#at(i), value);
      return;
    }
    this.#at(i);
    const taken = this.#take(value);
    // The value's own code may have moved the slice: the address is computed again.
    storeTaken(codec, this.#at(i), taken);
  }

  /** `&s[i]`: a reference that keeps the array alive by itself. */
  ref(i: number): Ref<E> {
    return this.#ops.ref(this.#at(i)) as Ref<E>;
  }

  #at(i: number): number {
    if (this.#root.slot === 0) released(`slice of ${this.#ops.elem.name}`);
    if (i >>> 0 === i && i < this.#len) return this.#addr + i * this.#ops.elem.size;
    // Elements of size 0 all have one address, and there may be more than 2^32 of them.
    if (Number.isSafeInteger(i) && i >= 0 && i < this.#len) return this.#addr;
    return outOfRange(i, this.#len);
  }

  /** Reads and checks the value. It throws if the value's own code has released this slice. */
  #take(value: unknown): unknown {
    const { codec, elem } = this.#ops;
    const taken = codec.take(value);
    if (this.#root.slot === 0) {
      codec.drop(taken);
      released(`slice of ${elem.name}`);
    }
    return taken;
  }

  /** `s[lo:hi:max]`: a slice of the same array. */
  slice(lo = 0, hi = this.#len, max?: number): Slice<E> {
    const cap = this.#cap;
    if (this.#root.slot === 0) released(`slice of ${this.#ops.elem.name}`);
    checkBounds(lo, hi, max, cap, "capacity");
    const newCap = (max ?? cap) - lo;
    // An empty slice keeps the address: one past the end of the array would keep the next object alive.
    const addr = newCap === 0 ? this.#addr : this.#addr + lo * this.#ops.elem.size;
    return this.#share(addr, hi - lo, newCap);
  }

  /** Another slice over the same array, with a share of its root. */
  #share(addr: number, len: number, cap: number): Slice<E> {
    addShare(this.#root);
    return new Slice<E>(KEY, this.#ops, this.#root, addr, len, cap);
  }

  /** `s = append(s, value)`, in place. */
  push(value: Init<E>): void {
    if (this.#root.slot === 0) released(`slice of ${this.#ops.elem.name}`);
    const { codec, elem } = this.#ops;
    const n = this.#len;
    if (codec.atomic && n < this.#cap) {
      codec.store(this.#addr + n * elem.size, value);
      this.#len = n + 1;
    } else {
      this.#pushTaken(this.#take(value));
    }
  }

  #pushTaken(taken: unknown): void {
    const { codec, elem, heap, roots } = this.#ops;
    const n = this.#len;
    if (n < this.#cap) {
      storeTaken(codec, this.#addr + n * elem.size, taken);
      this.#len = n + 1;
      return;
    }
    let addr: Addr;
    let cap: number;
    try {
      cap = this.#grownCap(n + 1);
      addr = this.#grown(cap);
    } catch (err) {
      codec.drop(taken);
      throw err;
    }
    // Before the old array is released, because the value may lie in it.
    storeTaken(codec, addr + n * elem.size, taken);
    const old = this.#root;
    this.#root = roots.adopt(heap.newRef(addr));
    this.#addr = addr;
    this.#cap = cap;
    this.#len = n + 1;
    roots.drop(old);
  }

  #grownCap(newLen: number): number {
    const { heap, elem, typ } = this.#ops;
    return growCap(heap, elem.size, typ === 0, newLen, this.#cap);
  }

  /** A larger array with the same elements. Nothing roots it yet. */
  #grown(cap: number): Addr {
    const { heap, elem, typ } = this.#ops;
    const addr = heap.malloc(cap * elem.size, typ);
    this.#ops.move(addr, this.#addr, this.#len);
    return addr;
  }

  /** The elements as a JavaScript array. */
  toArray(): Value<E>[] {
    return Array.from(this);
  }

  *[Symbol.iterator](): Generator<Value<E>, void, undefined> {
    // As in Go's range, the length is that at the start.
    const n = this.#len;
    for (let i = 0; i < n; i++) yield this.get(i);
  }

  /**
   * Gives up this slice's share of the root. Another slice of the same array works until it is itself released or
   * collected.
   */
  release(): void {
    const root = this.#root;
    this.#root = DEAD;
    this.#ops.roots.drop(root);
  }

  [dispose](): void {
    this.release();
  }

  /** The elements as plain values, with bytes as base64. It follows pointers. `null` for nil. */
  toJSON(): unknown {
    if (this.#root.slot === 0) released(`slice of ${this.#ops.elem.name}`);
    return this.#addr === 0 ? null : this.#ops.json(this.#addr, this.#len);
  }

  toString(): string {
    const name = `[]${this.#ops.elem.name}`;
    if (this.#root.slot === 0) return `${name} (released)`;
    return this.isNil ? `${name} nil` : `${name}(len ${this.#len}, cap ${this.#cap})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    const text = String(this);
    return this.#root.slot === 0 || this.isNil ? text : `${text} ${inspect(this.toArray(), options)}`;
  }

  // The functions of this file that need private fields.
  static {
    isSlice = (x): x is Slice<Type> => typeof x === "object" && x !== null && #ops in x;
    opsOf = (s) => s.#ops;
    sliceRoot = (s) => s.#root;
    sliceAddr = (s) => s.#addr;
    sliceLen = (s) => s.#len;
    sliceCap = (s) => s.#cap;

    appendTaken = (s, taken) => {
      const { heap, roots, elem, codec } = s.#ops;
      const count = taken.length;
      try {
        if (s.#root.slot === 0) released(`slice of ${elem.name}`);
        const oldLen = s.#len;
        const newLen = oldLen + count;
        const fits = newLen <= s.#cap;
        const cap = fits ? s.#cap : s.#grownCap(newLen);
        const addr = fits ? s.#addr : s.#grown(cap);
        const lo = addr + oldLen * elem.size;
        for (let i = 0; i < count; i++) {
          taken[i] = codec.ready(taken[i], lo, lo + count * elem.size);
        }
        // From here on no code of the program runs, and nothing fails.
        for (let i = 0; i < count; i++) codec.put(lo + i * elem.size, taken[i]);
        if (fits) return s.#share(addr, newLen, cap);
        return new Slice(KEY, s.#ops, roots.adopt(heap.newRef(addr as Addr)), addr, newLen, cap);
      } finally {
        if (!codec.atomic) for (let i = 0; i < count; i++) codec.drop(taken[i]);
      }
    };

    appendAll = (s, more) => {
      const { heap, roots, elem } = s.#ops;
      if (s.#root.slot === 0) released(`slice of ${elem.name}`);
      const oldLen = s.#len;
      const count = more.#len;
      const newLen = oldLen + count;
      const fits = newLen <= s.#cap;
      const cap = fits ? s.#cap : s.#grownCap(newLen);
      const addr = fits ? s.#addr : s.#grown(cap);
      s.#ops.move(addr + oldLen * elem.size, more.#addr, count);
      if (fits) return s.#share(addr, newLen, cap);
      return new Slice(KEY, s.#ops, roots.adopt(heap.newRef(addr as Addr)), addr, newLen, cap);
    };
  }
}

/** The error of an index that is not in [0, length). */
export function outOfRange(i: number, length: number): never {
  if (!Number.isSafeInteger(i)) throw new TypeError(`types: index must be a whole number (got ${show(i)})`);
  throw new BoundsError("index", i, length);
}

/** Go's checks of `x[lo:hi:max]`, in Go's order: it checks the largest bound first. */
export function checkBounds(
  lo: number,
  hi: number,
  max: number | undefined,
  limit: number,
  kind: "capacity" | "length",
): void {
  wholeBound(lo);
  wholeBound(hi);
  if (max !== undefined) wholeBound(max);
  if (max === undefined) {
    if (hi < 0 || hi > limit) throw new BoundsError(`slice-${kind}`, hi, limit);
    if (lo < 0 || lo > hi) throw new BoundsError("slice", lo, hi);
    return;
  }
  if (max < 0 || max > limit) throw new BoundsError(`slice3-${kind}`, max, limit);
  if (hi < 0 || hi > max) throw new BoundsError("slice3-high", hi, max);
  if (lo < 0 || lo > hi) throw new BoundsError("slice3-low", lo, hi);
}

function wholeBound(bound: number): void {
  if (!Number.isSafeInteger(bound))
    throw new TypeError(`types: slice bound must be a whole number (got ${show(bound)})`);
}

/** A slice without an array. */
export function nilSliceOf<E extends Type>(ops: SliceOps): Slice<E> {
  return new Slice<E>(KEY, ops, UNROOTED, 0, 0, 0);
}

/** A slice over the array at `addr`, with a root of its own. */
export function sliceOver<E extends Type>(ops: SliceOps, addr: number, len: number, cap: number): Slice<E> {
  return new Slice<E>(KEY, ops, ops.roots.adopt(ops.heap.newRef(addr as Addr)), addr, len, cap);
}

/** The slice whose header lies at `header`. */
export function loadSlice<E extends Type>(ops: SliceOps, header: number): Slice<E> {
  const { u32 } = ops.heap.mem;
  const addr = u32[header >>> 2];
  if (addr === 0) return nilSliceOf(ops);
  return sliceOver<E>(ops, addr, loadSize(u32, header + 8), loadSize(u32, header + 16));
}

/** As loadSlice, for the first slice of a type. `opsOf` may run code of the type's declaration. */
export function loadFirstSlice(heap: Heap, header: number, opsOf: () => SliceOps): Slice<Type> {
  const { u32 } = heap.mem;
  const addr = u32[header >>> 2];
  const len = loadSize(u32, header + 8);
  const cap = loadSize(u32, header + 16);
  return holding(heap, addr, () => {
    const ops = opsOf();
    return addr === 0 ? nilSliceOf(ops) : sliceOver(ops, addr, len, cap);
  });
}

/** Writes the header of a slice. */
export function storeSlice(heap: Heap, header: number, s: Slice<Type>): void {
  const { u32 } = heap.mem;
  heap.storePointer(header as Addr, sliceAddr(s) as Addr);
  storeSize(u32, header + 8, sliceLen(s));
  storeSize(u32, header + 16, sliceCap(s));
}

// Only slices of elements of size 0 use the high word: the memory bounds the length of all others.
function loadSize(u32: Uint32Array, addr: number): number {
  const high = u32[(addr + 4) >>> 2];
  return high === 0 ? u32[addr >>> 2] : high * TWO32 + u32[addr >>> 2];
}

function storeSize(u32: Uint32Array, addr: number, n: number): void {
  u32[addr >>> 2] = n;
  u32[(addr + 4) >>> 2] = n < TWO32 ? 0 : Math.floor(n / TWO32);
}

/** A slice of `len` zero elements over an array of `cap`. */
export function newSlice<E extends Type>(ops: SliceOps, len: number, cap: number): Slice<E> {
  const { heap, elem } = ops;
  const max = heap.mem.size;
  const size = elem.size;
  wholeSize("len", len);
  wholeSize("cap", cap);
  // No object is as large as the memory, because the first page is never part of an object.
  if (len < 0 || len * size >= max) throw makeSliceError("len");
  if (cap < len || cap * size >= max) throw makeSliceError("cap");
  const addr = heap.malloc(cap * size, ops.typ);
  // Plus 0: a length of -0 reads as 0.
  return new Slice<E>(KEY, ops, ops.roots.adopt(heap.newRef(addr)), addr, len + 0, cap + 0);
}

/** `[]T{...}`: length and capacity are the list's. */
export function listSlice<E extends Type>(ops: SliceOps, values: readonly Init<E>[]): Slice<E> {
  const n = values.length;
  const s = newSlice<E>(ops, n, n);
  try {
    const { store } = ops.codec;
    const { size } = ops.elem;
    const base = sliceAddr(s as unknown as Slice<Type>);
    // Nothing else refers to the array yet.
    for (let i = 0; i < n; i++) store(base + i * size, values[i]);
  } catch (err) {
    s.release();
    throw err;
  }
  return s;
}

function wholeSize(what: string, n: number): void {
  if (!Number.isSafeInteger(n)) throw new TypeError(`types: ${what} must be a whole number (got ${show(n)})`);
}

function makeSliceError(what: "len" | "cap"): RuntimeError {
  return new RuntimeError(
    `runtime error: makeslice: ${what} out of range`,
    what === "len" ? "ERR_GORT_MAKESLICE_LEN" : "ERR_GORT_MAKESLICE_CAP",
  );
}

/** `value` as a live slice of the same type and heap, or an error that names the given value. */
export function checkSlice(ops: SliceOps, value: unknown): Slice<Type> {
  if (!isSlice(value)) {
    throw new TypeError(
      `types: value must be a slice of ${ops.elem.name} (got ${value === null ? "null" : typeof value})`,
    );
  }
  const given = opsOf(value);
  if (given !== ops && (given.heap !== ops.heap || !identical(given.elem, ops.elem))) {
    const where = given.heap === ops.heap ? "" : " of another heap";
    throw new TypeError(
      `types: value must be a slice of ${ops.elem.name} (got a slice of ${given.elem.name}${where})`,
    );
  }
  if (sliceRoot(value).slot === 0) released(`slice of ${ops.elem.name}`);
  return value;
}
