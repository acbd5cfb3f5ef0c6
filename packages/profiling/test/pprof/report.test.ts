import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import {
  diffProfiles,
  encodeMessage,
  formatValue,
  functionTotals,
  type PprofData,
  topText,
  tracesText,
  treeText,
} from "../../src/pprof/index.ts";
import { findGo, pprof } from "../support/go.ts";
import { arbitraryProfile, profileOf } from "../support/profiles.ts";

const dir = mkdtempSync(join(tmpdir(), "pprof-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("reports", () => {
  it("scale values as pprof does", () => {
    expect(formatValue(1024, "bytes")).toBe("1kB");
    expect(formatValue(1_500_000, "nanoseconds")).toBe("1.50ms");
    expect(formatValue(-3 * 2 ** 20, "bytes")).toBe("-3MB");
    expect(formatValue(7, "count")).toBe("7");
    expect(formatValue(0, "bytes")).toBe("0");
    expect(formatValue(5400e9, "nanoseconds", "hrs")).toBe("1.50hrs");
  });

  it("count a recursive function once for each sample", () => {
    const p = profileOf([
      [
        ["main.f@3", "main.f@3", "main.f@9", "main.main"],
        [1, 100],
      ],
    ]);
    expect(functionTotals(p)).toEqual([
      { name: "main.f", flat: 100, cum: 100 },
      { name: "main.main", flat: 0, cum: 100 },
    ]);
  });

  const go = findGo();
  it.skipIf(go === null)("are those of go tool pprof, character by character (skipped without Go)", () => {
    const profiles: PprofData[] = fc.sample(arbitraryProfile, { numRuns: 6, seed: 42 });
    profiles.push(
      profileOf([
        [["main.a"], [1, 100]],
        [
          ["main.b", "main.a"],
          [3, 1e12],
        ],
        [
          ["main.c", "main.b"],
          [1, 1e9],
        ],
      ]),
      profileOf([
        [["main.small"], [1, 1]],
        [["main.big"], [1, 1e6]],
      ]),
      profileOf([[["main.run"], [10, 123_456_789]]], {
        sampleTypes: [
          { type: "samples", unit: "count" },
          { type: "cpu", unit: "nanoseconds" },
        ],
        durationNanos: 2_500_000_000n,
      }),
      diffProfiles(profiles[0], profiles[1]),
    );
    const file = join(dir, "p.pb");
    for (const p of profiles) {
      writeFileSync(file, encodeMessage(p));
      // How a time is written differs between releases of Go.
      const untimed = (text: string) => text.replace(/^Time: .*$/m, "Time:");
      const goSays = (...args: string[]) => untimed(pprof(go!, ...args, file));
      expect(untimed(topText(p))).toBe(goSays("-top"));
      expect(
        untimed(
          topText(p, {
            sampleType: "alloc_objects" === p.sampleTypes[0].type ? "alloc_objects" : "samples",
          }),
        ),
      ).toBe(goSays("-top", "-sample_index=0"));
      expect(
        untimed(topText(p, { cum: true, nodeCount: 4 }))
          .split("\n")
          .slice(-6),
      ).toEqual(goSays("-top", "-cum", "-nodecount=4").split("\n").slice(-6));
      expect(untimed(treeText(p))).toBe(goSays("-tree"));
      expect(untimed(tracesText(p))).toBe(goSays("-traces"));
    }
  });
});
