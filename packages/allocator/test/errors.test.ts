import { describe, expect, it } from "vitest";
import { checkAddress, checkSize, closedError } from "../src/errors.ts";

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
      new TypeError('allocator: size must be a number (got "16")'),
    );
    expect(() => checkSize(5n as never, "n")).toThrow(
      new TypeError("allocator: n must be a number (got 5n)"),
    );
  });
});

describe("an address", () => {
  it("is any number", () => {
    for (const p of [0, -1, 0.5]) expect(() => checkAddress("free", p)).not.toThrow();
    expect(() => checkAddress("free", {} as never)).toThrow(
      new TypeError("allocator: free needs an address (got Object)"),
    );
  });
});

it("a closed allocator refuses every call", () => {
  expect(closedError).toThrow(new TypeError("allocator: the allocator is closed"));
});
