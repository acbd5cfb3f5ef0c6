/**
 * Handles: what a program holds instead of an address.
 *
 *     Ref, Slice --$root--> Root --slot--> root in the heap --> object
 *
 * A Root is one rooted object; all handles into the object that were made from each other share it (a
 * struct inside a struct, a slice of a slice). The object stays alive as long as any handle is reachable,
 * unless the handles that own a share of the root were released. The FinalizationRegistry watches Roots,
 * so a handle costs no registration of its own.
 *
 * Checks: a Root's slot is 0 once it is free, and a released handle points to `DEAD`. Every access asks
 * `$root.slot` and so finds both, also when the memory has long been used for something else.
 *
 * A View is the expert's counterpart: an address that is moved about, with the same accessors, no root and
 * no protection beyond nil.
 */

import type { Addr, Ptr } from "@gort/memory";
import { nilDereference } from "./errors.ts";
import type { RefSlot } from "./heap.ts";
import type { Type } from "./type.ts";

/** One rooted object. `shares` counts the handles that have to be released before the root is. */
export class Root {
  slot: number;
  shares = 1;

  constructor(slot: number) {
    this.slot = slot;
  }
}

/** What a released handle points to. */
export const DEAD = new Root(0);
/** What handles without an object point to, nil slices above all: there is nothing to release. */
export const UNROOTED = new Root(-1);

/** Gives roots back to the heap, at once or when V8 finds them unreachable. */
export class Roots {
  readonly #release: (slot: RefSlot) => void;
  readonly #registry: FinalizationRegistry<RefSlot>;

  constructor(release: (slot: RefSlot) => void) {
    this.#release = release;
    this.#registry = new FinalizationRegistry(release);
  }

  adopt(slot: RefSlot): Root {
    const root = new Root(slot);
    this.#registry.register(root, slot, root);
    return root;
  }

  /** One share less; the last one frees the root. */
  drop(root: Root): void {
    if (root.slot <= 0 || --root.shares > 0) return;
    const slot = root.slot as RefSlot;
    root.slot = 0;
    this.#registry.unregister(root);
    this.#release(slot);
  }
}

const dispose: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);
const inspectCustom = Symbol.for("nodejs.util.inspect.custom");

/** The error of an access through a released handle. */
export function released(what: string): never {
  throw new TypeError(`types: use of a released ${what}`);
}

export abstract class RefBase<T extends Type = Type> {
  /** The raw address: valid until the goroutine's next safepoint, or while this Ref is not released. */
  readonly $addr: Ptr<T>;
  /** @internal */
  $root: Root;
  /** The type of what it refers to. */
  abstract get $type(): T;
  /** @internal */
  abstract get $roots(): Roots;
  /** What an inspector shows. @internal */
  abstract $describe(): unknown;

  constructor(addr: number, root: Root) {
    this.$addr = addr as Ptr<T>;
    this.$root = root;
  }

  /**
   * Gives up the root now instead of when V8 collects this object. Later use of this Ref throws, as does use
   * of what was reached inside of the object through it. Releasing twice is harmless.
   */
  release(): void {
    const root = this.$root;
    this.$root = DEAD;
    if (this.$owns) this.$roots.drop(root);
  }

  /** Whether this handle has a share of the root; handles inside of an object have none. @internal */
  get $owns(): boolean {
    return true;
  }

  [dispose](): void {
    this.release();
  }

  [inspectCustom](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    const name = `Ref<${this.$type.name}>`;
    return this.$root.slot === 0 ? `${name} (released)` : `${name} ${inspect(this.$describe(), options)}`;
  }
}

export abstract class ViewBase<T extends Type = Type> {
  /** Where it looks; 0 is nil. Assign to move it. */
  $addr: Ptr<T>;
  abstract get $type(): T;

  constructor(addr: number) {
    this.$addr = addr as Ptr<T>;
  }

  /** Moves it and returns it: `view.$at(p).x`. */
  $at(addr: Addr): this {
    this.$addr = addr as Ptr<T>;
    return this;
  }
}

type Load = (addr: number, root: Root) => unknown;
type Store = (addr: number, value: unknown) => void;

/** Accessors of a field at `offset`, for the prototype of a Ref class. */
export function refAccessors(load: Load, store: Store, offset: number, name: string): PropertyDescriptor {
  return {
    get(this: RefBase) {
      const root = this.$root;
      if (root.slot === 0) released(`Ref: ${name}`);
      return load(this.$addr + offset, root);
    },
    set(this: RefBase, value: unknown) {
      if (this.$root.slot === 0) released(`Ref: ${name}`);
      store(this.$addr + offset, value);
    },
    enumerable: true,
    configurable: false,
  };
}

/** Accessors of a field at `offset`, for the prototype of a View class. */
export function viewAccessors(load: Load, store: Store, offset: number): PropertyDescriptor {
  return {
    get(this: ViewBase) {
      const addr = this.$addr as number;
      if (addr === 0) nilDereference();
      return load(addr + offset, UNROOTED);
    },
    set(this: ViewBase, value: unknown) {
      const addr = this.$addr as number;
      if (addr === 0) nilDereference();
      store(addr + offset, value);
    },
    enumerable: true,
    configurable: false,
  };
}
