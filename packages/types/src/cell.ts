/**
 * Handles: what a program holds instead of an address.
 *
 *     Ref --$cell--> Root --slot--> root in the heap --> object      a Ref that owns its root
 *     Ref --$cell--> Root --#owner--> Root                           a part of an object: a struct in a struct
 *     Slice --#root--> Root                                          slices of one array share it
 *
 * A Root is one rooted object, or a place in one. The object stays alive as long as any handle of it is
 * reachable, unless the handles that own a share of the root were released. The FinalizationRegistry watches
 * Roots, so a handle costs no registration of its own.
 *
 * Checks: a Root's slot is 0 once it is free, and what was released points to `DEAD`. Every access asks
 * `slot` and so finds both, also when the memory has long been used for something else.
 *
 * All that addresses are computed from is in private fields of Root and Slice, whose constructors need `KEY`: a
 * program can neither change nor forge it. The fields are not in the Ref: V8 finds private fields of one class
 * fast, and of Refs there is a class for each type. An object that stands for a Ref, such as a proxy, gives a
 * genuine Root or none. Every accessor compares the Root's `Home` with its own, so that an accessor of one type
 * never computes an address in an object of another.
 *
 * A View is the expert's counterpart: an address that is moved about, with the same accessors, no root and
 * no protection beyond nil.
 */

import type { Addr, Ptr } from "@gort/memory";
import { registryOf } from "@gort/memory/internal";
import { assignTaken, type Codec, storeTaken } from "./codec.ts";
import { nilDereference } from "./errors.ts";
import type { RefSlot } from "./heap.ts";
import type { Type } from "./type.ts";

const dispose: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);
const inspectCustom = Symbol.for("nodejs.util.inspect.custom");

/** What the constructors of handles ask for. It never leaves this package. */
export const KEY: unique symbol = Symbol("types: key of handles");

/** The error of a handle's constructor that a program calls. */
export function notConstructible(what: string, use: string): never {
  throw new TypeError(`types: ${what} can't be made by new (use ${use})`);
}

/** The error of an access through a released handle. */
export function released(what: string): never {
  throw new TypeError(`types: use of a released ${what}`);
}

/** What all handles of one type in one heap share. */
export interface Home {
  readonly type: Type;
  readonly roots: Roots;
  /** What an inspector shows. */
  describe(at: Root): unknown;
  /** What JSON.stringify writes. */
  json(at: Root): unknown;
}

function wrongReceiver(home: Home, got: Home | null): never {
  const name = `Ref<${home.type.name}>`;
  const what =
    got === null ? "slice" : got.roots === home.roots ? `Ref<${got.type.name}>` : "Ref of another heap";
  throw new TypeError(`types: a member of ${name} needs a ${name} as its receiver (got a ${what})`);
}

/** The Root of a Ref, or null for what is none. It asks `x` once, which may run code of the program. */
export let cellOf: (x: unknown) => Root | null;
/** The Root of a live Ref of this home, or an error. */
export let enter: (ref: RefBase, home: Home) => Root;
/** A place in the object that `root` holds. */
export let partOf: (root: Root, home: Home, addr: number) => Root;
/** One more handle has a share of the root. */
export let addShare: (root: Root) => void;
/** Takes a share away, and gives the slot to be freed: 0 while others have shares. */
let dropShare: (root: Root) => number;
/** Ends a Ref: what was its slot, or 0. */
let endRef: (root: Root) => number;
/** Accessors of a field at `offset`, for the prototype of a Ref class. */
export let refAccessors: (codec: Codec, home: Home, offset: number, name: string) => PropertyDescriptor;

/** One rooted object, or a part of one. */
export class Root {
  readonly #home: Home | null;
  readonly #addr: number;
  /** Itself, unless it is a part. */
  #owner: Root;
  #slot: number;
  /** How many handles have to be released before the root is. */
  #shares: number;

  constructor(key: typeof KEY, home: Home | null, addr: number, owner: Root | null, slot: number) {
    if (key !== KEY) notConstructible("a root", "newObject");
    this.#home = home;
    this.#addr = addr;
    this.#owner = owner ?? this;
    this.#slot = slot;
    this.#shares = 1;
  }

  /** The root in the heap; 0 once it was released. */
  get slot(): number {
    return this.#owner.#slot;
  }

  /** Of a Ref: where its object is. */
  get addr(): number {
    return this.#addr;
  }

  /** Of a Ref: type and heap. */
  get home(): Home {
    return this.#home as Home;
  }

  /** The error of a use of the Ref after its release. */
  gone(): never {
    return released(`Ref<${this.home.type.name}>`);
  }

