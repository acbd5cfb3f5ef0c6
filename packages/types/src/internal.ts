/** For sibling packages only: no promise of stability between versions. */

// For runtime: strings in the heap.
export { readString } from "./bytes.ts";
// For threads: types, Refs and Slices that cross threads.
export { copyOut, writeBytes } from "./bytes.ts";
export { Crossing, type HandleParts, handleName } from "./crossing.ts";
export { TypeRecords } from "./type-records.ts";
// For threads: elements of channels, and the roots of handles.
export { type Root, UNROOTED } from "./cell.ts";
export { type Codec, unchanged } from "./codec.ts";
export type { Handles, PerType } from "./per-type.ts";
export { perTypeOf } from "./typed-heap.ts";
// For threads: batches of channels.
export { checkSlice, type SliceOps, sliceAddr, sliceLen } from "./slice.ts";
// For threads: channels as values of the heap.
export type { ChanHandle, ChanOps, Chans } from "./chan-codec.ts";
// For threads: the types of locks.
export { type OpaqueHome, OpaqueType } from "./opaque.ts";
// For runtime: a thread must know these types if a value of one of them comes from another thread.
export { Bool, Int32, Int64, Pointer, Uint32, Uint64, Uintptr } from "./atomic-types.ts";

// What users get: siblings import from this entry alone, of which the build makes one file (tsup.one-file.ts).
export * from "./index.ts";
