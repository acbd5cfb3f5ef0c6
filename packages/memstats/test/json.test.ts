import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jsonFloat, memStatsJSON, newMemStats, readMemStats } from "../src/index.ts";
import { worked } from "./kit.ts";

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

  it("reads back as the text of JSON.stringify does, in both forms", () => {
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
