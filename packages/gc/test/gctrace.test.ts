import { describe, expect, it } from "vitest";
import { fmtFloat, itoaDiv } from "../src/gctrace.ts";
import { fmtNSAsMS } from "../src/index.ts";

describe("numbers in trace lines", () => {
  it("are milliseconds of two significant digits below 10 ms", () => {
    const cases: [number, string][] = [
      [0, "0"],
      [999, "0"],
      [1000, "0.001"],
      [12_345, "0.012"],
      [123_456, "0.12"],
      [1_234_567, "1.2"],
      [9_999_999, "9.9"],
      [10_000_000, "10"],
      [1_234_567_890, "1234"],
    ];
    for (const [ns, text] of cases) expect(fmtNSAsMS(ns)).toBe(text);
  });

  it("are cut, not rounded, at the decimal point", () => {
    expect(itoaDiv(12_999, 3)).toBe("12.999");
    expect(itoaDiv(7, 3)).toBe("0.007");
    expect(itoaDiv(12.9, 0)).toBe("12");
  });

  it("are floats as Go 1.27 prints them", () => {
    const cases: [number, string][] = [
      [0, "0"],
      [0.25, "0.25"],
      [0.9781441066576086, "0.9781441066576086"],
      [100_000, "100000"],
      [1_234_567, "1.234567e+06"],
      [123456789.5, "1.234567895e+08"],
      [0.00001, "1e-05"],
      [1e21, "1e+21"],
      [Number.POSITIVE_INFINITY, "+Inf"],
      [Number.NaN, "NaN"],
    ];
    for (const [x, text] of cases) expect(fmtFloat(x)).toBe(text);
  });
});
