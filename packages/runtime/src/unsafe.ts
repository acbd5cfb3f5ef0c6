/** `@gort/runtime/unsafe`: raw pointers into the default runtime's heap. */
import type { Addr, Ptr } from "@gort/memory";
import type { RawValue, Type, View } from "@gort/types";
import { defaultRuntime } from "./default.ts";
import type { RootSlot } from "./unsafe-access.ts";

export type { Addr, Ptr } from "@gort/memory";
export { alignof, offsetof, type RawValue, sizeof, type View } from "@gort/types";
export { type RootSlot, Unsafe } from "./unsafe-access.ts";

/** `size` zeroed bytes; `typ` from `newType`, 0 for no pointers. */
export function mallocgc(size: number, typ = 0): Addr {
  return defaultRuntime().unsafe.mallocgc(size, typ);
}

/** Describes objects of `size` bytes whose 8-byte words at these positions are pointers. */
export function newType(size: number, pointerWords: readonly number[]): number {
  return defaultRuntime().unsafe.newType(size, pointerWords);
}

/** A zero value that nothing roots. */
export function newObject<T extends Type>(type: T): Ptr<T> {
  return defaultRuntime().unsafe.newObject(type);
}

/** An array of `n` zero values that nothing roots. */
export function newArray<T extends Type>(type: T, n: number): Ptr<T> {
  return defaultRuntime().unsafe.newArray(type, n);
}

/** Fields by name, without allocation. */
export function view<T extends Type>(type: T, ptr?: Ptr<T>): View<T> {
  return defaultRuntime().unsafe.view(type, ptr);
}

/** `*ptr` */
export function load<T extends Type>(type: T, ptr: Ptr<T>): RawValue<T> {
  return defaultRuntime().unsafe.load(type, ptr);
}

/** `*ptr = value`, with the write barrier for pointers. */
export function store<T extends Type>(type: T, ptr: Ptr<T>, value: RawValue<T>): void {
  defaultRuntime().unsafe.store(type, ptr, value);
}

/** `n` bytes of the memory itself, not a copy. */
export function bytes(ptr: Addr, n: number): Uint8Array {
  return defaultRuntime().unsafe.bytes(ptr, n);
}

/** A global root that holds `ptr` until it is freed. */
export function newRoot(ptr: Addr | number = 0): RootSlot {
  return defaultRuntime().unsafe.newRoot(ptr);
}

export function setRoot(slot: RootSlot, ptr: Addr | number): void {
  defaultRuntime().unsafe.setRoot(slot, ptr);
}

export function freeRoot(slot: RootSlot): void {
  defaultRuntime().unsafe.freeRoot(slot);
}
