/**
 * Declarations of the structs that live in linear memory. Code declares a struct once, by field name and width, and
 * reads `u32[(span + MSPAN.offsets.npages) >>> 2]`, never a bare number. Fields have the order of the declaration and
 * C's alignment, so a declaration is also the drawing of the struct.
 */

/** Width of a field: `u32s(n)` and `f64s(n)` are arrays, a StructType embeds another struct. */
export type FieldType = "u8" | "u16" | "u32" | "i32" | "f32" | "f64" | FieldArray | StructType<string>;

export interface FieldArray {
  readonly kind: "array";
  readonly size: number;
  readonly align: number;
}

/** One field, described for dumps. */
export interface FieldInfo {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
  readonly size: number;
}

export interface StructType<K extends string> {
  readonly name: string;
  /** Bytes, a multiple of align. */
  readonly size: number;
  readonly align: number;
  /** Byte offset of each field. */
  readonly offsets: Readonly<Record<K, number>>;
  readonly fields: readonly FieldInfo[];
}

const widths = { u8: 1, u16: 2, u32: 4, i32: 4, f32: 4, f64: 8 } as const;

/** An array of n words inside a struct, aligned to 4. */
export function u32s(n: number): FieldArray {
  return { kind: "array", size: 4 * n, align: 4 };
}

/** An array of n doubles inside a struct, aligned to 8. */
export function f64s(n: number): FieldArray {
  return { kind: "array", size: 8 * n, align: 8 };
}

function layoutOf(type: FieldType): { size: number; align: number; label: string } {
  if (typeof type === "string") return { size: widths[type], align: widths[type], label: type };
  if ("kind" in type) return { size: type.size, align: type.align, label: `[${type.size}]u8` };
  return { size: type.size, align: type.align, label: type.name };
}

/**
 * Lays out a struct. Offsets are constants of a frozen object, which optimised code folds.
 *
 *     const MSPAN = defineStruct("mspan", { next: "u32", startAddr: "u32", npages: "u32" });
 *     u32[(s + MSPAN.offsets.npages) >>> 2]
 */
export function defineStruct<const F extends Record<string, FieldType>>(
  name: string,
  fields: F,
): StructType<keyof F & string> {
  let offset = 0;
  let align = 1;
  const offsets: Record<string, number> = {};
  const infos: FieldInfo[] = [];
  for (const key of Object.keys(fields)) {
    const l = layoutOf(fields[key]);
    offset = Math.ceil(offset / l.align) * l.align;
    offsets[key] = offset;
    infos.push({ name: key, type: l.label, offset, size: l.size });
    offset += l.size;
    align = Math.max(align, l.align);
  }
  const size = Math.ceil(offset / align) * align;
  // The offsets are copied into a fresh object. V8 keeps an object to which many properties were added one by one as a
  // hash table. Every `MSPAN.offsets.npages` in optimised code would then be a call of 5 to 20 ns instead of a
  // constant.
  return Object.freeze({
    name,
    size,
    align,
    offsets: Object.freeze({ ...offsets }) as Readonly<Record<keyof F & string, number>>,
    fields: Object.freeze(infos),
  });
}
