// Types

// Values in a heap
export { addrOf, append, appendSlice, bytesToString, copy, same, toUint8Array } from "./builtins.ts";
// Heaps
export { BumpHeap, type BumpHeapOptions, createBumpHeap } from "./bump-heap.ts";
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
export { growCap, nextSliceCap } from "./growslice.ts";
export type { Heap, RefSlot } from "./heap.ts";
export { Slice } from "./slice.ts";
export {
  ArrayType,
  alignof,
  array,
  bool,
  bytes,
  type Complex,
  complex64,
  complex128,
  type Field,
  type Fields,
  float32,
  float64,
  identical,
  int,
  int8,
  int16,
  int32,
  int64,
  type Kind,
  offsetof,
  PointerType,
  pointer,
  ScalarType,
  SliceType,
  StructType,
  sizeof,
  slice,
  string,
  struct,
  Type,
  uint,
  uint8,
  uint16,
  uint32,
  uint64,
  uintptr,
} from "./type.ts";
export { createTypes, TypedHeap } from "./typed-heap.ts";
export type { Unsafe } from "./unsafe.ts";
export type { Elements, Init, RawElements, RawValue, Ref, RefMembers, Value, View } from "./values.ts";
