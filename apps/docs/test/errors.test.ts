import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { sourceFiles, thrown } from "./thrown.ts";

const page = readFileSync(fileURLToPath(new URL("../errors.md", import.meta.url)), "utf8");
const { errors, codes, strays } = thrown();

describe("the page of errors", () => {
  it("is compared with the sources of all packages, in which the walk finds files, codes and errors", () => {
    expect(sourceFiles().length).toBeGreaterThan(150);
    expect(codes.size).toBeGreaterThan(25);
    expect(errors.length).toBeGreaterThan(50);
  });

  it("lists exactly the codes that the sources name", () => {
    const listed = new Set(page.match(/ERR_GORT_[A-Z_]+/g));
    expect([...listed].sort()).toEqual([...codes].sort());
  });

  it("lists every message of an error with a code", () => {
    expect(errors.filter(({ message }) => !page.includes(`\`${message}\``))).toEqual([]);
  });

  it("lists no message that the sources do not throw", () => {
    const sources = new Set(errors.map(({ message }) => message));
    // The sources build these messages from parts. Each has a part that stands in a source.
    const built: Record<string, string> = {
      "runtime error: index out of range …": "index out of range [",
      "slice bounds out of range …": "slice bounds out of range [",
      "interface conversion: …": "interface conversion: ",
      "runtime error: panic called with nil argument": "runtime error: panic called with nil argument",
      "runtime.AddCleanup: ptr is equal to arg, cleanup will never run":
        "runtime.AddCleanup: ptr is equal to arg",
      "runtime.AddCleanup: ptr is within arg, cleanup will never run":
        "runtime.AddCleanup: ptr is within arg",
      "all goroutines are asleep - deadlock!": "all goroutines are asleep - deadlock!",
      "no goroutines (main called runtime.Goexit) - deadlock!": "no goroutines (main called runtime.Goexit)",
    };
    const text = sourceFiles().map((file) => readFileSync(file, "utf8"));
    const rows = page.split("\n").filter((line) => line.startsWith("|") && line.includes("`"));
    const messages = rows.flatMap((row) => {
      const cells = row.split(" | ");
      // A row begins with its code, or with its message.
      const cell = cells[0].includes("ERR_GORT_") || cells[0].trim() === "|" ? cells[1] : cells[0];
      return [...cell.matchAll(/`([^`]+)`/g)].map((m) => m[1]).filter((m) => m.includes(" "));
    });
    expect(messages.length).toBeGreaterThan(50);
    const gone = messages.filter(
      (m) => !sources.has(m) && !(built[m] !== undefined && text.some((t) => t.includes(built[m]))),
    );
    expect(gone).toEqual([]);
  });
});

describe("codes", () => {
  it("have one style in every package", () => {
    expect(strays).toEqual([]);
  });
});
