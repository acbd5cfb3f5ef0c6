import { afterAll, describe, expect, it } from "vitest";
import { createProfiler } from "../src/index.ts";
import { type Program, program } from "./support/build.ts";

const programs: Program[] = [];
afterAll(() => {
  for (const p of programs) p.remove();
});
function make(...args: Parameters<typeof program>): Program {
  const p = program(...args);
  programs.push(p);
  return p;
}

// The type annotations and blank lines make the JavaScript's lines differ from the source's.
const source = `
import { caller, callers, callersFrames, funcForPC } from "@gort/profiling";

interface Gone {
  a: number;
  b: number;
}

interface Row { func: string; line: number; file: string; ok: boolean }

function row(skip: number): Row {
  const { pc, file, line, ok } = caller(skip);
  return { func: funcForPC(pc)?.name() ?? "", line, file: file.slice(file.lastIndexOf("/") + 1), ok };
}

class Base {
  method(): Row { return row(1); }
  static make(): Row { return row(1); }
  get value(): Row { return row(1); }
  #hidden(): Row { return row(1); }
  hidden(): Row { return this.#hidden(); }
  result: Row;
  constructor() { this.result = row(1); }
}

function* inner(): Generator<number, Row> { return row(1); }
function* outer(): Generator<number, Row[]> { const r = yield* inner(); return [r, yield* walk()]; }
function* walk(): Generator<number, Row> { return row(2); }

async function later(): Promise<Row> { await null; return row(1); }
const arrow = (): Row => row(1);

function pcsAt(): string[] {
  const pcs = new Array<number>(3);
  const n = callers(0, pcs);
  const names: string[] = [];
  const frames = callersFrames(pcs.slice(0, n));
  for (;;) {
    const { frame, more } = frames.next();
    names.push(frame.Function + ":" + (frame.File.endsWith(".ts") ? frame.Line : 0));
    if (!more) break;
  }
  return names;
}

const b = new Base();
console.log(JSON.stringify({
  here: row(0),
  module: row(1),
  method: b.method(),
  statics: Base.make(),
  getter: b.value,
  hidden: b.hidden(),
  ctor: b.result,
  generators: [...outer2()],
  later: await later(),
  arrow: arrow(),
  deep: row(1000),
  pcs: pcsAt(),
}));
function* outer2(): Generator<Row> { const it = outer(); yield* it.next().value as unknown as Row[]; }
`;
const lineOf = (text: string): number => source.slice(0, source.indexOf(text)).split("\n").length;

interface Row {
  func: string;
  line: number;
  file: string;
  ok: boolean;
}
type Out = Record<string, Row> & { generators: Row[]; pcs: string[] };

describe.each([
  ["a map beside the file", { sourceMap: "file" }, []],
  ["an inline map", { sourceMap: "inline" }, []],
  ["a map that Node applies", { sourceMap: "file" }, ["--enable-source-maps"]],
  ["an inline map that Node applies", { sourceMap: "inline" }, ["--enable-source-maps"]],
] as const)("caller in TypeScript with %s", (_title, options, nodeArgs) => {
  const out = make({ "main.ts": source }, { ...options, nodeArgs: [...nodeArgs] }).json<Out>();

  it("names the source file and line", () => {
    expect(out.here).toEqual({ func: "main.row", file: "main.ts", line: lineOf("caller(skip)"), ok: true });
    expect(out.module).toMatchObject({ func: "main.init", line: lineOf("module: row(1)") });
  });

  it("names methods by their class, statics without the pointer", () => {
    expect(out.method).toMatchObject({ func: "main.(*Base).method", line: lineOf("method(): Row") });
    expect(out.getter).toMatchObject({ func: "main.(*Base).value-get", line: lineOf("get value()") });
    expect(out.hidden).toMatchObject({ func: "main.(*Base).#hidden", line: lineOf("#hidden(): Row") });
    expect(out.ctor).toMatchObject({
      func: "main.(*Base).constructor",
      line: lineOf("this.result = row(1)"),
    });
    expect(out.statics.line).toBe(lineOf("static make()"));
  });

  it("does not count the built-in frames between generators", () => {
    expect(out.generators[0]).toMatchObject({ func: "main.inner", line: lineOf("function* inner") });
    expect(out.generators[1]).toMatchObject({ func: "main.outer", line: lineOf("function* outer") });
  });

  it("shows async functions after an await, and names arrows after their variable", () => {
    expect(out.later).toMatchObject({ func: "main.later", line: lineOf("async function later") });
    expect(out.arrow).toMatchObject({ func: "main.arrow", line: lineOf("const arrow") });
  });

  it("gives ok false and zero values past the end", () => {
    expect(out.deep).toEqual({ func: "", file: "", line: 0, ok: false });
  });

  it("begins callers(0) with runtime.Callers", () => {
    expect(out.pcs).toEqual([
      "runtime.Callers:0",
      `main.pcsAt:${lineOf("const n = callers(0, pcs)")}`,
      `main.init:${lineOf("pcs: pcsAt()")}`,
    ]);
  });
});

