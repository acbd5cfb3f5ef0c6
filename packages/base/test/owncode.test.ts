/** In a bundle, the code of these packages lies between the two marks that each published file sets. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OwnCode, type Place } from "../src/index.ts";

const marksKey = Symbol.for("gort.code");
const shared = globalThis as { [marksKey]?: { stack?: unknown }[][] };
const before = shared[marksKey];
let ownCode: OwnCode;

beforeEach(() => {
  ownCode = new OwnCode(readSites);
  delete shared[marksKey];
});
afterEach(() => {
  if (before === undefined) delete shared[marksKey];
  else shared[marksKey] = before;
});

/** An error made at a place. */
const mark = (file: unknown, line: number | null, column: number | null) => ({ stack: [file, line, column] });
let reads = 0;
function readSites({ stack }: { stack?: unknown }): Place[] {
  reads++;
  if (stack === undefined) return [];
  const [file, line, column] = stack as unknown[];
  return [{ getFileName: () => file, getLineNumber: () => line, getColumnNumber: () => column } as Place];
}
const own = (line: number, column: number, file = "/app/bundle.js") => ownCode.has(file, line, column);

describe("a place in a script", () => {
  it("is no own code where no file has set marks", () => {
    expect(own(1, 1)).toBe(false);
    shared[marksKey] = [];
    expect(own(1, 1)).toBe(false);
  });

  it.each<[line: number, column: number, is: boolean]>([
    [9, 99, false],
    [10, 4, false],
    [10, 5, true],
    [10, 6, true],
    [11, 1, true],
    [19, 99, true],
    [20, 6, true],
    [20, 7, true],
    [20, 8, false],
    [21, 1, false],
    // The second file of the bundle stands on one line.
    [30, 99, false],
    [30, 100, true],
    [30, 150, true],
    [30, 200, true],
    [30, 201, false],
  ])("at %d:%d is between marks: %s", (line, column, is) => {
    shared[marksKey] = [
      [mark("/app/bundle.js", 10, 5), mark("/app/bundle.js", 20, 7)],
      [mark("/app/bundle.js", 30, 100), mark("/app/bundle.js", 30, 200)],
    ];
    expect(own(line, column)).toBe(is);
    expect(own(line, column, "/app/other.js")).toBe(false);
  });

  it("is own code once the file that is being loaded has set its second mark", () => {
    const marks = [mark("/app/bundle.js", 10, 1)];
    shared[marksKey] = [marks, []];
    expect(own(15, 1)).toBe(false);
    expect(own(15, 1)).toBe(false);
    marks.push(mark("/app/bundle.js", 20, 1));
    expect(own(15, 1)).toBe(true);
  });

  it("is looked up in what was read before: each mark is read once", () => {
    shared[marksKey] = [[mark("/app/a.js", 1, 1), mark("/app/a.js", 9, 1)]];
    reads = 0;
    for (let i = 0; i < 3; i++) expect(own(5, 1, "/app/a.js")).toBe(true);
    expect(reads).toBe(2);
    shared[marksKey].push([mark("/app/b.js", 1, 1), mark("/app/b.js", 9, 1)]);
    expect(own(5, 1, "/app/b.js")).toBe(true);
    expect(own(5, 1, "/app/a.js")).toBe(true);
    expect(reads).toBe(4);
  });

  it("is none where marks name no script, or two", () => {
    shared[marksKey] = [
      [mark("/app/bundle.js", 1, 1), mark("/app/other.js", 99, 1)],
      [mark(undefined, 1, 1), mark(undefined, 99, 1)],
      [{}, {}],
    ];
    for (const file of ["/app/bundle.js", "/app/other.js", "undefined"]) expect(own(5, 1, file)).toBe(false);
  });

  it("is counted from 0 where the engine gives none", () => {
    shared[marksKey] = [[mark("/app/bundle.js", null, null), mark("/app/bundle.js", 2, null)]];
    expect([own(0, 0), own(1, 5), own(2, 0), own(2, 1)]).toEqual([true, true, true, false]);
  });

  it("has the name that scriptOf gives to its file", () => {
    shared[marksKey] = [[mark("file:///app/a.js", 1, 1), mark("file:///app/a.js", 9, 1)]];
    const named = new OwnCode(readSites, (file) => file.replace("file://", ""));
    expect([named.has("/app/a.js", 5, 1), named.has("file:///app/a.js", 5, 1)]).toEqual([true, false]);
  });
});
