import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import {
  addrOf,
  array,
  bool,
  bytes,
  complex64,
  complex128,
  float32,
  float64,
  int,
  int8,
  int16,
  int32,
  int64,
  type ScalarType,
  string,
  struct,
  uint,
  uint8,
  uint16,
  uint32,
  uint64,
  uintptr,
} from "../src/index.ts";
import { testHeap } from "./kit.ts";

/** Every scalar with values that must come back unchanged, and some that must be refused. */
const scalars: [ScalarType<unknown>, fc.Arbitrary<unknown>, unknown[]][] = [
  [bool, fc.boolean(), [1, null]],
  [int8, fc.integer({ min: -128, max: 127 }), [128, -129, 0.5, "1", Number.NaN]],
  [uint8, fc.integer({ min: 0, max: 255 }), [256, -1, 1n]],
  [int16, fc.integer({ min: -32768, max: 32767 }), [32768, undefined]],
  [uint16, fc.integer({ min: 0, max: 65535 }), [65536, -1]],
  [int32, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), [2 ** 31, 0.1]],
  [uint32, fc.integer({ min: 0, max: 2 ** 32 - 1 }), [2 ** 32, -1]],
  [int64, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), [2n ** 63n, 1]],
  [uint64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), [2n ** 64n, -1n]],
  [int, fc.maxSafeInteger(), [2 ** 53, 0.5, 1n, Number.POSITIVE_INFINITY]],
  [uint, fc.maxSafeNat(), [-1, 2 ** 53]],
  [uintptr, fc.maxSafeNat(), [-1]],
  [float32, fc.float(), ["1", null]],
  [float64, fc.double(), [1n]],
  [complex64, fc.record({ re: fc.float(), im: fc.float() }, { noNullPrototype: true }), [1, null, { re: 1 }]],
  [
    complex128,
    fc.record({ re: fc.double(), im: fc.double() }, { noNullPrototype: true }),
    [{ re: 1n, im: 1 }],
  ],
  [string, fc.string({ unit: "grapheme" }), [1, null]],
  [bytes, fc.uint8Array(), [[1], "x"]],
];

