/**
 * The kernel: operations that are slow in JavaScript over a large shared buffer. TypedArray.fill on shared memory is 20
 * times slower than memory.fill. The Atomics functions take 8 to 10 ns, where a WebAssembly export with the same
 * instruction takes 3 to 6 ns.
 *
 * Each entry has a twin in TypeScript with the same results. The twin serves hosts that refuse the module (a
 * Content-Security-Policy without wasm-unsafe-eval), and tests that compare the two.
 *
 * Values are signed 32-bit, as WebAssembly returns them: compare with `| 0`, and make an address with `>>> 0`. Atomics
 * take addresses that are multiples of 4. `fill`, `zero` and `copy` take any range inside the memory; n may be 0.
 * Outside of the memory they throw (RangeError, or WebAssembly.RuntimeError).
 */
import { assembleKernel } from "./kernel-wasm.ts";
import { type WasmMemory, wasmHost } from "./wasm-host.ts";

export interface Kernel {
  readonly kind: "wasm" | "js";
  /** Sets n bytes at addr to the low byte of `byte`. */
  fill(addr: number, byte: number, n: number): void;
  /** Sets n bytes at addr to zero. */
  zero(addr: number, n: number): void;
  /** Copies n bytes; the ranges may overlap. */
  copy(dst: number, src: number, n: number): void;
  load(addr: number): number;
  store(addr: number, value: number): void;
  /** Adds, and returns the previous value; so do and, or and xchg. */
  add(addr: number, value: number): number;
  and(addr: number, value: number): number;
  or(addr: number, value: number): number;
  xchg(addr: number, value: number): number;
  /** Stores `value` if the word equals `expected`. Returns the previous word. */
  cas(addr: number, expected: number, value: number): number;
}

/** The kernel in WebAssembly. Throws the host's error if it can't compile, or if the memory does not fit the module. */
export function wasmKernel(memory: WasmMemory, shared: boolean): Kernel {
  const pages = memory.buffer.byteLength / 65536;
  const host = wasmHost();
  if (host === undefined) throw new TypeError("memory: this host has no WebAssembly");
  const module = new host.Module(assembleKernel(pages, shared));
  const { exports } = new host.Instance(module, { gort: { memory } });
  return Object.freeze({ kind: "wasm", ...(exports as unknown as Omit<Kernel, "kind">) });
}

/** The kernel in TypeScript. */
export function jsKernel(buffer: ArrayBufferLike): Kernel {
  const u8 = new Uint8Array(buffer);
  const f64 = new Float64Array(buffer);
  const i32 = new Int32Array(buffer);
  const size = buffer.byteLength;
  const check = (addr: number, n: number): void => {
    if (addr + n > size) {
      throw new RangeError(`memory: range [${addr}, ${addr + n}) is outside the memory of ${size} bytes`);
    }
  };

  // On shared buffers a loop over doubles is faster than TypedArray.fill; the edges go byte by byte. A store of a NaN
  // may change its payload, so no double is made from loaded bits: only zeros are stored as doubles, other bytes as
  // words.
  const fill = (addr: number, byte: number, n: number): void => {
    addr >>>= 0;
    n >>>= 0;
    check(addr, n);
    const end = addr + n;
    while (addr < end && (addr & 7) !== 0) u8[addr++] = byte;
    const words = (end - addr) >>> 3;
    const b = byte & 0xff;
    if (b === 0) {
      for (let i = addr / 8, e = i + words; i < e; i++) f64[i] = 0;
    } else {
      const w = Math.imul(b, 0x01010101);
      for (let i = addr >>> 2, e = i + 2 * words; i < e; i++) i32[i] = w;
    }
    addr += words * 8;
    while (addr < end) u8[addr++] = b;
  };

  return Object.freeze({
    kind: "js",
    fill,
    zero: (addr: number, n: number) => fill(addr, 0, n),
    copy(dst: number, src: number, n: number): void {
      dst >>>= 0;
      src >>>= 0;
      n >>>= 0;
      check(dst, n);
      check(src, n);
      u8.copyWithin(dst, src, src + n);
    },
    load: (addr: number) => Atomics.load(i32, addr >>> 2),
    store(addr: number, value: number): void {
      Atomics.store(i32, addr >>> 2, value);
    },
    add: (addr: number, value: number) => Atomics.add(i32, addr >>> 2, value),
    and: (addr: number, value: number) => Atomics.and(i32, addr >>> 2, value),
    or: (addr: number, value: number) => Atomics.or(i32, addr >>> 2, value),
    xchg: (addr: number, value: number) => Atomics.exchange(i32, addr >>> 2, value),
    cas: (addr: number, expected: number, value: number) =>
      Atomics.compareExchange(i32, addr >>> 2, expected, value),
  });
}

/**
 * The kernel of a memory. `kind` is the option of that name: "wasm" insists on the module, undefined falls back to the
 * twin where the host refuses the module. A memory without a WebAssembly.Memory always has the twin.
 */
export function makeKernel(
  memory: WasmMemory | null,
  buffer: ArrayBufferLike,
  shared: boolean,
  kind: "wasm" | "js" | undefined,
): Kernel {
  if (kind === "js" || memory === null) return jsKernel(buffer);
  try {
    return wasmKernel(memory, shared);
  } catch (err) {
    if (kind === "wasm") throw err;
    return jsKernel(buffer);
  }
}
