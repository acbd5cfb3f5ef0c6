import { describe, expect, it } from "vitest";
import { addrOf, array, int, slice, struct } from "../src/index.ts";
import { hostile, Node, testHeap } from "./kit.ts";

const Point = struct("Point", { x: int, y: int });

describe("refusals", () => {
  it("name the function and the given value", () => {
    const { types } = testHeap();
    const { unsafe } = types;
    const p = unsafe.newObject(int);
    const released = types.newObject(int);
    released.release();
    const other = testHeap().types.newObject(int);
    const cases: [() => unknown, string][] = [
      [() => types.newObject(hostile(5)), "types: newObject needs a type (got 5)"],
      [() => types.ref(hostile({}), p as never), "types: ref needs a type (got Object)"],
      [() => types.makeSlice(hostile(null), 1), "types: makeSlice needs a type (got null)"],
      [() => types.nilSlice(hostile("int")), 'types: nilSlice needs a type (got "int")'],
      [() => types.sliceOf(hostile(1n), []), "types: sliceOf needs a type (got 1n)"],
      [() => types.sliceOf(int, hostile(7)), "types: sliceOf needs a list of values (got 7)"],
      [() => types.sliceOf(int, hostile(null)), "types: sliceOf needs a list of values (got null)"],
      [() => types.toBytes(hostile(1)), "types: toBytes needs a string (got 1)"],
      [() => types.toRunes(hostile(null)), "types: toRunes needs a string (got null)"],
      [() => types.target("f", hostile(1)), "types: f needs a Ref (got 1)"],
      [() => types.target("f", other), "types: f needs a Ref (got a Ref of another heap)"],
      [() => types.target("f", released), "types: use of a released Ref<int>"],
      [() => addrOf(released), "types: use of a released Ref<int>"],
      [() => unsafe.newObject(hostile(1)), "types: newObject needs a type (got 1)"],
      [() => unsafe.newArray(hostile(1), 1), "types: newArray needs a type (got 1)"],
      [() => unsafe.view(hostile(1)), "types: view needs a type (got 1)"],
      [() => unsafe.view(int, hostile(-1)), "types: view needs an address (got -1)"],
      [() => unsafe.view(int, hostile(2 ** 32)), "types: view needs an address (got 4294967296)"],
      [() => unsafe.load(int, hostile("x")), 'types: load needs an address (got "x")'],
      [() => unsafe.store(hostile(1), p as never, hostile(1)), "types: store needs a type (got 1)"],
      [() => unsafe.store(int, hostile(0.5), 1), "types: store needs an address (got 0.5)"],
      [() => unsafe.bytes(hostile(-8), 8), "types: bytes needs an address (got -8)"],
    ];
    for (const [f, text] of cases) expect(f, text).toThrow(new TypeError(text));
    for (const n of [-1, 0.5, 2 ** 53, Number.NaN]) {
      const text = `types: n must be a whole number from 0 (got ${n})`;
      expect(() => unsafe.newArray(int, n)).toThrow(new RangeError(text));
      expect(() => unsafe.bytes(p as never, n)).toThrow(new RangeError(text));
    }
    expect(() => unsafe.load(int, 0 as never)).toThrow("nil pointer dereference");
    expect(() => unsafe.bytes(0 as never, 1)).toThrow("nil pointer dereference");
    expect(unsafe.bytes(0 as never, 0)).toHaveLength(0);
    expect(unsafe.newArray(int, 0)).toBe(unsafe.newArray(Point, 0));
  });

  it("give a root back, and keep the value", () => {
    const { heap, types } = testHeap();
    expect(() => types.newObject(Point, hostile({ z: 1 }))).toThrow("types: struct Point has no field z");
    expect(() => types.sliceOf(Point, [{ x: 1 }, hostile({ x: "1" })])).toThrow(TypeError);
    expect(heap.liveRefs).toBe(0);
    const target = types.target("f", types.newObject(Point, { x: 4 }));
    expect(target.type).toBe(Point);
    expect(types.unsafe.view(Point, target.addr).x).toBe(4);
  });

  it("of pointers and structs name the values that would be accepted", () => {
    const { types } = testHeap();
    const n = types.newObject(Node);
    const point = types.newObject(Point);
    const Box = struct("Box", { at: Point });
    const box = types.newObject(Box);
    const far = testHeap().types.newObject(Node);
    const gone = types.newObject(Node);
    gone.release();
    const put = (v: unknown) => () => {
      n.next = hostile(v);
    };
    expect(put(point)).toThrow(new TypeError("types: value must be a Ref<Node> or null (got a Ref<Point>)"));
    expect(put(5)).toThrow(new TypeError("types: value must be a Ref<Node> or null (got 5)"));
    expect(put(undefined)).toThrow(new TypeError("types: value must be a Ref<Node> or null (got undefined)"));
    expect(put(far)).toThrow(
      new TypeError("types: value must be a Ref<Node> or null (got a Ref of another heap)"),
    );
    expect(put(gone)).toThrow(new TypeError("types: use of a released Ref<Node>"));
    expect(() => {
      box.at = hostile(n);
    }).toThrow(new TypeError("types: value must be a Point (got a Ref<Node>)"));
    expect(() => types.newObject(struct("B2", { list: slice(Point) }), { list: hostile(5) })).toThrow(
      new TypeError("types: value must be a slice of Point (got number)"),
    );
    expect(() => types.newObject(array(int, 2), hostile([1, 2, 3]))).toThrow(
      new TypeError("types: value must be a list of at most 2 elements (got 3 elements)"),
    );
    expect(() => types.newObject(array(int, 2), hostile({ length: 1 }))).toThrow(
      new TypeError("types: value must be a list of at most 2 elements (got Object)"),
    );
    expect(n.next).toBe(null);
  });
});
