/** What the twins of the marker have in common: mark-js.ts, mark-parallel.ts and mark-wasm.ts. */
import { hex, throwFatal } from "@gort/base";
import type { GCHeap } from "./heap.ts";

/** Scans grey objects, for one thread. */
export interface MarkTwin {
  /** Scans until about `budget` bytes are scanned or the thread finds no grey object. Returns the bytes scanned. */
  drain(budget: number): number;
}

/**
 * Checks a pointer that leads to no object. Outside of the heap, and in spans of other use, it is fine; in free heap
 * memory it means corruption.
 */
export function checkPointer(heap: GCHeap, p: number): void {
  if (!heap.isFreeHeapPage(p)) return;
  throwFatal(
    "found bad pointer in Go heap (incorrect use of unsafe or cgo?)",
    `runtime: pointer ${hex(p)} to unallocated span${heap.describe(p)}`,
  );
}
