import { describe, expect, it } from "vitest";
import { gcStats, newMemStats, quantile, readMemStats } from "../src/index.ts";
import { worked } from "./kit.ts";

describe("gcStats", () => {
  it("lists pauses most recent first, at most 256, and ascending quantiles", () => {
    const m = readMemStats(worked(9, 300));
    const s = gcStats(m, 5);
    expect(s.Pause.length).toBe(256);
    expect(s.PauseEnd[0]).toBe(m.LastGC);
    expect(s.PauseEnd.every((e, i) => i === 0 || e <= s.PauseEnd[i - 1])).toBe(true);
    expect(s.PauseQuantiles).toEqual([...s.PauseQuantiles].sort((a, b) => a - b));
    expect(s.PauseQuantiles[0]).toBe(Math.min(...s.Pause));
    expect(s.PauseQuantiles[4]).toBe(Math.max(...s.Pause));
  });

  it("is empty before the first cycle", () => {
    const s = gcStats(newMemStats(), 3);
    expect([s.Pause, s.PauseEnd, s.PauseQuantiles]).toEqual([[], [], [0, 0, 0]]);
  });

  it("has the middle and the ends of a known list", () => {
    expect([0, 0.5, 0.99, 1].map((p) => quantile([1, 2, 3, 4], p))).toEqual([1, 3, 4, 4]);
  });

  it("refuses a fraction of a quantile", () => {
    expect(() => gcStats(newMemStats(), 1.5)).toThrow(RangeError);
  });
});
