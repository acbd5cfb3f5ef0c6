/** For sibling packages only: no promise of stability between versions. */

// For allocator, gc and runtime: the addresses of counters, and the roots by which an attaching thread finds state.
export {
  CONTROL,
  CONTROL_BASE,
  CONTROL_END,
  MAX_THREADS,
  ROOT_ALLOCATOR,
  ROOT_GC,
  ROOT_GCSTATS,
  ROOT_PROFILING,
  ROOT_RUNTIME,
  ROOT_SCHEDULER,
  ROOT_THREADS,
  ROOT_TYPE_RECORDS,
  ROOT_TYPES,
  ROOT_WAITING,
  rootAddr,
  sysStatAddr,
  sysStatNames,
} from "./layout.ts";
// For tests of the fallbacks of createLinearMemory.
export type { Platform } from "./grant.ts";
// For types and gc: reports of collected handles and weak pointers.
export { registryOf } from "./registry.ts";
// For allocator and runtime: whether and how pages return to the operating system.
export { findReleaser, osPageSize } from "./release.ts";
// For allocator and gc: figures that other threads read.
export { beginChange, endChange, stableVersion, unchanged } from "./seqlock.ts";
// For gc: the assembler of the marking kernel.
export {
  atomicStore,
  block,
  constant,
  doWhile,
  drop,
  Expr,
  type Func,
  type Local,
  loop,
  loopWhile,
  ret,
  type Stmt,
  select,
  store,
  WasmModule,
  when,
  zero8,
} from "./wasm-assembler.ts";
// For gc: the host's WebAssembly.
export { wasmHost } from "./wasm-host.ts";

// What users get: siblings import from this entry alone, of which the build makes one file (tsup.one-file.ts).
export * from "./index.ts";
