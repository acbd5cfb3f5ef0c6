// Heap dumps: Go's format
export type { DumpRoot, DumpSegment, HeapDump } from "./dump.ts";
export type { DumpAlloc, DumpFrame, DumpGoroutine, DumpParams } from "./format.ts";
export { readHeapDump } from "./reader.ts";
// V8's heap snapshots
export { heapSnapshot, type SnapshotOptions } from "./snapshot.ts";
export { type DumpSink, HeapDumpWriter } from "./writer.ts";
