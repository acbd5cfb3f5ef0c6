/**
 * The codecs of scalars. A store refuses a value that its type does not hold exactly: a typed array would wrap it.
 */

import { show } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { HALF } from "./bytes.ts";
import { type Codec, nothing, unchanged, wrongType } from "./codec.ts";
import type { Heap } from "./heap.ts";
import { bytesCodec, stringCodec } from "./string-codec.ts";
import type { Complex, ScalarType } from "./type.ts";

const TWO32 = 4294967296;

// The checks of values. Stores of numbers repeat theirs, because that is faster than a call.

export function takeInt32(v: unknown): number {
  if (typeof v !== "number" || (v | 0) !== v) wholeNumber("int32", -HALF, HALF - 1, v);
  return v;
}

export function takeUint32(v: unknown): number {
  if (typeof v !== "number" || v >>> 0 !== v) wholeNumber("uint32", 0, TWO32 - 1, v);
  return v;
}

export function takeUintptr(v: unknown): number {
  return takeInt("uintptr", 0, v);
}

function takeInt(name: string, lo: number, v: unknown): number {
  if (typeof v !== "number" || !Number.isSafeInteger(v) || v < lo) {
    wholeNumber(name, lo, Number.MAX_SAFE_INTEGER, v);
  }
  return v;
}

export function takeInt64(v: unknown): bigint {
  if (typeof v !== "bigint") wrongType("int64", "a bigint", v);
  if (BigInt.asIntN(64, v) !== v) tooLong("int64", v);
  return v;
}

export function takeUint64(v: unknown): bigint {
  if (typeof v !== "bigint") wrongType("uint64", "a bigint", v);
  if (BigInt.asUintN(64, v) !== v) tooLong("uint64", v);
  return v;
}

function tooLong(name: string, v: bigint): never {
  throw new RangeError(`types: ${name} must fit 64 bits (got ${v}n)`);
}

/** A codec whose values are primitives: `put` writes the value that `take` has checked. */
function primitive(c: Pick<Codec, "load" | "store" | "take">): Codec {
  return {
    load: c.load,
    atomic: true,
    store: c.store,
    take: c.take,
    ready: unchanged,
    put: c.store,
    drop: nothing,
  };
}

function wholeNumber(name: string, lo: number, hi: number, v: unknown): never {
  const text = `types: ${name} must be a whole number from ${lo} to ${hi} (got ${show(v)})`;
  throw typeof v === "number" ? new RangeError(text) : new TypeError(text);
}

function byteCodec(mem: LinearMemory, name: string, lo: number, hi: number): Codec {
  const { u8, view } = mem;
  const signed = lo < 0;
  return primitive({
    load(addr) {
      const b = addr < HALF ? u8[addr] : view.getUint8(addr);
      return signed ? (b << 24) >> 24 : b;
    },
    take(v) {
      if (typeof v !== "number" || (v | 0) !== v || v < lo || v > hi) wholeNumber(name, lo, hi, v);
      return v;
    },
    store(addr, v) {
      if (typeof v !== "number" || (v | 0) !== v || v < lo || v > hi) wholeNumber(name, lo, hi, v);
      if (addr < HALF) u8[addr] = v;
      else view.setUint8(addr, v & 0xff);
    },
  });
}

function boolCodec({ u8, view }: LinearMemory): Codec {
  return primitive({
    load: (addr) => (addr < HALF ? u8[addr] : view.getUint8(addr)) !== 0,
    take(v) {
      if (typeof v !== "boolean") wrongType("bool", "a boolean", v);
      return v;
    },
    store(addr, v) {
      if (typeof v !== "boolean") wrongType("bool", "a boolean", v);
      const b = v ? 1 : 0;
      if (addr < HALF) u8[addr] = b;
      else view.setUint8(addr, b);
    },
  });
}

function halfCodec({ u16 }: LinearMemory, name: string, lo: number, hi: number): Codec {
  const signed = lo < 0;
  return primitive({
    take(v) {
      if (typeof v !== "number" || (v | 0) !== v || v < lo || v > hi) wholeNumber(name, lo, hi, v);
      return v;
    },
    load: (addr) => (signed ? (u16[addr >>> 1] << 16) >> 16 : u16[addr >>> 1]),
    store(addr, v) {
      if (typeof v !== "number" || (v | 0) !== v || v < lo || v > hi) wholeNumber(name, lo, hi, v);
      u16[addr >>> 1] = v;
    },
  });
}

function int32Codec({ i32 }: LinearMemory): Codec {
  return primitive({
    load: (addr) => i32[addr >>> 2],
    take: takeInt32,
    store(addr, v) {
      if (typeof v !== "number" || (v | 0) !== v) wholeNumber("int32", -HALF, HALF - 1, v);
      i32[addr >>> 2] = v;
    },
  });
}

