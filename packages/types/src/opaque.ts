/** Opaque types: types of other packages, such as locks. */
import type { Heap } from "./heap.ts";
import type { PerType } from "./per-type.ts";
import { Element, nameOf, setOpaqueClass, Type, type WithElem, WORD } from "./type.ts";

/** What the members of an opaque type know of their heap. */
export interface OpaqueHome {
  readonly heap: Heap;
  readonly types: PerType;
  /** The address of the value that a Ref shows. Throws unless it is a live Ref to this type in this heap. */
  addrOf(ref: unknown): number;
}

/** The types of a name: without an element there is one. */
const opaques = new Map<string, Type | ((elem: () => Type) => Type)>();

/** The opaque type of a name, with or without an element; undefined if this thread has made none. */
export function opaqueOf(name: string, elem: (() => Type) | null): Type | undefined {
  const found = opaques.get(name);
  if (elem === null) return typeof found === "function" ? undefined : found;
  return typeof found === "function" ? found(elem) : undefined;
}

/** Tells how to make the opaque types of a name from their elements: for types that come from another thread. */
export function opaqueFamily(name: string, make: (elem: () => Type) => Type): void {
  opaques.set(name, make);
}

/**
 * A type of another package, whose values only its own members read and write: a lock. Its Refs have these members. A
 * value is used where it lies, as a field, as an element or alone. It can't be assigned, but a copy of a struct copies
 * its bytes. All bytes 0 is the zero value. With an element, its first word is a pointer to one; no other word is.
 */
export class OpaqueType<M extends object = object, E extends Type = Type> extends Type {
  readonly kind = "opaque";
  readonly size: number;
  readonly align: number;
  readonly ptrdata: number;
  /** The name without the element. */
  readonly family: string;
  /** Makes the members that Refs of one heap have on their prototype. */
  readonly members: (home: OpaqueHome) => M;
  readonly #elem: Element<E> | null;

  /** `size` is a multiple of `align`, a power of two. */
  constructor(
    family: string,
    size: number,
    align: number,
    members: (home: OpaqueHome) => M,
    elem: E | (() => E) | null = null,
  ) {
    super();
    this.family = family;
    this.size = size;
    this.align = align;
    this.ptrdata = elem === null ? 0 : WORD;
    this.members = members;
    this.#elem = elem === null ? null : new Element("opaque type", elem);
    Object.freeze(this);
    // The first one of a name is the one that other threads mean.
    if (elem === null && !opaques.has(family)) opaques.set(family, this);
  }

  get elem(): E | null {
    return this.#elem === null ? null : this.#elem.resolve("opaque type");
  }

  get name(): string {
    return this.#elem === null ? this.family : `${nameOf(`${this.family}[`, this as WithElem)}]`;
  }

  eachPointer(visit: (offset: number) => void, base = 0): void {
    if (this.ptrdata > 0) visit(base);
  }
}
setOpaqueClass(OpaqueType);
Object.freeze(OpaqueType.prototype);
Object.freeze(OpaqueType);
