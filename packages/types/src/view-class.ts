/** The class of the Views of a type: accessors of fields, elements or the value, on its prototype. */
import { ViewBase, viewAccessors } from "./cell.ts";
import { defineRawElements, nestedView } from "./elements.ts";
import { nilDereference } from "./errors.ts";
import { OpaqueType } from "./opaque.ts";
import type { PerType, ViewClass } from "./per-type.ts";
import { ArrayType, SliceType, StructType, type Type, WORD } from "./type.ts";

/** A class without members. */
export function newViewClass(types: PerType, type: Type): ViewClass {
  class TypedView extends ViewBase {
    get $type(): Type {
      return type;
    }
    get $types(): PerType {
      return types;
    }
  }
  return TypedView;
}

/** Gives the class its members. Throws the error of a getter of a type that fails. */
export function defineViewMembers(types: PerType, type: Type, view: ViewClass): void {
  const proto = view.prototype as object;
  if (type instanceof StructType) defineFields(types, type, proto);
  else if (type instanceof ArrayType) {
    defineRawElements(proto, types.rawCodec(type.elem), type.elem.size, {
      length: () => type.length,
      base: (v) => v.$addr,
    });
  } else if (type instanceof SliceType) defineHeader(types, type, proto);
  else if (!(type instanceof OpaqueType))
    Object.defineProperty(proto, "value", viewAccessors(types.rawCodec(type), 0));
}

function defineFields(types: PerType, type: StructType, proto: object): void {
  for (const f of type.fields) {
    const codec = types.rawCodec(f.type);
    const property = isInline(f.type)
      ? nestedView(() => types.view(f.type), codec, f.offset)
      : viewAccessors(codec, f.offset);
    Object.defineProperty(proto, f.name, property);
  }
}

/** The words of a slice's header, and the elements behind them. */
function defineHeader(types: PerType, type: SliceType, proto: object): void {
  const { u32 } = types.heap.mem;
  const word = (i: number) =>
    function (this: ViewBase): number {
      if ((this.$addr as number) === 0) nilDereference();
      return u32[(this.$addr + i * WORD) >>> 2];
    };
  Object.defineProperty(proto, "ptr", { get: word(0) });
  Object.defineProperty(proto, "cap", { get: word(2) });
  defineRawElements(proto, types.rawCodec(type.elem), type.elem.size, {
    length: (v) => u32[(v.$addr + WORD) >>> 2],
    base: (v) => u32[v.$addr >>> 2],
  });
}

/** Types whose values lie inside of another value. Their Views look into it. */
function isInline(type: Type): boolean {
  if (type instanceof StructType || type instanceof ArrayType) return true;
  return type instanceof SliceType || type instanceof OpaqueType;
}
