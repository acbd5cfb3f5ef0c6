// For runtime: a snapshot from a record that it filled itself.
export { fromRaw } from "./read.ts";