  // Functions of this file that see private fields.
  static {
    cellOf = (x) => {
      if (typeof x !== "object" || x === null) return null;
      const cell: unknown = (x as RefBase).$cell;
      if (typeof cell !== "object" || cell === null || !(#home in cell)) return null;
      return cell.#home === null ? null : cell;
    };

    enter = (ref, home) => {
      const cell = ref.$cell;
      if (cell.#home !== home) wrongReceiver(home, cell.#home);
      if (cell.#owner.#slot === 0) released(`Ref<${home.type.name}>`);
      return cell;
    };

    partOf = (root, home, addr) => new Root(KEY, home, addr, root.#owner, -1);

    addShare = (root) => {
      root.#shares++;
    };

    dropShare = (root) => {
      if (root.#slot <= 0 || --root.#shares > 0) return 0;
      const slot = root.#slot;
      root.#slot = 0;
      return slot;
    };

    endRef = (root) => {
      if (root.#owner === root) return root.#slot;
      // A part has no share: it alone is dead.
      root.#owner = DEAD;
      return 0;
    };

    refAccessors = (codec, home, offset, name) => {
      const { load, store, assign } = codec;
      const get = function (this: RefBase): unknown {
        const cell = this.$cell;
        if (cell.#home !== home) wrongReceiver(home, cell.#home);
        if (cell.#owner.#slot === 0) released(`Ref: ${name}`);
        return load(cell.#addr + offset, cell);
      };
      const set = codec.atomic
        ? function (this: RefBase, value: unknown): void {
            const cell = this.$cell;
            if (cell.#home !== home) wrongReceiver(home, cell.#home);
            if (cell.#owner.#slot === 0) released(`Ref: ${name}`);
            store(cell.#addr + offset, value);
          }
        : function (this: RefBase, value: unknown): void {
            const cell = this.$cell;
            if (cell.#home !== home) wrongReceiver(home, cell.#home);
            if (cell.#owner.#slot === 0) released(`Ref: ${name}`);
            if (assign === undefined) assignTaken(codec, cell, offset, value);
            else assign(cell, offset, value);
          };
      return { get, set, enumerable: true, configurable: false };
    };
  }
}
Object.freeze(Root.prototype);
Object.freeze(Root);

/** What a released handle points to. */
export const DEAD = new Root(KEY, null, 0, null, 0);
/** What handles without an object point to, nil slices above all: there is nothing to release. */
export const UNROOTED = new Root(KEY, null, 0, null, -1);

/** Gives roots back to the heap, at once or when V8 finds them unreachable. */
export class Roots {
  readonly #release: (slot: RefSlot) => void;
  readonly #collected: (slot: RefSlot) => void;
  readonly #registry: FinalizationRegistry<RefSlot>;

  constructor(release: (slot: RefSlot) => void, collected: (slot: RefSlot) => void) {
    this.#release = release;
    this.#collected = collected;
    this.#registry = registryOf(this, (roots, slot: RefSlot) => roots.#collected(slot));
  }

  /** The Root of a new root in the heap: of a Ref of this home to `addr`, or of slices. */
  adopt(slot: RefSlot, home: Home | null = null, addr = 0): Root {
    const root = new Root(KEY, home, addr, null, slot);
    this.#registry.register(root, slot, root);
    return root;
  }

  /** One share less; the last one frees the root. */
  drop(root: Root): void {
    const slot = dropShare(root);
    if (slot === 0) return;
    this.#registry.unregister(root);
    this.#release(slot as RefSlot);
  }
}

/** The class of all handles of a type is derived from this one; it has no fields beside the Root. */
export abstract class RefBase<T extends Type = Type> {
  /** @internal */
  readonly $cell: Root;

  constructor(cell: Root) {
    this.$cell = cell;
  }

  /** The raw address: valid until the goroutine's next safepoint, or while this Ref is not released. */
  get $addr(): Ptr<T> {
    return this.$cell.addr as Ptr<T>;
  }

  /** The type of what it refers to. */
  get $type(): T {
    return this.$cell.home.type as T;
  }

  /**
   * Gives up the root now instead of when V8 collects this object. Later use of this Ref throws, as does use
   * of what was reached inside of the object through it. Releasing twice is harmless.
   */
  release(): void {
    const cell = this.$cell;
    if (endRef(cell) !== 0) cell.home.roots.drop(cell);
  }

  [dispose](): void {
    this.release();
  }

  /** Fields and elements as plain values, bytes as base64; pointers are followed. */
  toJSON(): unknown {
    const cell = this.$cell;
    if (cell.slot === 0) released(`Ref<${cell.home.type.name}>`);
    return cell.home.json(cell);
  }

  toString(): string {
    const cell = this.$cell;
    const name = `Ref<${cell.home.type.name}>`;
    return cell.slot === 0 ? `${name} (released)` : `${name} 0x${cell.addr.toString(16)}`;
  }

  [inspectCustom](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    const cell = this.$cell;
    const name = `Ref<${cell.home.type.name}>`;
    return cell.slot === 0 ? `${name} (released)` : `${name} ${inspect(cell.home.describe(cell), options)}`;
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

/** Accessors of a field at `offset`, for the prototype of a View class. */
export function viewAccessors(codec: Codec, offset: number): PropertyDescriptor {
  const { load, store } = codec;
  return {
    get(this: ViewBase) {
      const addr = this.$addr as number;
      if (addr === 0) nilDereference();
      return load(addr + offset, UNROOTED);
    },
    set: codec.atomic
      ? function (this: ViewBase, value: unknown): void {
          const addr = this.$addr as number;
          if (addr === 0) nilDereference();
          store(addr + offset, value);
        }
      : function (this: ViewBase, value: unknown): void {
          // The value's own code may move the view: the address is read after it.
          const taken = codec.take(value);
          const addr = this.$addr as number;
          if (addr === 0) nilDereference();
          storeTaken(codec, addr + offset, taken);
        },
    enumerable: true,
    configurable: false,
  };
}
