import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  append,
  appendSlice,
  bytesToString,
  copy,
  growCap,
  int,
  int32,
  pointer,
  RuntimeError,
  same,
  string,
  struct,
  toUint8Array,
  uint8,
} from "../src/index.ts";
import { Point, testHeap } from "./kit.ts";

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
