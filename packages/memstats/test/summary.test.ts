import { describe, expect, it } from "vitest";
import { newMemStats, summary } from "../src/index.ts";

describe("summary", () => {
  it("gives one line of pauses, memory and quantiles", () => {
    const m = newMemStats();
    m.NumGC = 2;
    m.PauseNs.set([100_000, 83_370]);
    m.PauseTotalNs = 183_370;
    m.Alloc = 69258444;
    m.Sys = 2 ** 27;
    m.TotalAlloc = 2 ** 30;
    expect(summary(m, 1000)).toBe(
      "NumGC:2 Pause:83.37us Pause(Avg):91.69us Overhead:0.02% Alloc:66.05M Sys:128.00M Alloc(Rate):1.00G/s " +
        "Histogram:100.00us 100.00us 100.00us",
    );
  });

  it("leaves the pauses out before the first cycle", () => {
    expect(summary(newMemStats(), 0)).toBe("Alloc:0B Sys:0B Alloc(Rate):0B/s");
  });

  it("refuses a time that is not finite, or is negative", () => {
    expect(() => summary(newMemStats(), -1)).toThrow(
      "memstats: elapsedMs must be finite and not negative (got -1)",
    );
  });
});
