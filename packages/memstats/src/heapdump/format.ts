/**
 * Heap dumps: every object of a heap with its contents and pointers, and the roots that hold them, in the format that
 * Go's `debug.WriteHeapDump` writes. Tools for Go's dumps read ours, and `readHeapDump` reads Go's.
 *
 * A dump is the line `go1.7 heap dump` and a list of records. A record is a tag and its fields, one after the other:
 *
 *     integer      uvarint: 7 bits per byte, low bits first; a set top bit means that another byte follows
 *     boolean      integer 0 or 1
 *     string       integer length, then that number of bytes
 *     field list   pairs of integers: kind (1: a pointer) and offset in the contents; ended by kind 0
 *
 *     tag  record            fields
 *     0    end               -
 *     1    object            address, contents (string), field list
 *     2    other root        description, pointer
 *     3    type              address, size, name, whether values are held through a pointer
 *     4    goroutine         address, stack pointer, number, place of creation, status, whether of the system, whether
 *                            in the background, waiting since (ns), wait reason, context, thread, top defer, top
 *                            panic
 *     5    stack frame       stack pointer, depth (0: innermost), child's stack pointer, contents, entry, pc,
 *                            continuation pc, name, field list
 *     6    parameters        big-endian, pointer size, heap start, heap end, architecture, version, processors
 *     7    finalizer         object, function value, function's code, argument's type, object's type
 *     8    itab              address, type
 *     9    thread            address, number, number by the system
 *     10   MemStats          Alloc ... OtherSys in Go's order without the deprecated fields, NextGC, LastGC,
 *                            PauseTotalNs, 256 PauseNs, NumGC
 *     11   queued finalizer  as 7
 *     12   data segment      address, contents, field list
 *     13   bss segment       as 12
 *     14   defer             address, goroutine, argument pointer, pc, function, code, next
 *     15   panic             address, goroutine, type, value, defer, next
 *     16   allocation stack  number, size, frames (function, file, line each), allocations, frees
 *     17   allocation sample object, number of its allocation stack
 *
 * The records that gort writes, in order: 6; 1 for every allocated object, also for garbage not yet collected; 4 and 5
 * for goroutines (the contents are their slots of roots); 2 for globals and refs; 7 and 11; 10; 16 and 17 for objects
 * that the memory profile sampled; 0. An object of more than 512 bytes with pointers begins with a header of 8 bytes.
 * So a pointer to the object points 8 bytes into it. Other pointers may point into the middle of objects as well.
 *
 * Source: the Go project's description of the format ("heapdump15-through-heapdump17" of its wiki); dumps of Go 1.27.
 */

export const HEADER = "go1.7 heap dump\n";

export const TAG_EOF = 0;
export const TAG_OBJECT = 1;
export const TAG_OTHER_ROOT = 2;
export const TAG_TYPE = 3;
export const TAG_GOROUTINE = 4;
export const TAG_STACK_FRAME = 5;
export const TAG_PARAMS = 6;
export const TAG_FINALIZER = 7;
export const TAG_ITAB = 8;
export const TAG_OS_THREAD = 9;
export const TAG_MEM_STATS = 10;
export const TAG_QUEUED_FINALIZER = 11;
export const TAG_DATA = 12;
export const TAG_BSS = 13;
export const TAG_DEFER = 14;
export const TAG_PANIC = 15;
export const TAG_MEM_PROF = 16;
export const TAG_ALLOC_SAMPLE = 17;

/** Kinds in a field list. */
export const FIELD_EOL = 0;
export const FIELD_PTR = 1;

/** The scalar fields of record 10, in its order; LastGC, PauseTotalNs, PauseNs and NumGC follow. */
export const MEM_STATS_FIELDS = [
  "Alloc",
  "TotalAlloc",
  "Sys",
  "Lookups",
  "Mallocs",
  "Frees",
  "HeapAlloc",
  "HeapSys",
  "HeapIdle",
  "HeapInuse",
  "HeapReleased",
  "HeapObjects",
  "StackInuse",
  "StackSys",
  "MSpanInuse",
  "MSpanSys",
  "MCacheInuse",
  "MCacheSys",
  "BuckHashSys",
  "GCSys",
  "OtherSys",
  "NextGC",
] as const;

export interface DumpParams {
  bigEndian: boolean;
  /** Bytes. */
  pointerSize: number;
  heapStart: number;
  heapEnd: number;
  arch: string;
  /** The release of Go that wrote the dump, or that the writer reproduces. */
  version: string;
  cpus: number;
}

export interface DumpGoroutine {
  /** Identifies the goroutine in this dump. It is no address of the heap. */
  address: number;
  id: number;
  /** Go's number of the status: 1 runnable, 2 running, 3 in a system call, 4 waiting. */
  status: number;
  isSystem: boolean;
  isBackground: boolean;
  /** ns since 1970, 0 if unknown. */
  waitSince: number;
  waitReason: string;
}

export interface DumpFrame {
  /** Address of the contents. */
  sp: number;
  depth: number;
  name: string;
  contents: Uint8Array;
  /** Offsets of pointers in the contents. */
  pointers: readonly number[];
}

export interface DumpAlloc {
  id: number;
  /** Bytes of one object. */
  size: number;
  frames: { func: string; file: string; line: number }[];
  allocs: number;
  frees: number;
}
