import { describe, expect, expectTypeOf, it } from "vitest";
import { type MemStats, newMemStats } from "../src/index.ts";

describe("newMemStats", () => {
  it("is all zeros, with the collector enabled as Go always says", () => {
    const m = newMemStats();
    for (const [name, value] of Object.entries(m)) {
      if (typeof value === "number") expect(value, name).toBe(0);
    }
    expect(m.LastGC).toBe(0n);
    expect(m.EnableGC).toBe(true);
    expect(m.DebugGC).toBe(false);
  });

  it("has rings of 256 and 61 size classes", () => {
    const m = newMemStats();
    expect([m.PauseNs.length, m.PauseEnd.length, m.BySize.length]).toEqual([256, 256, 61]);
  });

  it("has bigints where a number would lose digits, numbers elsewhere", () => {
    expectTypeOf<MemStats["LastGC"]>().toEqualTypeOf<bigint>();
    expectTypeOf<MemStats["HeapAlloc"]>().toEqualTypeOf<number>();
    expectTypeOf<MemStats["PauseEnd"][number]>().toEqualTypeOf<bigint>();
    expectTypeOf<MemStats["PauseNs"][number]>().toEqualTypeOf<number>();
    expectTypeOf<MemStats["EnableGC"]>().toEqualTypeOf<boolean>();
  });
});
