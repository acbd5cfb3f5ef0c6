// Types
export { alignof, array, offsetof, pointer, sizeof, slice, struct } from "./declare.ts";
export { identical } from "./identical.ts";
export {
  ArrayType,
  bool,
  bytes,
  ChanType,
  type Complex,
  complex64,
  complex128,
  type Field,
  type Fields,
  float32,
  float64,
  int,
  int8,
  int16,
  int32,
  int64,
  type Kind,
  PointerType,
  ScalarType,
  SliceType,
  StructType,
  string,
  Type,
  uint,
  uint8,
  uint16,
  uint32,
  uint64,
  uintptr,
} from "./type.ts";

// Values in a heap
export { addrOf, append, appendSlice, bytesToString, copy, same, toUint8Array } from "./builtins.ts";
export { growCap, nextSliceCap } from "./growslice.ts";
export { Slice } from "./slice.ts";
export { createTypes, TypedHeap } from "./typed-heap.ts";
export type { Unsafe } from "./unsafe.ts";
export type { Elements, Init, RawElements, RawValue, Ref, RefMembers, Value, View } from "./values.ts";

// Heaps
export { BumpHeap, type BumpHeapOptions, createBumpHeap } from "./bump-heap.ts";
export type { Heap, RefSlot } from "./heap.ts";

// Errors
export {
  BoundsError,
  type BoundsKind,
  FatalError,
  isFatalError,
  isRuntimeError,
  RuntimeError,
  type RuntimeError as RuntimeErrorLike,
} from "@gort/base";
