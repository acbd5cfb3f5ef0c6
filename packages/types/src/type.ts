/**
 * Types: Go's layouts on amd64, as descriptors that belong to no heap.
 *
 *     kind                      size   align   words (8 bytes each)
 *     bool, int8, uint8            1       1
 *     int16, uint16                2       2
 *     int32, uint32, float32       4       4
 *     int64, uint64, int, uint,
 *     uintptr, float64             8       8
 *     complex64 / complex128    8/16     4/8   re, im
 *     pointer(T), chan(T)          8       8   address (low 32 bits), 0
 *     string                      16       8   *address, length
 *     slice(T), bytes             24       8   *address, length, capacity
 *     array(T, n)             n*size   T's     n times T
 *     struct                     sum     max   fields in order, each at its alignment
 *     opaque                  its own   its own   words that only the type's own members touch (opaque.ts)
 *
 * `*` marks the words whose bit is set in the pointer mask. `ptrdata` is the number of bytes up to and including the
 * last pointer: a collector reads no further. As in Go, a struct whose last field has size 0 gets a byte of padding.
 * Without it, a pointer to that field would point past the object.
 *
 * Recursive types: a field of a struct may be a getter or a thunk, which is called when the layout is first needed.
 * TypeScript infers the type of a getter:
 *
 *     const Node = struct("Node", { value: int, get next() { return pointer(Node); } });
 *
 * The first answer of a getter or a thunk is kept, because the layout of memory follows from it.
 *
 * Pointers, channels, slices and arrays are identical if their elements are identical. A struct is identical only to
 * itself, as are Go's named types.
 *
 * Sizes and offsets decide which memory is written. So types and their classes are frozen and have no subclasses: a
 * program cannot make a type whose size or offsets contradict its parts.
 */
import { alignUp } from "@gort/base";
import { noteDeclared } from "./declared.ts";

export type Kind =
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "int"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "uint"
  | "uintptr"
  | "float32"
  | "float64"
  | "complex64"
  | "complex128"
  | "string"
  | "bytes"
  | "pointer"
  | "chan"
  | "slice"
  | "array"
  | "struct"
  | "opaque";

/** Bytes of a pointer and of the unit of pointer masks. */
export const WORD = 8;

/** Whether this module made `x` as a type. */
export let isType: (x: unknown) => x is Type;

/** The class OpaqueType, once opaque.ts has made it. */
let opaqueClass: unknown = null;

export function setOpaqueClass(c: unknown): void {
  opaqueClass ??= c;
}

/** The error of a program that extends a class of types, or makes a scalar type. */
function noSuchType(what: string): never {
  throw new TypeError(`types: ${what}`);
}

export abstract class Type {
  /** Marks the types that this module made. */
  readonly #genuine = true;
  abstract readonly kind: Kind;
  /** The name as Go writes it: `*Node`, `[]int`, `[4]float64`. */
  abstract readonly name: string;
  /** Bytes of a value; a multiple of `align`. */
  abstract readonly size: number;
  abstract readonly align: number;
  /** Bytes up to and including the last pointer; 0 without pointers. */
  abstract readonly ptrdata: number;

  get hasPointers(): boolean {
    return this.ptrdata > 0;
  }

  /** Calls `visit` with the offset of each pointer in a value that begins at `base`. */
  abstract eachPointer(visit: (offset: number) => void, base?: number): void;

  /** One bit for each 8-byte word, set if the word holds a pointer. */
  pointerMask(): Uint32Array {
    const mask = new Uint32Array(Math.max(1, Math.ceil(this.size / (WORD * 32))));
    this.eachPointer((offset) => {
      const word = offset / WORD;
      mask[word >>> 5] |= 1 << (word & 31);
    });
    return mask;
  }

  toString(): string {
    return this.name;
  }

  constructor() {
    const made: unknown = new.target;
    if (made !== ScalarType && made !== PointerType && made !== SliceType && made !== ArrayType) {
      if (made !== StructType && made !== ChanType && made !== opaqueClass)
        noSuchType("classes of types can't be extended");
    }
  }

