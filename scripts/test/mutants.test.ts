import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

interface Equivalent {
  file: string;
  line: string;
  original: string;
  replacement: string;
  why: string;
}
const list = JSON.parse(readFileSync(`${root}/scripts/mutants-equivalent.json`, "utf8")) as Equivalent[];

describe("mutants-equivalent.json", () => {
  const sources = new Map<string, Set<string>>();
  const linesOf = (file: string): Set<string> => {
    let lines = sources.get(file);
    if (lines === undefined) {
      lines = new Set(
        readFileSync(`${root}/${file}`, "utf8")
          .split("\n")
          .map((line) => line.trim()),
      );
      sources.set(file, lines);
    }
    return lines;
  };

  it("names lines that are in the sources: an entry whose line has changed would excuse nothing", () => {
    expect(list.length).toBeGreaterThan(100);
    expect(list.filter(({ file, line }) => !linesOf(file).has(line))).toEqual([]);
  });

  it("gives a reason for each mutant, and each only once", () => {
    expect(list.filter(({ why, original, replacement }) => why === "" || original === replacement)).toEqual(
      [],
    );
    const keys = list.map(({ file, line, original, replacement }) =>
      JSON.stringify([file, line, original, replacement]),
    );
    expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
  });
});