function uint32Codec({ u32 }: LinearMemory): Codec {
  return primitive({
    load: (addr) => u32[addr >>> 2],
    take: takeUint32,
    store(addr, v) {
      if (typeof v !== "number" || v >>> 0 !== v) wholeNumber("uint32", 0, TWO32 - 1, v);
      u32[addr >>> 2] = v;
    },
  });
}

/** 64 bits as a number: a value that no number holds exactly is an error. */
function intCodec({ u32, i32 }: LinearMemory, name: string, lo: number): Codec {
  const tooLarge = (high: number, low: number): never => {
    throw new RangeError(
      `types: ${name} does not fit a number (got ${(BigInt(high) << 32n) + BigInt(low)}); ` +
        `use ${lo < 0 ? "int64" : "uint64"}`,
    );
  };
  return primitive({
    take: (v) => takeInt(name, lo, v),
    load(addr) {
      const i = addr >>> 2;
      const low = u32[i];
      const high = lo < 0 ? i32[i + 1] : u32[i + 1];
      if (high === 0) return low;
      const v = high * TWO32 + low;
      if (!Number.isSafeInteger(v)) tooLarge(high, low);
      return v;
    },
    store(addr, v) {
      if (typeof v !== "number" || !Number.isSafeInteger(v) || v < lo) {
        wholeNumber(name, lo, Number.MAX_SAFE_INTEGER, v);
      }
      const i = addr >>> 2;
      u32[i] = v;
      i32[i + 1] = Math.floor(v / TWO32);
    },
  });
}

function int64Codec({ bi64 }: LinearMemory, name: "int64" | "uint64"): Codec {
  const take = name === "int64" ? takeInt64 : takeUint64;
  return primitive({
    load: (addr) => (name === "int64" ? bi64[addr >>> 3] : BigInt.asUintN(64, bi64[addr >>> 3])),
    take,
    store(addr, v) {
      bi64[addr >>> 3] = take(v);
    },
  });
}

function floatCodec(mem: LinearMemory, name: "float32" | "float64"): Codec {
  const { f32, f64 } = mem;
  const take = (v: unknown): number => {
    if (typeof v !== "number") wrongType(name, "a number", v);
    return v;
  };
  if (name === "float32") {
    return primitive({
      load: (addr) => f32[addr >>> 2],
      take,
      store(addr, v) {
        if (typeof v !== "number") wrongType(name, "a number", v);
        f32[addr >>> 2] = v;
      },
    });
  }
  return primitive({
    load: (addr) => f64[addr >>> 3],
    take,
    store(addr, v) {
      if (typeof v !== "number") wrongType(name, "a number", v);
      f64[addr >>> 3] = v;
    },
  });
}

function complexCodec({ f32, f64 }: LinearMemory, name: "complex64" | "complex128"): Codec {
  const view = name === "complex64" ? f32 : f64;
  const shift = name === "complex64" ? 2 : 3;
  const take = (v: unknown): Complex => {
    if (typeof v !== "object" || v === null) wrongType(name, "{ re, im }", v);
    const { re, im } = v as Partial<Complex>;
    if (typeof re !== "number" || typeof im !== "number") wrongType(name, "{ re, im }", v);
    return { re, im };
  };
  const put = (addr: number, ready: unknown): void => {
    const c = ready as Complex;
    view[addr >>> shift] = c.re;
    view[(addr >>> shift) + 1] = c.im;
  };
  return {
    load: (addr): Complex => ({ re: view[addr >>> shift], im: view[(addr >>> shift) + 1] }),
    atomic: false,
    store: (addr, v) => put(addr, take(v)),
    take,
    ready: unchanged,
    put,
    drop: nothing,
  };
}

/** The codec of a scalar type in a heap. */
export function scalarCodec(heap: Heap, type: ScalarType<unknown>): Codec {
  const { mem } = heap;
  switch (type.kind) {
    case "bool":
      return boolCodec(mem);
    case "int8":
      return byteCodec(mem, "int8", -128, 127);
    case "uint8":
      return byteCodec(mem, "uint8", 0, 255);
    case "int16":
      return halfCodec(mem, "int16", -32768, 32767);
    case "uint16":
      return halfCodec(mem, "uint16", 0, 65535);
    case "int32":
      return int32Codec(mem);
    case "uint32":
      return uint32Codec(mem);
    case "int":
      return intCodec(mem, "int", Number.MIN_SAFE_INTEGER);
    case "uint":
    case "uintptr":
      return intCodec(mem, type.kind, 0);
    case "int64":
    case "uint64":
      return int64Codec(mem, type.kind);
    case "float32":
    case "float64":
      return floatCodec(mem, type.kind);
    case "complex64":
    case "complex128":
      return complexCodec(mem, type.kind);
    case "string":
      return stringCodec(heap);
    case "bytes":
      return bytesCodec(heap);
    default:
      throw new TypeError(`types: ${type.kind} is not a scalar`);
  }
}