  static {
    isType = (x): x is Type => typeof x === "object" && x !== null && #genuine in x && x.#genuine;
  }
}

/** Complex numbers as values. */
export interface Complex {
  readonly re: number;
  readonly im: number;
}

let scalarsMade = false;
const scalars = new Map<string, Type>();

/** The scalar type of a kind; undefined if the kind is no scalar's. */
export function scalarOf(kind: string): Type | undefined {
  return scalars.get(kind);
}

/** A type whose values are JavaScript's: numbers, bigints, booleans, strings, bytes. */
export class ScalarType<V> extends Type {
  readonly kind: Kind;
  readonly size: number;
  readonly align: number;
  readonly ptrdata: number;
  /** The zero value. */
  readonly zero: V;

  constructor(kind: Kind, size: number, align: number, ptrdata: number, zero: V) {
    super();
    if (scalarsMade) noSuchType(`there are no further scalar types (got ${String(kind)})`);
    this.kind = kind;
    this.size = size;
    this.align = align;
    this.ptrdata = ptrdata;
    this.zero = zero;
    Object.freeze(this);
    scalars.set(kind, this);
  }

  get name(): string {
    return this.kind === "bytes" ? "[]uint8" : this.kind;
  }

  // A string and bytes begin with their only pointer.
  eachPointer(visit: (offset: number) => void, base = 0): void {
    if (this.ptrdata > 0) visit(base);
  }
}

export const bool = new ScalarType("bool", 1, 1, 0, false);
export const int8 = new ScalarType<number>("int8", 1, 1, 0, 0);
export const int16 = new ScalarType<number>("int16", 2, 2, 0, 0);
export const int32 = new ScalarType<number>("int32", 4, 4, 0, 0);
/** 64 bits as a bigint; `int` gives numbers. */
export const int64 = new ScalarType<bigint>("int64", 8, 8, 0, 0n);
/** 64 bits as a number: reads and writes refuse values beyond 2^53. */
export const int = new ScalarType<number>("int", 8, 8, 0, 0);
export const uint8 = new ScalarType<number>("uint8", 1, 1, 0, 0);
export const uint16 = new ScalarType<number>("uint16", 2, 2, 0, 0);
export const uint32 = new ScalarType<number>("uint32", 4, 4, 0, 0);
export const uint64 = new ScalarType<bigint>("uint64", 8, 8, 0, 0n);
export const uint = new ScalarType<number>("uint", 8, 8, 0, 0);
/** An integer that holds an address and keeps nothing alive. */
export const uintptr = new ScalarType<number>("uintptr", 8, 8, 0, 0);
export const float32 = new ScalarType<number>("float32", 4, 4, 0, 0);
export const float64 = new ScalarType<number>("float64", 8, 8, 0, 0);
export const complex64 = new ScalarType<Complex>("complex64", 8, 4, 0, Object.freeze({ re: 0, im: 0 }));
export const complex128 = new ScalarType<Complex>("complex128", 16, 8, 0, Object.freeze({ re: 0, im: 0 }));
/** UTF-8 in the heap, a JavaScript string outside of it: each access converts. */
export const string = new ScalarType<string>("string", 16, 8, 8, "");
/** A `[]byte` whose value is a `Uint8Array`: each access copies. `slice(uint8)` gives access in place. */
export const bytes = new ScalarType<Uint8Array>("bytes", 24, 8, 8, new Uint8Array(0));
scalarsMade = true;

/** A name ends in `...` at this depth, and where a type contains itself. */
const NAME_DEPTH = 50;

/** The element of a pointer, slice or channel type, which may be declared later. Its thunk is called once. */
export class Element<E extends Type> {
  #given: E | (() => E);
  #state: "open" | "asked" | "known";

  constructor(what: string, given: E | (() => E)) {
    if (!isType(given) && typeof given !== "function")
      throw new TypeError(`types: ${what} needs an element type (got ${typeof given})`);
    this.#given = given;
    this.#state = isType(given) ? "known" : "open";
  }

