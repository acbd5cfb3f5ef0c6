/** The class of the Refs of a type: on its prototype, accessors of fields, elements or the value, or own members. */
import { enter, type Home, RefBase, refAccessors } from "./cell.ts";
import { defineElements } from "./elements.ts";
import { OpaqueType } from "./opaque.ts";
import type { Handles, PerType } from "./per-type.ts";
import { inspected, plainValue } from "./plain.ts";
import { ArrayType, StructType, type Type } from "./type.ts";

/** A class without members. */
export function newHandles(types: PerType, type: Type): Handles {
  const home: Home = {
    type,
    types,
    roots: types.roots,
    describe: (at) => inspected(types, type, at),
    json: (at) => plainValue(types, type, at.addr),
  };
  class TypedRef extends RefBase {}
  return { home, Ref: TypedRef };
}

/** Gives the class its members. Throws the error of a getter of a type that fails. */
export function defineRefMembers(types: PerType, type: Type, { home, Ref }: Handles): void {
  const proto = Ref.prototype as object;
  if (type instanceof StructType) {
    for (const f of type.fields) {
      const name = `${type.name}.${f.name}`;
      Object.defineProperty(proto, f.name, refAccessors(types.codec(f.type), home, f.offset, name));
    }
  } else if (type instanceof ArrayType) {
    defineElements(proto, type, home, types.codec(type.elem), types.sliceOps(type.elem));
  } else if (type instanceof OpaqueType) {
    const { heap } = types;
    const members = type.members({ heap, types, addrOf: (ref) => enter(ref as RefBase, home).addr });
    for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(members))) {
      Object.defineProperty(proto, key, { ...property, enumerable: false, configurable: false });
    }
  } else {
    Object.defineProperty(proto, "value", refAccessors(types.codec(type), home, 0, "value"));
  }
}
