import fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  append,
  appendSlice,
  BoundsError,
  bytesToString,
  copy,
  float64,
  growCap,
  int,
  int32,
  isRuntimeError,
  nextSliceCap,
  pointer,
  RuntimeError,
  type Slice,
  same,
  slice,
  string,
  struct,
  toUint8Array,
  uint8,
} from "../src/index.ts";
import { testHeap } from "./heap.ts";

const Point = struct("Point", { x: float64, y: float64 });

function thrown(f: () => unknown): unknown {
  try {
    f();
  } catch (err) {
    return err;
  }
  throw new Error("nothing was thrown");
}

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

describe("append", () => {
  it("leaves the old slice as it was, and shares the array while there is room", () => {
    const { types } = testHeap();
    const a = types.makeSlice(int, 0, 2);
    const b = append(a, 1);
    const c = append(a, 2);
    const d = append(c, 3, 4);
    expect([a.length, b.get(0), ...c, ...d, d.cap]).toEqual([0, 2, 2, 2, 3, 4, 4]);
    expect(c.$addr).toBe(a.$addr);
    expect(d.$addr).not.toBe(a.$addr);
  });

  it("of nothing allocates nothing; nil stays nil", () => {
    const { heap, types } = testHeap();
    expect(append(types.nilSlice(int)).isNil).toBe(true);
    expect(heap.mallocs).toEqual([]);
  });

  it("takes structs as objects, and pointers", () => {
    const { types } = testHeap();
    const points = append(types.nilSlice(Point), { x: 1, y: 2 }, { x: 3 });
    expect([points.get(0).y, points.get(1).x, points.get(1).y]).toEqual([2, 3, 0]);
    const p = types.newObject(Point);
    const list = append(types.nilSlice(pointer(Point)), p, null);
    expect(same(list.get(0), p)).toBe(true);
    expect(list.get(1)).toBeNull();
  });

  it("copies pointers through the write barrier when it grows", () => {
    const { heap, types } = testHeap();
    const p = types.newObject(Point);
    const s = append(types.nilSlice(pointer(Point)), p);
    heap.stores.length = 0;
    const t = append(s, null);
    expect(heap.stores).toEqual([
      [t.$addr, p.$addr],
      [t.$addr + 8, 0],
    ]);
  });

  it("panics when no memory could hold the array", () => {
    const { types } = testHeap();
    expect(() => growCap(types.heap, 8, true, types.heap.mem.size, 0)).toThrow(
      "runtime error: growslice: len out of range",
    );
  });

  it("panics from the size of the memory on, wanted or rounded up to, and from 2^53 elements without size", () => {
    const { heap } = testHeap().types;
    const { size } = heap.mem;
    const refused = new RuntimeError("runtime error: growslice: len out of range", "ERR_GORT_GROWSLICE_LEN");
    const grow = (elemSize: number, newLen: number, oldCap: number) => () =>
      growCap(heap, elemSize, true, newLen, oldCap);
    expect(grow(8, size / 8, 0)).toThrow(refused);
    expect(grow(8, size / 8 - 1, 0)()).toBe(size / 8);
    // Needed is little more than half of the memory, wanted twice the old capacity, or 1.25 times.
    expect(grow(size / 8, 5, 4)).toThrow(refused);
    expect(grow(size / 8, 4, 3)()).toBe(6);
    expect(grow(1, size - 1000, size - 2000)).toThrow(refused);
    expect(grow(0, 2 ** 53 - 1, 0)()).toBe(2 ** 53 - 1);
    expect(grow(0, 2 ** 53, 0)).toThrow(refused);
  });

  it("push does the same in place, and gives up the old array", () => {
    const { heap, types } = testHeap();
    const s = types.nilSlice(int);
    let t = types.nilSlice(int);
    for (let i = 0; i < 300; i++) {
      s.push(i);
      t = append(t, i);
      expect(s.cap).toBe(t.cap);
    }
    expect([...s]).toEqual([...t]);
    t.release();
    const before = heap.liveRefs;
    s.release();
    expect(heap.liveRefs).toBe(before - 1);
  });

  it("behaves as Go's model for any series of appends and slicings", () => {
    // The model: an array per allocation, and slices as windows of it.
    const op = fc.oneof(
      fc.record({ kind: fc.constant("append" as const), from: fc.nat(7), n: fc.nat(5) }),
      fc.record({ kind: fc.constant("slice" as const), from: fc.nat(7), a: fc.nat(20), b: fc.nat(20) }),
      fc.record({ kind: fc.constant("set" as const), from: fc.nat(7), a: fc.nat(20) }),
      fc.record({ kind: fc.constant("copy" as const), from: fc.nat(7), to: fc.nat(7) }),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
        const { types } = testHeap();
        const real = [types.makeSlice(int, 3)];
        const model = [{ array: [0, 0, 0] as number[], off: 0, len: 3, cap: 3 }];
        let next = 1;
        for (const o of ops) {
          const i = o.from % real.length;
          const s = real[i];
          const m = model[i];
          if (o.kind === "append") {
            const values = Array.from({ length: o.n }, () => next++);
            const r = append(s, ...values);
            const len = m.len + o.n;
            let window = { ...m, len };
            if (len > m.cap) {
              const array = m.array.slice(m.off, m.off + m.len);
              window = { array, off: 0, len, cap: r.cap };
              while (array.length < r.cap) array.push(0);
            }
            values.forEach((v, k) => {
              window.array[window.off + m.len + k] = v;
            });
            real.push(r);
            model.push(window);
          } else if (o.kind === "slice") {
            const lo = m.cap === 0 ? 0 : o.a % (m.cap + 1);
            const hi = lo + (o.b % (m.cap - lo + 1));
            real.push(s.slice(lo, hi));
            model.push({ array: m.array, off: m.off + lo, len: hi - lo, cap: m.cap - lo });
          } else if (o.kind === "set" && m.len > 0) {
            const at = o.a % m.len;
            s.set(at, next);
            m.array[m.off + at] = next++;
          } else if (o.kind === "copy") {
            const j = o.to % real.length;
            const n = copy(real[j], s);
            const from = m.array.slice(m.off, m.off + n);
            from.forEach((v, k) => {
              model[j].array[model[j].off + k] = v;
            });
            expect(n).toBe(Math.min(m.len, model[j].len));
          }
        }
        real.forEach((s, i) => {
          const m = model[i];
          expect([s.length, s.cap]).toEqual([m.len, m.cap]);
          expect([...s]).toEqual(m.array.slice(m.off, m.off + m.len));
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe("nextSliceCap", () => {
  it("doubles below 256, then eases towards a quarter", () => {
    const one = (cap: number) => nextSliceCap(cap + 1, cap);
    expect([0, 1, 2, 255, 256, 257, 512, 1000, 10_000].map(one)).toEqual([
      1,
      2,
      4,
      510,
      256 + Math.floor((256 + 768) / 4),
      257 + Math.floor((257 + 768) / 4),
      512 + Math.floor((512 + 768) / 4),
      1000 + Math.floor((1000 + 768) / 4),
      10_000 + Math.floor((10_000 + 768) / 4),
    ]);
    expect([nextSliceCap(20, 10), nextSliceCap(21, 10)]).toEqual([20, 21]);
    // Several steps of a quarter, up to twice as many.
    expect([nextSliceCap(600, 300), nextSliceCap(601, 300)]).toEqual([300 + 267 + 333, 601]);
    expect(nextSliceCap(567, 300)).toBe(567);
    expect(nextSliceCap(2 ** 33 + 1, 2 ** 33)).toBe(2 ** 33 + 2 ** 31 + 192);
  });

  it("never gives less than needed, nor less than 1.25 times for one more", () => {
    fc.assert(
      fc.property(fc.nat(1 << 24), fc.integer({ min: 1, max: 1 << 24 }), (oldCap, added) => {
        const cap = nextSliceCap(oldCap + added, oldCap);
        expect(cap).toBeGreaterThanOrEqual(oldCap + added);
        expect(nextSliceCap(oldCap + 1, oldCap)).toBeGreaterThanOrEqual(Math.floor(oldCap * 1.25));
      }),
    );
  });
});

describe("copy", () => {
  it("copies as much as both have, also onto itself", () => {
    const { types } = testHeap();
    const s = types.sliceOf(int, [1, 2, 3, 4, 5]);
    expect(copy(s.slice(1), s)).toBe(4);
    expect([...s]).toEqual([1, 1, 2, 3, 4]);
    expect(copy(s, s.slice(2))).toBe(3);
    expect([...s]).toEqual([2, 3, 4, 3, 4]);
    expect(copy(types.nilSlice(int), s)).toBe(0);
  });

  it("moves overlapping values with pointers in the right order", () => {
    const { types } = testHeap();
    const Named = struct("Named", { n: int, name: string });
    for (const barrier of [true, false]) {
      (types.heap as { barrier?: boolean }).barrier = barrier;
      const s = types.sliceOf(
        Named,
        [1, 2, 3, 4].map((n) => ({ n, name: `#${n}` })),
      );
      copy(s.slice(1), s);
      expect([...s].map((v) => v.name + v.n)).toEqual(["#11", "#11", "#22", "#33"]);
      copy(s, s.slice(2));
      expect([...s].map((v) => v.name + v.n)).toEqual(["#22", "#33", "#22", "#33"]);
    }
  });

  it("refuses slices of other elements or other heaps", () => {
    const { types } = testHeap();
    const s = types.makeSlice(int, 1);
    const wrong = types.makeSlice(int32, 1);
    expect(() => copy(s, wrong)).toThrow("types: value must be a slice of int (got a slice of int32)");
    expect(() => appendSlice(s, testHeap().types.makeSlice(int, 1))).toThrow(
      "(got a slice of int of another heap)",
    );
    expect(() => copy(s, null as unknown as typeof s)).toThrow(
      "types: value must be a slice of int (got null)",
    );
    expect(() => append(3 as unknown as typeof s, 1)).toThrow("types: append needs a slice (got 3)");
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

describe("bytes and runes", () => {
  it("are those of the text", () => {
    const { types } = testHeap();
    const text = "häß 日本 😀";
    const b = types.toBytes(text);
    expect(toUint8Array(b)).toEqual(new TextEncoder().encode(text));
    expect(bytesToString(b)).toBe(text);
    expect(bytesToString(b.slice(1, 3))).toBe("ä");
    expect([...types.toRunes(text)]).toEqual(Array.from(text, (c) => c.codePointAt(0)));
    expect([...types.toRunes("\ud800")]).toEqual([0xfffd]);
    expect([...types.toRunes("\ud7ff\udfff\ue000\udc00")]).toEqual([0xd7ff, 0xfffd, 0xe000, 0xfffd]);
    expect(types.toBytes("").length).toBe(0);
    expect(bytesToString(types.nilSlice(uint8))).toBe("");
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
