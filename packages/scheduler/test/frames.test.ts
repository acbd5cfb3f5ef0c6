/** Parsing of an engine's stack text and call sites to frames. */

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  type CallSite,
  capture,
  type Frame,
  framesOf,
  framesOfSites,
  goName,
  hasMarker,
  hidden,
  isCut,
  isMarker,
  isOwnSite,
  parseStack,
  STACK_LINES,
  stackOfError,
  v8Error,
} from "../src/frames.ts";

const own = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describe("a line of a stack", () => {
  it.each<[line: string, func: string, file: string]>([
    ["    at worker (/app/prog.js:10:5)", "main.worker", "/app/prog.js"],
    ["    at async worker (/app/prog.js:10:5)", "main.worker", "/app/prog.js"],
    ["    at new Server (/app/prog.js:10:5)", "main.Server", "/app/prog.js"],
    ["    at Server.serve (/app/prog.js:10:5)", "main.(*Server).serve", "/app/prog.js"],
    ["    at Object.run [as handler] (/app/prog.js:10:5)", "main.run", "/app/prog.js"],
    ["    at Server.<anonymous> (/app/prog.js:10:5)", "main.(*Server).func1", "/app/prog.js"],
    ["    at /app/prog.js:10:5", "main.func1", "/app/prog.js"],
    ["    at async /app/prog.js:10:5", "main.func1", "/app/prog.js"],
    ["    at worker (C:\\app\\prog.js:10:5)", "main.worker", "C:\\app\\prog.js"],
    ["    at worker (https://host:8080/prog.js:10:5)", "main.worker", "https://host:8080/prog.js"],
    ["    at worker (file:///app/my%20prog.js:10:5)", "main.worker", "/app/my prog.js"],
    ["    at worker (file:///app/%E0.js:10:5)", "main.worker", "file:///app/%E0.js"],
    ["worker@/app/prog.js:10:5", "main.worker", "/app/prog.js"],
    ["@/app/prog.js:10:5", "main.func1", "/app/prog.js"],
  ])("%j is a frame", (line, func, file) => {
    const frame = { func, file, line: 10 };
    expect(parseStack(line)).toEqual([frame]);
    // The second parse is answered from the cache.
    expect(parseStack(`Error: x\n${line}\n${line}`)).toEqual([frame, frame]);
  });

  it.each([
    "Error: x",
    "",
    "at worker (/app/prog.js:10:5)",
    "    at worker (/app/prog.js:10)",
    "    at worker (/app/prog.js:10:5) and more",
    "    at Array.map (<anonymous>)",
    "    at Generator.next (<anonymous>)",
    "    at native",
    "    at processTicksAndRejections (node:internal/process/task_queues:95:5)",
    "worker@/app/prog.js:10:5 and more",
    `    at HChan.recv (${own("../src/chan.ts")}:10:5)`,
    `    at Mutex.lock (file://${own("../src/sync/mutex.ts")}:10:5)`,
  ])("%j is no frame of the program", (line) => {
    expect(parseStack(line)).toEqual([]);
    expect(parseStack(`${line}\n    at main (/app/prog.js:1:2)`)).toEqual([
      { func: "main.main", file: "/app/prog.js", line: 1 },
    ]);
  });

  it.each(["gort:run", "gort:start", "gort:probe"])("with %s is the end of a goroutine's stack", (marker) => {
    const text = `Error
    at inner (/app/prog.js:3:1)
    at outer (/app/prog.js:7:1)
    at Scheduler.${marker} (/app/bundle.js:1:1)
    at host (/app/prog.js:9:1)`;
    const frames: Frame[] = [
      { func: "main.inner", file: "/app/prog.js", line: 3 },
      { func: "main.outer", file: "/app/prog.js", line: 7, outermost: true },
    ];
    expect(parseStack(text)).toEqual(frames);
    expect(parseStack(`    at Scheduler.${marker} (/app/bundle.js:1:1)`)).toEqual([]);
    expect([hasMarker(text), isMarker(marker)]).toEqual([true, true]);
    expect([hasMarker("    at gort (/app/prog.js:3:1)"), isMarker("run"), isMarker(null)]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("a symbolizer", () => {
  it.each<[name: string, func: string | null, type: string | null, isNew: boolean]>([
    ["worker", "worker", null, false],
    ["Server.serve", "serve", "Server", false],
    ["a.b.c", "c", "a.b", false],
    ["new Server", "Server", null, true],
    ["new app.Server", "Server", "app", true],
    ["Object.run [as handler]", "run", "Object", false],
    [".hidden", ".hidden", null, false],
  ])("gets for the line of %s the values of a call site", (name, func, type, isNew) => {
    const told: unknown[] = [];
    const frames = parseStack(`    at ${name} (file:///app/prog.js:10:5)`, (site) => {
      told.push(
        site.getFileName(),
        site.getLineNumber(),
        site.getColumnNumber(),
        site.getFunctionName(),
        site.getTypeName(),
        site.isConstructor(),
        site.isNative(),
        site.getEvalOrigin(),
      );
      return { func: "main.f", file: "prog.ts", line: 3, outermost: true };
    });
    expect(told).toEqual(["file:///app/prog.js", 10, 5, func, type, isNew, false, undefined]);
    // A line cannot say whether its frame is the outermost.
    expect(frames).toEqual([{ func: "main.f", file: "prog.ts", line: 3 }]);
  });

  it("hides a frame that it calls the runtime's own, and frames of this package", () => {
    const text = "    at f (/app/prog.js:1:1)\n    at g (/app/prog.js:2:1)\n    at h (/app/prog.js:3:1)";
    const frames = parseStack(text, (site) => {
      const line = site.getLineNumber()!;
      if (line === 1) return { func: "f", file: "f.ts", line, own: true };
      return { func: "g", file: line === 2 ? own("../src/proc.ts") : "h.ts", line, own: false };
    });
    expect(frames).toEqual([{ func: "g", file: "h.ts", line: 3 }]);
  });
});

describe("call sites", () => {
  const site = (name: string | null, line: number, file: unknown = "/app/prog.js", native = false) =>
    ({
      getFunctionName: () => name,
      getFileName: () => file,
      getLineNumber: () => line,
      getColumnNumber: () => 1,
      isNative: () => native,
    }) as unknown as CallSite;
  const symbolize = (s: CallSite): Frame => ({
    func: `main.${s.getFunctionName()}`,
    file: s.getFileName() ?? "none",
    line: s.getLineNumber()!,
    own: s.getFunctionName() === "hook",
  });

  it("are frames up to the marker, without those of the engine and of the runtime", () => {
    const sites = [
      site("recv", 1, own("../src/chan.ts")),
      site("next", 2, null),
      site("map", 3, "native", true),
      site("hook", 4),
      site("worker", 5),
      site("evaluated", 6, undefined),
      site("root", 7),
      site("gort:start", 8, "/app/bundle.js"),
      site("host", 9),
    ];
    expect(framesOfSites(sites, symbolize)).toEqual([
      { func: "main.worker", file: "/app/prog.js", line: 5 },
      { func: "main.evaluated", file: "/app/prog.js", line: 6 },
      { func: "main.root", file: "/app/prog.js", line: 7, outermost: true },
    ]);
    expect(framesOfSites(sites.slice(0, 5), symbolize)).toEqual([
      { func: "main.worker", file: "/app/prog.js", line: 5 },
    ]);
    expect(framesOfSites([site("gort:run", 1), site("host", 2)], symbolize)).toEqual([]);
  });

  it("without a file are not hidden as the runtime's", () => {
    expect(isOwnSite(site("f", 1, undefined))).toBe(false);
    expect(isOwnSite(site("f", 1, null))).toBe(false);
  });
});

describe("a path", () => {
  it("is hidden if it lies in this package's sources or its build", () => {
    for (const path of ["../src/chan.ts", "../src/sync/mutex.ts", "../dist/index.js"]) {
      expect(hidden(own(path))).toBe(true);
    }
    for (const path of ["frames.test.ts", "../bench/chan.ts", "../README.md", "../../gc/src/mgc.ts"]) {
      expect(hidden(own(path))).toBe(false);
    }
    expect(hidden(`/elsewhere${own("../src/chan.ts")}`)).toBe(false);
  });
});

describe("a captured stack", () => {
  function outer(limit: number, below: unknown): { stack?: unknown } {
    return inner(limit, below);
  }
  function inner(limit: number, below: unknown): { stack?: unknown } {
    return capture(below, limit);
  }

  it("begins with the caller of the given function, and has the requested number of frames", () => {
    const before = Error.stackTraceLimit;
    expect(framesOf(outer(2, inner), undefined).map((f) => f.func)).toEqual([
      "main.outer",
      expect.stringMatching(/./),
    ]);
    expect(framesOf(outer(1, inner), undefined).map((f) => f.func)).toEqual(["main.outer"]);
    expect(Error.stackTraceLimit).toBe(before);
  });

  it("is the stack of an error if the engine has no captureStackTrace", () => {
    const { captureStackTrace } = v8Error;
    delete v8Error.captureStackTrace;
    try {
      const names = framesOf(outer(1, inner), () => ({ func: "main.told", file: "a.ts", line: 1 }));
      expect(names.length).toBeGreaterThan(2);
      expect(names[0]).toEqual({ func: "main.told", file: "a.ts", line: 1 });
    } finally {
      v8Error.captureStackTrace = captureStackTrace!;
    }
  });

  it("keeps the program's prepareStackTrace, also when it is read with a symbolizer", () => {
    const before = v8Error.prepareStackTrace;
    const mine = () => "formatted";
    v8Error.prepareStackTrace = mine;
    try {
      const frames = framesOf(outer(1, inner), (site) => ({
        func: `main.${site.getFunctionName()}`,
        file: "a.ts",
        line: 1,
      }));
      expect(frames).toEqual([{ func: "main.outer", file: "a.ts", line: 1 }]);
      expect(v8Error.prepareStackTrace).toBe(mine);
      const throws = {
        get stack(): string {
          throw new Error("stack");
        },
      };
      expect(() => framesOf(throws, () => ({ func: "", file: "", line: 0 }))).toThrow("stack");
      expect(v8Error.prepareStackTrace).toBe(mine);
    } finally {
      v8Error.prepareStackTrace = before;
    }
  });

  it("has no frames if it is no string", () => {
    for (const stack of [undefined, 5, null]) {
      expect(framesOf({ stack }, undefined)).toEqual([]);
      expect(framesOf({ stack }, () => ({ func: "", file: "", line: 0 }))).toEqual([]);
    }
  });
});

describe("the stack of an error", () => {
  it("is its text, or empty without one", () => {
    expect(stackOfError({ stack: "Error: x" })).toBe("Error: x");
    const faulty = {
      get stack(): string {
        throw new Error("stack");
      },
    };
    for (const e of [faulty, { stack: 5 }, {}, null, undefined, "text", 5, Symbol("x")]) {
      expect(stackOfError(e)).toBe("");
    }
  });
});

describe("a stack", () => {
  it("may be cut if it has as many lines as the run loop requests", () => {
    const text = (lines: number) => `Error: x${"\n    at f (file.js:1:1)".repeat(lines)}`;
    expect([0, 1, STACK_LINES - 1, STACK_LINES, STACK_LINES + 1].map((n) => isCut(text(n)))).toEqual([
      false,
      false,
      false,
      true,
      true,
    ]);
    expect(isCut("\n".repeat(STACK_LINES))).toBe(true);
    expect(isCut("")).toBe(false);
  });
});

describe("Go's name of a function", () => {
  it.each([
    ["worker", "main.worker"],
    ["", "main.func1"],
    ["<anonymous>", "main.func1"],
    ["Server.serve", "main.(*Server).serve"],
    ["Server.<anonymous>", "main.(*Server).func1"],
    ["Object.<anonymous>", "main.func1"],
    ["Module.run", "main.run"],
    ["Function.make", "main.make"],
    ["new Server", "main.Server"],
    ["new Object.Server", "main.Server"],
    ["Server.serve [as handle]", "main.(*Server).serve"],
    ["a.b.c", "main.(*a.b).c"],
    [".hidden", "main..hidden"],
  ])("of %s is %s", (name, want) => {
    expect(goName(name)).toBe(want);
  });
});
