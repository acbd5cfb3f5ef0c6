import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import {
  addrOf,
  array,
  bool,
  bytes,
  int,
  int16,
  int64,
  pointer,
  slice,
  string,
  struct,
  uint8,
  uint64,
} from "../src/index.ts";
import { json, Node, testHeap } from "./kit.ts";

const Point = struct("Point", { x: int, y: int });

const Everything = struct("Everything", {
  yes: bool,
  big: int64,
  huge: uint64,
  text: string,
  raw: bytes,
  none: bytes,
  list: slice(int16),
  nil: slice(int16),
  octets: slice(uint8),
  grid: array(array(int16, 2), 2),
  data: array(uint8, 2),
  at: Point,
  to: pointer(Point),
  nowhere: pointer(Point),
  rows: slice(slice(Point)),
});

describe("JSON", () => {
  it("has every kind of value: bytes as base64, nil as null, safe bigints as numbers", () => {
    const { types } = testHeap();
    const e = types.newObject(Everything, {
      yes: true,
      big: -(2n ** 53n - 1n),
      huge: 2n ** 53n,
      text: "häß",
      raw: new Uint8Array([1, 2, 255]),
      list: [1, 2],
      octets: [104, 105],
      grid: [[1, 2], [3]],
      data: [7, 8],
      at: { x: 1 },
      to: types.newObject(Point, { y: 2 }),
      rows: [[{ x: 1 }], null, []],
    });
    expect(json(e)).toEqual({
      yes: true,
      big: -Number.MAX_SAFE_INTEGER,
      huge: "9007199254740992",
      text: "häß",
      raw: "AQL/",
      none: null,
      list: [1, 2],
      nil: null,
      octets: "aGk=",
      grid: [
        [1, 2],
        [3, 0],
      ],
      data: [7, 8],
      at: { x: 1, y: 0 },
      to: { x: 0, y: 2 },
      nowhere: null,
      rows: [[{ x: 1, y: 0 }], null, []],
    });
    expect(json(types.makeSlice(uint8, 3))).toBe("AAAA");
    expect(json(types.nilSlice(uint8))).toBe(null);
    expect(json(types.makeSlice(uint8, 0))).toBe("");
    expect(json(types.newObject(array(uint8, 2), [1, 2]))).toEqual([1, 2]);
    expect(json(types.newObject(int, 5))).toBe(5);
    expect(json(types.newObject(bytes))).toBe(null);
    expect(json(types.newObject(bytes, new Uint8Array(0)))).toBe(null);
  });

  it("follows an object that two pointers share, and refuses one that leads back to itself", () => {
    const { types } = testHeap();
    const shared = types.newObject(Point, { x: 3 });
    const Two = struct("Two", { a: pointer(Point), b: pointer(Point) });
    expect(json(types.newObject(Two, { a: shared, b: shared }))).toEqual({
      a: { x: 3, y: 0 },
      b: { x: 3, y: 0 },
    });
    const a = types.newObject(Node, { value: 1 });
    const b = types.newObject(Node, { value: 2, next: a });
    const c = types.newObject(Node, { value: 3, next: b });
    expect(json(c)).toEqual({ value: 3, next: { value: 2, next: { value: 1, next: null } } });
    a.next = c;
    const refused = new TypeError("types: JSON of a cycle through *Node");
    expect(() => JSON.stringify(c)).toThrow(refused);
    a.next = a;
    expect(() => JSON.stringify(c)).toThrow(refused);
    const list = types.makeSlice(pointer(Node), 2);
    list.set(0, b);
    a.next = null;
    expect(json(list)).toEqual([{ value: 2, next: { value: 1, next: null } }, null]);
  });

  it("refuses slices that hold themselves, not those that share an array", () => {
    const { types } = testHeap();
    const Tree = struct("Tree", {
      get kids() {
        return slice(Tree);
      },
    });
    const leaf = types.newObject(Tree);
    leaf.kids = types.makeSlice(Tree, 0);
    const tree = types.newObject(Tree, { kids: types.sliceOf(Tree, [leaf as never, leaf as never]) });
    expect(json(tree)).toEqual({ kids: [{ kids: [] }, { kids: [] }] });
    const { kids } = tree;
    kids.set(1, { kids });
    expect(() => JSON.stringify(tree)).toThrow(new TypeError("types: JSON of a cycle through []Tree"));
  });
});

describe("an inspector", () => {
  it("sees structs, arrays and their parts, and where pointers lead", () => {
    const { types } = testHeap();
    const p = types.newObject(Point, { x: 1 });
    const Holder = struct("Holder", {
      at: Point,
      to: pointer(Point),
      nil: pointer(Point),
      pair: array(int, 2),
    });
    const h = types.newObject(Holder, { at: { y: 2 }, to: p, pair: [3, 4] });
    expect(inspect(h, { breakLength: Infinity, depth: 5 })).toBe(
      `Ref<Holder> { at: Ref<Point> { x: 0, y: 2 }, to: '*Point 0x${addrOf(p).toString(16)}', nil: null, ` +
        "pair: Ref<[2]int> [ 3, 4 ] }",
    );
    const list = types.newObject(array(pointer(Point), 2));
    list.set(1, p);
    expect(inspect(list)).toBe(`Ref<[2]*Point> [ null, '*Point 0x${addrOf(p).toString(16)}' ]`);
    expect(inspect(types.newObject(pointer(Point), null))).toBe("Ref<*Point> null");
    expect(String(h)).toBe(`Ref<Holder> 0x${addrOf(h).toString(16)}`);
    h.release();
    expect(String(h)).toBe("Ref<Holder> (released)");
    expect(() => JSON.stringify(h)).toThrow(new TypeError("types: use of a released Ref<Holder>"));
  });
});
