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
import type { Addr, LinearMemory } from "@gort/memory";
import type { Root } from "./cell.ts";
import type { Heap } from "./heap.ts";
import type { Complex, ScalarType } from "./type.ts";

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

/** A codec whose values are primitives: what `take` has checked is what `put` writes. */
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

const TWO32 = 4294967296;

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
    take(v) {
      if (typeof v !== "number" || (v | 0) !== v) wholeNumber("int32", -HALF, HALF - 1, v);
      return v;
    },
    store(addr, v) {
      if (typeof v !== "number" || (v | 0) !== v) wholeNumber("int32", -HALF, HALF - 1, v);
      i32[addr >>> 2] = v;
    },
  });
}

function uint32Codec({ u32 }: LinearMemory): Codec {
  return primitive({
    load: (addr) => u32[addr >>> 2],
    take(v) {
      if (typeof v !== "number" || v >>> 0 !== v) wholeNumber("uint32", 0, TWO32 - 1, v);
      return v;
    },
    store(addr, v) {
      if (typeof v !== "number" || v >>> 0 !== v) wholeNumber("uint32", 0, TWO32 - 1, v);
      u32[addr >>> 2] = v;
    },
  });
}

/** 64 bits as a number: exact, or refused. */
function intCodec({ u32, i32 }: LinearMemory, name: string, lo: number): Codec {
  const tooLarge = (high: number, low: number): never => {
    throw new RangeError(
      `types: ${name} does not fit a number (got ${(BigInt(high) << 32n) + BigInt(low)}); use ${lo < 0 ? "int64" : "uint64"}`,
    );
  };
  return primitive({
    take(v) {
      if (typeof v !== "number" || !Number.isSafeInteger(v) || v < lo) {
        wholeNumber(name, lo, Number.MAX_SAFE_INTEGER, v);
      }
      return v;
    },
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
  const clamp = name === "int64" ? BigInt.asIntN : BigInt.asUintN;
  const take = (v: unknown): bigint => {
    if (typeof v !== "bigint") wrongType(name, "a bigint", v);
    if (clamp(64, v) !== v) throw new RangeError(`types: ${name} must fit 64 bits (got ${v}n)`);
    return v;
  };
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

const encoder = new TextEncoder();
const decoder = new TextDecoder();
let scratch = new Uint8Array(1024);

/** Shorter strings are read and written in a loop: calls into the encoder cost more. */
const SHORT = 24;

// Kept from the beginning: a program may replace the global, or its Symbol.species.
const U8 = Uint8Array;

/** A copy of `n` bytes of the memory. Unlike `slice` it asks no constructor of the program. */
export function copyOut(mem: LinearMemory, addr: number, n: number): Uint8Array {
  const out = new U8(n);
  if (n > 0) out.set(new U8(mem.u8.buffer, addr, n));
  return out;
}

/** The text of `n` bytes of UTF-8 at `addr`; invalid bytes read as U+FFFD. */
export function readString(mem: LinearMemory, addr: number, n: number): string {
  if (n === 0) return "";
  if (n <= SHORT && addr < HALF) {
    const { u8 } = mem;
    let text = "";
    for (let i = 0; i < n; i++) {
      const c = u8[addr + i];
      // The first byte that isn't ASCII sends the whole string to the decoder.
      if (c >= 0x80) return decoder.decode(copyOut(mem, addr, n));
      text += String.fromCharCode(c);
    }
    return text;
  }
  // A decoder need not accept shared memory.
  return decoder.decode(copyOut(mem, addr, n));
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

/** Copies the first `n` bytes of `from` into the memory, and never more. */
export function writeBytes(mem: LinearMemory, addr: number, from: Uint8Array, n: number): void {
  if (n <= SHORT && addr < HALF) {
    const { u8 } = mem;
    for (let i = 0; i < n; i++) u8[addr + i] = from[i];
  } else {
    const view = fixedView(from, n);
    // The buffer of a view that follows its length may have shrunk.
    if (view !== null) mem.u8.set(view, addr);
  }
}

const typedArray = Object.getPrototypeOf(U8.prototype) as object;

/** A getter of all typed arrays: an object's own property of that name changes nothing about it. */
function internal(key: PropertyKey): (v: unknown) => unknown {
  const get = Object.getOwnPropertyDescriptor(typedArray, key)?.get as () => unknown;
  return Function.prototype.call.bind(get) as (v: unknown) => unknown;
}
const tagOf = internal(Symbol.toStringTag);
const lengthOf = internal("length") as (v: unknown) => number;
const bufferOf = internal("buffer") as (v: unknown) => ArrayBufferLike;
const offsetOf = internal("byteOffset") as (v: unknown) => number;

/** A view of the first `n` bytes whose length stays, or null if there are fewer. */
function fixedView(v: Uint8Array, n: number): Uint8Array | null {
  return lengthOf(v) < n ? null : new U8(bufferOf(v), offsetOf(v), n);
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
  let written = 0;
  /** Copies the text into the heap: its address, and the number of bytes in `written`. */
  const allocate = (text: string): number => {
    const n = encodeString(text);
    written = n;
    if (n === 0) return 0;
    if (n === 1 && (oneByte !== 0 || oneByteTable() !== 0)) return oneByte + scratch[0];
    const from = scratch;
    const data = heap.malloc(n, 0, false);
    writeBytes(mem, data, from, n);
    return data;
  };
  const take = (v: unknown): string => {
    if (typeof v !== "string") wrongType("string", "a string", v);
    return v;
  };
  return {
    load: (addr) => readString(mem, u32[addr >>> 2], u32[(addr + 8) >>> 2]),
    atomic: true,
    store(addr, v) {
      const data = allocate(take(v));
      const n = written;
      heap.storePointer(addr as Addr, data as Addr);
      u32[(addr + 8) >>> 2] = n;
    },
    take,
    ready(v): Block {
      const data = allocate(v as string);
      return { data, len: written, cap: 0 };
    },
    put(addr, ready) {
      const { data, len } = ready as Block;
      heap.storePointer(addr as Addr, data as Addr);
      u32[(addr + 8) >>> 2] = len;
    },
    drop: nothing,
  };
}

/** A block of bytes in the heap, not yet referred to. */
interface Block {
  readonly data: number;
  readonly len: number;
  readonly cap: number;
}

function bytesCodec(heap: Heap): Codec {
  const { mem } = heap;
  const { u32 } = mem;
  const check = (v: unknown): Uint8Array => {
    if (tagOf(v) !== "Uint8Array") wrongType("bytes", "a Uint8Array", v);
    return v as Uint8Array;
  };
  const allocate = (v: Uint8Array, n: number, cap: number): number => {
    if (n === 0) return 0;
    const data = heap.malloc(cap, 0);
    writeBytes(mem, data, v, n);
    return data;
  };
  return {
    load: (addr) => copyOut(mem, u32[addr >>> 2], u32[(addr + 8) >>> 2]),
    atomic: true,
    store(addr, v) {
      const from = check(v);
      const n = lengthOf(from);
      const cap = n > 0 ? heap.roundupsize(n, true) : 0;
      const data = allocate(from, n, cap);
      heap.storePointer(addr as Addr, data as Addr);
      u32[(addr + 8) >>> 2] = n;
      u32[(addr + 16) >>> 2] = cap;
    },
    // A copy: other code may change the bytes before they are written.
    take: (v) => {
      const from = check(v);
      const n = lengthOf(from);
      const bytes = new U8(n);
      // A buffer that was detached has a length of 0.
      if (n > 0) bytes.set(new U8(bufferOf(from), offsetOf(from), n));
      return bytes;
    },
    ready(taken): Block {
      const v = taken as Uint8Array;
      const len = lengthOf(v);
      const cap = len > 0 ? heap.roundupsize(len, true) : 0;
      return { data: allocate(v, len, cap), len, cap };
    },
    put(addr, ready) {
      const { data, len, cap } = ready as Block;
      heap.storePointer(addr as Addr, data as Addr);
      u32[(addr + 8) >>> 2] = len;
      u32[(addr + 16) >>> 2] = cap;
    },
    drop: nothing,
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
