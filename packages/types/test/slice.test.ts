import { describe, expect, expectTypeOf, it } from "vitest";
import { append, BoundsError, int, int32, isRuntimeError, type Slice, slice, struct } from "../src/index.ts";
import { Point, testHeap, thrown } from "./kit.ts";

describe("makeSlice", () => {
  it("allocates cap zero elements and shows len of them", () => {
    const { heap, types } = testHeap();
    const s = types.makeSlice(int32, 2, 5);
    expect(heap.mallocs).toEqual([[20, 0]]);
    expect([s.length, s.cap, s.isNil, ...s]).toEqual([2, 5, false, 0, 0]);
    expectTypeOf(s).toEqualTypeOf<Slice<typeof int32>>();
  });

  it("panics in Go's words when a size is out of range", () => {
    const { types } = testHeap();
    const { size } = types.heap.mem;
    const message = (len: number, cap?: number) =>
      (thrown(() => types.makeSlice(int, len, cap)) as Error).message;
    expect(message(-1)).toBe("runtime error: makeslice: len out of range");
    expect(message(size)).toBe("runtime error: makeslice: len out of range");
    expect(message(1, 0)).toBe("runtime error: makeslice: cap out of range");
    expect(message(1, size)).toBe("runtime error: makeslice: cap out of range");
    expect(isRuntimeError(thrown(() => types.makeSlice(int, -1)))).toBe(true);
    expect(() => types.makeSlice(int, 1.5)).toThrow(
      new TypeError("types: len must be a whole number (got 1.5)"),
    );
    expect(() => types.makeSlice(int, 1, Number.NaN)).toThrow(TypeError);
  });
  it("has codes in upper case, as every package's errors", () => {
    const { types } = testHeap();
    const codeOf = (f: () => unknown): unknown => (thrown(f) as { code: string }).code;
    expect(codeOf(() => types.makeSlice(int, -1))).toBe("ERR_GORT_MAKESLICE_LEN");
    expect(codeOf(() => types.makeSlice(int, 1, 0))).toBe("ERR_GORT_MAKESLICE_CAP");
    expect(codeOf(() => types.makeSlice(int, 1).get(1))).toBe("ERR_GORT_OUT_OF_RANGE");
  });

  it("of nothing allocates nothing, and is not nil", () => {
    const { heap, types } = testHeap();
    const before = heap.allocated;
    expect(types.makeSlice(int, 0).isNil).toBe(false);
    expect(types.makeSlice(struct("Empty", {}), 1000).length).toBe(1000);
    expect(heap.allocated).toBe(before);
  });
});

describe("indexing", () => {
  it("panics outside of the length, also within the capacity", () => {
    const { types } = testHeap();
    const s = types.makeSlice(int, 3, 10);
    const err = thrown(() => s.get(5)) as BoundsError;
    expect(err).toBeInstanceOf(BoundsError);
    expect([err.name, err.message, err.kind, err.index, err.bound]).toEqual([
      "BoundsError",
      "runtime error: index out of range [5] with length 3",
      "index",
      5,
      3,
    ]);
    expect(() => s.set(-1, 0)).toThrow("runtime error: index out of range [-1]");
    expect(() => s.get(0.5)).toThrow(new TypeError("types: index must be a whole number (got 0.5)"));
    expect(() => types.nilSlice(int).get(0)).toThrow("index out of range [0] with length 0");
  });

  it("gives structs in place, and references to elements", () => {
    const { types } = testHeap();
    const s = types.makeSlice(Point, 2);
    s.get(1).x = 5;
    const p = s.ref(1);
    s.release();
    expect(p.x).toBe(5);
  });
});

describe("roots of arrays that are replaced", () => {
  const Row = struct("Row", { cells: slice(int) });

  it("are given up when push makes a larger array", () => {
    const { heap, types } = testHeap();
    const s = types.makeSlice(int, 0);
    for (let i = 0; i < 100; i++) s.push(i);
    expect(s.toArray()).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(heap.liveRefs).toBe(1);
    s.release();
    expect(heap.liveRefs).toBe(0);
  });

  it("are kept when push makes a larger array and another slice has the old one", () => {
    const { heap, types } = testHeap();
    const s = types.sliceOf(int, [1, 2]);
    const old = s.slice(0, 1);
    s.push(3);
    expect(heap.liveRefs).toBe(2);
    expect([...old]).toEqual([1]);
    old.release();
    s.release();
    expect(heap.liveRefs).toBe(0);
  });

  it("are given up of lists that became slices for a moment, also when the store is refused", () => {
    const { heap, types } = testHeap();
    const rows = types.makeSlice(slice(int), 1, 1);
    rows.set(0, [1, 2, 3]);
    rows.push([4]);
    const more = append(rows, [5], [6]);
    const row = types.newObject(Row, { cells: [7] });
    expect(heap.liveRefs).toBe(3);
    rows.release();
    more.release();
    row.release();
    expect(heap.liveRefs).toBe(0);
    const gone = types.makeSlice(slice(int), 1, 1);
    const list = Object.defineProperty([1], 0, {
      get() {
        gone.release();
        return 1;
      },
    });
    expect(() => gone.set(0, list)).toThrow("types: use of a released slice of []int");
    expect(heap.liveRefs).toBe(0);
  });
});

