/**
 * The host's WebAssembly, typed by hand. Its types are part of the DOM library, and this package runs also where that
 * library is absent. WasmMemory is structurally the DOM library's WebAssembly.Memory.
 */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(delta: number): number;
}

interface WasmHost {
  Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (
    module: object,
    imports: Record<string, Record<string, unknown>>,
  ) => { readonly exports: Record<string, unknown> };
}

/** The host's WebAssembly; undefined if it has none. */
export function wasmHost(): WasmHost | undefined {
  return (globalThis as unknown as { WebAssembly?: WasmHost }).WebAssembly;
}

export function isWasmMemory(x: unknown): x is WasmMemory {
  const host = wasmHost();
  return host !== undefined && x instanceof host.Memory;
}
