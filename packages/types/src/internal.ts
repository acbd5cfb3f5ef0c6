// For runtime: strings in the heap.
export { readString } from "./bytes.ts";
