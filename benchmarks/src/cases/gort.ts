// gort's side: one runtime, with its defaults, for whatever the process measures.
import { createAllocator } from "@gort/allocator";
import { type Addr, createRuntime } from "@gort/runtime";
import type { Case } from "../child.ts";
import { goroutineCases } from "./goroutines.ts";
import { heapCases } from "./heap.ts";
import { insightCases } from "./insight.ts";
import { manualCases } from "./manual.ts";
import { markerCases } from "./markers.ts";

const rt = createRuntime();

/** A heap used by hand has no collector. */
const manual = createAllocator();

export const cases: Record<string, Case> = {
  ...goroutineCases(rt),
  ...heapCases(rt),
  ...markerCases,
  ...insightCases(rt),
  ...manualCases(
    (size) => manual.malloc(size),
    (p) => manual.free(p as Addr),
  ),
};
