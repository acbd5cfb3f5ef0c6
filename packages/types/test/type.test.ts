import { describe, expect, it } from "vitest";
import * as t from "../src/index.ts";
import { array, bool, int, int8, int16, int32, pointer, slice, string, struct } from "../src/index.ts";

const layout = (type: t.Type) => [type.size, type.align, type.ptrdata];

describe("sizes of types", () => {
  it.each([
    [t.bool, [1, 1, 0]],
    [t.int8, [1, 1, 0]],
    [t.uint16, [2, 2, 0]],
    [t.int32, [4, 4, 0]],
    [t.float32, [4, 4, 0]],
    [t.int64, [8, 8, 0]],
    [t.int, [8, 8, 0]],
    [t.uintptr, [8, 8, 0]],
    [t.float64, [8, 8, 0]],
    [t.complex64, [8, 4, 0]],
    [t.complex128, [16, 8, 0]],
    [t.string, [16, 8, 8]],
    [t.bytes, [24, 8, 8]],
    [pointer(int), [8, 8, 8]],
    [slice(int), [24, 8, 8]],
    [array(int32, 5), [20, 4, 0]],
    [array(string, 3), [48, 8, 40]],
    [array(string, 0), [0, 8, 0]],
  ] as const)("%s is Go's", (type, want) => {
    expect(layout(type)).toEqual(want);
  });
});

describe("structs", () => {
  it("put fields in order, each at its alignment, and round the size", () => {
    const T = struct("T", { a: bool, b: int, c: bool, d: int16, e: int32 });
    expect(T.fields.map((f) => [f.name, f.offset])).toEqual([
      ["a", 0],
      ["b", 8],
      ["c", 16],
      ["d", 18],
      ["e", 20],
    ]);
    expect(layout(T)).toEqual([24, 8, 0]);
    expect(t.offsetof(T, "d")).toBe(18);
    expect(t.sizeof(T)).toBe(24);
    expect(t.alignof(T)).toBe(8);
  });

  it("end their pointer data with the last pointer, not with the last word", () => {
    const T = struct("T", { p: pointer(int), n: int, s: string, x: int, y: int });
    expect(layout(T)).toEqual([48, 8, 24]);
    expect([...T.pointerMask()]).toEqual([0b000101]);
  });

  it("mark the pointers of nested structs, arrays, strings and slices", () => {
    const Inner = struct("Inner", { n: int, p: pointer(int) });
    const T = struct("T", { list: array(Inner, 2), s: string, v: slice(int), n: int });
    // words: n p n p | *s len | *v len cap | n
    expect([...T.pointerMask()]).toEqual([0b0001011010]);
    expect(T.ptrdata).toBe(56);
  });

  it("have masks for more than 32 words", () => {
    const T = array(struct("Pair", { n: int, p: pointer(int) }), 40);
    expect([...T.pointerMask()]).toEqual([0xaaaaaaaa, 0xaaaaaaaa, 0xaaaa]);
  });

  it("pad a last field without size, unless all are", () => {
    const Empty = struct("Empty", {});
    expect(layout(Empty)).toEqual([0, 1, 0]);
    expect(struct("T", { n: int, last: Empty }).size).toBe(16);
    expect(struct("T", { first: Empty, n: int }).size).toBe(8);
    expect(struct("T", { a: Empty, b: Empty }).size).toBe(0);
  });

  it("may point to themselves by a getter, and by thunks", () => {
    const Node = struct("Node", {
      value: int,
      get next() {
        return pointer(Node);
      },
    });
    expect(Node.size).toBe(16);
    expect(Node.field("next").type.name).toBe("*Node");

    interface Tree {
      left: t.PointerType<t.StructType<Tree>>;
      kids: t.SliceType<t.StructType<Tree>>;
    }
    const Tree: t.StructType<Tree> = struct("Tree", {
      left: pointer(() => Tree),
      kids: slice(() => Tree),
    });
    expect(Tree.size).toBe(32);
    expect(Tree.field("kids").type.name).toBe("[]Tree");
  });

  it("can't contain themselves", () => {
    const T: t.StructType = struct("T", { self: () => T });
    expect(() => T.size).toThrow(new TypeError("types: struct T contains itself"));
    expect(() => T.size).toThrow(/contains itself/);
  });

  it("refuse the names of Ref members, and fields that are no type", () => {
    expect(() => struct("T", { release: int })).toThrow("types: T.release is not a possible name of a field");
    expect(() => struct("T", { $addr: int })).toThrow(TypeError);
    expect(() => struct("T", { 0: int })).toThrow(TypeError);
    expect(() => struct("", {})).toThrow("types: struct needs a name (got )");
    expect(() => struct("T", { a: 1 }).size).toThrow("types: T.a must be a type (got number)");
    expect(() => struct("T", { a: int }).field("b")).toThrow("types: struct T has no field b");
  });
});

describe("array", () => {
  it("refuses a length that is no whole number from 0", () => {
    for (const n of [-1, 1.5, Number.NaN, 2 ** 33]) expect(() => array(int8, n)).toThrow(RangeError);
    expect(() => array(3 as unknown as t.Type, 1)).toThrow("types: array needs an element type (got number)");
    expect(() => pointer("x" as unknown as t.Type)).toThrow(TypeError);
  });
});

describe("names", () => {
  it("are written as Go writes them", () => {
    const P = struct("Point", { x: int });
    expect(String(slice(pointer(array(P, 4))))).toBe("[]*[4]Point");
  });
});
