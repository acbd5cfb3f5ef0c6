import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  diff,
  formatBytes,
  formatDiff,
  formatDuration,
  gcStats,
  jsonFloat,
  memStatsJSON,
  newMemStats,
  quantile,
  readMemStats,
  summary,
} from "../src/index.ts";
import { modelSource } from "../src/testing.ts";

function worked(seed: number, cycles: number) {
  const source = modelSource(seed);
  for (let i = 0; i < cycles; i++) {
    source.step();
    source.collect(i % 3 === 0);
  }
  return source;
}

describe("memStatsJSON", () => {
  it("writes every digit of 64-bit integers", () => {
    const m = newMemStats();
    m.LastGC = 1_795_231_024_123_456_789n;
    m.PauseEnd[0] = m.LastGC;
    m.NextGC = 8_946_700_000_000_000_000;
    const text = memStatsJSON(m);
    expect(text).toContain('"LastGC":1795231024123456789,');
    expect(text).toContain('"PauseEnd":[1795231024123456789,0,');
    expect(text).toContain('"NextGC":8946700000000000000,');
  });

  it("has no white space, or Go's indentation", () => {
    const m = readMemStats(worked(1, 3));
    expect(memStatsJSON(m)).not.toMatch(/\s/);
    const lines = memStatsJSON(m, "  ").split("\n");
    expect(lines[0]).toBe("{");
    expect(lines[1]).toBe(`  "Alloc": ${m.Alloc},`);
    const at = lines.indexOf('  "BySize": [');
    expect(lines.slice(at + 1, at + 6)).toEqual([
      "    {",
      '      "Size": 0,',
      '      "Mallocs": 0,',
      '      "Frees": 0',
      "    },",
    ]);
    expect(lines.slice(-3)).toEqual(["    }", "  ]", "}"]);
  });

  it("reads back as what JSON.stringify gives, in both forms", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(20), fc.constantFrom("", "\t", 2, "    "), (seed, cycles, indent) => {
        const m = readMemStats(worked(seed, cycles));
        expect(JSON.parse(memStatsJSON(m, indent))).toEqual(JSON.parse(JSON.stringify(m)));
        expect(JSON.stringify(JSON.parse(memStatsJSON(m)), null, indent)).toBe(
          JSON.stringify(m, null, indent),
        );
      }),
      { numRuns: 30 },
    );
  });

  it("writes fractions as Go does", () => {
    expect([0, 0.25, 1e-6, 1.5e-7, 1e-10, 1e20, 1e21, -0].map(jsonFloat)).toEqual([
      "0",
      "0.25",
      "0.000001",
      "1.5e-7",
      "1e-10",
      "100000000000000000000",
      "1e+21",
      "-0",
    ]);
    expect(() => jsonFloat(Number.NaN)).toThrow(RangeError);
  });
});

describe("formatBytes and formatDuration", () => {
  it("choose the largest unit that leaves one before the point", () => {
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

  it("refuse what is no figure", () => {
    expect(() => formatBytes(Number.NaN)).toThrow("memstats: size must be finite (got NaN)");
    expect(() => formatDuration(Number.POSITIVE_INFINITY)).toThrow(RangeError);
  });
});

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

  it("refuses a time that is none", () => {
    expect(() => summary(newMemStats(), -1)).toThrow(
      "memstats: elapsedMs must be finite and not negative (got -1)",
    );
  });
});

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

describe("diff", () => {
  it("added to the earlier snapshot gives the later one", () => {
    const source = worked(11, 5);
    const a = readMemStats(source);
    source.step();
    source.collect(true);
    source.collect(false);
    const b = readMemStats(source);
    const d = diff(a, b);
    expect(a.Mallocs + d.Mallocs).toBe(b.Mallocs);
    expect(a.HeapIdle + d.HeapIdle).toBe(b.HeapIdle);
    expect(a.LastGC + d.LastGC).toBe(b.LastGC);
    expect(d.Pauses).toEqual([b.PauseNs[5], b.PauseNs[6]]);
    expect(d.BySize.every((row) => row.Mallocs !== 0 || row.Frees !== 0)).toBe(true);
  });

  it("holds the last 256 pauses of more cycles, oldest first, and none of fewer", () => {
    const a = newMemStats();
    const b = newMemStats();
    a.NumGC = 7;
    b.NumGC = 307;
    // The ring: cycle n has its pause at (n - 1) % 256.
    for (let n = 1; n <= b.NumGC; n++) b.PauseNs[(n - 1) % 256] = n;
    const { Pauses } = diff(a, b);
    expect(Pauses).toHaveLength(256);
    expect([Pauses[0], Pauses[255]]).toEqual([52, 307]);
    expect(diff(b, a).Pauses).toEqual([]);
  });

  it("of a snapshot with itself is empty, and prints nothing", () => {
    const m = readMemStats(worked(12, 2));
    expect(formatDiff(diff(m, m))).toBe("");
  });

  it("prints what changed with signs and units", () => {
    const a = newMemStats();
    const b = newMemStats();
    b.HeapAlloc = 1.5 * 2 ** 20;
    b.Mallocs = 7;
    b.PauseTotalNs = 1500;
    a.HeapIdle = 8192;
    expect(formatDiff(diff(a, b))).toBe(
      "Mallocs +7\nHeapAlloc +1.50M\nHeapIdle -8.00K\nPauseTotalNs +1.50us",
    );
  });
});
