import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  alignDown,
  alignUp,
  ctz32,
  hex,
  isGenerator,
  kindOf,
  parseSize,
  popcount32,
  show,
  writeStderr,
  wrongNumber,
} from "../src/index.ts";

describe("a value in a message", () => {
  it("is a primitive as it prints, and an object or a function by its kind", () => {
    const cases: readonly (readonly [unknown, string, string])[] = [
      [null, "null", "null"],
      [undefined, "undefined", "undefined"],
      [-8, "number", "-8"],
      ["16", "string", '"16"'],
      ["x".repeat(21), "string", `"${"x".repeat(20)}..."`],
      [5n, "bigint", "5n"],
      [true, "boolean", "true"],
      [Symbol("s"), "symbol", "Symbol(s)"],
      [{}, "Object", "Object"],
      [[1], "Array", "Array"],
      [new Uint8Array(1), "Uint8Array", "Uint8Array"],
      [new (class {})(), "object", "object"],
      [Object.create(null), "object", "object"],
      [() => 1, "function", "a function"],
    ];
    for (const [x, kind, shown] of cases) expect([kindOf(x), show(x)]).toEqual([kind, shown]);
  });

  it("is an object where its own code throws or lies", () => {
    const hostile = {
      get constructor(): never {
        throw new Error("constructor was read");
      },
    };
    expect([kindOf(hostile), show({ constructor: { name: 7 } })]).toEqual(["object", "object"]);
  });
});

describe("wrongNumber", () => {
  it("is a RangeError for a number and a TypeError for anything else", () => {
    expect(wrongNumber("memory", -1, "n must be above 0")).toEqual(
      new RangeError("memory: n must be above 0 (got -1)"),
    );
    expect(wrongNumber("memory", "1", "n must be above 0")).toEqual(
      new TypeError('memory: n must be above 0 (got "1")'),
    );
  });
});

describe("isGenerator", () => {
  function* numbers() {
    yield 1;
  }
  const methods = { next: () => 0, return: () => 0, throw: () => 0 };

  it.each<[string, unknown]>([
    ["a generator", numbers()],
    ["a generator of another realm", runInNewContext("(function* () {})()")],
    [
      "a wrapper with a generator's prototype",
      Object.assign(Object.create(Object.getPrototypeOf(numbers())), methods),
    ],
    ["an object with a generator's methods", methods],
  ])("accepts %s", (_, x) => expect(isGenerator(x)).toBe(true));

  it.each<[string, unknown]>([
    ["a Map's iterator", new Map().values()],
    ["an array's iterator", [][Symbol.iterator]()],
    ["an iterator with next alone", { next: () => 0 }],
    ["methods that are none", { ...methods, throw: 1 }],
    ["an async generator", (async function* () {})()],
    ["a generator function", numbers],
    ["null", null],
    ["undefined", undefined],
    ["an array", [1]],
  ])("refuses %s", (_, x) => expect(isGenerator(x)).toBe(false));

  it("asks a proxy that throws for missing properties only what it has", () => {
    const strict = new Proxy(
      {},
      {
        get(_, key) {
          throw new Error(`no property ${String(key)}`);
        },
      },
    );
    expect(isGenerator(strict)).toBe(false);
  });
});

describe("numbers", () => {
  it("hex prints an address as Go prints pointers, above 2 GiB too", () => {
    expect([0, 0xc000, 0xc000_0010, 0xc000_0010 | 0, 2 ** 32].map(hex)).toEqual([
      "0x0",
      "0xc000",
      "0xc0000010",
      "0xc0000010",
      "0x100000000",
    ]);
  });

  it("alignUp and alignDown round to the next multiples, also above 2^32", () => {
    expect([0, 1, 8, 9, 2 ** 40 + 1].map((n) => alignUp(n, 8))).toEqual([0, 8, 8, 16, 2 ** 40 + 8]);
    expect([0, 1, 8, 9, 2 ** 40 + 1].map((n) => alignDown(n, 8))).toEqual([0, 0, 8, 8, 2 ** 40]);
  });

  it.each<[string, number]>([
    ["0", 0],
    ["17", 17],
    ["17B", 17],
    ["3KiB", 3072],
    ["512MiB", 512 * 2 ** 20],
    ["2GiB", 2 ** 31],
    ["1TiB", 2 ** 40],
    ["", Number.NaN],
    ["+1", Number.NaN],
    ["-1", Number.NaN],
    ["1.5MiB", Number.NaN],
    ["1mib", Number.NaN],
    ["1MB", Number.NaN],
    ["1 MiB", Number.NaN],
    ["MiB", Number.NaN],
    ["1toString", Number.NaN],
  ])("parseSize reads %j as %d", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it("ctz32 and popcount32 agree with the bits one by one", () => {
    for (const x of [0, 1, 2, 0x80000000, -1, 0x55555555, 0xdeadbeef, 0x00f00000]) {
      const bits = (x >>> 0).toString(2).padStart(32, "0");
      expect(popcount32(x)).toBe(bits.replaceAll("0", "").length);
      expect(ctz32(x)).toBe(x === 0 ? -1 : 31 - bits.lastIndexOf("1"));
    }
  });
});

describe("standard error", () => {
  afterEach(() => vi.restoreAllMocks());

  it("is the process's, or the console where there is none", () => {
    const write = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    writeStderr("a\n");
    expect(write.mock.calls).toEqual([["a\n"]]);
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(process, "stderr", "get").mockReturnValue(undefined as never);
    writeStderr("b\nc\n");
    expect(error.mock.calls).toEqual([["b\nc"]]);
  });
});
