import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextSliceCap } from "../src/index.ts";

describe("nextSliceCap", () => {
  it("doubles below 256, then eases towards a quarter", () => {
    const one = (cap: number) => nextSliceCap(cap + 1, cap);
    expect([0, 1, 2, 255, 256, 257, 512, 1000, 10_000].map(one)).toEqual([
      1,
      2,
      4,
      510,
      256 + Math.floor((256 + 768) / 4),
      257 + Math.floor((257 + 768) / 4),
      512 + Math.floor((512 + 768) / 4),
      1000 + Math.floor((1000 + 768) / 4),
      10_000 + Math.floor((10_000 + 768) / 4),
    ]);
    expect([nextSliceCap(20, 10), nextSliceCap(21, 10)]).toEqual([20, 21]);
    // Several steps of a quarter, up to twice as many.
    expect([nextSliceCap(600, 300), nextSliceCap(601, 300)]).toEqual([300 + 267 + 333, 601]);
    expect(nextSliceCap(567, 300)).toBe(567);
    expect(nextSliceCap(2 ** 33 + 1, 2 ** 33)).toBe(2 ** 33 + 2 ** 31 + 192);
  });

  it("never gives less than needed, nor less than 1.25 times for one more", () => {
    fc.assert(
      fc.property(fc.nat(1 << 24), fc.integer({ min: 1, max: 1 << 24 }), (oldCap, added) => {
        const cap = nextSliceCap(oldCap + added, oldCap);
        expect(cap).toBeGreaterThanOrEqual(oldCap + added);
        expect(nextSliceCap(oldCap + 1, oldCap)).toBeGreaterThanOrEqual(Math.floor(oldCap * 1.25));
      }),
    );
  });
});
