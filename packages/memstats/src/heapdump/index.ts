// Heap dumps: Go's format, and V8's heap snapshots

export type { DumpAlloc, DumpFrame, DumpGoroutine, DumpParams } from "./format.ts";
export { type DumpRoot, type DumpSegment, type HeapDump, readHeapDump } from "./reader.ts";
export { heapSnapshot, type SnapshotOptions } from "./snapshot.ts";
export { type DumpSink, HeapDumpWriter } from "./writer.ts";
