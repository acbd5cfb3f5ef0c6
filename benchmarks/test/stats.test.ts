import { describe, expect, it } from "vitest";
import { median, ratio, spread } from "../src/stats.ts";

describe("statistics", () => {
  it("take the middle value, or the mean of the middle two", () => {
    expect(median([3])).toBe(3);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([10, 9])).toBe(9.5);
    expect(() => median([])).toThrow(RangeError);
  });

  it("do not change their argument", () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });

  it("give the spread as a fraction of the median, and the ratio as ours divided by theirs", () => {
    expect(spread([5])).toBe(0);
    expect(spread([8, 10, 12])).toBeCloseTo(0.4);
    expect(ratio(5, 10)).toBe(0.5);
  });
});
