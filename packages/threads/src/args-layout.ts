/**
 * The arguments of a task in the heap: task-args.ts has the essay.
 *
 *     ARGS     an array of n + 1 cells: the head, then a cell for each argument. The collector looks at the first word
 *              of each cell.
 *
 *     HEAD     0 *bytes     8 state    12 n        16 root    20 nbytes
 *     CELL     0 *object    8 tag      12 type     16 data: two words, or a double
 *
 *     tag               object    type       data
 *     ARG_UNDEFINED
 *     ARG_NULL
 *     ARG_FALSE
 *     ARG_TRUE
 *     ARG_NUMBER                             the double
 *     ARG_BIGINT                             64 bits with sign
 *     ARG_LONG_BIGINT                        offset, length: "-" if negative, and hexadecimal digits
 *     ARG_TEXT                               offset, length: UTF-8
 *     ARG_UTF16                              offset, length: UTF-16, for text with lone surrogates
 *     ARG_CLONE                              offset, length: a structured clone
 *     ARG_REF           target    target's
 *     ARG_SLICE         array     element's  length, capacity
 *     ARG_LONG_SLICE    array     element's  offset: length and capacity as two doubles
 *     ARG_HANDLE        object    element's  kind
 *
 * `bytes` is an object without pointers. Offsets in it are multiples of 8; lengths are in bytes. `type` is the number
 * of a type (TypeRecords of @gort/types), 0 if there is none. The array of a nil slice is 0.
 */
import { defineStruct } from "@gort/memory/internal";

export const HEAD = defineStruct("args", {
  bytes: "u32",
  bytesHigh: "u32",
  /** ARGS_READY or ARGS_TAKEN. */
  state: "u32",
  n: "u32",
  /** The root slot that holds the array. */
  root: "u32",
  nbytes: "u32",
});
export const HEAD_AT = HEAD.offsets;

export const CELL = defineStruct("arg", {
  object: "u32",
  objectHigh: "u32",
  tag: "u32",
  type: "u32",
  data: "f64",
});
export const CELL_AT = CELL.offsets;

/** The words of `data`. */
export const DATA_LOW = CELL_AT.data;
export const DATA_HIGH = CELL_AT.data + 4;

/** The pointer mask of a cell: its first word. */
export const CELL_MASK = 1;

/** "args" as a little-endian word. */
export const ARGS_READY = 0x73677261;
export const ARGS_TAKEN = 1;

export const ARG_UNDEFINED = 0;
export const ARG_NULL = 1;
export const ARG_FALSE = 2;
export const ARG_TRUE = 3;
export const ARG_NUMBER = 4;
export const ARG_BIGINT = 5;
export const ARG_LONG_BIGINT = 6;
export const ARG_TEXT = 7;
export const ARG_UTF16 = 8;
export const ARG_CLONE = 9;
export const ARG_REF = 10;
export const ARG_SLICE = 11;
export const ARG_LONG_SLICE = 12;
export const ARG_HANDLE = 13;
