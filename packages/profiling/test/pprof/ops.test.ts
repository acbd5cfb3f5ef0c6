import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeMessage,
  deltaProfile,
  diffProfiles,
  encodeMessage,
  filterProfile,
  functionTotals,
  mergeProfiles,
  type PprofData,
  sampleIndex,
  scaleProfile,
} from "../../src/pprof/index.ts";
import { arbitraryProfile, profileOf } from "../support/profiles.ts";

describe("merge, scale and compare", () => {
  it("adds up equal stacks, also of different runs", () => {
    const a = profileOf([
      [
        ["main.a", "main.b"],
        [1, 10],
      ],
      [["main.c"], [2, 20]],
    ]);
    const b = profileOf(
      [
        [["main.c"], [5, 50]],
        [["main.d"], [1, 1]],
        [
          ["main.a", "main.b"],
          [1, 10],
        ],
      ],
      {
        durationNanos: 5n,
        timeNanos: 1n,
      },
    );
    const sum = mergeProfiles([a, b]);
    expect(functionTotals(sum).map((f) => [f.name, f.flat])).toEqual([
      ["main.c", 70],
      ["main.a", 20],
      ["main.d", 1],
      ["main.b", 0],
    ]);
    expect(sum.timeNanos).toBe(1n);
    expect(sum.durationNanos).toBe(5n);
    expect(decodeMessage(encodeMessage(sum)).samples).toHaveLength(3);
  });

  it("keeps labels apart", () => {
    const a = profileOf([
      [["main.a"], [1, 1], { job: "x" }],
      [["main.a"], [1, 1], { job: "y" }],
    ]);
    expect(mergeProfiles([a, a]).samples).toHaveLength(2);
  });

  it("refuses profiles of different kinds, and an empty list", () => {
    const a = profileOf([]);
    const b = profileOf([], { sampleTypes: [{ type: "cpu", unit: "nanoseconds" }] });
    expect(() => mergeProfiles([a, b])).toThrow(
      /different kinds: alloc_objects\/count alloc_space\/bytes, and cpu\/nanoseconds/,
    );
    expect(() => mergeProfiles([])).toThrow(/nothing to merge/);
    expect(() => scaleProfile(a, Number.NaN)).toThrow(/scale needs a number, or 2 of them/);
    expect(() => sampleIndex(a, "nope")).toThrow(
      /sample type "nope" isn't one of alloc_objects, alloc_space/,
    );
  });

  it("subtracts the base, and keeps no sample that did not change", () => {
    fc.assert(
      fc.property(arbitraryProfile, arbitraryProfile, (a, b) => {
        expect(diffProfiles(a, a).samples).toEqual([]);
        const back = mergeProfiles([diffProfiles(a, b), b]);
        const totals = (p: PprofData) => new Map(functionTotals(p).map((f) => [f.name, f.flat]));
        const want = totals(mergeProfiles([a]));
        for (const [name, flat] of totals(back)) expect(flat).toBe(want.get(name) ?? 0);
      }),
      { numRuns: 50 },
    );
  });

  it("gives the delta the time between both profiles", () => {
    const a = profileOf([[["main.a"], [1, 10]]], { timeNanos: 100n });
    const b = profileOf([[["main.a"], [4, 40]]], { timeNanos: 700n });
    const d = deltaProfile(a, b);
    expect([...d.samples].map((s) => s.values)).toEqual([[3, 30]]);
    expect([d.timeNanos, d.durationNanos]).toEqual([700n, 600n]);
  });

  it("filters samples by frames and labels, and frames by name or file", () => {
    const p = profileOf([
      [["main.a", "lib.x", "main.main"], [1, 1], { job: "x" }],
      [["main.b", "main.main"], [2, 2], { bytes: 16 }],
    ]);
    const leaves = (q: PprofData) =>
      [...q.samples].map((s) => s.locations.map((l) => l.lines[0].function.name).join(" "));
    expect(leaves(filterProfile(p, { focus: /lib/g }))).toEqual(["main.a lib.x main.main"]);
    expect(leaves(filterProfile(p, { ignore: /lib/ }))).toEqual(["main.b main.main"]);
    expect(leaves(filterProfile(p, { hide: /^lib/ }))).toEqual(["main.a main.main", "main.b main.main"]);
    expect(leaves(filterProfile(p, { show: /main$/ }))).toEqual(["main.main", "main.main"]);
    expect(leaves(filterProfile(p, { tagFocus: /job:x/ }))).toHaveLength(1);
    expect(leaves(filterProfile(p, { tagIgnore: /bytes:16/ }))).toEqual(["main.a lib.x main.main"]);
    expect(leaves(filterProfile(p, { focus: /\/app\/main\.b\.ts/ }))).toEqual(["main.b main.main"]);
    expect(p.samples[0].locations).toHaveLength(3);
  });
});
