/**
 * The kernel's WebAssembly module, assembled here: one function per entry, each of a few instructions over the imported
 * memory. A module this small needs no build tool and compiles in well under a millisecond.
 */
import { atomicStore, memoryCopy, memoryFill, ret, WasmModule } from "./wasm-assembler.ts";

/** The module's bytes for a memory of `pages` pages of 64 KiB (its initial and its maximum size). */
export function assembleKernel(pages: number, shared: boolean): Uint8Array<ArrayBuffer> {
  const m = new WasmModule(pages, shared);
  m.func("fill", ["addr", "byte", "n"], 0, ([addr, byte, n]) => [memoryFill(addr, byte, n)]);
  m.func("copy", ["dst", "src", "n"], 0, ([dst, src, n]) => [memoryCopy(dst, src, n)]);
  m.func("zero", ["addr", "n"], 0, ([addr, n]) => [memoryFill(addr, 0, n)]);
  m.func("load", ["addr"], 1, ([addr]) => [ret(addr.atomicLoad())]);
  m.func("store", ["addr", "value"], 0, ([addr, value]) => [atomicStore(addr, value)]);
  m.func("add", ["addr", "value"], 1, ([addr, value]) => [ret(addr.atomicAdd(value))]);
  m.func("and", ["addr", "value"], 1, ([addr, value]) => [ret(addr.atomicAnd(value))]);
  m.func("or", ["addr", "value"], 1, ([addr, value]) => [ret(addr.atomicOr(value))]);
  m.func("xchg", ["addr", "value"], 1, ([addr, value]) => [ret(addr.atomicXchg(value))]);
  m.func("cas", ["addr", "expected", "value"], 1, ([addr, expected, value]) => [
    ret(addr.atomicCas(expected, value)),
  ]);
  return m.bytes();
}
