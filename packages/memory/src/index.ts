// Reserving a memory
export { attachLinearMemory, createLinearMemory } from "./create.ts";
export type { Grant } from "./grant.ts";
export { LinearMemory } from "./linear-memory.ts";
export { type AttachOptions, type LinearMemoryOptions, MAX_MEMORY, MIN_MEMORY } from "./options.ts";
export type { WasmMemory } from "./wasm-host.ts";

// Addresses and structs
export { alignDown, alignUp } from "@gort/base";
export { type Addr, nil, type Ptr } from "./addr.ts";
export {
  defineStruct,
  type FieldArray,
  type FieldInfo,
  type FieldType,
  f64s,
  type StructType,
  u32s,
} from "./struct.ts";

// The kernel and the byte counters
export type { Kernel } from "./kernel.ts";
export type { SysStatName } from "./layout.ts";
export { SysStats } from "./sys-stats.ts";

// Locks
export { Lock, lock, tryLock, unlock } from "./lock.ts";
export { type LockMemory, type LockRank, lockRanks } from "./lockrank.ts";

// Errors
export { FatalError, isFatalError } from "@gort/base";
