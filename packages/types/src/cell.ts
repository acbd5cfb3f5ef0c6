/**
 * Handles: the objects that a program holds instead of addresses.
 *
 *     Ref --$cell--> Root --slot--> root in the heap --> object      a Ref that owns its root
 *     Ref --$cell--> Root --#owner--> Root                           a part of an object: a struct in a struct
 *     Slice --#root--> Root                                          slices of one array share it
 *
 * A Root is one rooted object, or a place in one. The object stays alive as long as any handle of it is reachable,
 * unless the handles that own a share of the root were released. The FinalizationRegistry watches Roots, so a handle
 * needs no registration of its own.
 *
 * Checks: the slot of a free Root is 0, and a released handle points to `DEAD`. Every access reads `slot`, so it finds
 * both cases, even if the memory has been reused for another object.
 *
 * All values from which addresses are computed are in private fields of Root and Slice, whose constructors need `KEY`.
 * A program can neither change nor forge them. The fields are not in the Ref: V8 finds private fields of one class
 * fast, and there is a class of Refs for each type. An object that imitates a Ref, such as a proxy, gives a genuine
 * Root or none. Every accessor compares the Root's `Home` with its own. So an accessor of one type never computes an
 * address in an object of another type.
 *
 * A View is the handle for experts: an address that can be moved, with the same accessors. It has no root, and no
 * protection except against nil.
 */

import type { Addr, Ptr } from "@gort/memory";
import { registryOf } from "@gort/memory/internal";
import { assignTaken, type Codec, storeTaken } from "./codec.ts";
import { nilDereference } from "./errors.ts";
import type { RefSlot } from "./heap.ts";
import type { PerType } from "./per-type.ts";
import type { Type } from "./type.ts";

const dispose: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);
const inspectCustom = Symbol.for("nodejs.util.inspect.custom");

/** The key that the constructors of handles need. It never leaves this package. */
export const KEY: unique symbol = Symbol("types: key of handles");

/** The error of a program that calls the constructor of a handle. */
export function notConstructible(what: string, use: string): never {
  throw new TypeError(`types: ${what} can't be made by new (use ${use})`);
}

/** The error of an access through a released handle. */
export function released(what: string): never {
  throw new TypeError(`types: use of a released ${what}`);
}

/** The part that all handles of one type in one heap share. */
export interface Home {
  readonly type: Type;
  readonly types: PerType;
  readonly roots: Roots;
  /** The target as an inspector shows it. */
  describe(at: Root): unknown;
  /** The target as JSON.stringify writes it. */
  json(at: Root): unknown;
}

/** The error of an accessor that is called on a handle of another type or heap. */
function wrongReceiver(home: Home, got: Home | null): never {
  const name = `Ref<${home.type.name}>`;
  const what =
    got === null ? "slice" : got.roots === home.roots ? `Ref<${got.type.name}>` : "Ref of another heap";
  throw new TypeError(`types: a member of ${name} needs a ${name} as its receiver (got a ${what})`);
}

/** The Root of a Ref, or null if `x` is no Ref. It reads one property of `x`, which may run code of the program. */
export let cellOf: (x: unknown) => Root | null;
/** The Root of a live Ref of this home, or an error. */
export let enter: (ref: RefBase, home: Home) => Root;
/** A place in the object that `root` holds. */
export let partOf: (root: Root, home: Home, addr: number) => Root;
/** Gives one more handle a share of the root. */
export let addShare: (root: Root) => void;
/** Takes a share away. Returns the slot that the caller must free; 0 while other handles have shares. */
let dropShare: (root: Root) => number;
/** Ends a Ref. Returns its slot, or 0 for a part of an object. */
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
  /** The number of handles that must be released before the root is. */
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

  /** The address of a Ref's object. */
  get addr(): number {
    return this.#addr;
  }

  /** Type and heap of a Ref. */
  get home(): Home {
    return this.#home as Home;
  }

  /** The error of a use of the Ref after its release. */
  gone(): never {
    return released(`Ref<${this.home.type.name}>`);
  }

  // The functions of this file that need private fields.
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
      // A part has no share: only the part becomes dead.
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

/** The Root of released handles. */
export const DEAD = new Root(KEY, null, 0, null, 0);
/** The Root of handles without an object, such as nil slices. It has nothing to release. */
export const UNROOTED = new Root(KEY, null, 0, null, -1);

/** Returns roots to the heap: on release, or when V8 finds their handles unreachable. */
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

  /** Takes a share away. The last share frees the root. */
  drop(root: Root): void {
    const slot = dropShare(root);
    if (slot === 0) return;
    this.#registry.unregister(root);
    this.#release(slot as RefSlot);
  }
}

/** The base class of all Refs. Its only field is the Root. */
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

  /** The type of its target. */
  get $type(): T {
    return this.$cell.home.type as T;
  }

  /**
   * Gives up the root at once, instead of when V8 collects this object. Later use of this Ref throws, and so does use
   * of handles to parts of the object that came from it. A second release does nothing.
   */
  release(): void {
    const cell = this.$cell;
    if (endRef(cell) !== 0) cell.home.roots.drop(cell);
  }

  [dispose](): void {
    this.release();
  }

  /** Fields and elements as plain values, with bytes as base64. It follows pointers. */
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

/** The base class of all Views. */
export abstract class ViewBase<T extends Type = Type> {
  /** The address that it shows; 0 is nil. Assign to move the View. */
  $addr: Ptr<T>;
  abstract get $type(): T;
  /** @internal */
  abstract get $types(): PerType;

  constructor(addr: number) {
    this.$addr = addr as Ptr<T>;
  }

  /** Moves the View and returns it: `view.$at(p).x`. */
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
          // The value's own code may move the View, so the address is read after that code.
          const taken = codec.take(value);
          const addr = this.$addr as number;
          if (addr === 0) nilDereference();
          storeTaken(codec, addr + offset, taken);
        },
    enumerable: true,
    configurable: false,
  };
}
