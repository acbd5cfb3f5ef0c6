import * as allocator from "@gort/allocator";
import * as gc from "@gort/gc";
import * as memory from "@gort/memory";
import * as profiling from "@gort/profiling";
import * as scheduler from "@gort/scheduler";
import * as types from "@gort/types";
import { describe, expect, it } from "vitest";
import * as runtime from "../src/index.ts";
import * as tools from "../src/pprof-tools.ts";

const codeStyle = /^ERR_GORT_[A-Z]+(_[A-Z]+)*$/;

describe("the exported error classes", () => {
  /** How each exported class is made. */
  const make: Record<string, (c: new (...args: never[]) => Error) => Error> = {
    ProfileFormatError: (C) => new C("text" as never),
    PanicError: (C) => new C(3 as never, "3" as never),
    PanicNilError: (C) => new C(),
    BoundsError: (C) => new C("index" as never),
  };
  const packages = { allocator, gc, memory, profiling, runtime, scheduler, types, tools };
  const classes = Object.entries(packages).flatMap(([name, exports]) =>
    Object.entries(exports)
      .filter(([, f]) => typeof f === "function" && f.prototype instanceof Error)
      .map(([key, f]) => ({ name: `${name}.${key}`, key, f: f as new (...args: never[]) => Error })),
  );

  it("are all in the tests below", () => {
    expect(new Set(classes.map(({ key }) => key))).toEqual(
      new Set(
        (
          "BoundsError FatalError PanicError PanicNilError PlainError ProfileFormatError RuntimeError " +
          "TypeAssertionError"
        ).split(" "),
      ),
    );
  });

  it.each(classes)("stand in an error of $name, which says its class", ({ key, f }) => {
    // Classes that take a code get it from the code that throws; without one, they have a default.
    const error = make[key]?.(f) ?? new f(...(["throw", "ERR_GORT_THROW", "ERR_GORT_THROW"] as never[]));
    expect((error as { code?: unknown }).code).toMatch(codeStyle);
    expect(error.name).toBe(key);
    expect(Object.keys(error)).not.toContain("name");
    if (key === "FatalError") expect(runtime.isFatalError(error)).toBe(true);
    if (/^(RuntimeError|PlainError|BoundsError|TypeAssertionError|PanicNilError)$/.test(key)) {
      expect(runtime.isRuntimeError(error)).toBe(true);
      expect(error instanceof runtime.RuntimeError).toBe(true);
    }
  });
});
