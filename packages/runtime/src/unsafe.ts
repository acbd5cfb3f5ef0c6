/**
 * `@gort/runtime/unsafe`: raw pointers into the heap of the running goroutine's runtime. In host code, the heap is the
 * default runtime's.
 */
import type { Addr, Ptr } from "@gort/memory";
import type { RawValue, Type, View } from "@gort/types";
import { currentRuntime } from "./default.ts";
import type { RootSlot } from "./unsafe-access.ts";

export type { Addr, Ptr } from "@gort/memory";
export { alignof, offsetof, type RawValue, sizeof, type View } from "@gort/types";
export { type RootSlot, Unsafe } from "./unsafe-access.ts";

/** Allocates `size` zeroed bytes. `typ`, from `newType`, describes where the pointers are; 0 means none. */
export function mallocgc(size: number, typ = 0): Addr {
  return currentRuntime().unsafe.mallocgc(size, typ);
}

/** Describes objects of `size` bytes whose 8-byte words at these positions are pointers. */
export function newType(size: number, pointerWords: readonly number[]): number {
  return currentRuntime().unsafe.newType(size, pointerWords);
}

/** Allocates a zero value that nothing roots. */
export function newObject<T extends Type>(type: T): Ptr<T> {
  return currentRuntime().unsafe.newObject(type);
}

/** Allocates an array of `n` zero values that nothing roots. */
export function newArray<T extends Type>(type: T, n: number): Ptr<T> {
  return currentRuntime().unsafe.newArray(type, n);
}

/** Fields by name, without allocation. */
export function view<T extends Type>(type: T, ptr?: Ptr<T>): View<T> {
  return currentRuntime().unsafe.view(type, ptr);
}

/** `*ptr` */
export function load<T extends Type>(type: T, ptr: Ptr<T>): RawValue<T> {
  return currentRuntime().unsafe.load(type, ptr);
}

/** `*ptr = value`, with the write barrier for pointers. */
export function store<T extends Type>(type: T, ptr: Ptr<T>, value: RawValue<T>): void {
  currentRuntime().unsafe.store(type, ptr, value);
}

/** `n` bytes of the memory itself, not a copy. */
export function bytes(ptr: Addr, n: number): Uint8Array {
  return currentRuntime().unsafe.bytes(ptr, n);
}

/** A global root that holds `ptr` until it is freed. */
export function newRoot(ptr: Addr | number = 0): RootSlot {
  return currentRuntime().unsafe.newRoot(ptr);
}

/** Makes the root hold `ptr` instead. */
export function setRoot(slot: RootSlot, ptr: Addr | number): void {
  currentRuntime().unsafe.setRoot(slot, ptr);
}

/** Frees a root of `newRoot`. */
export function freeRoot(slot: RootSlot): void {
  currentRuntime().unsafe.freeRoot(slot);
}
