/** The codecs of string and bytes: blocks in the heap, to which the value's first word points. */
import type { Addr } from "@gort/memory";
import {
  bufferOf,
  copyOut,
  encodeString,
  lengthOf,
  offsetOf,
  readString,
  scratchBytes,
  tagOf,
  U8,
  writeBytes,
} from "./bytes.ts";
import { type Codec, nothing, wrongType } from "./codec.ts";
import type { Heap } from "./heap.ts";

export function stringCodec(heap: Heap): Codec {
  const { mem } = heap;
  const { u32 } = mem;
  // As in Go, strings of one byte point into a table outside of the heap and allocate nothing.
  let oneByte = 0;
  const oneByteTable = (): number => {
    oneByte = mem.persistentAlloc(256, 8, "otherSys");
    if (oneByte !== 0) for (let i = 0; i < 256; i++) mem.u8[oneByte + i] = i;
    return oneByte;
  };
  let written = 0;
  /** Copies the text into the heap. Returns the address, and leaves the number of bytes in `written`. */
  const allocate = (text: string): number => {
    const n = encodeString(text);
    written = n;
    if (n === 0) return 0;
    if (n === 1 && (oneByte !== 0 || oneByteTable() !== 0)) return oneByte + scratchBytes()[0];
    const from = scratchBytes();
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

/** A block of bytes in the heap to which nothing refers yet. */
interface Block {
  readonly data: number;
  readonly len: number;
  readonly cap: number;
}

export function bytesCodec(heap: Heap): Codec {
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
    // A copy, because other code may change the bytes before they are written.
    take: (v) => {
      const from = check(v);
      const n = lengthOf(from);
      const bytes = new U8(n);
      // A detached buffer has a length of 0.
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
