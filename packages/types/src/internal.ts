// For gc and runtime: whether a value is a handle, and what it refers to.
export { RefBase, ViewBase } from "./cell.ts";
// For runtime: strings in the heap.
export { readString } from "./codec.ts";
