/** Members of handles for values inside of the target: nested structs, and the elements of arrays and slices. */
import type { Addr, Ptr } from "@gort/memory";
import { enter, type Home, KEY, type RefBase, type Root, UNROOTED, type ViewBase } from "./cell.ts";
import { assignTaken, type Codec, storeTaken } from "./codec.ts";
import { nilDereference } from "./errors.ts";
import type { ViewClass } from "./per-type.ts";
import { checkBounds, outOfRange, Slice, type SliceOps } from "./slice.ts";
import type { ArrayType, Type } from "./type.ts";

/** A property that gives a nested View: one View per outer View and field, which every access moves along. */
export function nestedView(classOf: () => ViewClass, codec: Codec, offset: number): PropertyDescriptor {
  const nested = new WeakMap<ViewBase, ViewBase>();
  return {
    get(this: ViewBase) {
      const addr = this.$addr as number;
      if (addr === 0) nilDereference();
      let view = nested.get(this);
      if (view === undefined) nested.set(this, (view = new (classOf())(0)));
      view.$addr = (addr + offset) as Ptr<Type>;
      return view;
    },
    set(this: ViewBase, value: unknown) {
      const taken = codec.take(value);
      const addr = this.$addr as number;
      if (addr === 0) nilDereference();
      storeTaken(codec, addr + offset, taken);
    },
    enumerable: true,
    configurable: false,
  };
}

/** Gives a Ref to an array its members: length, get, set, slice and iteration. */
export function defineElements(
  proto: object,
  type: ArrayType,
  home: Home,
  codec: Codec,
  ops: SliceOps,
): void {
  const { length } = type;
  const { size } = type.elem;
  const at = (cell: Root, i: number): number => {
    if (i >>> 0 === i && i < length) return cell.addr + i * size;
    return outOfRange(i, length);
  };
  const members = {
    get(this: RefBase, i: number): unknown {
      const cell = enter(this, home);
      return codec.load(at(cell, i), cell);
    },
    set(this: RefBase, i: number, value: unknown): void {
      const cell = enter(this, home);
      const addr = at(cell, i);
      if (codec.atomic) {
        codec.store(addr, value);
        return;
      }
      const offset = addr - cell.addr;
      if (codec.assign === undefined) assignTaken(codec, cell, offset, value);
      else codec.assign(cell, offset, value);
    },
    slice(this: RefBase, lo = 0, hi = length, max?: number): Slice<Type> {
      const base = enter(this, home).addr;
      checkBounds(lo, hi, max, length, "length");
      const cap = (max ?? length) - lo;
      const addr = base + (cap === 0 ? 0 : lo * size);
      return new Slice(KEY, ops, ops.roots.adopt(ops.heap.newRef(base as Addr)), addr, hi - lo, cap);
    },
    *[Symbol.iterator](this: RefBase): Generator<unknown> {
      for (let i = 0; i < length; i++) {
        const cell = enter(this, home);
        yield codec.load(at(cell, i), cell);
      }
    },
  };
  for (const key of Reflect.ownKeys(members)) {
    Object.defineProperty(proto, key, {
      value: members[key as keyof typeof members],
      writable: false,
      configurable: false,
    });
  }
  Object.defineProperty(proto, "length", { value: length, writable: false, configurable: false });
}

/** Gives a View its members for elements: length, get and set. */
export function defineRawElements(
  proto: object,
  codec: Codec,
  size: number,
  where: { length(view: ViewBase): number; base(view: ViewBase): number },
): void {
  const at = (view: ViewBase, i: number): number => {
    if ((view.$addr as number) === 0) nilDereference();
    const n = where.length(view);
    if (i >>> 0 === i && i < n) return where.base(view) + i * size;
    return outOfRange(i, n);
  };
  Object.defineProperties(proto, {
    length: {
      get(this: ViewBase) {
        if ((this.$addr as number) === 0) nilDereference();
        return where.length(this);
      },
    },
    get: {
      value(this: ViewBase, i: number) {
        return codec.load(at(this, i), UNROOTED);
      },
    },
    set: {
      value(this: ViewBase, i: number, value: unknown) {
        if (codec.atomic) codec.store(at(this, i), value);
        else {
          const taken = codec.take(value);
          storeTaken(codec, at(this, i), taken);
        }
      },
    },
  });
}
