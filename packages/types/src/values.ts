/** The TypeScript side of types: what a program sees of a value of T. */

import type { Ptr } from "@gort/memory";
import type { Slice } from "./slice.ts";
import type { ArrayType, PointerType, ScalarType, SliceType, StructType, Type } from "./type.ts";

/** The type that a field was declared with: itself, or what a thunk gives. */
type Resolved<T> = T extends () => infer R ? R : T;

/** Of a type that is known only as Type, values are unknown. */
type Unknown<T> = Type extends T ? unknown : never;

/** What reading a T gives: scalars as JavaScript values, pointers and what lies inside as handles. */
export type Value<T> =
  T extends ScalarType<infer V>
    ? V
    : T extends PointerType<infer E>
      ? Ref<E> | null
      : T extends SliceType<infer E>
        ? Slice<E>
        : T extends StructType | ArrayType
          ? Ref<T>
          : Unknown<T>;

/**
 * What a T can be made from or assigned with: its value, or the same as plain JavaScript: an object with
 * some or all fields of a struct, a list for an array or a slice, `null` for a nil slice.
 */
export type Init<T> =
  T extends ScalarType<infer V>
    ? V
    : T extends PointerType<infer E>
      ? Ref<E> | null
      : T extends SliceType<infer E>
        ? Slice<E> | readonly Init<E>[] | null
        : T extends ArrayType<infer E>
          ? Ref<T> | readonly Init<E>[]
          : T extends StructType<infer F>
            ? Ref<T> | { readonly [K in keyof F]?: Init<Resolved<F[K]>> }
            : Unknown<T>;

/** What every Ref has. Names that begin with `$` never clash with fields. */
export interface RefMembers<T extends Type> {
  readonly $addr: Ptr<T>;
  readonly $type: T;
  release(): void;
  [Symbol.dispose](): void;
}

/** Elements by index, as of an array. */
export interface Elements<E extends Type> extends Iterable<Value<E>> {
  readonly length: number;
  get(i: number): Value<E>;
  set(i: number, value: Init<E>): void;
  /** `a[lo:hi:max]`: a slice of the array itself. */
  slice(lo?: number, hi?: number, max?: number): Slice<E>;
}

/**
 * A rooted reference. Of a struct it has the fields as properties; of an array it has elements; of
 * anything else the property `value`.
 */
export type Ref<T extends Type> = RefMembers<T> &
  (T extends StructType<infer F>
    ? { -readonly [K in keyof F]: Value<Resolved<F[K]>> }
    : T extends ArrayType<infer E>
      ? Elements<E>
      : { get value(): Value<T>; set value(v: Init<T>) });

/** What reading a T through a View gives: pointers stay addresses. */
export type RawValue<T> =
  T extends ScalarType<infer V>
    ? V
    : T extends PointerType<infer E>
      ? Ptr<E>
      : T extends SliceType | StructType | ArrayType
        ? View<T>
        : Unknown<T>;

/** Elements by index, without roots. */
export interface RawElements<E extends Type> {
  readonly length: number;
  get(i: number): RawValue<E>;
  set(i: number, value: RawValue<E>): void;
}

/**
 * An unrooted look at memory, moved by `$at` or by assigning `$addr`. Nested structs, arrays and slices give
 * a View of their own, one for each field and View, which moves along at the next access.
 */
export type View<T extends Type> = {
  $addr: Ptr<T>;
  readonly $type: T;
  $at(addr: Ptr<T>): View<T>;
} & (T extends StructType<infer F>
  ? { -readonly [K in keyof F]: RawValue<Resolved<F[K]>> }
  : T extends ArrayType<infer E>
    ? RawElements<E>
    : T extends SliceType<infer E>
      ? RawElements<E> & { readonly ptr: Ptr<E>; readonly cap: number }
      : { value: RawValue<T> });
