/** For sibling packages only: no promise of stability between versions. */

// allocator, memstats: where the counters live
// allocator, gc, scheduler, profiling: what attaching threads find
export {
  CONTROL,
  CONTROL_BASE,
  CONTROL_END,
  MAX_THREADS,
  ROOT_ALLOCATOR,
  ROOT_GC,
  ROOT_GCSTATS,
  ROOT_PROFILING,
  ROOT_SCHEDULER,
  sysStatAddr,
  sysStatNames,
} from "./layout.ts";
// tests of the fallbacks
export type { Platform } from "./linear-memory.ts";
// types, gc: reports of dead handles and weak pointers
export { registryOf } from "./registry.ts";
// allocator, runtime: whether and how pages are returned
export { findReleaser, osPageSize } from "./release.ts";
// allocator, gc: figures that other threads read
export { beginChange, endChange, stableVersion, unchanged } from "./seqlock.ts";
// gc: the marking kernel
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
export { wasmHost } from "./wasm-host.ts";
