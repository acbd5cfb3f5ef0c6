// gort's side. A process measures one benchmark on one runtime with its defaults.
import { createAllocator } from "@gort/allocator";
import { type Addr, createRuntime, setDefaultRuntime } from "@gort/runtime";
import type { Case } from "../child.ts";
import { gcCases } from "./gc.ts";
import { goroutineCases } from "./goroutines.ts";
import { insightCases } from "./insight.ts";
import { mallocCases } from "./malloc.ts";
import { manualCases } from "./manual.ts";
import { markerCases } from "./markers.ts";
import { threadCases } from "./threads.ts";

const rt = createRuntime();
// The tasks of both threads use the default runtime.
setDefaultRuntime(rt);

/** A heap used by hand has no collector. */
const manual = createAllocator();

export const cases: Record<string, Case> = {
  ...goroutineCases(rt),
  ...mallocCases(rt),
  ...gcCases(rt),
  ...markerCases,
  ...threadCases(rt),
  ...insightCases(rt),
  ...manualCases(
    (size) => manual.malloc(size),
    (p) => manual.free(p as Addr),
  ),
};
