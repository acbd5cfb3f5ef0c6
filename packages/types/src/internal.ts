/** For sibling packages only: no promise of stability between versions. */

// For runtime: strings in the heap.
export { readString } from "./bytes.ts";
// For threads: types, Refs and Slices that cross threads.
export { copyOut, writeBytes } from "./bytes.ts";
export { Crossing, type HandleParts } from "./crossing.ts";
export { TypeRecords } from "./type-records.ts";
