import { describe, expect, it } from "vitest";
import {
  checkAddress,
  checkSize,
  closedError,
  fatalThrow,
  isFatalError,
  kindOf,
  outOfMemory,
  show,
} from "../src/errors.ts";
import { failure } from "./kit.ts";

describe("a value in a message", () => {
  it("is a primitive as it prints, and an object or function by its kind", () => {
    const cases: readonly (readonly [unknown, string, string])[] = [
      [null, "null", "null"],
      [undefined, "undefined", "undefined"],
      [-8, "number", "-8"],
      ["16", "string", "16"],
      [5n, "bigint", "5"],
      [true, "boolean", "true"],
      [Symbol("s"), "symbol", "Symbol(s)"],
      [{}, "a Object", "a Object"],
      [[1], "a Array", "a Array"],
      [new Uint8Array(1), "a Uint8Array", "a Uint8Array"],
      [Object.create(null), "a object", "a object"],
      [() => 1, "function", "function"],
    ];
    for (const [x, kind, shown] of cases) expect([kindOf(x), show(x)]).toEqual([kind, shown]);
  });
});

describe("a size", () => {
  it("is a whole number below 2^32", () => {
    for (const n of [0, 1, 2 ** 31, 2 ** 32 - 1]) expect(() => checkSize(n)).not.toThrow();
    for (const n of [-1, 0.5, 2 ** 32, Number.NaN]) {
      const message = `allocator: size must be a whole number of bytes from 0 to 4294967295 (got ${n})`;
      expect(() => checkSize(n)).toThrow(new RangeError(message));
      const count = `allocator: n must be a whole number from 0 to 4294967295 (got ${n})`;
      expect(() => checkSize(n, "n")).toThrow(new RangeError(count));
    }
    expect(() => checkSize("16" as never)).toThrow(
      new TypeError("allocator: size must be a number (got 16)"),
    );
    expect(() => checkSize(5n as never, "n")).toThrow(new TypeError("allocator: n must be a number (got 5)"));
  });
});

describe("an address", () => {
  it("is any number", () => {
    for (const p of [0, -1, 0.5]) expect(() => checkAddress("free", p)).not.toThrow();
    expect(() => checkAddress("free", {} as never)).toThrow(
      new TypeError("allocator: free needs an address (got a Object)"),
    );
  });
});

describe("an error that ends the program in Go", () => {
  it("has Go's words, a code, and the numbers", () => {
    const thrown = failure(() => fatalThrow("bad span state", "span 0x10"));
    expect([isFatalError(thrown), thrown.kind, thrown.code]).toEqual([true, "throw", "ERR_GORT_THROW"]);
    expect([thrown.message, thrown.detail]).toEqual(["bad span state", "span 0x10"]);
    const memory = failure(() => outOfMemory("8 bytes"));
    expect([isFatalError(memory), memory.kind, memory.code]).toEqual([
      true,
      "throw",
      "ERR_GORT_OUT_OF_MEMORY",
    ]);
    expect([memory.message, memory.detail]).toEqual(["runtime: out of memory", "8 bytes"]);
    expect(closedError).toThrow(new TypeError("allocator: the allocator is closed"));
  });
});