describe("names of closures and members", () => {
  it("tell the function around, the declaring class, and statics", () => {
    const names = make({
      "main.ts": `
import { caller, funcForPC } from "@gort/profiling";
const out: Record<string, string> = {};
const note = (key: string): void => { out[key] = funcForPC(caller(1).pc)!.name(); };
class Base {
  own(): void { note("inherited"); }
  static make(): void { note("static"); [1].forEach(() => note("in static")); }
  get v(): number { note("getter"); return 1; }
  async *stream(): AsyncGenerator<number> { note("async generator"); yield 1; }
  field = ((): number => { note("field"); return 1; })();
  static { note("static block"); }
  ["comp" + "uted"](): void { note("computed"); }
}
class Derived extends Base {
  constructor() { super(); note("constructor"); }
}
function main(): void {
  [1].map(() => note("closure"));
  [1].map(function () { [2].map((x) => note("nested")); });
  const named = () => note("named");
  named();
  queueMicrotask(() => note("microtask"));
  void (async () => { await null; note("async closure"); })();
  const o = { m() { note("object method"); }, get g() { note("object getter"); return 1; } };
  o.m(); o.g;
}
const d = new Derived();
d.own(); Base.make(); d.v; d.computed();
for await (const _ of d.stream()) { }
main();
[1].map(() => note("top level"));
await new Promise((r) => setTimeout(r, 5));
console.log(JSON.stringify(out));
`.replace("d.computed()", "(d as unknown as { computed(): void }).computed()"),
    }).json<Record<string, string>>();
    expect(names).toMatchObject({
      inherited: "main.(*Base).own",
      static: "main.Base.make",
      "in static": "main.Base.make.func1",
      getter: "main.(*Base).v-get",
      "async generator": "main.(*Base).stream",
      constructor: "main.(*Derived).constructor",
      closure: "main.main.func1",
      nested: "main.main.func2.1",
      named: "main.named",
      microtask: "main.main.func4",
      "async closure": "main.main.func5",
      "object method": "main.m",
      "object getter": "main.g-get",
      "top level": expect.stringMatching(/^main\.init\.func\d+$/),
    });
    expect(names.field).toMatch(/^main\.\(?/);
    expect(Object.values(names).every((n) => /^main\.[^\s]+$/.test(n))).toBe(true);
  });
});

describe("caller without a source map", () => {
  it("gives the position in the JavaScript", () => {
    const out = make(
      { "main.js": `import { caller } from "@gort/profiling";\n\nconsole.log(JSON.stringify(caller(0)));\n` },
      { sourceMap: "none" },
    ).json<{ line: number; file: string }>();
    expect(out.line).toBe(3);
    expect(out.file).toMatch(/main\.js$/);
  });
});

describe("packages in names", () => {
  it("are the module's path in its package, with dots of the last element escaped", () => {
    const helper = `import { caller, funcForPC } from "@gort/profiling";
export function name(): string { return funcForPC(caller(0).pc)!.name(); }
`;
    const out = make(
      {
        "main.ts": `import { name as a } from "./lib/a.b.ts"; import { name as b } from "./lib/index.ts";
import { name as c } from "./node_modules/@scope/dep/src/x.ts";
console.log(JSON.stringify([a(), b(), c()]));`,
        "lib/a.b.ts": helper,
        "lib/index.ts": helper,
        "node_modules/@scope/dep/src/x.ts": helper,
        "node_modules/@scope/dep/package.json": `{ "name": "@scope/dep", "type": "module" }`,
      },
      { packageName: "fixture" },
    ).json<string[]>();
    expect(out).toEqual(["fixture/lib/a%2eb.name", "fixture/lib.name", "@scope/dep/src/x.name"]);
  });
});

describe("coexistence", () => {
  it("leaves prepareStackTrace and stackTraceLimit as the program set them", () => {
    const out = make({
      "main.js": `
import { caller } from "@gort/profiling";
let calls = 0;
const hook = (error, sites) => { calls++; return "hooked " + error.message; };
Error.prepareStackTrace = hook;
Error.stackTraceLimit = 3;
const before = new Error("before");
caller(0);
const during = [calls, Error.prepareStackTrace === hook, Error.stackTraceLimit];
console.log(JSON.stringify({ during, stack: before.stack, after: calls }));
`,
    }).json<{ during: unknown[]; stack: string; after: number }>();
    expect(out).toEqual({ during: [0, true, 3], stack: "hooked before", after: 1 });
  });

  it("keeps Node's own source-mapped stacks", () => {
    const { stderr } = make(
      {
        "main.ts":
          'import { caller } from "@gort/profiling";\ninterface X { a: 1 }\n\n' +
          'caller(0);\nthrow new Error("x");\n',
      },
      { nodeArgs: ["--enable-source-maps"] },
    ).run();
    expect(stderr).toMatch(/main\.ts:5/);
  });

  it("names anonymous functions of an error's text by the function around them", () => {
    const app = make({
      "main.ts": `
import { callersFrames, callers } from "@gort/profiling";
interface Frozen { (): string[] }
const names: Frozen = () => {
  const pcs: number[] = new Array(16).fill(0);
  const all = callersFrames(pcs.slice(0, callers(1, pcs)));
  return [...all].map((f) => f.Function + ":" + f.Line);
};
Object.freeze(Error);
function outer(): string[] {
  const fs: string[][] = [1].map(() => ["none"]).concat([2].map(() => [3].flatMap(() => names())));
  return fs[1]!;
}
class T {
  m(): string[] { return [0].flatMap(() => outer()); }
}
console.log(JSON.stringify((() => new T().m())()));
`,
    });
    const named = app.json<string[]>().filter((name) => name.startsWith("main."));
    expect(named).toEqual([
      "main.names:6",
      "main.outer.func2.1:11",
      "main.outer.func2:11",
      "main.outer:11",
      "main.(*T).m.func1:15",
      "main.(*T).m:15",
      "main.init.func2:17",
    ]);
  });

  it("reads the text of the stack where Error is frozen", () => {
    const out = make({
      "main.js": `
import { caller } from "@gort/profiling";
Object.freeze(Error);
function here() { return caller(0); }
console.log(JSON.stringify(here()));
`,
    }).json<{ line: number; ok: boolean }>();
    expect(out).toMatchObject({ line: 4, ok: true });
  });
});

describe("pcs", () => {
  const { caller, callers, callersFrames, funcForPC } = createProfiler();

  it("that were never issued belong to no function and to no frame", () => {
    for (const pc of [0, 1, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 0x400fff, 2 ** 40]) {
      expect(funcForPC(pc)).toBeNull();
      expect(callersFrames([pc]).next()).toEqual({
        frame: { PC: 0, Func: null, Function: "", File: "", Line: 0, Entry: 0 },
        more: false,
      });
    }
  });

  it("name the same function at the return address, before it and at the entry", () => {
    const { pc } = caller(0);
    const f = funcForPC(pc)!;
    expect(funcForPC(pc - 1)).toBe(f);
    expect(funcForPC(f.entry())).toBe(f);
    expect(f.entry()).toBeLessThan(pc);
    expect(f.fileLine(pc)).toEqual(f.fileLine(pc - 1));
  });

  it("are the same for the same place and differ between places", () => {
    const at = () => caller(1).pc;
    const same = new Set<number>();
    for (let i = 0; i < 3; i++) same.add(at());
    expect(same.size).toBe(1);
    same.add(at());
    expect(same.size).toBe(2);
  });

  it("of one function stay its own beyond 127 places", () => {
    const calls = "at(),".repeat(400);
    const pcs = new Function("at", `return [${calls}]`)(() => caller(1).pc) as number[];
    expect(new Set(pcs).size).toBe(400);
    const f = funcForPC(pcs[0])!;
    expect(pcs.every((pc) => funcForPC(pc) === f)).toBe(true);
  });

  it("fill an array up to its length, and none for an empty one", () => {
    expect(callers(0, [])).toBe(0);
    const two = new Array<number>(2).fill(0);
    expect(callers(0, two)).toBe(2);
    expect(two.every((pc) => funcForPC(pc) !== null)).toBe(true);
    expect(callers(1000, two)).toBe(0);
    expect(callers(1, new Float64Array(1))).toBe(1);
  });

  it("refuse a skip that is no integer", () => {
    expect(() => caller(Number.NaN)).toThrow(/^profiling: skip must be an integer \(got NaN\)$/);
    expect(() => callers(0.5, [0])).toThrow(RangeError);
    expect(caller(-1).ok).toBe(true);
  });

  it("pass through any number of generators", () => {
    function* down(n: number): Generator<void, number> {
      return n === 0 ? callers(1, new Array<number>(200)) : yield* down(n - 1);
    }
    const depth = (n: number) => down(n).next().value as number;
    expect(depth(100) - depth(10)).toBe(90);
  });

  it("hold a whole deep stack right after shallow stacks", () => {
    const p = createProfiler({ memProfileRate: 1, maxStackDepth: 100 });
    const down = (n: number): number => (n === 0 ? p.mem.alloc(8) : down(n - 1) + 0);
    for (const n of [1, 1, 95, 1, 95]) down(n);
    const stacks = p
      .lookup("heap")!
      .toPprof()
      .sample.map((s) => ({ count: s.value[0], frames: s.locationId.length }));
    expect(stacks).toContainEqual({ count: 2, frames: 100 });
    expect(stacks).toHaveLength(2);
  });

  it("end with runtime.goexit at the stack base", () => {
    const { callers: all, callersFrames: framesOf } = createProfiler({
      isStackBase: (f) => f.functionName === "runLoop",
    });
    const pcs = new Array<number>(50).fill(0);
    function goroutine(): number {
      return all(1, pcs);
    }
    function runLoop(): number {
      return goroutine();
    }
    expect(runLoop()).toBe(2);
    const names = Array.from(framesOf(pcs.slice(0, 2)), (f) => f.Function);
    expect(names[1]).toBe("runtime.goexit");
    expect(names[0]).toMatch(/goroutine$/);
  });
});

describe("a bundle that is deleted after it was loaded", () => {
  it("keeps lines and names: from Node's copy of the map, and the sources", () => {
    const source = `import { caller, funcForPC } from "@gort/profiling";
import { rmSync } from "node:fs";
interface Gone { a: 1 }
const self = process.argv[1]!;
rmSync(self);
class T {
  m(): string[] { return [1].map(() => { const { pc, file, line } = caller(0); const name = funcForPC(pc)!.name();
    return name + " " + file.slice(-7) + ":" + line; }); }
}
console.log(JSON.stringify(new T().m()));
`;
    const app = make({ "main.ts": source }, { sourceMap: "inline", nodeArgs: ["--enable-source-maps"] });
    expect(app.json()).toEqual(["main.(*T).m.func1 main.ts:7"]);
  });

  it("reads maps that consist of sections, and ignores malformed maps", () => {
    const map = (sections: unknown) => JSON.stringify(sections);
    const code =
      'import { caller, funcForPC } from "@gort/profiling";\nconsole.log(JSON.stringify(caller(0)));\n' +
      "//# sourceMappingURL=main.js.map\n";
    const sectioned = map({
      version: 3,
      sections: [
        {
          offset: { line: 1, column: 0 },
          map: { version: 3, sources: ["orig.ts"], names: [], mappings: "AASA" },
        },
      ],
    });
    const good = make({ "main.js": code, "main.js.map": sectioned });
    expect(good.json()).toMatchObject({ file: `${good.dir}/orig.ts`, line: 10 });
    const broken = make({ "main.js": code, "main.js.map": "{ no map" });
    expect(broken.json()).toMatchObject({ file: `${broken.dir}/main.js`, line: 2 });
  });

  it("takes the map of the last comment, and no map from a comment inside a string", () => {
    const mapOf = (source: string) =>
      JSON.stringify({ version: 3, sources: [source], names: [], mappings: ";AASA" });
    const code =
      'import { caller, funcForPC } from "@gort/profiling";\nconsole.log(JSON.stringify(caller(0)));\n' +
      "//# sourceMappingURL=first.map\n/*# sourceMappingURL=last.map */\n" +
      'const text = "//# sourceMappingURL=text.map";\n// see sourceMappingURL=text.map\n';
    const files = {
      "first.map": mapOf("first.ts"),
      "last.map": mapOf("last.ts"),
      "text.map": mapOf("text.ts"),
    };
    const app = make({ "main.js": code, ...files });
    expect(app.json()).toMatchObject({ file: `${app.dir}/last.ts`, line: 10 });
  });
});
