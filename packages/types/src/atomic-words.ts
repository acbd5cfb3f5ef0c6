/**
 * Atomic operations on the words of a heap, by address. Values are those that the codec of the type has: numbers of 32
 * bits, bigints of 64 bits, and numbers up to 2^53 for uintptr. Arithmetic wraps, as Go's does.
 *
 * Words of 32 bits go through the kernel, whose WebAssembly takes half the time of the Atomics functions. Words of 64
 * bits go through Atomics on a BigInt64Array, since a bigint is their value in any case.
 *
 * All operations are sequentially consistent, as in Go.
 */
import type { LinearMemory } from "@gort/memory";
import { takeInt32, takeInt64, takeUint32, takeUint64, takeUintptr } from "./scalar-codec.ts";

/** The operations on the words of one type. `take` checks a value of the program; the others take checked values. */
export interface Words<V> {
  /** Bytes of a word: addresses are multiples of it. */
  readonly size: 4 | 8;
  take(v: unknown): V;
  load(mem: LinearMemory, addr: number): V;
  store(mem: LinearMemory, addr: number, v: V): void;
  /** Returns the old value; so do `and` and `or`. */
  swap(mem: LinearMemory, addr: number, v: V): V;
  compareAndSwap(mem: LinearMemory, addr: number, old: V, v: V): boolean;
  /** Returns the new value. */
  add(mem: LinearMemory, addr: number, delta: V): V;
  and(mem: LinearMemory, addr: number, mask: V): V;
  or(mem: LinearMemory, addr: number, mask: V): V;
}

export const int32Words: Words<number> = {
  size: 4,
  take: takeInt32,
  load: ({ kernel }, addr) => kernel.load(addr),
  store: ({ kernel }, addr, v) => kernel.store(addr, v),
  swap: ({ kernel }, addr, v) => kernel.xchg(addr, v),
  compareAndSwap: ({ kernel }, addr, old, v) => kernel.cas(addr, old, v) === old,
  add: ({ kernel }, addr, delta) => (kernel.add(addr, delta) + delta) | 0,
  and: ({ kernel }, addr, mask) => kernel.and(addr, mask),
  or: ({ kernel }, addr, mask) => kernel.or(addr, mask),
};

export const uint32Words: Words<number> = {
  size: 4,
  take: takeUint32,
  load: ({ kernel }, addr) => kernel.load(addr) >>> 0,
  store: ({ kernel }, addr, v) => kernel.store(addr, v),
  swap: ({ kernel }, addr, v) => kernel.xchg(addr, v) >>> 0,
  compareAndSwap: ({ kernel }, addr, old, v) => kernel.cas(addr, old, v) >>> 0 === old,
  add: ({ kernel }, addr, delta) => (kernel.add(addr, delta) + delta) >>> 0,
  and: ({ kernel }, addr, mask) => kernel.and(addr, mask) >>> 0,
  or: ({ kernel }, addr, mask) => kernel.or(addr, mask) >>> 0,
};

/** Words of 64 bits. `toValue` makes a value from the signed bits. A bigint beyond 64 bits counts modulo 2^64. */
function words64<V>(
  take: (v: unknown) => V,
  toBits: (v: V) => bigint,
  toValue: (bits: bigint) => V,
): Words<V> {
  return {
    size: 8,
    take,
    load: ({ bi64 }, addr) => toValue(Atomics.load(bi64, addr >>> 3)),
    store({ bi64 }, addr, v) {
      Atomics.store(bi64, addr >>> 3, toBits(v));
    },
    swap: ({ bi64 }, addr, v) => toValue(Atomics.exchange(bi64, addr >>> 3, toBits(v))),
    compareAndSwap({ bi64 }, addr, old, v) {
      const bits = BigInt.asIntN(64, toBits(old));
      return Atomics.compareExchange(bi64, addr >>> 3, bits, toBits(v)) === bits;
    },
    add({ bi64 }, addr, delta) {
      const bits = toBits(delta);
      return toValue(BigInt.asIntN(64, Atomics.add(bi64, addr >>> 3, bits) + bits));
    },
    and: ({ bi64 }, addr, mask) => toValue(Atomics.and(bi64, addr >>> 3, toBits(mask))),
    or: ({ bi64 }, addr, mask) => toValue(Atomics.or(bi64, addr >>> 3, toBits(mask))),
  };
}

const same = (v: bigint): bigint => v;

export const int64Words = words64<bigint>(takeInt64, same, same);

export const uint64Words = words64<bigint>(takeUint64, same, (bits) => BigInt.asUintN(64, bits));

export const uintptrWords = words64<number>(takeUintptr, BigInt, (bits) => {
  const v = Number(BigInt.asUintN(64, bits));
  if (Number.isSafeInteger(v)) return v;
  throw new RangeError(`types: uintptr does not fit a number (got ${BigInt.asUintN(64, bits)}); use uint64`);
});
