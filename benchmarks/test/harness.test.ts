import { describe, expect, it } from "vitest";
import { inUnit, type Plan, run } from "../src/harness.ts";
import { cells, figure, markdown, table } from "../src/report.ts";
import type { Side } from "../src/sides.ts";
import { median, ratio, spread } from "../src/stats.ts";
import { type Benchmark, select, suite } from "../src/suite.ts";

describe("statistics", () => {
  it("take the middle value, or the mean of the middle two", () => {
    expect(median([3])).toBe(3);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([10, 9])).toBe(9.5);
    expect(() => median([])).toThrow(RangeError);
  });

  it("leave their argument as it was", () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });

  it("give the spread in parts of the median and the ratio as ours by theirs", () => {
    expect(spread([5])).toBe(0);
    expect(spread([8, 10, 12])).toBeCloseTo(0.4);
    expect(ratio(5, 10)).toBe(0.5);
  });
});

describe("the suite", () => {
  it("has the names that stay", () => {
    expect(suite.map((b) => b.name)).toEqual([
      "Malloc16",
      "MallocP32",
      "Malloc1K",
      "Malloc8Tiny",
      "Malloc64K",
      "MallocFragmented16",
      "MallocCompact16",
      "MallocFragmentedP32",
      "MallocCompactP32",
      "MallocFragmented1K",
      "MallocCompact1K",
      "MallocFree16",
      "MallocFreeTrace",
      "GoroutineSpawn",
      "Gosched",
      "ChanUnbuffered",
      "ChanBuffered100",
      "ChanBuffered100Try",
      "Select2",
      "Select4",
      "PrimeSieve2000",
      "MarkAllocOrder",
      "MarkRandom",
      "MarkAllocOrderJS",
      "MarkAllocOrderWasm",
      "MarkRandomJS",
      "MarkRandomWasm",
      "BinaryTrees18",
      "BinaryTrees20",
      "ReadMemStats",
      "Caller",
      "Callers8",
      "CallersFrames32",
      "Stack32",
      "StackAll1000",
      "StackAll1000Fresh",
      "BlockEvents",
      "BlockEventsSampled",
      "ProfileCustom",
    ]);
  });

  it("marks 2^23-1 objects, and 2^20-1 when quick", () => {
    for (const { n, quickN } of select("^Mark")) expect([n, quickN]).toEqual([8388607, 1048575]);
  });

  it("selects by regular expression, in its own order", () => {
    expect(select("Select|^Malloc1K$").map((b) => b.name)).toEqual(["Malloc1K", "Select2", "Select4"]);
    expect(select(undefined)).toBe(suite);
    expect(select("nothing")).toEqual([]);
    expect(() => select("(")).toThrow(SyntaxError);
  });
});

const benchmark: Benchmark = {
  name: "Trivial",
  unit: "ns/op",
  what: "nothing",
  n: 100,
  quickN: 10,
  warmup: 0,
  samples: 3,
  go: true,
  peers: ["v8"],
};

/** A side that answers with figures given beforehand and remembers in which order it was asked. */
function scripted(name: string, answers: number[][], log: string[], check = "7", can = true): Side {
  let round = 0;
  return {
    name,
    version: `${name} 1`,
    can: () => can,
    async measure({ name: benchmarkName }, n) {
      log.push(`${name} ${n}`);
      return { name: benchmarkName, samples: answers[round++], check };
    },
  };
}

function plan(gort: Side, peers: Side[], more: Partial<Plan> = {}): Plan {
  return { benchmarks: [benchmark], gort, peers, rounds: 3, quick: false, ...more };
}

describe("a run", () => {
  it("takes medians of the processes' medians, and their ratio", async () => {
    const log: string[] = [];
    const gort = scripted(
      "gort",
      [
        [1, 2, 3],
        [4, 4, 100],
        [6, 6, 6],
      ],
      log,
    );
    const go = scripted(
      "go",
      [
        [10, 10, 10],
        [8, 8, 8],
        [9, 9, 9],
      ],
      log,
    );
    const { results, failures } = await run(plan(gort, [go]));
    expect(failures).toEqual([]);
    expect(results).toEqual([
      {
        name: "Trivial",
        unit: "ns/op",
        gort: 4,
        peers: { go: 9 },
        ratio: { go: 0.4444 },
        samples: { gort: [2, 4, 6], go: [10, 8, 9] },
      },
    ]);
  });

  it("alternates the sides and changes the order every round", async () => {
    const log: string[] = [];
    const same = [[1], [1], [1]];
    await run(plan(scripted("gort", same, log), [scripted("go", same, log)], { quick: true }));
    expect(log).toEqual(["gort 10", "go 10", "go 10", "gort 10", "gort 10", "go 10"]);
  });

  it("leaves out a peer that cannot do the work, and has no ratio without peers", async () => {
    const { results } = await run(
      plan(scripted("gort", [[1], [1], [1]], []), [scripted("v8", [], [], "7", false)]),
    );
    expect(results[0]).toMatchObject({ peers: {}, ratio: {}, samples: { gort: [1, 1, 1] } });
  });

  it("fails a benchmark whose sides did different work, and goes on with the next", async () => {
    const ten = Array.from({ length: 10 }, () => [1]);
    const gort = scripted("gort", ten, []);
    const go: Side = {
      ...scripted("go", ten, []),
      measure: async ({ name }) => ({ name, samples: [1], check: name === "Second" ? "7" : "8" }),
    };
    const { results, failures } = await run(
      plan(gort, [go], { benchmarks: [benchmark, { ...benchmark, name: "Second" }] }),
    );
    expect(failures).toHaveLength(1);
    expect(failures[0].error.message).toBe("Trivial: the work of gort came to 7, that of go to 8");
    expect(results.map((r) => r.name)).toEqual(["Second"]);
  });

  it("gives whole programs in milliseconds", () => {
    expect(inUnit({ ...benchmark, unit: "ms" }, 2.5e6)).toBe(2.5);
    expect(inUnit(benchmark, 2.5)).toBe(2.5);
  });
});

describe("the report", () => {
  const results = [
    {
      name: "A",
      unit: "ns/op",
      gort: 5,
      peers: { go: 10, v8: 200 },
      ratio: { go: 0.5, v8: 0.025 },
      samples: { gort: [4, 5, 6], go: [10], v8: [200] },
    },
    {
      name: "Slow",
      unit: "ns/op",
      gort: 30.25,
      peers: { go: 10 },
      ratio: { go: 3.025 },
      samples: { gort: [30.25], go: [10] },
    },
  ];

  it("prints losses like wins, and leaves the cells of a missing peer empty", () => {
    expect(cells(results)).toEqual([
      ["benchmark", "unit", "gort", "±", "go", "±", "gort/go", "v8", "±", "gort/v8"],
      ["A", "ns/op", "5.00", "20%", "10.0", "0%", "0.50x", "200", "0%", "0.03x"],
      ["Slow", "ns/op", "30.3", "0%", "10.0", "0%", "3.02x", "", "", ""],
    ]);
  });

  it("aligns columns in the terminal and makes a Markdown table of the same cells", () => {
    const lines = table(results).split("\n");
    expect(lines[1]).toMatch(/^A {10}ns\/op {2,}5\.00/);
    expect(lines.every((line) => line === line.trimEnd())).toBe(true);
    expect(markdown(results).split("\n")[1]).toBe(`| --- | --- |${" --: |".repeat(8)}`);
  });

  it("writes three significant digits", () => {
    expect([1.234, 12.34, 123.4, 1234].map(figure)).toEqual(["1.23", "12.3", "123", "1234"]);
  });
});
