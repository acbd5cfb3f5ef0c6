import { describe, expect, expectTypeOf, it } from "vitest";
import {
  addrOf,
  array,
  type Complex,
  type complex64,
  type Init,
  int,
  int8,
  type int32,
  type int64,
  pointer,
  type Ref,
  type Slice,
  same,
  struct,
  type Type,
  type Value,
  type View,
} from "../src/index.ts";
import { Mixed, Node, Point, testHeap } from "./kit.ts";

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
