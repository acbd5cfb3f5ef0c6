/** The TypeScript types of a T: the values that a program reads and writes. */

import type { Addr, Ptr } from "@gort/memory";
import type { OpaqueType } from "./opaque.ts";
import type { Slice } from "./slice.ts";
import type { ArrayType, ChanType, PointerType, ScalarType, SliceType, StructType, Type } from "./type.ts";

/** The type of a declared field: the field itself, or the result of its thunk. */
export type Resolved<T> = T extends () => infer R ? R : T;

/** The value of a type that is known only as Type is unknown. */
type Unknown<T> = Type extends T ? unknown : never;

/** The result of reading a T: scalars as JavaScript values, all others as handles. */
export type Value<T> =
  T extends ScalarType<infer V>
    ? V
    : T extends PointerType<infer E>
      ? Ref<E> | null
      : T extends ChanType<Type, infer H>
        ? H | null
        : T extends SliceType<infer E>
          ? Slice<E>
          : T extends StructType | ArrayType | OpaqueType
            ? Ref<T>
            : Unknown<T>;

/**
 * The values from which a T can be made or assigned: its own value, or the same as plain JavaScript. That is an object
 * with some or all fields for a struct, a list for an array or a slice, `null` for a nil slice.
 */
export type Init<T> =
  T extends ScalarType<infer V>
    ? V
    : T extends PointerType<infer E>
      ? Ref<E> | null
      : T extends ChanType<Type, infer H>
        ? H | null
        : T extends SliceType<infer E>
          ? Slice<E> | readonly Init<E>[] | null
          : T extends ArrayType<infer E>
            ? Ref<T> | readonly Init<E>[]
            : T extends StructType<infer F>
              ? Ref<T> | { readonly [K in keyof F]?: Init<Resolved<F[K]>> }
              : T extends OpaqueType
                ? never
                : Unknown<T>;

/** The members of every Ref. Names that begin with `$` never clash with fields. */
export interface RefMembers<T extends Type> {
  readonly $addr: Ptr<T>;
  readonly $type: T;
  release(): void;
  [Symbol.dispose](): void;
}

/** Elements by index, as an array has. */
export interface Elements<E extends Type> extends Iterable<Value<E>> {
  readonly length: number;
  get(i: number): Value<E>;
  set(i: number, value: Init<E>): void;
  /** `a[lo:hi:max]`: a slice of the array itself. */
  slice(lo?: number, hi?: number, max?: number): Slice<E>;
}

/**
 * A rooted reference. A Ref of a struct has the fields as properties. A Ref of an array has elements. Any other Ref has
 * the property `value`.
 */
export type Ref<T extends Type> = RefMembers<T> &
  (T extends StructType<infer F>
    ? { -readonly [K in keyof F]: Value<Resolved<F[K]>> }
    : T extends ArrayType<infer E>
      ? Elements<E>
      : T extends OpaqueType<infer M>
        ? M
        : { get value(): Value<T>; set value(v: Init<T>) });

/** The result of reading a T through a View: pointers stay addresses. */
export type RawValue<T> =
  T extends ScalarType<infer V>
    ? V
    : T extends PointerType<infer E>
      ? Ptr<E>
      : T extends ChanType
        ? Addr
        : T extends SliceType | StructType | ArrayType | OpaqueType
          ? View<T>
          : Unknown<T>;

/** Elements by index, without roots. */
export interface RawElements<E extends Type> {
  readonly length: number;
  get(i: number): RawValue<E>;
  set(i: number, value: RawValue<E>): void;
}

/**
 * An unrooted view of memory. `$at`, or an assignment to `$addr`, moves it. Nested structs, arrays and slices give a
 * View of their own: one per field and View, which moves along at the next access.
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
      : T extends OpaqueType
        ? unknown
        : { value: RawValue<T> });
