import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration } from "../src/index.ts";

describe("formatBytes and formatDuration", () => {
  it("choose the largest unit in which the figure is at least one", () => {
    expect([0, 1, 1023, 1024, 1536, 69258444, 2 ** 31, 3 * 2 ** 40, -2048].map(formatBytes)).toEqual([
      "0B",
      "1B",
      "1023B",
      "1.00K",
      "1.50K",
      "66.05M",
      "2.00G",
      "3.00T",
      "-2.00K",
    ]);
    expect([0, 999, 1000, 83370, 1.2e6, 3e9, 90e9, 7200e9, -5].map(formatDuration)).toEqual([
      "0ns",
      "999ns",
      "1.00us",
      "83.37us",
      "1.20ms",
      "3.00s",
      "1.50m",
      "2.00h",
      "-5ns",
    ]);
  });

  it("never print a full thousand of the smaller unit", () => {
    expect(formatBytes(1024 * 1024 - 1)).toBe("1.00M");
    expect(formatDuration(999_999)).toBe("1.00ms");
    expect(formatDuration(59.999e9)).toBe("1.00m");
    expect(formatDuration(999.7)).toBe("1.00us");
  });

  it("refuse NaN and infinity", () => {
    expect(() => formatBytes(Number.NaN)).toThrow("memstats: size must be finite (got NaN)");
    expect(() => formatDuration(Number.POSITIVE_INFINITY)).toThrow(RangeError);
  });
});