  /** @param what the kind of type that contains the element, for the error */
  resolve(what: string): E {
    if (this.#state === "known") return this.#given as E;
    if (this.#state === "asked") throw new TypeError(`types: ${what} needs its own element type to give it`);
    this.#state = "asked";
    try {
      const type: unknown = (this.#given as () => E)();
      if (!isType(type)) throw new TypeError(`types: ${what} needs an element type (got ${typeof type})`);
      this.#given = type as E;
      this.#state = "known";
      return this.#given;
    } finally {
      if (this.#state === "asked") this.#state = "open";
    }
  }
}

/** `prefix` and the name of the element. The element may be a type whose name is just being made. */
export function nameOf(prefix: string, type: WithElem): string {
  if (naming.length >= NAME_DEPTH || naming.includes(type)) return "...";
  naming.push(type);
  try {
    return `${prefix}${type.elem.name}`;
  } finally {
    naming.pop();
  }
}
/** A type whose name contains that of its element. */
export type WithElem = Type & { readonly elem: Type };

/** The types whose names are just being made. */
const naming: Type[] = [];

export class PointerType<E extends Type = Type> extends Type {
  readonly kind = "pointer";
  readonly size = WORD;
  readonly align = WORD;
  readonly ptrdata = WORD;
  readonly #elem: Element<E>;

  constructor(elem: E | (() => E)) {
    super();
    this.#elem = new Element("pointer", elem);
    Object.freeze(this);
  }

  get elem(): E {
    return this.#elem.resolve("pointer");
  }

  get name(): string {
    return nameOf("*", this);
  }

  eachPointer(visit: (offset: number) => void, base = 0): void {
    visit(base);
  }
}

/**
 * The type of a channel in the heap. Values are handles of class H, which another package makes: see chan-codec.ts. H
 * exists only for TypeScript.
 */
export class ChanType<E extends Type = Type, H extends object = object> extends Type {
  readonly kind = "chan";
  readonly size = WORD;
  readonly align = WORD;
  readonly ptrdata = WORD;
  declare readonly handle: H;
  readonly #elem: Element<E>;

  constructor(elem: E | (() => E)) {
    super();
    this.#elem = new Element("chan", elem);
    Object.freeze(this);
  }

  get elem(): E {
    return this.#elem.resolve("chan");
  }

  get name(): string {
    return nameOf("chan ", this);
  }

  eachPointer(visit: (offset: number) => void, base = 0): void {
    visit(base);
  }
}

export class SliceType<E extends Type = Type> extends Type {
  readonly kind = "slice";
  readonly size = 3 * WORD;
  readonly align = WORD;
  readonly ptrdata = WORD;
  readonly #elem: Element<E>;

  constructor(elem: E | (() => E)) {
    super();
    this.#elem = new Element("slice", elem);
    Object.freeze(this);
  }

  get elem(): E {
    return this.#elem.resolve("slice");
  }

  get name(): string {
    return nameOf("[]", this);
  }

  eachPointer(visit: (offset: number) => void, base = 0): void {
    visit(base);
  }
}

export class ArrayType<E extends Type = Type> extends Type {
  readonly kind = "array";
  readonly elem: E;
  readonly length: number;

  constructor(elem: E, length: number) {
    super();
    if (!isType(elem)) throw new TypeError(`types: array needs an element type (got ${typeof elem})`);
    if (!Number.isSafeInteger(length) || length < 0 || length > 0xffffffff) {
      const got = typeof length === "number" ? length : typeof length;
      throw new RangeError(`types: array length must be a whole number from 0 to 2^32-1 (got ${got})`);
    }
    this.elem = elem;
    this.length = length + 0;
    Object.freeze(this);
  }

  get name(): string {
    return `[${this.length}]${this.elem.name}`;
  }

  get size(): number {
    return this.elem.size * this.length;
  }

  get align(): number {
    return this.elem.align;
  }

  get ptrdata(): number {
    const { elem, length } = this;
    return length === 0 || elem.ptrdata === 0 ? 0 : elem.size * (length - 1) + elem.ptrdata;
  }

  eachPointer(visit: (offset: number) => void, base = 0): void {
    if (!this.elem.hasPointers) return;
    for (let i = 0; i < this.length; i++) this.elem.eachPointer(visit, base + i * this.elem.size);
  }
}

/** Names of a Ref's own members. */
const RESERVED = new Set(["release", "constructor", "__proto__"]);

/** A field as it lies in its struct. */
export interface Field {
  readonly name: string;
  readonly type: Type;
  readonly offset: number;
}

interface Layout {
  readonly fields: readonly Field[];
  readonly size: number;
  readonly align: number;
  readonly ptrdata: number;
}

/** Fields by name: types, getters that return a type, or thunks. */
export type Fields = object;

/** The names of a struct's fields. Unlike `fields` it runs no code of the declaration. */
export let fieldNames: (type: StructType) => readonly string[];

export class StructType<F extends Fields = Fields> extends Type {
  readonly kind = "struct";
  readonly name: string;
  /** Exists only for TypeScript, as the types of the fields. `fields` is the layout. */
  declare readonly shape: F;
  readonly #declared: F;
  readonly #names: readonly string[];
  #layout: Layout | "computing" | undefined;

  constructor(name: string, fields: F) {
    super();
    if (typeof name !== "string" || name === "")
      throw new TypeError(
        `types: struct needs a name (got ${typeof name === "string" ? name : typeof name})`,
      );
    if (typeof fields !== "object" || fields === null) {
      throw new TypeError(
        `types: struct ${name} needs an object of fields (got ${fields === null ? "null" : typeof fields})`,
      );
    }
    this.name = name;
    this.#declared = fields;
    // Read once: a proxy may give other names later.
    this.#names = Object.keys(fields);
    for (const key of this.#names) {
      if (RESERVED.has(key) || key.startsWith("$") || /^\d+$/.test(key)) {
        throw new TypeError(`types: ${name}.${key} is not a possible name of a field`);
      }
    }
    Object.freeze(this);
    noteDeclared(this);
  }

  static {
    fieldNames = (type) => type.#names;
  }

  /** In order, with offsets. */
  get fields(): readonly Field[] {
    return this.#resolve().fields;
  }

  get size(): number {
    return this.#resolve().size;
  }

  get align(): number {
    return this.#resolve().align;
  }

  get ptrdata(): number {
    return this.#resolve().ptrdata;
  }

  field(name: string): Field {
    const found = this.fields.find((f) => f.name === name);
    if (found === undefined) throw new TypeError(`types: struct ${this.name} has no field ${name}`);
    return found;
  }

  eachPointer(visit: (offset: number) => void, base = 0): void {
    for (const f of this.fields) f.type.eachPointer(visit, base + f.offset);
  }

  #resolve(): Layout {
    if (this.#layout === "computing") throw new TypeError(`types: struct ${this.name} contains itself`);
    if (this.#layout === undefined) {
      this.#layout = "computing";
      try {
        this.#layout = layOut(this.name, this.#declared, this.#names);
      } catch (err) {
        this.#layout = undefined;
        throw err;
      }
    }
    return this.#layout;
  }
}

function layOut(name: string, declared: Fields, names: readonly string[]): Layout {
  const fields: Field[] = [];
  let offset = 0;
  let align = 1;
  let ptrdata = 0;
  let lastSize = 1;
  for (const key of names) {
    const given = (declared as Record<string, unknown>)[key];
    const type = typeof given === "function" ? (given as () => unknown)() : given;
    if (!isType(type)) throw new TypeError(`types: ${name}.${key} must be a type (got ${typeof type})`);
    offset = alignUp(offset, type.align);
    if (type.hasPointers) ptrdata = offset + type.ptrdata;
    fields.push(Object.freeze({ name: key, type, offset }));
    offset += type.size;
    align = Math.max(align, type.align);
    lastSize = type.size;
  }
  if (lastSize === 0 && offset > 0) offset++;
  return { fields: Object.freeze(fields), size: alignUp(offset, align), align, ptrdata };
}

for (const c of [Type, ScalarType, PointerType, ChanType, SliceType, ArrayType, StructType, Element]) {
  Object.freeze(c.prototype);
  Object.freeze(c);
}
