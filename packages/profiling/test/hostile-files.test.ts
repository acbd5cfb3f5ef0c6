// Source maps, and files that they name, may have any origin. No such file may make a lookup throw, hang, or take
// unlimited memory.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_FILE_BYTES, readTextFile } from "../src/files.ts";
import { PCTable } from "../src/pc-table.ts";
import { SourceMaps } from "../src/source-maps.ts";

const dir = mkdtempSync(join(tmpdir(), "gort-hostile-"));
afterAll(() => rmSync(dir, { recursive: true }));
let files = 0;
const path = (name: string) => join(dir, `${files++}-${name}`);

/** A file with this text after its code. */
function script(comment: string): string {
  const file = path("script.mjs");
  writeFileSync(file, `export const a = 1;\n${comment}`);
  return file;
}
const inline = (map: string) =>
  script(`//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString("base64")}\n`);
const lookup = (file: string, line = 1, column = 1) => new SourceMaps().lookup(file, line, column);

const good = { version: 3, sources: ["a.ts"], names: ["n"], mappings: "AACAA" };

describe("a source map", () => {
  it("that is sound is used, inline and beside the file", () => {
    const at = { file: join(dir, "a.ts"), line: 2, column: 1, name: "n" };
    expect(lookup(inline(JSON.stringify(good)))).toEqual(at);
    writeFileSync(join(dir, "good.map"), JSON.stringify(good));
    expect(lookup(script("//# sourceMappingURL=good.map"))).toEqual(at);
    expect(lookup(script("//# sourceMappingURL=none.map\n/*# sourceMappingURL=good.map */\n"))).toEqual(at);
    const prefixed = join(dir, "prefixed.map");
    writeFileSync(prefixed, `)]}'\n${JSON.stringify(good)}`);
    expect(lookup(script(`//# sourceMappingURL=${prefixed}`))).toEqual(at);
  });

  it("names its sources through sections", () => {
    const sections = [{ offset: { line: 0, column: 0 }, map: good }];
    expect(lookup(inline(JSON.stringify({ version: 3, sections })))).toMatchObject({ line: 2, column: 1 });
  });

  it("whose mappings lead nowhere gives no position", () => {
    // The second source of a map with one source, sources below 0 and far too large, a line and a column below 0.
    for (const mappings of ["ACAA", "ADAA", "AgggggggBAA", "AADA", "AAAD"]) {
      expect(lookup(inline(JSON.stringify({ ...good, mappings }))), mappings).toBeNull();
    }
    // Only that mapping is ignored: the mapping of the next line is valid.
    expect(lookup(inline(JSON.stringify({ ...good, mappings: "ACAA;ADAA" })), 2)).toMatchObject({ line: 1 });
  });

  it("with a field of a wrong type is ignored", () => {
    const wrong = [null, true, 7, -1, 1e300, "x", [], [7], [[]], [{}], {}, { length: 1e9 }];
    for (const key of [
      "version",
      "sources",
      "names",
      "mappings",
      "sourceRoot",
      "sourcesContent",
      "sections",
    ]) {
      for (const value of wrong) {
        const map = { ...good, [key]: value };
        const at = lookup(inline(JSON.stringify(map)));
        if (at !== null) expect([typeof at.file, typeof (at.name ?? "")]).toEqual(["string", "string"]);
      }
    }
    for (const value of wrong) expect(lookup(inline(JSON.stringify(value)))).toBeNull();
    for (const version of [null, 2, 4, "x"]) {
      expect(lookup(inline(JSON.stringify({ ...good, version })))).toBeNull();
    }
  });

  it("with sections without end, or that begin far away, is ignored", () => {
    let nested = JSON.stringify(good);
    for (let i = 0; i < 20_000; i++)
      nested = `{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":${nested}}]}`;
    expect(lookup(inline(nested))).toBeNull();
    for (const line of [1e9, -1, 0.5, "0", null]) {
      const sections = [{ offset: { line, column: 0 }, map: good }];
      expect(lookup(inline(JSON.stringify({ version: 3, sections })))).toBeNull();
    }
  });

  it("cut anywhere, or with any byte changed, never throws", () => {
    const text = JSON.stringify({
      version: 3,
      sourceRoot: "src",
      sections: undefined,
      sources: ["a.ts", "b.ts", null],
      names: ["n", "m"],
      mappings: "AAAAA,CCEC;AAAD,GAAI;;AACAA",
    });
    for (let i = 0; i < text.length; i++) lookup(inline(text.slice(0, i)));
    fc.assert(
      fc.property(
        fc.nat(text.length - 1),
        fc.string({ maxLength: 3 }),
        fc.nat(4),
        fc.nat(20),
        (at, put, line, column) => {
          const maps = new SourceMaps();
          const file = inline(text.slice(0, at) + put + text.slice(at + 1));
          for (const l of [line, 1, 2, 3]) maps.lookup(file, l, column);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("behind any comment never throws", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "data:",
        "application/json",
        ";base64",
        ",",
        "%",
        "%zz",
        "file://",
        "/",
        "..",
        "\0",
        "//",
        "e30=",
        "%7B%7D",
      ),
      fc.string({ maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        lookup(script(`//# sourceMappingURL=${pieces.join("")}\n`));
      }),
      { numRuns: 500 },
    );
  });

  it("is looked for in linear time", () => {
    const before = performance.now();
    lookup(script(`//# sourceMappingURL=a${" ".repeat(2_000_000)}x\n`));
    lookup(script("//# sourceMappingURL=a b\n".repeat(100_000)));
    lookup(script("//# sourceMappingURL=".repeat(100_000)));
    expect(performance.now() - before).toBeLessThan(5_000);
  });

  it("answers again after a place outside of the file was asked for", () => {
    const maps = new SourceMaps();
    const file = inline(JSON.stringify(good));
    for (const [line, column] of [
      [0, 0],
      [-1, 1],
      [1, -1],
      [Number.NaN, 1],
      [1e9, 1e9],
    ] as const) {
      expect(maps.lookup(file, line, column)).toBeNull();
    }
    expect(maps.lookup(file, 1, 1)).not.toBeNull();
  });

  it("that a program gives is refused at once if it cannot be used", () => {
    expect(() => new SourceMaps().add("/x.js", "no")).toThrow(
      "profiling: the source map of /x.js can't be used",
    );
    expect(() => new SourceMaps().add("/x.js", { version: 3 })).toThrow(TypeError);
  });
});

describe("a path that is no regular file", () => {
  let fifo = "";
  beforeAll(() => {
    fifo = join(dir, "fifo");
    execFileSync("mkfifo", [fifo]);
  });

  it("is not read: pipes, devices, folders, and files that are too large", () => {
    const large = join(dir, "large");
    writeFileSync(large, "{}");
    truncateSync(large, MAX_FILE_BYTES + 1);
    for (const file of [
      fifo,
      "/dev/zero",
      "/dev/tty",
      "/proc/self/fd/0",
      dir,
      large,
      "no\0name",
      "x".repeat(1e6),
    ]) {
      expect(readTextFile(file)).toBeUndefined();
    }
    for (const file of [fifo, "/dev/zero", large]) {
      expect(lookup(script(`//# sourceMappingURL=${file}`))).toBeNull();
    }
  });

  it("is no source to be scanned for names, and no manifest", () => {
    const folder = join(dir, "pkg");
    mkdirSync(folder);
    execFileSync("mkfifo", [join(folder, "package.json")]);
    const table = new PCTable();
    expect(table.packages.packageOf(join(folder, "a.ts"), join(folder, "a.js"))).toBe("pkg/a");
    for (const source of [fifo, "/dev/zero", `/${"a/".repeat(100_000)}b.ts`]) {
      const file = inline(JSON.stringify({ ...good, sources: [source] }));
      const id = table.intern({
        getFunctionName: () => null,
        getTypeName: () => null,
        getFileName: () => file,
        getLineNumber: () => 1,
        getColumnNumber: () => 1,
        isConstructor: () => false,
        getEnclosingLineNumber: () => 1,
        getEnclosingColumnNumber: () => 2,
      });
      expect(table.symbolize(id).file).toBe(source);
    }
  });
});
