/** The heap profile as pprof: Go's `heap` and `allocs`. */
import { type MemProfileRecorder, scaleHeapSample } from "./mprof.ts";
import type { PCTable } from "./pc-table.ts";
import { ProfileBuilder } from "./proto.ts";

/**
 * Whether a frame is the runtime's. Heap profiles drop such frames at the leaf: they show which code wanted the
 * memory.
 */
export function isRuntimeName(func: string): boolean {
  return func.startsWith("runtime.") || func.startsWith("internal/runtime/");
}

/** How many frames to drop at the leaf: those of the runtime, or 0 if no other frame would be left. */
export function leadingRuntimeFrames(table: PCTable, stack: ArrayLike<number>): number {
  let n = 0;
  while (n < stack.length && isRuntimeName(table.symbolize(stack[n]).func)) n++;
  return n === stack.length ? 0 : n;
}

/** The memory profile in pprof form. `allocs` differs only in the sample type that tools show first. */
export function heapProfile(
  table: PCTable,
  recorder: MemProfileRecorder,
  name: "heap" | "allocs",
  timeNanos?: bigint,
): Uint8Array {
  const { rate } = recorder;
  const builder = new ProfileBuilder(table, {
    sampleTypes: [
      { type: "alloc_objects", unit: "count" },
      { type: "alloc_space", unit: "bytes" },
      { type: "inuse_objects", unit: "count" },
      { type: "inuse_space", unit: "bytes" },
    ],
    periodType: { type: "space", unit: "bytes" },
    period: rate,
    ...(name === "allocs" ? { defaultSampleType: "alloc_space" } : {}),
    ...(timeNanos === undefined ? {} : { timeNanos }),
  });
  recorder.forEach(true, (r) => {
    const { stack } = r;
    const alloc = scaleHeapSample(r.allocs, r.allocBytes, rate);
    const inuse = scaleHeapSample(r.allocs - r.frees, r.allocBytes - r.freeBytes, rate);
    builder.add(
      stack,
      [alloc.count, alloc.bytes, inuse.count, inuse.bytes],
      r.allocs > 0 ? { bytes: Math.trunc(r.allocBytes / r.allocs) } : undefined,
      leadingRuntimeFrames(table, stack),
    );
  });
  return builder.build();
}
