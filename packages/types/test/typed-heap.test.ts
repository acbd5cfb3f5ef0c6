/** What a TypedHeap says of values: as JSON, to an inspector, to raw views, and in refusals. */
import { inspect } from "node:util";
import type { Ptr } from "@gort/memory";
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
  type Ref,
  same,
  slice,
  string,
  struct,
  type Type,
  uint8,
  uint64,
} from "../src/index.ts";
import { testHeap } from "./heap.ts";

const hostile = (v: unknown): never => v as never;
const json = (v: unknown): unknown => JSON.parse(JSON.stringify(v));

const Point = struct("Point", { x: int, y: int });
const Node = struct("Node", {
  value: int,
  get next() {
    return pointer(Node);
  },
});
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

describe("refusals", () => {
  it("name the function, and what was given", () => {
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

  it("of pointers and structs say what would do", () => {
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

describe("a View", () => {
  const { types } = testHeap();
  const { unsafe } = types;

  it("of a slice's header shows its words, and checks nil and bounds", () => {
    const ints = slice(int);
    const header = unsafe.newObject(ints);
    const view = unsafe.view(ints, header);
    expect([view.ptr, view.length, view.cap]).toEqual([0, 0, 0]);
    const s = types.sliceOf(int, [1, 2, 3]).slice(0, 2);
    const Holder = struct("Holder", { s: ints });
    const holder = types.newObject(Holder, { s });
    unsafe.store(ints, header, unsafe.view(Holder, addrOf(holder)).s);
    expect([view.ptr, view.length, view.cap, view.get(1)]).toEqual([s.$addr, 2, 3, 2]);
    view.set(0, 9);
    expect([s.get(0), s.get(1)]).toEqual([9, 2]);
    expect(() => view.get(2)).toThrow("runtime error: index out of range [2] with length 2");
    expect(() => view.get(-1)).toThrow("runtime error: index out of range [-1]");
    const nil = unsafe.view(slice(int));
    for (const use of [
      () => nil.ptr,
      () => nil.cap,
      () => nil.length,
      () => nil.get(0),
      () => nil.set(0, 1),
    ]) {
      expect(use).toThrow("invalid memory address or nil pointer dereference");
    }
  });

  it("takes Views of its type that are not nil, for values that lie inside", () => {
    const Box = struct("Box", { at: Point, to: pointer(Point), pair: array(Point, 2) });
    const box = types.newObject(Box);
    const view = unsafe.view(Box, addrOf(box));
    const p = types.newObject(Point, { x: 5, y: 6 });
    view.at = unsafe.view(Point, addrOf(p));
    view.pair.set(1, unsafe.view(Point, addrOf(p)));
    view.to = addrOf(p);
    expect(json(box)).toEqual({
      at: { x: 5, y: 6 },
      to: { x: 5, y: 6 },
      pair: [
        { x: 0, y: 0 },
        { x: 5, y: 6 },
      ],
    });
    expect(same(box.to, p)).toBe(true);
    expect(view.to).toBe(addrOf(p));
    const refused: [() => void, string][] = [
      [() => (view.at = hostile({ x: 1 })), "types: value must be a View of Point (got Object)"],
      [() => (view.at = hostile(view)), "types: value must be a View of Point (got TypedView)"],
      [() => (view.at = hostile(p)), "types: value must be a View of Point (got TypedRef)"],
      [() => (view.to = hostile(p)), "types: value must be an address (got TypedRef)"],
      [() => (view.to = hostile(1.5)), "types: value must be an address (got 1.5)"],
      [
        () => {
          const bad = unsafe.view(Point);
          bad.$addr = hostile(-4);
          view.at = bad;
        },
        "types: value must be a View of an address (got -4)",
      ],
    ];
    for (const [f, text] of refused) expect(f, text).toThrow(new TypeError(text));
    expect(() => (view.at = unsafe.view(Point))).toThrow("nil pointer dereference");
    view.$addr = 0 as Ptr<typeof Box>;
    for (const use of [() => view.at, () => view.to, () => (view.to = hostile(0)), () => view.pair]) {
      expect(use).toThrow("nil pointer dereference");
    }
    expect(() => (view.at = unsafe.view(Point, addrOf(p)))).toThrow("nil pointer dereference");
  });

  it("moves along, and tells its type", () => {
    const a = types.newObject(Point, { x: 1 });
    const b = types.newObject(Point, { x: 2 });
    const view = unsafe.view(Point, addrOf(a));
    expect([view.x, view.$at(addrOf(b)).x, view.$addr, view.$type]).toEqual([1, 2, addrOf(b), Point]);
  });
});

describe("what types share", () => {
  it("is one class for a type, and one descriptor for the heap", () => {
    const { heap, types } = testHeap();
    const class_ = (x: object): unknown => Object.getPrototypeOf(x);
    expect(class_(types.newObject(Node))).toBe(class_(types.newObject(Node)));
    expect(class_(types.unsafe.view(Node))).toBe(class_(types.unsafe.view(Node)));
    const n = types.descriptor(Node);
    expect([types.descriptor(Node), types.descriptor(Point)]).toEqual([n, 0]);
    expect(heap.typeMasks).toEqual([[16, [0b10]]]);
    const big = array(int, heap.mem.size / 8);
    expect(() => types.newObject(big as Type)).toThrow(
      new RangeError(`types: ${big.name} is larger than the memory (${heap.mem.size} bytes)`),
    );
    expect(types.descriptor(array(int, heap.mem.size / 8 - 1))).toBe(0);
  });

  it("forgets a class whose fields could not be looked at, and makes it at the next use", () => {
    const { types } = testHeap();
    let fail = true;
    const Late = struct("Late", {
      x: int,
      p: pointer((): typeof Point => {
        if (fail) throw new Error("not yet");
        return Point;
      }),
    });
    const p = types.unsafe.newObject(Late);
    const ref = types.ref(Late, p) as Ref<typeof Late>;
    expect(ref.p).toBe(null);
    expect(() => {
      ref.p = types.newObject(Point);
    }).toThrow("not yet");
    fail = false;
    ref.p = types.newObject(Point, { x: 8 });
    expect(json(ref)).toEqual({ x: 0, p: { x: 8, y: 0 } });
  });

  it("forgets a class of Views whose fields could not be looked at, and makes it at the next use", () => {
    const { types } = testHeap();
    let fail = true;
    const Late = struct("Late", {
      get x() {
        if (fail) throw new Error("not yet");
        return int;
      },
    });
    expect(() => types.unsafe.view(Late)).toThrow("not yet");
    fail = false;
    const p = types.unsafe.newObject(Late);
    const view = types.unsafe.view(Late, p);
    view.x = 7;
    expect([view.x, types.unsafe.load(Late, p).x]).toEqual([7, 7]);
  });
});
