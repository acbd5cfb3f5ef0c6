/**
 * Handles of objects in the heap that are no Refs or Slices, such as channels, as arguments of tasks. Their classes
 * tell here which object they refer to. On the other thread, a function of the kind makes a handle of its own
 * (`OpenHandle`).
 *
 * The key is a registered symbol, because two copies of a package may meet in one program.
 */
import type { Addr } from "@gort/memory";
import type { Heap, Type } from "@gort/types";

/** The method of a handle that describes it. */
export const HANDLE: unique symbol = Symbol.for("gort.handle");

/** Kinds of handles. The numbers stand in the linear memory, so they never change their meaning. */
export const HANDLE_CHAN = 1;

/** What of a handle goes to another thread. */
export interface HandleDescription {
  readonly kind: number;
  /** For error messages: `HeapChan<int>`. */
  readonly name: string;
  readonly heap: Heap;
  /** The object that the handle keeps alive; 0 once the handle was released. */
  readonly addr: Addr;
  /** The type of the elements, for kinds that have one. */
  readonly type: Type | null;
}

export interface HeapHandle {
  /** Runs no code of the program. */
  [HANDLE](): HandleDescription;
}

/** Makes a handle of this thread for an object of its kind. The caller keeps the object alive meanwhile. */
export type OpenHandle = (addr: Addr, type: Type | null) => unknown;

/** Whether `x` is such a handle. It reads a property of `x`, which may run code of the program. */
export function isHeapHandle(x: unknown): x is HeapHandle {
  return typeof x === "object" && x !== null && typeof (x as Partial<HeapHandle>)[HANDLE] === "function";
}
