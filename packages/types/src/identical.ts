/**
 * Identity of types, as Go has it: composite types by their parts, structs by their declaration. Structs that have
 * crossed threads are identified by their description (type-identity.ts).
 */
import { OpaqueType } from "./opaque.ts";
import { ArrayType, ChanType, PointerType, SliceType, StructType, type Type } from "./type.ts";
import { sameAcrossThreads } from "./type-identity.ts";

/** Levels of pointers, channels and slices that are compared; deeper types are an error. */
const MAX_DEPTH = 1000;

/** Two types that are being compared. */
interface Pair {
  readonly a: Type;
  readonly b: Type;
  readonly outer: Pair | null;
  readonly depth: number;
}

/** Whether values of the two can be assigned to each other. */
export function identical(a: Type, b: Type): boolean {
  return a === b || sameShape(a, b, null);
}

function sameShape(a: Type, b: Type, outer: Pair | null): boolean {
  if (a === b) return true;
  if (a instanceof ArrayType && b instanceof ArrayType)
    return a.length === b.length && sameShape(a.elem, b.elem, outer);
  if (a instanceof StructType && b instanceof StructType) return sameAcrossThreads(a, b);
  const x = elemOf(a);
  const y = elemOf(b);
  if (x === null || y === null || a.kind !== b.kind || familyOf(a) !== familyOf(b)) return false;
  // Types that contain themselves are identical unless a difference is found on the way.
  for (let p = outer; p !== null; p = p.outer) if (p.a === a && p.b === b) return true;
  const pair: Pair = { a, b, outer, depth: outer === null ? 1 : outer.depth + 1 };
  if (pair.depth > MAX_DEPTH) throw new TypeError(`types: ${a.name} is more than ${MAX_DEPTH} types deep`);
  return sameShape(x, y, pair);
}

/** The element of a pointer, a channel, a slice or an opaque type. */
function elemOf(type: Type): Type | null {
  const found = type instanceof PointerType || type instanceof ChanType || type instanceof SliceType;
  return found || type instanceof OpaqueType ? type.elem : null;
}

function familyOf(type: Type): string {
  return type instanceof OpaqueType ? type.family : "";
}
