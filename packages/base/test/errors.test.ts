import { describe, expect, it } from "vitest";
import {
  BoundsError,
  type BoundsKind,
  FatalError,
  isFatalError,
  isRuntimeError,
  outOfMemory,
  PlainError,
  RuntimeError,
  TypeAssertionError,
  throwFatal,
} from "../src/index.ts";

/** The error that a call throws. */
function failure(fail: () => unknown): unknown {
  try {
    fail();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("a panic of the runtime", () => {
  it.each([
    [new RuntimeError("runtime error: x"), "RuntimeError", "ERR_GORT_RUNTIME_ERROR", "runtime.errorString"],
    [new PlainError("close of closed channel"), "PlainError", "ERR_GORT_PLAIN_ERROR", "runtime.plainError"],
    [new BoundsError("index", 3, 2), "BoundsError", "ERR_GORT_OUT_OF_RANGE", "runtime.boundsError"],
    [
      new TypeAssertionError("a is b"),
      "TypeAssertionError",
      "ERR_GORT_TYPE_ASSERTION",
      "*runtime.TypeAssertionError",
    ],
  ])("%s has a name, a code and Go's type", (error, name, code, goType) => {
    expect([error.name, error.constructor.name, error.code, error.goType]).toEqual([
      name,
      name,
      code,
      goType,
    ]);
    expect(Object.keys(error)).not.toContain("name");
    expect([isRuntimeError(error), isFatalError(error)]).toEqual([true, false]);
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error).toBeInstanceOf(Error);
    expect(error.runtimeError()).toBe(undefined);
  });

  it("has Go's prefix where Go has it", () => {
    expect(new PlainError("close of closed channel").message).toBe("close of closed channel");
    expect(new TypeAssertionError("a is b").message).toBe("interface conversion: a is b");
  });

  it.each<[BoundsKind, number, number, string]>([
    ["index", 5, 3, "index out of range [5] with length 3"],
    ["index", -1, 3, "index out of range [-1]"],
    ["slice-length", 4, 3, "slice bounds out of range [:4] with length 3"],
    ["slice-capacity", 4, 3, "slice bounds out of range [:4] with capacity 3"],
    ["slice-capacity", -4, 3, "slice bounds out of range [:-4]"],
    ["slice", 3, 2, "slice bounds out of range [3:2]"],
    ["slice", -3, 2, "slice bounds out of range [-3:]"],
    ["slice3-length", 4, 3, "slice bounds out of range [::4] with length 3"],
    ["slice3-capacity", 4, 3, "slice bounds out of range [::4] with capacity 3"],
    ["slice3-high", 3, 2, "slice bounds out of range [:3:2]"],
    ["slice3-high", -3, 2, "slice bounds out of range [:-3:]"],
    ["slice3-low", 3, 2, "slice bounds out of range [3:2:]"],
    ["slice3-low", -3, 2, "slice bounds out of range [-3::]"],
  ])("of %s %d beyond %d reads as in Go", (kind, index, bound, text) => {
    const error = new BoundsError(kind, index, bound);
    expect(error.message).toBe(`runtime error: ${text}`);
    expect([error.kind, error.index, error.bound]).toEqual([kind, index, bound]);
  });
});

describe("a fatal error", () => {
  it.each([
    [() => throwFatal("bad span state", "span 0x10"), "ERR_GORT_THROW", "bad span state", "span 0x10"],
    [() => outOfMemory("8 bytes"), "ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory", "8 bytes"],
  ])(
    "of %s is a throw with Go's words, a code, and the numbers as its detail",
    (fail, code, message, detail) => {
      const error = failure(fail);
      expect(isFatalError(error)).toBe(true);
      expect(error).toMatchObject({ kind: "throw", code, message, detail, name: "FatalError" });
    },
  );

  it("has no detail unless it is given one", () => {
    expect(Object.keys(new FatalError("fatal", "TEST", "x"))).toEqual(["kind", "code"]);
  });
});

describe("instanceof", () => {
  const foreign = (brand: string): object =>
    Object.create(Object.defineProperty({}, Symbol.for(brand), { value: true }));

  it("accepts the errors of another copy by their brand", () => {
    expect(foreign("gort.RuntimeError")).toBeInstanceOf(RuntimeError);
    expect(foreign("gort.FatalError")).toBeInstanceOf(FatalError);
    expect(foreign("gort.FatalError")).not.toBeInstanceOf(RuntimeError);
    expect([isRuntimeError(null), isFatalError("x"), isFatalError(new Error())]).toEqual([
      false,
      false,
      false,
    ]);
  });

  it("tells subclasses by their prototypes", () => {
    class Mine extends FatalError {}
    expect(foreign("gort.RuntimeError")).not.toBeInstanceOf(PlainError);
    expect(new FatalError("fatal", "TEST", "x")).not.toBeInstanceOf(Mine);
    expect(new Mine("fatal", "TEST", "x")).toBeInstanceOf(Mine);
  });
});
