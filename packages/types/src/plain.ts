/** Values as plain JavaScript: for JSON.stringify, which follows pointers, and for inspectors, which do not. */

import { copyOut } from "./bytes.ts";
import { type Root, UNROOTED } from "./cell.ts";
import type { ChanHandle } from "./chan-codec.ts";
import { OpaqueType } from "./opaque.ts";
import type { PerType } from "./per-type.ts";
import { ArrayType, ChanType, PointerType, SliceType, StructType, type Type, uint8, WORD } from "./type.ts";

/** The pointers and slices that JSON.stringify has followed so far. A pointer that leads back is an error, as in Go. */
interface Path {
  readonly type: Type;
  readonly addr: number;
  readonly outer: Path | null;
}

/** The value at `addr` as JSON has it. */
export function plainValue(types: PerType, type: Type, addr: number, path: Path | null = null): unknown {
  const { mem } = types.heap;
  if (type instanceof StructType) {
    return Object.fromEntries(
      type.fields.map((f) => [f.name, plainValue(types, f.type, addr + f.offset, path)]),
    );
  }
  if (type instanceof ArrayType) return elements(types, type.elem, addr, type.length, path);
  // As Go writes a struct without exported fields.
  if (type instanceof OpaqueType) return {};
  if (type instanceof PointerType) {
    const to = mem.u32[addr >>> 2];
    return to === 0 ? null : plainValue(types, type.elem, to, follow(type, to, path));
  }
  if (type instanceof ChanType) return chanJSON(types, type, addr);
  if (type instanceof SliceType) {
    const to = mem.u32[addr >>> 2];
    if (to === 0) return null;
    const n = mem.u32[(addr + WORD) >>> 2];
    return plainList(types, type.elem, to, n, follow(type, to, path));
  }
  const v = types.codec(type).load(addr, UNROOTED);
  if (typeof v === "bigint") return Number.isSafeInteger(Number(v)) ? Number(v) : String(v);
  return type.kind === "bytes" ? (mem.u32[addr >>> 2] === 0 ? null : base64(v as Uint8Array)) : v;
}

/** A channel as JSON has it. */
function chanJSON(types: PerType, type: ChanType, addr: number): unknown {
  const c = types.codec(type).load(addr, UNROOTED) as ChanHandle | null;
  if (c === null) return null;
  const json = c.toJSON();
  c.release();
  return json;
}

/** The path with one more step. */
function follow(type: PointerType | SliceType, to: number, path: Path | null): Path {
  for (let p = path; p !== null; p = p.outer) {
    if (p.addr === to && p.type === type) throw new TypeError(`types: JSON of a cycle through ${type.name}`);
  }
  return { type, addr: to, outer: path };
}

/** The n elements of a slice as JSON has them: base64 for bytes. */
export function plainList(
  types: PerType,
  elem: Type,
  addr: number,
  n: number,
  path: Path | null = null,
): unknown {
  if (elem === uint8) return base64(copyOut(types.heap.mem, addr, n));
  return elements(types, elem, addr, n, path);
}

function elements(types: PerType, elem: Type, addr: number, n: number, path: Path | null): unknown[] {
  return Array.from({ length: n }, (_, i) => plainValue(types, elem, addr + i * elem.size, path));
}

/** As Go writes bytes in JSON. */
function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
  return btoa(text);
}

/** The target of a Ref as an inspector shows it. */
export function inspected(types: PerType, type: Type, at: Root): unknown {
  const { addr } = at;
  if (type instanceof StructType) {
    return Object.fromEntries(type.fields.map((f) => [f.name, part(types, f.type, addr + f.offset, at)]));
  }
  if (type instanceof ArrayType) {
    const { elem } = type;
    return Array.from({ length: type.length }, (_, i) => part(types, elem, addr + i * elem.size, at));
  }
  return type instanceof OpaqueType ? {} : part(types, type, addr, at);
}

/** A part of an inspected value. A pointer shows its type and address. */
function part(types: PerType, type: Type, addr: number, at: Root): unknown {
  if (!(type instanceof PointerType)) return types.codec(type).load(addr, at);
  const to = types.heap.mem.u32[addr >>> 2];
  return to === 0 ? null : `${type.name} 0x${to.toString(16)}`;
}
