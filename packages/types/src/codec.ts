/**
 * Codecs: how a value of a type is read from and written to an address. A codec is a pair of closures over
 * the memory's views, made once a heap and type; accessors and slices call them with addresses.
 *
 * Every store checks its value: a typed array would silently wrap 300 into an int8, which is never what a
 * program means. What fails the check is left unwritten.
 *
 * A value may have code of its own: getters, traps of a proxy, elements of a list that are getters. That code
 * may release the target, let its slice grow, or collect garbage. So a store that is not atomic has three steps:
 *
 *   1. take    reads the value, each part of it once, and checks it. Here alone code of the value runs.
 *   2. ready   checks handles again, and allocates. It may fail, and has written nothing yet.
 *   3. put     writes. It can't fail.
 *
 * The address is computed after the first step. Memory that nothing else refers to is an exception: code of a
 * value can't reach it, so `store` fills it while it reads.
 */

import { show } from "@gort/base";
import type { Root } from "./cell.ts";

export interface Codec {
  /** `root` keeps the object around `addr` alive: for values that stay inside of it. */
  load(addr: number, root: Root): unknown;
  /** Whether `take` runs no code of the value: `store` may then write to any address. */
  readonly atomic: boolean;
  /** Reads, checks and writes. Where it is not atomic, the memory must be rooted, and out of the program's reach. */
  store(addr: number, value: unknown): void;
  /**
   * All steps, for the place at `offset` in the target of a live Ref. Only where handles have a shorter way than
   * the steps; it throws if the value's own code has released the Ref.
   */
  assign?(ref: Root, offset: number, value: unknown): void;
  /** Step 1. */
  take(value: unknown): unknown;
  /** Step 2: what `put` needs. A copy of values that lie in the target [lo, hi) is made first. */
  ready(taken: unknown, lo: number, hi: number): unknown;
  /** Step 3. */
  put(addr: number, ready: unknown): void;
  /** Gives up what `take` made, after `put` or instead of it. */
  drop(taken: unknown): void;
}

/** Steps 2 and 3 of a store. */
export function storeTaken(codec: Codec, addr: number, taken: unknown): void {
  // One value may lie over its own target: put moves it.
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

export function unchanged(taken: unknown): unknown {
  return taken;
}

/** `drop` of a codec whose `take` makes nothing. */
export function nothing(): void {}

/** The error of a value of another kind than the type `name` needs. */
export function wrongType(name: string, want: string, v: unknown): never {
  throw new TypeError(`types: ${name} must be ${want} (got ${show(v)})`);
}
