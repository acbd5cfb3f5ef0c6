/**
 * Codecs: how a value of a type is read from and written to an address. A codec is a pair of closures over
 * the memory's views, made once a heap and type; accessors and slices call them with addresses.
 *
 * Every store checks its value: a typed array would silently wrap 300 into an int8, which is never what a
 * program means. What fails the check is left unwritten.
 */

import type { Addr, LinearMemory } from "@gort/memory";
import type { Root } from "./cell.ts";
import type { Heap } from "./heap.ts";
import type { Complex, ScalarType } from "./type.ts";

export interface Codec {
  /** `root` keeps the object around `addr` alive: for values that stay inside of it. */
  load(addr: number, root: Root): unknown;
  store(addr: number, value: unknown): void;
}

const TWO32 = 4294967296;

/** A value in an error message. */
export function show(v: unknown): string {
  if (typeof v === "bigint") return `${v}n`;
  if (typeof v === "string") return JSON.stringify(v.length > 20 ? `${v.slice(0, 20)}...` : v);
  if (typeof v === "object" && v !== null) return v.constructor?.name ?? "object";
  return String(v);
}

function wholeNumber(name: string, lo: number, hi: number, v: unknown): never {
  const text = `types: ${name} must be a whole number from ${lo} to ${hi} (got ${show(v)})`;
  throw typeof v === "number" ? new RangeError(text) : new TypeError(text);
}

function wrongType(name: string, want: string, v: unknown): never {
  throw new TypeError(`types: ${name} must be ${want} (got ${show(v)})`);
}

/** Bytes above 2 GiB go through the DataView: some engines are 40 times slower with such a Uint8Array index. */
const HALF = 0x80000000;

function byteCodec(mem: LinearMemory, name: string, lo: number, hi: number): Codec {
  const { u8, view } = mem;
  const signed = lo < 0;
  return {
    load(addr) {
      const b = addr < HALF ? u8[addr] : view.getUint8(addr);
      return signed ? (b << 24) >> 24 : b;
    },
    store(addr, v) {
      if (typeof v !== "number" || (v | 0) !== v || v < lo || v > hi) wholeNumber(name, lo, hi, v);
      if (addr < HALF) u8[addr] = v;
      else view.setUint8(addr, v & 0xff);
    },
  };
}

function boolCodec({ u8, view }: LinearMemory): Codec {
  return {
    load: (addr) => (addr < HALF ? u8[addr] : view.getUint8(addr)) !== 0,
    store(addr, v) {
      if (typeof v !== "boolean") wrongType("bool", "a boolean", v);
      const b = v ? 1 : 0;
      if (addr < HALF) u8[addr] = b;
      else view.setUint8(addr, b);
    },
  };
}

function halfCodec({ u16 }: LinearMemory, name: string, lo: number, hi: number): Codec {
  const signed = lo < 0;
  return {
    load: (addr) => (signed ? (u16[addr >>> 1] << 16) >> 16 : u16[addr >>> 1]),
    store(addr, v) {
      if (typeof v !== "number" || (v | 0) !== v || v < lo || v > hi) wholeNumber(name, lo, hi, v);
      u16[addr >>> 1] = v;
    },
  };
}

function int32Codec({ i32 }: LinearMemory): Codec {
  return {
    load: (addr) => i32[addr >>> 2],
    store(addr, v) {
      if (typeof v !== "number" || (v | 0) !== v) wholeNumber("int32", -HALF, HALF - 1, v);
      i32[addr >>> 2] = v;
    },
  };
}

function uint32Codec({ u32 }: LinearMemory): Codec {
  return {
    load: (addr) => u32[addr >>> 2],
    store(addr, v) {
      if (typeof v !== "number" || v >>> 0 !== v) wholeNumber("uint32", 0, TWO32 - 1, v);
      u32[addr >>> 2] = v;
    },
  };
}

/** 64 bits as a number: exact, or refused. */
function intCodec({ u32, i32 }: LinearMemory, name: string, lo: number): Codec {
  const tooLarge = (high: number, low: number): never => {
    throw new RangeError(
      `types: ${name} does not fit a number (got ${(BigInt(high) << 32n) + BigInt(low)}); use ${lo < 0 ? "int64" : "uint64"}`,
    );
  };
  return {
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
  };
}

function int64Codec({ bi64 }: LinearMemory, name: "int64" | "uint64"): Codec {
  const clamp = name === "int64" ? BigInt.asIntN : BigInt.asUintN;
  return {
    load: (addr) => (name === "int64" ? bi64[addr >>> 3] : BigInt.asUintN(64, bi64[addr >>> 3])),
    store(addr, v) {
      if (typeof v !== "bigint") wrongType(name, "a bigint", v);
      if (clamp(64, v) !== v) throw new RangeError(`types: ${name} must fit 64 bits (got ${v}n)`);
      bi64[addr >>> 3] = v;
    },
  };
}

