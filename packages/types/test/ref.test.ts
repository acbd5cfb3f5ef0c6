import { inspect } from "node:util";
import fc from "fast-check";
import { describe, expect, expectTypeOf, it, vi } from "vitest";
import { collectHostUntil, dropWithReportsDue } from "../../../vitest.hostgc.ts";
import {
  addrOf,
  array,
  bool,
  bytes,
  type Complex,
  complex64,
  complex128,
  float32,
  float64,
  type Init,
  int,
  int8,
  int16,
  int32,
  int64,
  isRuntimeError,
  pointer,
  type Ref,
  type ScalarType,
  type Slice,
  same,
  slice,
  string,
  struct,
  type Type,
  type TypedHeap,
  uint,
  uint8,
  uint16,
  uint32,
  uint64,
  uintptr,
  type Value,
  type View,
} from "../src/index.ts";
import { testHeap } from "./heap.ts";

const Point = struct("Point", { x: float64, y: float64 });
const Node = struct("Node", {
  value: int,
  get next() {
    return pointer(Node);
  },
});
const Mixed = struct("Mixed", {
  ok: bool,
  small: int8,
  at: Point,
  name: string,
  data: bytes,
  grid: array(array(int16, 2), 2),
  list: slice(int32),
  peer: pointer(Point),
});

describe("types of fields", () => {
  it("are inferred, through recursion too", () => {
    expectTypeOf<Value<typeof int64>>().toEqualTypeOf<bigint>();
    expectTypeOf<Ref<typeof Point>["x"]>().toEqualTypeOf<number>();
    expectTypeOf<Ref<typeof Node>["next"]>().toEqualTypeOf<Ref<typeof Node> | null>();
    expectTypeOf<Ref<typeof Mixed>["at"]>().toEqualTypeOf<Ref<typeof Point>>();
    expectTypeOf<Ref<typeof Mixed>["list"]>().toEqualTypeOf<Slice<typeof int32>>();
    expectTypeOf<Ref<typeof Mixed>["data"]>().toEqualTypeOf<Uint8Array>();
    expectTypeOf<Ref<typeof complex64>["value"]>().toEqualTypeOf<Complex>();
    expectTypeOf<View<typeof Node>["next"]>().toBeNumber();
    expectTypeOf<View<typeof Mixed>["at"]>().toEqualTypeOf<View<typeof Point>>();
    expectTypeOf<Init<typeof Point>>().toEqualTypeOf<
      Ref<typeof Point> | { readonly x?: number; readonly y?: number }
    >();
    const { types } = testHeap();
    const p = types.newObject(Point);
    // @ts-expect-error no such field
    p.z;
    // @ts-expect-error a float64 is a number
    expect(() => (p.x = "1")).toThrow(TypeError);
    // @ts-expect-error a Point is no Node
    expect(() => (types.newObject(Node).next = p)).toThrow(TypeError);
    const third = (n: Ref<typeof Node>) => n.next?.next?.value;
    expectTypeOf(third).returns.toEqualTypeOf<number | undefined>();
    expectTypeOf(types.makeSlice(pointer(Node), 1).get(0)).toEqualTypeOf<Ref<typeof Node> | null>();
  });
});

