/**
 * The fixed part of every linear memory.
 *
 *     0x00000 .. 0x00fff   the nil page: never written, so that verifyMemory finds a store through nil + offset
 *     0x01000 .. 0x0ffff   control block: CONTROL at its start; reserveControl gives out the rest
 *     0x10000 .. lowStart  persistent region (size/64): persistentAlloc's chunks of metadata
 *     lowStart ..          sysReserve("low") grows upwards: side tables, then the heap
 *              .. size     sysReserve("high") grows downwards: chunks when the persistent region is full
 *
 * Metadata lies low on purpose. For V8 an address below 2^31 is a small integer. A larger address is boxed whenever it
 * passes through a call that is not inlined.
 */
import { defineStruct, u32s } from "./struct.ts";

export const CONTROL_BASE = 0x1000;
export const CONTROL_END = 0x10000;

/** Bytes of a WebAssembly page: a memory is a whole number of them, and sysReserve aligns to them by default. */
export const WASM_PAGE = 65536;

/** Chunk that persistentAlloc carves: Go's persistentChunkSize. */
export const PERSISTENT_CHUNK = 256 * 1024;

/** "gort" read as a little-endian word: tells an attaching thread that the block is initialised. */
export const CONTROL_MAGIC = 0x74726f67;

/** Entries of the table of threads: 8 bytes each, 4 KiB together. A machine has use for fewer worker threads. */
export const MAX_THREADS = 512;

export const CONTROL = defineStruct("control", {
  magic: "u32",
  version: "u32",
  /** Guards the cursors below. */
  lock: "u32",
  /** Guards the counters. A thread takes it last of all locks. */
  statsLock: "u32",
  /** Held while a thread makes the state behind a root. A thread takes it first of all locks. */
  rootsLock: "u32",
  /** Next free byte of the control block. */
  controlNext: "u32",
  /** sysReserve's cursors. high is exclusive and may be 2^32, hence f64. */
  low: "u32",
  persistentNext: "u32",
  persistentEnd: "u32",
  /** persistentAlloc's current chunk. */
  chunkNext: "u32",
  chunkEnd: "u32",
  high: "f64",
  heapSys: "f64",
  heapReleased: "f64",
  stackSys: "f64",
  mspanSys: "f64",
  mcacheSys: "f64",
  buckHashSys: "f64",
  gcSys: "f64",
  otherSys: "f64",
  /** One word per subsystem: the address of the state that an attaching thread must find. ROOT_* are the indices. */
  roots: u32s(16),
  /** The entry at which the next search for a free thread number begins; entries count from 1. */
  threadCursor: "u32",
  /** State and task of each thread: threads.ts. Entry 0 is unused. */
  threads: u32s(2 * MAX_THREADS),
});

/** Addresses of the memory's own locks. */
export const CONTROL_LOCK = CONTROL_BASE + CONTROL.offsets.lock;
export const STATS_LOCK = CONTROL_BASE + CONTROL.offsets.statsLock;
export const ROOTS_LOCK = CONTROL_BASE + CONTROL.offsets.rootsLock;

/** Indices of the roots. */
export const ROOT_ALLOCATOR = 0;
export const ROOT_GC = 1;
export const ROOT_SCHEDULER = 2;
export const ROOT_PROFILING = 3;
export const ROOT_GCSTATS = 4;
export const ROOT_TYPES = 5;
export const ROOT_THREADS = 6;
export const ROOT_WAITING = 7;
export const ROOT_TYPE_RECORDS = 8;
export const ROOT_RUNTIME = 9;

/** Address of the word that `setRoot(index)` writes, for a thread that sets it by CAS. */
export function rootAddr(index: number): number {
  return CONTROL_BASE + CONTROL.offsets.roots + 4 * index;
}

export type SysStatName =
  | "heapSys"
  | "heapReleased"
  | "stackSys"
  | "mspanSys"
  | "mcacheSys"
  | "buckHashSys"
  | "gcSys"
  | "otherSys";

export const sysStatNames: readonly SysStatName[] = [
  "heapSys",
  "heapReleased",
  "stackSys",
  "mspanSys",
  "mcacheSys",
  "buckHashSys",
  "gcSys",
  "otherSys",
];

/** Address of the counter of a purpose; an f64, exact to 2^53. */
export function sysStatAddr(name: SysStatName): number {
  return CONTROL_BASE + CONTROL.offsets[name];
}
