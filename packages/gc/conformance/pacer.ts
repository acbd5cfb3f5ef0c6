/** The heap goal at every recorded point, exactly; and which rule decided. */
import { heapGoalExact, NO_MEMORY_LIMIT } from "../src/mgcpacer.ts";
import type { Result } from "./result.ts";

interface Point {
  gogc: number;
  live_bytes: number;
  stack_scan_bytes: number;
  globals_scan_bytes: number;
  sys: number;
  heap_idle: number;
  heap_released: number;
  heap_alloc: number;
  /** 2^63-1 for none, which JSON.parse rounds to 2^63. */
  memory_limit_bytes: number | string;
  sweep_floor_applies: boolean;
  goal_bytes: string;
  rule: string;
}

export function run(vectors: unknown): Result {
  const out: Result = { passed: 0, total: 0, failures: [] };
  for (const [i, p] of (vectors as { points: Point[] }).points.entries()) {
    out.total++;
    const limit = BigInt(p.memory_limit_bytes);
    const { goal, rule } = heapGoalExact({
      gcPercent: p.gogc,
      heapMarked: p.live_bytes,
      stackScan: p.stack_scan_bytes,
      globalsScan: p.globals_scan_bytes,
      memoryLimit: limit > NO_MEMORY_LIMIT ? NO_MEMORY_LIMIT : limit,
      mapped: p.sys - p.heap_released,
      heapFree: p.heap_idle - p.heap_released,
      heapAlloc: p.heap_alloc,
      sweepPending: p.sweep_floor_applies,
    });
    if (goal === BigInt(p.goal_bytes) && rule === p.rule) out.passed++;
    else out.failures.push(`point ${i}: want ${p.goal_bytes} (${p.rule}), got ${goal} (${rule})`);
  }
  return out;
}