describe("newObject", () => {
  it("gives zero values of the type's size, and pointers nil", () => {
    const { heap, types } = testHeap();
    const m = types.newObject(Mixed);
    expect(heap.mallocs).toEqual([[Mixed.size, 1]]);
    expect([m.ok, m.small, m.at.x, m.name, m.data.length, m.grid.get(1).get(1), m.peer]).toEqual([
      false,
      0,
      0,
      "",
      0,
      0,
      null,
    ]);
    expect([m.list.isNil, m.list.length, m.list.cap]).toEqual([true, 0, 0]);
  });

  it("describes a type to the heap once, and types without pointers not at all", () => {
    const { heap, types } = testHeap();
    types.newObject(Node);
    types.newObject(Node);
    types.newObject(Point);
    types.makeSlice(Node, 3);
    expect(heap.typeMasks).toEqual([[16, [0b10]]]);
    expect(heap.mallocs).toEqual([
      [16, 1],
      [16, 1],
      [16, 0],
      [48, 1],
    ]);
  });

  it("assigns initial values, deeply", () => {
    const { types } = testHeap();
    const peer = types.newObject(Point, { x: 1 });
    const m = types.newObject(Mixed, {
      ok: true,
      at: { y: 2 },
      name: "häß",
      data: new Uint8Array([1, 2]),
      grid: [[1, 2], [3]],
      list: [4, 5],
      peer,
    });
    expect([m.ok, m.at.x, m.at.y, m.name, ...m.data]).toEqual([true, 0, 2, "häß", 1, 2]);
    expect([...m.grid].map((row) => [...row])).toEqual([
      [1, 2],
      [3, 0],
    ]);
    expect([...m.list]).toEqual([4, 5]);
    expect(same(m.peer, peer)).toBe(true);
  });

  it("refuses fields that the struct lacks, lists that are too long, and arguments that are no type", () => {
    const { types } = testHeap();
    expect(() => types.newObject(Point, { z: 1 } as object)).toThrow("types: struct Point has no field z");
    expect(() => types.newObject(array(int8, 1), [1, 2])).toThrow(
      "types: value must be a list of at most 1 elements (got 2 elements)",
    );
    expect(() => types.newObject(array(int8, 1), 3 as unknown as number[])).toThrow(/got 3/);
    expect(() => types.newObject("Point" as unknown as Type)).toThrow(
      'types: newObject needs a type (got "Point")',
    );
    expect(() => types.newObject(Point, 5 as unknown as object)).toThrow(
      "types: value must be a Point (got 5)",
    );
  });
});

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

  it("say what was given", () => {
    const { types } = testHeap();
    const x = types.newObject(int8);
    expect(() => (x.value = 300)).toThrow(
      new RangeError("types: int8 must be a whole number from -128 to 127 (got 300)"),
    );
    expect(() => (x.value = 5n as unknown as number)).toThrow(
      new TypeError("types: int8 must be a whole number from -128 to 127 (got 5n)"),
    );
  });

  it("say briefly what was given, whatever it is", () => {
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

  it("uint refuses to read what no number holds, and tells both words", () => {
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
    ]) {
      s.value = text;
      expect(s.value).toBe(text);
    }
    s.value = "a\ud800b";
    expect(s.value).toBe("a\ufffdb");
  });

  it("strings of a length that their UTF-8 form exceeds are not cut, in a process that had no longer one", async () => {
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

describe("a copy with the barrier on", () => {
  it("moves both halves of words that are no pointers", () => {
    const { heap, types } = testHeap();
    const Counted = struct("Counted", { p: pointer(Point), n: int });
    const p = types.newObject(Point);
    const from = types.newObject(Counted, { p, n: 2 ** 40 + 5 });
    const Two = struct("Two", { a: Counted, b: Counted });
    for (const barrier of [true, false]) {
      heap.barrier = barrier;
      const to = types.newObject(Two, { b: { n: -1 } });
      to.a = from;
      expect([to.a.n, same(to.a.p, p), to.b.n, to.b.p]).toEqual([2 ** 40 + 5, true, -1, null]);
    }
  });

  it("does nothing onto itself, and stores no pointer for types without one", () => {
    const { heap, types } = testHeap();
    const n = types.newObject(struct("Box", { n: Node, p: Point }), { n: { value: 1 }, p: { x: 3 } });
    heap.stores.length = 0;
    const itself = n.n;
    n.n = itself;
    n.p = types.newObject(Point, { x: 4 });
    expect(heap.stores).toEqual([]);
    expect([n.n.value, n.p.x]).toEqual([1, 4]);
  });
});

describe("pointers", () => {
  it("are written through the heap's write barrier, and only through it", () => {
    const { heap, types } = testHeap();
    const a = types.newObject(Node, { value: 1 });
    const b = types.newObject(Node, { value: 2, next: a });
    const slot = addrOf(b) + 8;
    b.next = b;
    b.next = null;
    expect(heap.stores).toEqual([
      [slot, addrOf(a)],
      [slot, addrOf(b)],
      [slot, 0],
    ]);
    expect(b.next).toBeNull();
  });

  it("read as references to the same object", () => {
    const { types } = testHeap();
    const a = types.newObject(Node, { value: 1 });
    const b = types.newObject(Node, { next: a });
    b.next!.value = 7;
    expect(a.value).toBe(7);
    expect(same(b.next, a)).toBe(true);
    expect(same(b.next, b)).toBe(false);
    expect(same(null, null)).toBe(true);
  });

  it("refuse a reference of another type or another heap", () => {
    const { types } = testHeap();
    const other = testHeap().types;
    const n = types.newObject(Node);
    const wrong = (v: unknown) => () => (n.next = v as null);
    expect(wrong(types.newObject(Point))).toThrow(
      "types: value must be a Ref<Node> or null (got a Ref<Point>)",
    );
    expect(wrong(other.newObject(Node))).toThrow(
      "types: value must be a Ref<Node> or null (got a Ref of another heap)",
    );
    expect(wrong(undefined)).toThrow("types: value must be a Ref<Node> or null (got undefined)");
    expect(wrong(5)).toThrow(TypeError);
  });

  it("work for pointers to pointers and to arrays", () => {
    const { types } = testHeap();
    const n = types.newObject(int, 5);
    const p = types.newObject(pointer(int), n);
    const pp = types.newObject(pointer(pointer(int)), p);
    expect(pp.value!.value!.value).toBe(5);
    const grid = types.newObject(array(pointer(int), 2), [null, n]);
    expect(grid.get(1)!.value).toBe(5);
  });
});

describe("structs inside of structs", () => {
  it("are seen in place and assigned as copies", () => {
    const { types } = testHeap();
    const p = types.newObject(Point, { x: 1, y: 2 });
    const m = types.newObject(Mixed, { at: p });
    p.x = 100;
    expect([m.at.x, m.at.y]).toEqual([1, 2]);
    const { at } = m;
    at.x = 9;
    expect(m.at.x).toBe(9);
    m.at = types.newObject(Point, { y: 4 });
    expect([at.x, at.y]).toEqual([0, 4]);
  });

  it("copy their pointers through the write barrier", () => {
    const { heap, types } = testHeap();
    const Pair = struct("Pair", { a: Node, b: Node });
    const n = types.newObject(Node, { value: 3 });
    const pair = types.newObject(Pair, { a: { value: 1, next: n } });
    heap.stores.length = 0;
    pair.b = pair.a;
    expect(heap.stores).toEqual([[addrOf(pair) + 24, addrOf(n)]]);
    expect(pair.b.value).toBe(1);
    heap.barrier = false;
    heap.stores.length = 0;
    pair.a = pair.b;
    expect(heap.stores).toEqual([]);
    expect(same(pair.a.next, n)).toBe(true);
  });
});

describe("arrays", () => {
  it("check indices as Go does", () => {
    const { types } = testHeap();
    const a = types.newObject(array(int, 3), [1, 2, 3]);
    expect(a.length).toBe(3);
    expect([...a]).toEqual([1, 2, 3]);
    a.set(2, 9);
    expect(a.get(2)).toBe(9);
    expect(() => a.get(3)).toThrow("runtime error: index out of range [3] with length 3");
    expect(() => a.set(-1, 0)).toThrow("runtime error: index out of range [-1]");
    expect(() => a.get(0.5)).toThrow(TypeError);
  });

  it("can be sliced in place, by their length", () => {
    const { types } = testHeap();
    const a = types.newObject(array(int, 4), [1, 2, 3, 4]);
    const s = a.slice(1, 3);
    s.set(0, 20);
    expect([a.get(1), s.length, s.cap]).toEqual([20, 2, 3]);
    expect(() => a.slice(0, 5)).toThrow("runtime error: slice bounds out of range [:5] with length 4");
    expect(() => a.slice(0, 1, 5)).toThrow("runtime error: slice bounds out of range [::5] with length 4");
    a.release();
    expect(s.get(0)).toBe(20);
  });
});

describe("a released Ref", () => {
  it("can't be used, nor what was reached through it", () => {
    const { heap, types } = testHeap();
    const m = types.newObject(Mixed, { at: { x: 1 } });
    const { at, grid } = m;
    expect(heap.liveRefs).toBe(1);
    m.release();
    expect(heap.liveRefs).toBe(0);
    expect(() => m.small).toThrow(new TypeError("types: use of a released Ref: Mixed.small"));
    expect(() => (m.small = 1)).toThrow(/released Ref/);
    expect(() => at.x).toThrow(/released Ref/);
    expect(() => grid.get(0)).toThrow(/released Ref/);
    expect(() => addrOf(m)).toThrow("types: use of a released Ref<Mixed>");
    expect(() => types.newObject(Mixed, { at })).toThrow(/released Ref/);
  });

  it("may be released again, and a part of an object releases nothing", () => {
    const { heap, types } = testHeap();
    const m = types.newObject(Mixed);
    m.at.release();
    expect(heap.liveRefs).toBe(1);
    m.release();
    m.release();
    expect(heap.liveRefs).toBe(0);
    const again = types.newObject(Mixed);
    m.release();
    expect(again.small).toBe(0);
  });

  it("is released at the end of a using block", () => {
    const { heap, types } = testHeap();
    const p = types.newObject(Point);
    p[Symbol.dispose]();
    expect(heap.liveRefs).toBe(0);
  });

  it("has a root of its own for each pointer that was read", () => {
    const { heap, types } = testHeap();
    const a = types.newObject(Node, { value: 5 });
    const b = types.newObject(Node, { next: a });
    const again = b.next!;
    expect(heap.liveRefs).toBe(3);
    a.release();
    expect(again.value).toBe(5);
    again.release();
    expect(heap.liveRefs).toBe(1);
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

describe("an unreachable Ref", () => {
  function dropHandles(types: TypedHeap): void {
    for (let i = 0; i < 100; i++) types.makeSlice(int, 1).slice(0, 1);
  }

  it("gives its root back to the heap", async () => {
    const { heap, types } = testHeap();
    const kept = types.newObject(Mixed).at;
    dropHandles(types);
    expect(heap.liveRefs).toBe(101);
    // The struct lives on through the handle to its part.
    await collectHostUntil(() => heap.liveRefs <= 1);
    expect(heap.liveRefs).toBe(1);
    expect(kept.x).toBe(0);
  });

  it("does so after another heap was dropped whose handles V8 had found dead and not reported", async () => {
    const { heap, types } = testHeap();
    await dropWithReportsDue(() => {
      const other = testHeap();
      dropHandles(other.types);
      return other;
    });
    dropHandles(types);
    await collectHostUntil(() => heap.liveRefs === 0);
  });

  it("does not keep its heap alive", async () => {
    const dropped = ((): WeakRef<object> => {
      const { heap, types } = testHeap();
      dropHandles(types);
      return new WeakRef(heap);
    })();
    await collectHostUntil(() => dropped.deref() === undefined);
  });
});

describe("an inspector", () => {
  it("sees the fields, without following pointers", () => {
    const { types } = testHeap();
    const n = types.newObject(Node, { value: 3 });
    expect(inspect(n)).toBe("Ref<Node> { value: 3, next: null }");
    n.next = n;
    expect(inspect(n)).toMatch(/^Ref<Node> { value: 3, next: '\*Node 0x[0-9a-f]+' }$/);
    expect(inspect(types.newObject(int, 4))).toBe("Ref<int> 4");
    expect(inspect(types.sliceOf(int, [1, 2]))).toBe("[]int(len 2, cap 2) [ 1, 2 ]");
    expect(inspect(types.nilSlice(int))).toBe("[]int nil");
    n.release();
    expect(inspect(n)).toBe("Ref<Node> (released)");
  });
});

describe("raw access", () => {
  it("makes and moves views without roots", () => {
    const { heap, types } = testHeap();
    const { unsafe } = types;
    const view = unsafe.view(Node);
    let head = unsafe.newObject(Node);
    head = 0 as typeof head;
    for (let i = 0; i < 5; i++) {
      const n = unsafe.newObject(Node);
      view.$at(n).value = i;
      view.next = head;
      head = n;
    }
    const seen: number[] = [];
    for (let p = head; (p as number) !== 0; p = view.$at(p).next) seen.push(view.$at(p).value);
    expect(seen).toEqual([4, 3, 2, 1, 0]);
    expect(heap.liveRefs).toBe(0);
    expect(heap.stores.length).toBe(5);
  });

  it("panics at nil", () => {
    const { unsafe } = testHeap().types;
    const view = unsafe.view(Mixed);
    for (const use of [() => view.small, () => (view.small = 1), () => view.at, () => view.list]) {
      let err: unknown;
      try {
        use();
      } catch (e) {
        err = e;
      }
      expect(isRuntimeError(err)).toBe(true);
      expect((err as Error).message).toBe("runtime error: invalid memory address or nil pointer dereference");
    }
    expect(() => unsafe.load(int, 0 as never)).toThrow(/nil pointer/);
  });

  it("sees nested structs, arrays and slices through views that move along", () => {
    const { types } = testHeap();
    const a = types.newObject(Mixed, { at: { x: 1 }, grid: [[1, 2]], list: [7, 8] });
    const b = types.newObject(Mixed, { at: { x: 2 } });
    const view = types.unsafe.view(Mixed, addrOf(a));
    const { at } = view;
    expect([at.x, view.grid.get(0).get(1), view.list.length, view.list.cap, view.list.get(1)]).toEqual([
      1, 2, 2, 2, 8,
    ]);
    expect(() => view.list.get(2)).toThrow("runtime error: index out of range [2] with length 2");
    view.$addr = addrOf(b);
    expect(view.at).toBe(at);
    expect(at.x).toBe(2);
    at.x = 3;
    expect(b.at.x).toBe(3);
    view.list = types.unsafe.view(Mixed, addrOf(a)).list;
    expect([...b.list]).toEqual([7, 8]);
  });

  it("loads, stores and shows bytes", () => {
    const { types } = testHeap();
    const { unsafe } = types;
    const p = unsafe.newArray(uint32, 2);
    unsafe.store(uint32, p, 0x04030201);
    expect(unsafe.load(uint32, p)).toBe(0x04030201);
    const live = unsafe.bytes(p, 8);
    expect([...live]).toEqual([1, 2, 3, 4, 0, 0, 0, 0]);
    live[0] = 9;
    expect(unsafe.load(uint32, p)).toBe(0x04030209);
    expect([unsafe.sizeof(Mixed) % 8, unsafe.alignof(Mixed), unsafe.offsetof(Mixed, "at")]).toEqual([
      0, 8, 8,
    ]);
    expect(() => unsafe.bytes(p, -1)).toThrow(RangeError);
    expect(() => unsafe.newArray(uint32, 1.5)).toThrow(RangeError);
    expect(() => unsafe.store(pointer(int), p as never, -1 as never)).toThrow(
      "types: value must be an address (got -1)",
    );
  });

  it("is rooted by ref, and nil by null", () => {
    const { heap, types } = testHeap();
    const p = types.unsafe.newObject(Point);
    const ref = types.ref(Point, p)!;
    ref.x = 5;
    expect(heap.liveRefs).toBe(1);
    expect(addrOf(ref)).toBe(p);
    expect(types.ref(Point, 0 as typeof p)).toBeNull();
    expect(addrOf(null)).toBe(0);
    expect(() => addrOf({} as Ref<typeof Point>)).toThrow("types: addrOf needs a Ref (got Object)");
  });
});