describe("scalars", () => {
  it.each(scalars)(
    "%s keeps every value of its range, in an object, a struct and a slice",
    (type, values) => {
      const { types } = testHeap();
      const one = types.newObject(type) as unknown as { value: unknown };
      const S = struct("S", { before: uint8, it: type, after: uint8 });
      const inside = types.newObject(S, { before: 255, after: 255 }) as unknown as Record<string, unknown>;
      const many = types.makeSlice(type, 3);
      const Outer = struct("Outer", { s: S, list: array(type, 2) });
      const outer = types.newObject(Outer) as unknown as { s: Record<string, unknown>; list: never };
      const raw = types.unsafe.view(Outer, addrOf(outer as never)) as unknown as typeof outer;
      fc.assert(
        fc.property(values, (v) => {
          one.value = v;
          inside.it = v;
          many.set(1, v);
          expect(one.value).toEqual(v);
          expect(inside.it).toEqual(v);
          expect(many.get(1)).toEqual(v);
          // Read, checked and made ready before anything is written.
          outer.s = { it: v, before: 7 };
          outer.list = [type.zero, v] as never;
          expect([outer.s.before, outer.s.it, outer.s.after, [...outer.list]]).toEqual([
            7,
            v,
            0,
            [type.zero, v],
          ]);
          raw.s.it = type.zero;
          expect(outer.s.it).toEqual(type.zero);
          raw.s.it = v;
          expect([raw.s.it, outer.s.it]).toEqual([v, v]);
          expect([inside.before, inside.after, many.get(0), many.get(2)]).toEqual([
            255,
            255,
            type.zero,
            type.zero,
          ]);
        }),
      );
    },
  );

  it.each(scalars)("%s refuses what it can't hold, and stays as it was", (type, _, wrong) => {
    const { types } = testHeap();
    const one = types.newObject(type) as unknown as { value: unknown };
    const S = struct("S", { before: uint8, it: type });
    const outer = types.newObject(struct("Outer", { s: S, list: array(type, 2) })) as unknown as {
      s: unknown;
      list: unknown;
    };
    const text = /^types: .* \(got .*\)$/;
    for (const v of wrong) {
      expect(() => (one.value = v), String(v)).toThrow(text);
      // A field that is undefined counts as left out.
      if (v !== undefined) expect(() => (outer.s = { before: 1, it: v }), String(v)).toThrow(text);
      expect(() => (outer.list = [type.zero, v]), String(v)).toThrow(text);
      expect(() => types.newObject(array(type, 1), [v] as never), String(v)).toThrow(text);
    }
    expect(one.value).toEqual(type.zero);
    expect(JSON.stringify(outer.s)).toBe(JSON.stringify(types.newObject(S)));
  });

  it("name the given value in the error", () => {
    const { types } = testHeap();
    const x = types.newObject(int8);
    expect(() => (x.value = 300)).toThrow(
      new RangeError("types: int8 must be a whole number from -128 to 127 (got 300)"),
    );
    expect(() => (x.value = 5n as unknown as number)).toThrow(
      new TypeError("types: int8 must be a whole number from -128 to 127 (got 5n)"),
    );
  });

  it("name any given value briefly in the error", () => {
    const { types } = testHeap();
    const x = types.newObject(int8);
    const got = (v: unknown): string => {
      try {
        x.value = v as number;
      } catch (e) {
        return String(e).replace(/^.*\(got (.*)\)$/, "$1");
      }
      throw new Error("it was taken");
    };
    class Named {}
    const nameless = Object.create(null) as object;
    const broken = new Proxy(
      {},
      {
        get() {
          throw new Error("own");
        },
      },
    );
    const values = [
      "x".repeat(20),
      "x".repeat(21),
      1n,
      null,
      undefined,
      true,
      () => 1,
      [],
      new Named(),
      new (class {})(),
      { constructor: { name: 1 } },
      nameless,
      broken,
      Symbol("s"),
    ];
    expect(values.map(got)).toEqual([
      JSON.stringify("x".repeat(20)),
      JSON.stringify(`${"x".repeat(20)}...`),
      "1n",
      "null",
      "undefined",
      "true",
      "a function",
      "Array",
      "Named",
      "object",
      "object",
      "object",
      "object",
      "Symbol(s)",
    ]);
  });

  it("say their range and kind", () => {
    const { types } = testHeap();
    const refusal = (type: ScalarType<unknown>, v: unknown): string => {
      const x = types.newObject(type) as unknown as { value: unknown };
      try {
        x.value = v;
      } catch (e) {
        return String(e);
      }
      throw new Error("it was taken");
    };
    const whole = (name: string, range: string) =>
      `RangeError: types: ${name} must be a whole number from ${range} (got 0.5)`;
    const safe = Number.MAX_SAFE_INTEGER;
    expect(
      [int8, uint8, int16, uint16, int32, uint32, int, uint, uintptr].map((type) => refusal(type, 0.5)),
    ).toEqual([
      whole("int8", "-128 to 127"),
      whole("uint8", "0 to 255"),
      whole("int16", "-32768 to 32767"),
      whole("uint16", "0 to 65535"),
      whole("int32", "-2147483648 to 2147483647"),
      whole("uint32", "0 to 4294967295"),
      whole("int", `${-safe} to ${safe}`),
      whole("uint", `0 to ${safe}`),
      whole("uintptr", `0 to ${safe}`),
    ]);
    expect(
      [bool, int64, uint64, float32, float64, complex64, complex128, string, bytes].map((type) =>
        refusal(type, null),
      ),
    ).toEqual(
      [
        "bool must be a boolean",
        "int64 must be a bigint",
        "uint64 must be a bigint",
        "float32 must be a number",
        "float64 must be a number",
        "complex64 must be { re, im }",
        "complex128 must be { re, im }",
        "string must be a string",
        "bytes must be a Uint8Array",
      ].map((text) => `TypeError: types: ${text} (got null)`),
    );
    expect(refusal(int64, 2n ** 63n)).toBe(
      "RangeError: types: int64 must fit 64 bits (got 9223372036854775808n)",
    );
    expect(refusal(uint64, -1n)).toBe("RangeError: types: uint64 must fit 64 bits (got -1n)");
  });

  it("uint refuses to read an integer that no number holds, and names its value", () => {
    const { heap, types } = testHeap();
    const x = types.newObject(uint, 1);
    heap.mem.bi64[addrOf(x) >>> 3] = -1n;
    expect(() => x.value).toThrow(
      new RangeError("types: uint does not fit a number (got 18446744073709551615); use uint64"),
    );
    heap.mem.bi64[addrOf(x) >>> 3] = 2n ** 53n - 1n;
    expect(x.value).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("int refuses to read a 64-bit integer that no number holds", () => {
    const { heap, types } = testHeap();
    const x = types.newObject(int, 1);
    heap.mem.bi64[addrOf(x) >>> 3] = -(2n ** 60n) - 1n;
    expect(() => x.value).toThrow("types: int does not fit a number (got -1152921504606846977); use int64");
    heap.mem.bi64[addrOf(x) >>> 3] = -(2n ** 53n - 1n);
    expect(x.value).toBe(-Number.MAX_SAFE_INTEGER);
  });

  it("strings of any length and plane survive, lone surrogates become U+FFFD", () => {
    const { types } = testHeap();
    const s = types.newObject(string);
    for (const text of [
      "",
      "a",
      "x".repeat(24),
      "x".repeat(25),
      "é".repeat(24),
      "😀".repeat(600),
      "日本語",
      "\ufeff",
      "\ufeffabc",
      `\ufeff${"x".repeat(30)}\ufeff`,
    ]) {
      s.value = text;
      expect(s.value).toBe(text);
    }
    s.value = "a\ud800b";
    expect(s.value).toBe("a\ufffdb");
  });

  it("strings whose UTF-8 form is longer than the scratch buffer are not cut", async () => {
    vi.resetModules();
    const fresh = await import("../src/bytes.ts");
    for (const n of [1, 341, 342, 400, 1024, 1025, 5000]) {
      const text = "語".repeat(n);
      expect(fresh.encodeString(text)).toBe(3 * n);
      expect(new TextDecoder().decode(fresh.scratchBytes().subarray(0, 3 * n))).toBe(text);
    }
  });

  it("a string takes one block of its UTF-8 length, one of a single byte or none takes nothing", () => {
    const { heap, types } = testHeap();
    const s = types.newObject(string);
    heap.mallocs.length = 0;
    s.value = "häß";
    for (let c = 0; c < 128; c++) {
      s.value = String.fromCharCode(c);
      expect(s.value).toBe(String.fromCharCode(c));
    }
    s.value = "";
    expect(heap.mallocs).toEqual([[5, 0]]);
    expect(heap.stores.at(-1)).toEqual([addrOf(s), 0]);
  });
});

describe("a whole number of a fixed width", () => {
  it.each([
    [int8, -128, 127],
    [uint8, 0, 255],
    [int16, -32_768, 32_767],
    [uint16, 0, 65_535],
    [int32, -(2 ** 31), 2 ** 31 - 1],
    [uint32, 0, 2 ** 32 - 1],
  ] as const)(
    "%s takes its limits and nothing beyond, alone, in a struct and in an array",
    (type, lo, hi) => {
      const { types } = testHeap();
      const Box = struct("Box", { v: type });
      for (const v of [lo, hi]) {
        expect(types.newObject(Box, { v }).v).toBe(v);
        expect(types.newObject(array(type, 2), [0, v]).get(1)).toBe(v);
        expect(types.newObject(type, v).value).toBe(v);
      }
      for (const v of [
        lo - 1,
        hi + 1,
        0.5,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        2 ** 32 + 1,
        "1" as never,
      ]) {
        expect(() => types.newObject(Box, { v })).toThrow(type.name);
        expect(() => types.newObject(array(type, 2), [0, v])).toThrow(type.name);
        expect(() => types.newObject(type, v)).toThrow(type.name);
      }
    },
  );
});
