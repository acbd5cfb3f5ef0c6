/** Functions that declare types, and tell their sizes. */
import { ArrayType, type Fields, PointerType, SliceType, StructType, type Type } from "./type.ts";

/** `*T`. Pass a thunk for a type that is declared later. */
export function pointer<E extends Type>(elem: E | (() => E)): PointerType<E> {
  return new PointerType(elem);
}

/** `[]T` */
export function slice<E extends Type>(elem: E | (() => E)): SliceType<E> {
  return new SliceType(elem);
}

/** `[n]T` */
export function array<E extends Type>(elem: E, length: number): ArrayType<E> {
  return new ArrayType(elem, length);
}

/**
 * `type name struct { ... }`. Each call makes a new type, also for equal names.
 *
 * @throws TypeError for a field called `release`, `constructor` or `__proto__`, one that begins with `$`, or one
 *   that is a number (JavaScript would reorder it)
 */
export function struct<F extends Fields>(name: string, fields: F): StructType<F> {
  return new StructType(name, fields);
}

/** `unsafe.Sizeof`, `Alignof`, `Offsetof` of a value of the type. */
export function sizeof(type: Type): number {
  return type.size;
}
export function alignof(type: Type): number {
  return type.align;
}
export function offsetof<F extends Fields>(type: StructType<F>, field: keyof F & string): number {
  return type.field(field).offset;
}
