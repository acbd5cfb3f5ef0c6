import { describe, expect, it } from "vitest";
import { cells, figure, markdown, table } from "../src/report.ts";

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

  it("prints losses as plainly as wins, and leaves the cells of a missing peer empty", () => {
    expect(cells(results)).toEqual([
      ["benchmark", "unit", "gort", "±", "go", "±", "gort/go", "v8", "±", "gort/v8"],
      ["A", "ns/op", "5.00", "20%", "10.0", "0%", "0.50x", "200", "0%", "0.03x"],
      ["Slow", "ns/op", "30.3", "0%", "10.0", "0%", "3.02x", "", "", ""],
    ]);
  });

  it("aligns columns in the terminal, and makes a Markdown table of the same cells", () => {
    const lines = table(results).split("\n");
    expect(lines[1]).toMatch(/^A {10}ns\/op {2,}5\.00/);
    expect(lines.every((line) => line === line.trimEnd())).toBe(true);
    expect(markdown(results).split("\n")[1]).toBe(`| --- | --- |${" --: |".repeat(8)}`);
  });

  it("writes three significant digits", () => {
    expect([1.234, 12.34, 123.4, 1234].map(figure)).toEqual(["1.23", "12.3", "123", "1234"]);
  });
});
