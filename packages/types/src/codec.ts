/**
 * Codecs: each reads and writes the values of one type at an address. A codec is a set of closures over the memory's
 * views, made once per heap and type. Accessors and slices call it with addresses.
 *
 * Every store checks its value: a typed array would silently wrap 300 into an int8, which no program means. A value
 * that fails the check is not written.
 *
 * A value may contain code: getters, traps of a proxy, elements of a list that are getters. That code may release the
 * target, grow the target's slice, or collect garbage. So a store that is not atomic has three steps:
 *
 *   1. take    reads the value, each part of it once, and checks it. Code of the value runs only here.
 *   2. ready   checks handles again, and allocates. It may fail, and has written nothing yet.
 *   3. put     writes. It cannot fail.
 *
 * The address is computed after the first step. There is one exception: code of a value cannot reach memory to which
 * nothing else refers, so `store` fills such memory while it reads the value.
 *
 * A load reads the value before code of the type's declaration may run (`holding`).
 */

import { show } from "@gort/base";
import type { Addr } from "@gort/memory";
import type { Root } from "./cell.ts";
import type { Heap } from "./heap.ts";

export interface Codec {
  /** Reads the value. `root` keeps the object around `addr` alive, for values that stay inside of that object. */
  load(addr: number, root: Root): unknown;
  /** Whether `take` runs no code of the value. If so, `store` may write to any address. */
  readonly atomic: boolean;
  /** Reads, checks and writes. If the codec is not atomic, the memory must be rooted and out of the program's reach. */
  store(addr: number, value: unknown): void;
  /**
   * All three steps, for the place at `offset` in the target of a live Ref. A codec has it only where handles allow a
   * shorter way than the steps. It throws if the value's own code has released the Ref.
   */
  assign?(ref: Root, offset: number, value: unknown): void;
  /** Step 1. */
  take(value: unknown): unknown;
  /** Step 2: returns the argument of `put`. It copies values away that lie in the target [lo, hi). */
  ready(taken: unknown, lo: number, hi: number): unknown;
  /** Step 3. */
  put(addr: number, ready: unknown): void;
  /** Releases the handles that `take` made, after `put` or instead of it. */
  drop(taken: unknown): void;
}

/** Steps 2 and 3 of a store. */
export function storeTaken(codec: Codec, addr: number, taken: unknown): void {
  // A single value may overlap its own target: put moves it. So the target is empty: [addr, addr).
  if (codec.drop === nothing) {
    codec.put(addr, codec.ready(taken, addr, addr));
    return;
  }
  try {
    codec.put(addr, codec.ready(taken, addr, addr));
  } finally {
    codec.drop(taken);
  }
}

/** The three steps, for the place at `offset` in the target of a live Ref. */
export function assignTaken(codec: Codec, ref: Root, offset: number, value: unknown): void {
  const taken = codec.take(value);
  // The value's own code may have released the Ref.
  if (ref.slot === 0) {
    codec.drop(taken);
    ref.gone();
  }
  storeTaken(codec, ref.addr + offset, taken);
}

/**
 * Runs `f`, which may run code of a type's declaration, and so release and collect anything. The object at `addr` lives
 * on meanwhile.
 */
export function holding<T>(heap: Heap, addr: number, f: () => T): T {
  if (addr === 0) return f();
  const slot = heap.newRef(addr as Addr);
  try {
    return f();
  } finally {
    heap.releaseRef(slot);
  }
}

/** `ready` of a codec whose `put` writes the result of `take`. */
export function unchanged(taken: unknown): unknown {
  return taken;
}

/** `drop` of a codec whose `take` makes nothing. */
export function nothing(): void {}

/** The error of a value of another kind than the type `name` needs. */
export function wrongType(name: string, want: string, v: unknown): never {
  throw new TypeError(`types: ${name} must be ${want} (got ${show(v)})`);
}
