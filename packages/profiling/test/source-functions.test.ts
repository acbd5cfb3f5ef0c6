import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import fc from "fast-check";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { SourceFunctions, scannedName } from "../src/source-functions.ts";

const require = createRequire(import.meta.url);

interface Known {
  start: number;
  isMethod: boolean;
  depth: number;
}

/** Every function of a file, as TypeScript's own parser sees it. */
function parsed(source: string): Known[] {
  const file = ts.createSourceFile("x.js", source, ts.ScriptTarget.ESNext, true, ts.ScriptKind.JS);
  const out: Known[] = [];
  const visit = (node: ts.Node, depth: number): void => {
    let inner = depth;
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      const isMethod =
        ts.isMethodDeclaration(node) || ts.isConstructorDeclaration(node) || ts.isAccessor(node);
      let start = node.getStart(file);
      const modifiers = ts.canHaveModifiers(node) ? ts.getModifiers(node) : undefined;
      if (isMethod) start = ts.isConstructorDeclaration(node) ? start : node.name.getStart(file);
      else {
        const async = modifiers?.find((m) => m.kind === ts.SyntaxKind.AsyncKeyword);
        if (ts.isFunctionDeclaration(node)) {
          start = async?.getStart(file) ?? source.indexOf("function", modifiers?.at(-1)?.getEnd() ?? start);
        }
      }
      out.push({ start, isMethod, depth });
      inner = depth + 1;
    }
    ts.forEachChild(node, (child) => visit(child, inner));
  };
  visit(file, 0);
  return out;
}

function place(source: string, offset: number): [number, number] {
  const before = source.slice(0, offset).split("\n");
  return [before.length, before.at(-1)!.length + 1];
}

const libraries = ["pprof-format", "@jridgewell/trace-mapping", "fast-check", "typescript"];

describe("SourceFunctions", () => {
  it.each(libraries)(
    "finds the functions of %s, at the same places and as deeply nested as a parser does",
    (name) => {
      const source = readFileSync(require.resolve(name), "utf8").slice(0, 3_000_000);
      const functions = new SourceFunctions(source);
      const known = parsed(source);
      const missed: string[] = [];
      let wrongDepth = 0;
      const lines = lineTable(source);
      for (const k of known) {
        const [line, column] = lines(k.start);
        const f = functions.at(line, column);
        if (f === undefined) {
          missed.push(`${line}:${column} ${source.slice(k.start, k.start + 40)}`);
          continue;
        }
        let depth = 0;
        for (let p = f.parent; p !== null; p = p.parent) depth++;
        if (depth !== k.depth) wrongDepth++;
      }
      expect(known.length).toBeGreaterThan(3);
      expect(missed.slice(0, 10)).toEqual([]);
      // A closure in a parameter's default, before the scanner knows that it is one.
      expect(wrongDepth).toBeLessThanOrEqual(known.length / 500);
    },
  );

  const names = (source: string): Record<string, string> => {
    const functions = new SourceFunctions(source);
    const out: Record<string, string> = {};
    for (const { start } of parsed(source)) {
      const f = functions.at(...place(source, start));
      out[source.slice(start, start + 12).split("\n")[0]] = f === undefined ? "?" : scannedName(f);
    }
    return out;
  };

  it("numbers closures in source order, and those in closures by their number alone", () => {
    expect(
      names(`function main() { /*1*/ xs.map(() => 1);
call(function () { (q) => { (async (r) => 2)(); }; s => s; });
function named() { t => t }
}
((u) => 1)();`),
    ).toEqual({
      "function mai": "main",
      "() => 1);": "main.func1",
      "function () ": "main.func2",
      "(q) => { (as": "main.func2.1",
      "async (r) =>": "main.func2.1.1",
      "s => s; });": "main.func2.2",
      "function nam": "named",
      "t => t }": "named.func1",
      "(u) => 1)();": "init.func1",
    });
  });

  it("finds the innermost function around a place", () => {
    const source = `a(); const f = () => b(1), g = c;
function main(x = d()) {
  [e].map((y) => ({ key: h(y) }));
  i();
}
class T { m() { return () => j; } static n = k(() => l); }
o();`;
    const functions = new SourceFunctions(source);
    const around = (name: string): string => {
      const f = functions.around(...place(source, source.search(new RegExp(`\\b${name}\\b`))));
      return f === undefined ? "?" : scannedName(f);
    };
    expect(Object.fromEntries([..."abcdehijklo"].map((name) => [name, around(name)]))).toEqual({
      a: "init",
      b: "f",
      c: "init",
      d: "main",
      e: "main",
      h: "main.func1",
      i: "main",
      j: "(*T).m.func1",
      k: "init",
      l: "init.func2",
      o: "init",
    });
    expect(functions.around(99, 1)).toBeUndefined();
  });

  it("names members after the class that declares them", () => {
    expect(
      names(`class A extends (class B { m1() {} }) {
  f1 = () => 1
  m2() { return { o1() {}, get o2() { return 1 }, o3: () => 2, ...g(x) } }
  static async *s1() {} get [k]() {}
  #p1() {}
}
const C = class D { c1() {} };`),
    ).toEqual({
      "m1() {} }) {": "(*B).m1",
      "() => 1": "f1",
      "m2() { retur": "(*A).m2",
      "o1() {}, get": "o1",
      "o2() { retur": "o2",
      "() => 2, ...": "o3",
      "s1() {} get ": "A.s1",
      "[k]() {}": "(*A).[computed]-get",
      "#p1() {}": "(*A).#p1",
      "c1() {} };": "(*C).c1",
    });
  });

  it("reads strings, templates, comments, regular expressions and division correctly", () => {
    expect(
      names(
        [
          "const a = /[/{]=>}/.test('}') / 2 / f(`}$",
          "{`$",
          "{x => 1}`}{`); // () => {\n/* function z() { */ const b = `$",
          "{{}.y}`, c = () => 3;\nif (a) /=> {/.exec(b)\nconst d = e++ / 2; k => 1 / k",
        ].join(""),
      ),
    ).toEqual({ "x => 1}`}{`)": "init.func1", "() => 3;": "c", "k => 1 / k": "init.func3" });
  });

  it("survives any text, in linear time", () => {
    const pieces = fc.constantFrom(
      ..."(){}[]`$\"'/\\=>;,:.?*#@\n ".split(""),
      "=>",
      "${",
      "class ",
      "function ",
      "async ",
      "get ",
      "static ",
      "a",
      "1",
      "/*",
      "//",
      "...",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 400 }), (parts) => {
        const functions = new SourceFunctions(parts.join(""));
        functions.at(1, 1);
        functions.at(1e9, 1);
      }),
      { numRuns: 500 },
    );
    const before = process.cpuUsage();
    new SourceFunctions("(a => ({ x: [".repeat(50_000));
    expect(process.cpuUsage(before).user).toBeLessThan(2e6);
  });
});

function lineTable(source: string): (offset: number) => [number, number] {
  const starts = [0];
  for (let i = source.indexOf("\n"); i >= 0; i = source.indexOf("\n", i + 1)) starts.push(i + 1);
  return (offset) => {
    let lo = 0;
    let hi = starts.length;
    while (hi - lo > 1) {
      const mid = (lo + hi) >> 1;
      if (starts[mid] <= offset) lo = mid;
      else hi = mid;
    }
    return [lo + 1, offset - starts[lo] + 1];
  };
}
