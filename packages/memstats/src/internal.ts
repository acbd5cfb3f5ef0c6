// What users get: siblings import from this entry alone, of which the build makes one file (tsup.one-file.ts).
export * from "./index.ts";
export * from "./metrics.ts";
export { HeapDumpWriter } from "./heapdump/writer.ts";
