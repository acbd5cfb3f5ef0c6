import { expect } from "vitest";
import type { Profiler } from "../../src/index.ts";
import type { MemProfileRecord } from "../../src/records.ts";

/** All records of a memory profile. */
export function records(p: Profiler, inuseZero = true): MemProfileRecord[] {
  const { n } = p.memProfile(null, inuseZero);
  const out = new Array<MemProfileRecord | null>(n).fill(null);
  expect(p.memProfile(out, inuseZero)).toEqual({ n, ok: true });
  return out as MemProfileRecord[];
}