describe("slicing", () => {
  it("shares the array, and a handle of its own keeps it alive", () => {
    const { heap, types } = testHeap();
    const s = types.sliceOf(int, [0, 1, 2, 3, 4]);
    const t = s.slice(1, 3);
    expect([t.length, t.cap, ...t]).toEqual([2, 4, 1, 2]);
    t.set(0, 10);
    expect(s.get(1)).toBe(10);
    s.release();
    expect(() => s.get(0)).toThrow("types: use of a released slice of int");
    expect([...t]).toEqual([10, 2]);
    expect(heap.liveRefs).toBe(1);
    t.release();
    t.release();
    expect(heap.liveRefs).toBe(0);
  });

  it("may extend to the capacity, and limit it", () => {
    const { types } = testHeap();
    const s = types.makeSlice(int, 2, 8);
    expect(s.slice(0, 8).length).toBe(8);
    const t = s.slice(1, 2, 3);
    expect([t.length, t.cap]).toEqual([1, 2]);
  });

  it("of an empty rest does not point past the array", () => {
    const { types } = testHeap();
    const s = types.makeSlice(int, 4);
    expect(s.slice(4).$addr).toBe(s.$addr);
    expect([s.slice(4).length, s.slice(4).cap]).toEqual([0, 0]);
  });

  it("panics with Go's text for each form", () => {
    const { types } = testHeap();
    const s = types.makeSlice(int, 3);
    const message = (lo?: number, hi?: number, max?: number) =>
      (thrown(() => s.slice(lo, hi, max)) as Error).message.replace(
        "runtime error: slice bounds out of range ",
        "",
      );
    expect(message(0, 10)).toBe("[:10] with capacity 3");
    expect(message(0, -1)).toBe("[:-1]");
    expect(message(3, 2)).toBe("[3:2]");
    expect(message(10)).toBe("[10:3]");
    expect(message(-1)).toBe("[-1:]");
    expect(message(0, 3, 10)).toBe("[::10] with capacity 3");
    expect(message(0, 0, -1)).toBe("[::-1]");
    expect(message(0, 3, 2)).toBe("[:3:2]");
    expect(message(0, -1, 2)).toBe("[:-1:]");
    expect(message(2, 1, 3)).toBe("[2:1:]");
    expect(message(-1, 1, 3)).toBe("[-1::]");
    expect(() => s.slice(0.5)).toThrow(TypeError);
  });
});

describe("slices in the heap", () => {
  it("are three words, written with the write barrier", () => {
    const { heap, types } = testHeap();
    const Row = struct("Row", { cells: slice(int) });
    const row = types.newObject(Row);
    const s = types.sliceOf(int, [1, 2, 3]).slice(1, 2);
    row.cells = s;
    expect(heap.stores.at(-1)).toEqual([row.$addr, s.$addr]);
    const { cells } = row;
    expect([cells.length, cells.cap, cells.get(0)]).toEqual([1, 2, 2]);
    row.cells = types.nilSlice(int);
    expect(row.cells.isNil).toBe(true);
  });

  it("may hold slices", () => {
    const { types } = testHeap();
    const rows = append(types.nilSlice(slice(int)), [1, 2], [3], null);
    expect([...rows].map((r) => [...r])).toEqual([[1, 2], [3], []]);
    rows.set(2, rows.get(0));
    rows.get(2).set(0, 9);
    expect(rows.get(0).get(0)).toBe(9);
  });

  it("are checked for their element type", () => {
    const { types } = testHeap();
    const Row = struct("Row", { cells: slice(int) });
    const row = types.newObject(Row);
    expect(() => (row.cells = types.makeSlice(int32, 1) as never)).toThrow(
      /slice of int \(got a slice of int32\)/,
    );
    const s = types.makeSlice(int, 1);
    s.release();
    expect(() => (row.cells = s)).toThrow("types: use of a released slice of int");
  });
});

describe("a slice expression", () => {
  it("refuses bounds that are no whole numbers, each of them", () => {
    const { types } = testHeap();
    const s = types.sliceOf(int, [1, 2, 3]);
    for (const bad of [0.5, Number.NaN, "1" as never]) {
      const refused = /^types: slice bound must be a whole number/;
      expect(() => s.slice(bad, 1)).toThrow(refused);
      expect(() => s.slice(0, bad)).toThrow(refused);
      expect(() => s.slice(0, 1, bad)).toThrow(refused);
    }
    expect([...s.slice(1, 2, 3)]).toEqual([2]);
  });
});

describe("push", () => {
  it("refuses a released slice, with room or without", () => {
    const { types } = testHeap();
    for (const cap of [1, 4]) {
      const s = types.makeSlice(int32, 1, cap);
      s.release();
      expect(() => s.push(1)).toThrow("types: use of a released slice of int32");
    }
  });
});
