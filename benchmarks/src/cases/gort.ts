// gort's side: one runtime, with its defaults, for whatever the process measures.
import { createRuntime } from "@gort/runtime";
import type { Case } from "../child.ts";
import { goroutineCases } from "./goroutines.ts";
import { heapCases } from "./heap.ts";
import { insightCases } from "./insight.ts";

const rt = createRuntime();

export const cases: Record<string, Case> = { ...goroutineCases(rt), ...heapCases(rt), ...insightCases(rt) };
