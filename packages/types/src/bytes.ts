/**
 * Bytes and text, copied into the memory and out of it. A program may have replaced `Uint8Array`, its species, or a
 * property of one of its arrays. So this file uses the constructor and the getters that it found when it was loaded.
 */
import type { LinearMemory } from "@gort/memory";

/**
 * Bytes at addresses from here on go through the DataView: with such an index of a Uint8Array some engines are 40 times
 * slower.
 */
export const HALF = 0x80000000;

const encoder = new TextEncoder();
// Without ignoreBOM the decoder drops a byte order mark at the beginning of a string.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
let scratch = new Uint8Array(1024);

/** Strings up to this length are read and written in a loop: a call of the encoder costs more. */
const SHORT = 24;

/** The Uint8Array that existed when this module was loaded. */
export const U8 = Uint8Array;

/** A copy of `n` bytes of the memory. Unlike `slice` it calls no constructor of the program. */
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
      // At the first byte that is not ASCII, the decoder takes the whole string.
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

/** The buffer of the last encodeString, valid until the next one. */
export function scratchBytes(): Uint8Array {
  return scratch;
}

/** Copies the first `n` bytes of `from` into the memory; nothing if `from` has become shorter. */
export function writeBytes(mem: LinearMemory, addr: number, from: Uint8Array, n: number): void {
  if (n <= SHORT && addr < HALF) {
    const { u8 } = mem;
    for (let i = 0; i < n; i++) u8[addr + i] = from[i];
  } else {
    const view = fixedView(from, n);
    // A view that tracks the length of its buffer may have become shorter.
    if (view !== null) mem.u8.set(view, addr);
  }
}

const typedArray = Object.getPrototypeOf(U8.prototype) as object;

/** A getter of all typed arrays as a function. An array's own property of that name does not affect it. */
function internal(key: PropertyKey): (v: unknown) => unknown {
  const get = Object.getOwnPropertyDescriptor(typedArray, key)?.get as () => unknown;
  return Function.prototype.call.bind(get) as (v: unknown) => unknown;
}
export const tagOf = internal(Symbol.toStringTag);
export const lengthOf = internal("length") as (v: unknown) => number;
export const bufferOf = internal("buffer") as (v: unknown) => ArrayBufferLike;
export const offsetOf = internal("byteOffset") as (v: unknown) => number;

/** A view of the first `n` bytes with a fixed length; null if there are fewer. */
function fixedView(v: Uint8Array, n: number): Uint8Array | null {
  return lengthOf(v) < n ? null : new U8(bufferOf(v), offsetOf(v), n);
}
