import { describe, expect, it } from "vitest";
import {
  fmtFloat,
  formatGCTrace,
  formatPacerAssist,
  formatPacerCycle,
  formatPacerSweep,
  formatScanStats,
  itoaDiv,
} from "../src/gc-trace.ts";
import { fmtNSAsMS } from "../src/index.ts";

describe("numbers in trace lines", () => {
  it("are milliseconds of two significant digits below 10 ms", () => {
    const cases: [number, string][] = [
      [0, "0"],
      [999, "0"],
      [1000, "0.001"],
      [12_345, "0.012"],
      [99_999, "0.099"],
      [100_000, "0.10"],
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
      [0.0001, "0.0001"],
      [-0.00012, "-0.00012"],
      [999_999, "999999"],
      [1_000_000, "1e+06"],
      [-0, "-0"],
      [-1.5e-7, "-1.5e-07"],
      [1e100, "1e+100"],
      [Number.NEGATIVE_INFINITY, "-Inf"],
      [1e21, "1e+21"],
      [Number.POSITIVE_INFINITY, "+Inf"],
      [Number.NaN, "NaN"],
    ];
    for (const [x, text] of cases) expect(fmtFloat(x)).toBe(text);
  });
});

describe("trace lines", () => {
  const mib = (n: number) => n * 1048576;
  const trace = {
    n: 3,
    atNs: 1_234_999_999,
    cpuFraction: 0.0199,
    clockSweepTermNs: 1000,
    clockMarkNs: 2_000_000,
    clockMarkTermNs: 30_000,
    cpuSweepTermNs: 4000,
    cpuAssistNs: 50_000,
    cpuBackgroundNs: 600_000,
    cpuIdleNs: 7_000_000,
    cpuMarkTermNs: 80_000_000,
    heapStart: mib(4),
    heapEnd: mib(6) - 1,
    heapLive: mib(2) + 1,
    goal: mib(8),
    stackScan: mib(1) - 1,
    globalsScan: mib(1),
    procs: 4,
    forced: false,
  };

  it("are Go's of gctrace=1", () => {
    const line = (mark: string, end: string) =>
      `gc 3 @1.234s 1%${mark}: 0.001+2.0+0.030 ms clock, 0.004+0.050/0.60/7.0+80 ms cpu, ` +
      `4->5->2 MB, 8 MB goal, 0 MB stacks, 1 MB globals, 4 P${end}`;
    expect(formatGCTrace(trace)).toBe(line("", ""));
    expect(formatGCTrace({ ...trace, forced: true, leakCheck: true })).toBe(
      line(" (checking for goroutine leaks)", " (forced)"),
    );
  });

  it("are Go's of gcpacertrace=1 and gctrace=2", () => {
    expect(
      formatPacerAssist({
        assistRatio: 1.25,
        scanBytes: mib(3),
        heapLive: mib(4),
        goal: mib(9),
        dedicated: 0,
        fractional: 0.25,
      }),
    ).toBe("pacer: assist ratio=1.25 (scan 3 MB in 4->9 MB) workers=0+0.25");
    expect(
      formatPacerCycle({
        cpuPercent: 30,
        heapWork: 1,
        stackWork: 2,
        globalsWork: 3,
        expectedWork: 4,
        trigger: 5,
        heapLive: 6,
        overGoal: -7,
        consMark: 0.5,
      }),
    ).toBe("pacer: 30% CPU (25 exp.) for 1+2+3 B work (4 B exp.) in 5 B -> 6 B (∆goal -7, cons/mark 0.5)");
    expect(
      formatPacerSweep({ heapLive: mib(7), allocated: mib(2), pagesSwept: 9, pagesPerByte: 0.001 }),
    ).toBe(
      "pacer: sweep done at heap size 7MB; allocated 2MB during sweep; swept 9 pages at 0.001 pages/byte",
    );
    expect(
      formatScanStats("class 16B", {
        sparse: 1,
        spanSparse: 20,
        spanDense: 300,
        spansSparse: 4,
        spansDense: 50,
      }),
    ).toBe("scan: class 16B 1+20+300=321 objs, 4+50=54 spans");
  });
});