function floatCodec(mem: LinearMemory, name: "float32" | "float64"): Codec {
  const { f32, f64 } = mem;
  if (name === "float32") {
    return {
      load: (addr) => f32[addr >>> 2],
      store(addr, v) {
        if (typeof v !== "number") wrongType(name, "a number", v);
        f32[addr >>> 2] = v;
      },
    };
  }
  return {
    load: (addr) => f64[addr >>> 3],
    store(addr, v) {
      if (typeof v !== "number") wrongType(name, "a number", v);
      f64[addr >>> 3] = v;
    },
  };
}

function complexCodec({ f32, f64 }: LinearMemory, name: "complex64" | "complex128"): Codec {
  const view = name === "complex64" ? f32 : f64;
  const shift = name === "complex64" ? 2 : 3;
  return {
    load: (addr): Complex => ({ re: view[addr >>> shift], im: view[(addr >>> shift) + 1] }),
    store(addr, v) {
      const c = v as Partial<Complex> | null | undefined;
      if (typeof c?.re !== "number" || typeof c.im !== "number") wrongType(name, "{ re, im }", v);
      view[addr >>> shift] = c.re;
      view[(addr >>> shift) + 1] = c.im;
    },
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
let scratch = new Uint8Array(1024);

/** Shorter strings are read and written in a loop: calls into the encoder cost more. */
const SHORT = 24;

/** The text of `n` bytes of UTF-8 at `addr`; invalid bytes read as U+FFFD. */
export function readString(mem: LinearMemory, addr: number, n: number): string {
  if (n === 0) return "";
  if (n <= SHORT && addr < HALF) {
    const { u8 } = mem;
    let text = "";
    for (let i = 0; i < n; i++) {
      const c = u8[addr + i];
      // The first byte that isn't ASCII sends the whole string to the decoder.
      if (c >= 0x80) return decoder.decode(u8.slice(addr, addr + n));
      text += String.fromCharCode(c);
    }
    return text;
  }
  // A decoder need not accept shared memory: slice copies out of it.
  return decoder.decode(mem.u8.slice(addr, addr + n));
}

/**
 * Puts the UTF-8 form of `text` into `scratchBytes()` and returns its length. Lone surrogates become
 * U+FFFD, as they have no UTF-8 form.
 */
export function encodeString(text: string): number {
  if (text.length * 3 > scratch.length)
    scratch = new Uint8Array(Math.max(text.length * 3, scratch.length * 2));
  const n = text.length;
  if (n <= SHORT) {
    let i = 0;
    for (; i < n; i++) {
      const c = text.charCodeAt(i);
      if (c >= 0x80) break;
      scratch[i] = c;
    }
    if (i === n) return n;
  }
  return encoder.encodeInto(text, scratch).written;
}

export function scratchBytes(): Uint8Array {
  return scratch;
}

/** Copies `n` bytes into the memory. */
export function writeBytes(mem: LinearMemory, addr: number, from: Uint8Array, n: number): void {
  if (n <= SHORT && addr < HALF) {
    const { u8 } = mem;
    for (let i = 0; i < n; i++) u8[addr + i] = from[i];
  } else {
    mem.u8.set(n === from.length ? from : from.subarray(0, n), addr);
  }
}

function stringCodec(heap: Heap): Codec {
  const { mem } = heap;
  const { u32 } = mem;
  // Strings of one byte share a table outside of the heap, as in Go: they allocate nothing.
  let oneByte = 0;
  const oneByteTable = (): number => {
    oneByte = mem.persistentAlloc(256, 8, "otherSys");
    if (oneByte !== 0) for (let i = 0; i < 256; i++) mem.u8[oneByte + i] = i;
    return oneByte;
  };
  return {
    load: (addr) => readString(mem, u32[addr >>> 2], u32[(addr + 8) >>> 2]),
    store(addr, v) {
      if (typeof v !== "string") wrongType("string", "a string", v);
      const n = encodeString(v);
      let data = 0;
      if (n === 1 && (oneByte !== 0 || oneByteTable() !== 0)) {
        data = oneByte + scratch[0];
      } else if (n > 0) {
        data = heap.malloc(n, 0, false);
        writeBytes(mem, data, scratch, n);
      }
      heap.storePointer(addr as Addr, data as Addr);
      u32[(addr + 8) >>> 2] = n;
    },
  };
}

function bytesCodec(heap: Heap): Codec {
  const { mem } = heap;
  const { u32, u8 } = mem;
  return {
    load(addr) {
      const data = u32[addr >>> 2];
      return u8.slice(data, data + u32[(addr + 8) >>> 2]);
    },
    store(addr, v) {
      if (!(v instanceof Uint8Array)) wrongType("bytes", "a Uint8Array", v);
      const n = v.length;
      const cap = heap.roundupsize(n, true);
      let data = 0;
      if (n > 0) {
        data = heap.malloc(cap, 0);
        writeBytes(mem, data, v, n);
      }
      heap.storePointer(addr as Addr, data as Addr);
      u32[(addr + 8) >>> 2] = n;
      u32[(addr + 16) >>> 2] = n > 0 ? cap : 0;
    },
  };
}

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
