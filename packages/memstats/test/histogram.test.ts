import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TIME_BOUNDS, TIME_BUCKETS, TimeHistogram, timeBucket } from "../src/metrics.ts";

describe("TimeHistogram", () => {
  it("puts every duration between the bounds of its bucket", () => {
    fc.assert(
      fc.property(fc.double({ min: -1000, max: 2 ** 50, noNaN: true }), (x) => {
        const ns = Math.floor(x);
        const i = timeBucket(ns);
        expect(ns / 1e9).toBeGreaterThanOrEqual(TIME_BOUNDS[i]);
        expect(ns / 1e9).toBeLessThan(TIME_BOUNDS[i + 1]);
      }),
      { numRuns: 2000 },
    );
  });

  it("begins each bucket exactly at its bound", () => {
    for (let i = 1; i < TIME_BUCKETS; i++) {
      const ns = Math.round(TIME_BOUNDS[i] * 1e9);
      expect([timeBucket(ns), timeBucket(ns - 1)]).toEqual([i, i - 1]);
    }
  });

  it("counts each duration in its bucket, the open buckets included", () => {
    const h = new TimeHistogram();
    for (const ns of [-5, 0, 63, 64, 1e9, 2 ** 60]) h.record(ns);
    expect(h.counts[0]).toBe(1);
    expect(h.counts[1]).toBe(2);
    expect(h.counts[2]).toBe(1);
    expect(h.counts[TIME_BUCKETS - 1]).toBe(1);
    expect(h.counts.reduce((a, b) => a + b, 0)).toBe(6);
  });
});
