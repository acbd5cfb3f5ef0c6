/**
 * Asks the platform for a memory, in descending sizes until it grants one. WebAssembly.Memory comes first. V8 reserves
 * 10 GiB of addresses for a WebAssembly.Memory of any size, which `ulimit -v` may forbid; then a plain buffer serves.
 */
import { WASM_PAGE } from "./layout.ts";
import { MIN_MEMORY } from "./options.ts";
import { type WasmMemory, wasmHost } from "./wasm-host.ts";

/** The size that the program asked for, and the size and kind that the platform gave. */
export interface Grant {
  readonly requested: number;
  readonly granted: number;
  /** "wasm", or "buffer" where the platform refuses every WebAssembly.Memory. */
  readonly source: "wasm" | "buffer";
}

/** The allocators of the platform. Tests replace them, to play a platform that refuses. */
export interface Platform {
  wasmMemory(pages: number, shared: boolean): WasmMemory;
  buffer(size: number, shared: boolean): ArrayBufferLike;
}

export const hostPlatform: Platform = {
  wasmMemory(pages, shared) {
    const host = wasmHost();
    if (host === undefined) throw new RangeError("this host has no WebAssembly");
    return new host.Memory({ initial: pages, maximum: pages, shared });
  },
  buffer: (size, shared) => (shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size)),
};

/** Ratio of a candidate size to the previous one: a grant is at most 1/8 smaller than the platform could give. */
const DESCENT = 7 / 8;

function* candidates(size: number): Generator<number> {
  for (let n = size; n > MIN_MEMORY; n = Math.floor((n * DESCENT) / WASM_PAGE) * WASM_PAGE) yield n;
  yield MIN_MEMORY;
}

/**
 * Makes an M over the largest memory that the platform grants. A RangeError, of the platform or of `make`, is a refusal
 * of that size. Any other error ends the search.
 *
 * @throws RangeError if the platform grants less than 64 MiB
 */
export function withLargestGrant<M>(
  size: number,
  shared: boolean,
  platform: Platform,
  make: (memory: WasmMemory | ArrayBufferLike, grant: Grant) => M,
): M {
  let refusal: unknown;
  for (const source of ["wasm", "buffer"] as const) {
    for (const n of candidates(size)) {
      try {
        const memory =
          source === "wasm" ? platform.wasmMemory(n / WASM_PAGE, shared) : platform.buffer(n, shared);
        return make(memory, { requested: size, granted: n, source });
      } catch (err) {
        if (!(err instanceof RangeError)) throw err;
        refusal = err;
      }
    }
  }
  throw new RangeError(
    `memory: the platform grants less than ${MIN_MEMORY} bytes (requested ${size}): ${String(refusal)}`,
    { cause: refusal },
  );
}
