// Reserving a memory

// Addresses and structs
export { type Addr, alignDown, alignUp, nil, type Ptr } from "./addr.ts";
// Errors
export { FatalError, isFatalError } from "./errors.ts";
// The kernel and locks
export type { Kernel } from "./kernel.ts";
export type { SysStatName } from "./layout.ts";
export {
  type AttachOptions,
  attachLinearMemory,
  createLinearMemory,
  type Grant,
  LinearMemory,
  type LinearMemoryOptions,
  MAX_MEMORY,
  MIN_MEMORY,
  SysStats,
} from "./linear-memory.ts";
export { Lock, lock, tryLock, unlock } from "./lock.ts";
export { type LockRank, lockRanks } from "./lockrank.ts";
export {
  defineStruct,
  type FieldArray,
  type FieldInfo,
  type FieldType,
  f64s,
  type StructType,
  u32s,
} from "./struct.ts";
export type { WasmMemory } from "./wasm-host.ts";
