import { describe, expect, it } from "vitest";
import {
  addrOf,
  append,
  array,
  BumpHeap,
  complex128,
  createTypes,
  int,
  int8,
  slice,
  string,
  struct,
} from "../src/index.ts";
import { All, hostile, P, testHeap } from "./kit.ts";

const Pair = struct("Pair", { a: P, b: P });

describe("a store whose value runs code", () => {
  it("throws, and leaves a target that was released meanwhile as it was", () => {
    const { types } = testHeap();
    const Q = struct("Q", { p: P, c: complex128, list: slice(P), grid: array(int, 2) });
    for (const [field, value] of [
      [
        "p",
        (q: { release(): void }) => ({
          get x() {
            q.release();
            return 1;
          },
          y: 2,
        }),
      ],
      [
        "c",
        (q: { release(): void }) => ({
          get re() {
            q.release();
            return 1;
          },
          im: 2,
        }),
      ],
      [
        "list",
        (q: { release(): void }) => [
          {
            get x() {
              q.release();
              return 1;
            },
          },
        ],
      ],
      [
        "grid",
        (q: { release(): void }) =>
          Object.defineProperty([0, 0], 0, {
            get() {
              q.release();
              return 1;
            },
          }),
      ],
    ] as const) {
      const q = types.newObject(Q);
      const before = types.heap.mem.u8.slice(addrOf(q), addrOf(q) + Q.size);
      const at = addrOf(q);
      expect(() => ((q as never as Record<string, unknown>)[field] = value(q)), field).toThrow(
        /^types: use of a released Ref/,
      );
      expect(types.heap.mem.u8.slice(at, at + Q.size), field).toEqual(before);
    }
    const s = types.makeSlice(P, 2);
    expect(() =>
      s.set(0, {
        get x() {
          s.release();
          return 1;
        },
        y: 2,
      }),
    ).toThrow("types: use of a released slice of P");
    const t = types.makeSlice(P, 0, 1);
    expect(() =>
      t.push({
        get x() {
          t.release();
          return 1;
        },
      }),
    ).toThrow("types: use of a released slice of P");
    const u = types.makeSlice(P, 0, 1);
    expect(() =>
      append(u, {
        get x() {
          u.release();
          return 1;
        },
      }),
    ).toThrow("types: use of a released slice of P");
    const a = types.newObject(array(P, 2));
    expect(() =>
      a.set(1, {
        get x() {
          a.release();
          return 1;
        },
      }),
    ).toThrow(/released/);
  });

  it("pushes to the slice as it is after the value was read", () => {
    const { types } = testHeap();
    const s = types.makeSlice(P, 0, 1);
    s.push({
      get x() {
        s.push({ x: 1 });
        s.push({ x: 2 });
        return 3;
      },
    });
    expect([...s].map((p) => p.x)).toEqual([1, 2, 3]);
    const t = types.makeSlice(P, 1);
    t.set(0, {
      get x() {
        t.push({ x: 8 });
        return 9;
      },
    });
    expect([...t].map((p) => p.x)).toEqual([9, 8]);
  });

  it("throws if another part of the value released a handle that was already read", () => {
    const { types } = testHeap();
    const victim = types.newObject(P, { x: 5 });
    const all = types.newObject(All);
    const list = types.makeSlice(P, 1);
    const v = hostile({
      ptr: victim,
      list,
      i: 3,
      get b() {
        victim.release();
        list.release();
        return 1;
      },
    });
    const boxes = types.makeSlice(All, 1);
    expect(() => boxes.set(0, v)).toThrow("types: use of a released Ref<P>");
    expect(boxes.get(0).i).toBe(0);
    expect(boxes.get(0).ptr).toBeNull();
    expect(all.ptr).toBeNull();
    const part = types.newObject(P);
    expect(() =>
      boxes.set(0, {
        p: part,
        get b() {
          part.release();
          return 1;
        },
      }),
    ).toThrow("types: use of a released Ref<P>");
  });

  it("reads each part of the value once, also of a proxy", () => {
    const { types } = testHeap();
    const reads: PropertyKey[] = [];
    const spy = new Proxy(
      { x: 1, y: 2 },
      {
        get: (t, k) => {
          if (k !== "$cell" && typeof k === "string") reads.push(k);
          return Reflect.get(t, k);
        },
      },
    );
    types.makeSlice(P, 1).set(0, spy);
    expect(reads).toEqual(["x", "y"]);
    let asked = 0;
    const list = new Proxy([1, 2], {
      get: (t, k) => (k === "length" && ++asked > 1 ? 200 : Reflect.get(t, k)),
    });
    types.newObject(array(int, 2), list);
    expect(asked).toBe(1);
    let n = 0;
    types.newObject(complex128).value = {
      get re() {
        return n++;
      },
      im: 0,
    };
    expect(n).toBe(1);
  });

  it("takes the length of a list once", () => {
    const { heap, types } = testHeap();
    const A = array(int, 2);
    const S = struct("S", { a: A });
    const s = types.newObject(S);
    const others = Array.from({ length: 8 }, () => types.newObject(S));
    for (const store of [
      (v: number[]) => (s.a = hostile(v)),
      (v: number[]) => void types.newObject(S, { a: hostile(v) }),
      (v: number[]) => void types.newObject(A, v),
    ]) {
      const evil: number[] = [];
      Object.defineProperty(evil, 0, {
        configurable: true,
        get() {
          evil.length = 200;
          evil.fill(0x41, 1);
          return 1;
        },
      });
      evil.length = 2;
      store(evil);
    }
    expect([s.a.get(0), s.a.get(1)]).toEqual([1, 0x41]);
    expect(others.filter((o) => o.a.get(0) !== 0 || o.a.get(1) !== 0)).toEqual([]);
    const before = heap.allocated;
    for (const length of [3, -1, 0.5, Number.NaN, 2 ** 32 + 1, "2", {}]) {
      const v = new Proxy([1, 2], { get: (t, k) => (k === "length" ? length : Reflect.get(t, k)) });
      expect(() => (s.a = hostile(v)), String(length)).toThrow(/must be a list of at most 2 elements/);
    }
    expect(heap.allocated).toBe(before);
    class Evil extends Array<number> {
      static override get [Symbol.species](): never {
        throw new Error("species");
      }
      override [Symbol.iterator](): never {
        throw new Error("iterator");
      }
    }
    s.a = hostile(Evil.of(7, 8));
    expect(s.a.get(1)).toBe(8);
  });

  it("is not intercepted by setters on Array.prototype and Object.prototype", () => {
    const types = createTypes(new BumpHeap());
    const S = struct("S", { a: array(P, 3), list: slice(int) });
    const s = types.newObject(S);
    let seen = 0;
    const keys: [object, string][] = [
      [Array.prototype, "0"],
      [Array.prototype, "1"],
      [Object.prototype, "next"],
      [Object.prototype, "first"],
      [Object.prototype, "$cell"],
    ];
    for (const [o, key] of keys)
      Object.defineProperty(o, key, { configurable: true, set: () => void seen++, get: () => undefined });
    try {
      s.a = hostile([{ x: 1 }, { x: 2 }, { x: 3 }]);
      s.list = hostile([4, 5]);
      types.makeSlice(P, 1).set(0, { x: 1, y: 2 });
      append(types.makeSlice(P, 0, 3), { x: 1 }, { x: 2 });
    } finally {
      for (const [o, key] of keys) delete (o as Record<string, unknown>)[key];
    }
    expect(seen).toBe(0);
    expect([s.a.get(0).x, s.a.get(1).x, s.a.get(2).x, ...s.list]).toEqual([1, 2, 3, 4, 5]);
  });
});

describe("a refused store", () => {
  it("leaves a struct, an array and a slice as they were", () => {
    const { types } = testHeap();
    const s = types.makeSlice(Pair, 2);
    s.set(0, { a: { x: 1, y: 2 }, b: { x: 3, y: 4 } });
    expect(() => s.set(0, { a: { x: 9, y: 9 }, b: { x: 9, y: hostile("4") } })).toThrow(TypeError);
    expect(() => s.set(0, hostile({ a: { x: 9 }, no: 1 }))).toThrow("types: struct Pair has no field no");
    expect(() =>
      s.set(0, {
        a: { x: 9 },
        get b(): never {
          throw new Error("mine");
        },
      }),
    ).toThrow("mine");
    expect(JSON.stringify(s.get(0))).toBe('{"a":{"x":1,"y":2},"b":{"x":3,"y":4}}');
    const a = types.newObject(array(array(int8, 2), 2), [
      [1, 2],
      [3, 4],
    ]);
    expect(() => a.set(0, [5, 500])).toThrow(RangeError);
    const H = struct("H", { a: array(int8, 3) });
    const h = types.newObject(H, { a: [1, 2, 3] });
    expect(() => (h.a = hostile([4, 5, 600]))).toThrow(RangeError);
    expect(JSON.stringify([a, h])).toBe('[[[1,2],[3,4]],{"a":[1,2,3]}]');
  });

  it("leaves the elements that an append would have shared", () => {
    const { heap, types } = testHeap();
    const whole = types.sliceOf(int8, [1, 2, 3, 4]);
    const s = whole.slice(0, 1);
    expect(() => append(s, 9, 9, 999)).toThrow(RangeError);
    expect(() => append(s, 9, hostile("9"))).toThrow(TypeError);
    expect([...whole]).toEqual([1, 2, 3, 4]);
    const names = types.sliceOf(string, ["a", "b", "c"]);
    expect(() => append(names.slice(0, 1), "x", hostile(5))).toThrow(TypeError);
    expect([...names]).toEqual(["a", "b", "c"]);
    const roots = heap.liveRefs;
    expect(() => append(whole, 1, 2, 300)).toThrow(RangeError);
    expect(heap.liveRefs).toBe(roots);
  });

  it("does not move a slice that it would have grown", () => {
    const { types } = testHeap();
    const s = types.sliceOf(int8, [1]);
    const t = s.slice();
    expect(() => s.push(300)).toThrow(RangeError);
    s.set(0, 7);
    expect([t.get(0), s.length, s.cap]).toEqual([7, 1, 1]);
  });

  it("leaves no roots behind", () => {
    const { heap, types } = testHeap();
    const S = struct("S", { list: slice(int), more: slice(slice(int8)), last: int8 });
    const s = types.newObject(S);
    const roots = heap.liveRefs;
    const lists = slice(S);
    expect(() => types.newObject(S, { list: [1, 2], last: 300 })).toThrow(RangeError);
    expect(() => types.newObject(lists, [{ list: [1] }, { list: [2], last: 300 }])).toThrow(RangeError);
    expect(() => types.sliceOf(S, [{ more: [[1], [300]] }])).toThrow(RangeError);
    expect(() => (s.more = hostile([[1], [2], [300]]))).toThrow(RangeError);
    expect(() => types.makeSlice(S, 1).set(0, { list: [1], last: 300 })).toThrow(RangeError);
    expect(heap.liveRefs).toBe(roots + 1);
    expect(() => append(types.nilSlice(S), { list: [1] }, { list: [2], last: 300 })).toThrow(RangeError);
    expect(heap.liveRefs).toBe(roots + 1);
    s.more = hostile([[1], [2]]);
    expect(heap.liveRefs).toBe(roots + 1);
  });

  it("at the end of the memory writes nothing", () => {
    const heap = new BumpHeap({ maxMemory: 64 * 2 ** 20 });
    const types = createTypes(heap);
    const S = struct("S", { a: string, b: string });
    const all = types.sliceOf(S, [{ a: "one", b: "two" }]);
    const names = types.sliceOf(string, ["one", "two", "three"]);
    const huge = "x".repeat(2 ** 20);
    expect(() => {
      for (;;) heap.malloc(2 ** 20, 0);
    }).toThrow("out of memory");
    expect(() => all.set(0, { a: "changed", b: huge })).toThrow("out of memory");
    expect([all.get(0).a, all.get(0).b]).toEqual(["one", "two"]);
    expect(() => append(names.slice(0, 1), "changed", huge)).toThrow("out of memory");
    expect([...names]).toEqual(["one", "two", "three"]);
    const s = types.sliceOf(string, ["one"]);
    expect(() => s.push(huge)).toThrow("out of memory");
    expect([s.length, s.cap]).toEqual([1, 1]);
  });
});

describe("values that lie in their target", () => {
  it("are read before the store writes anything: a swap swaps", () => {
    const { types } = testHeap();
    const boxes = types.makeSlice(Pair, 1);
    boxes.set(0, { a: { x: 1, y: 2 }, b: { x: 3, y: 4 } });
    const p = boxes.get(0);
    boxes.set(0, { a: p.b, b: p.a });
    expect(JSON.stringify(boxes)).toBe('[{"a":{"x":3,"y":4},"b":{"x":1,"y":2}}]');
    const s = types.sliceOf(P, [{ x: 1 }, { x: 2 }, { x: 3 }]);
    append(s.slice(0, 1), s.get(2), s.get(1));
    expect([...s].map((q) => q.x)).toEqual([1, 3, 2]);
    const grid = types.newObject(struct("G", { g: array(P, 2) }), { g: [{ x: 1 }, { x: 2 }] });
    grid.g = hostile([grid.g.get(1), grid.g.get(0)]);
    expect([grid.g.get(0).x, grid.g.get(1).x]).toEqual([2, 1]);
  });

  it("are copied away before a larger store only there: a value beside the target is moved at once", () => {
    const { heap, types } = testHeap();
    const boxes = types.makeSlice(Pair, 3);
    for (let i = 0; i < 3; i++) {
      boxes.set(i, { a: { x: 10 * i, y: 10 * i + 1 }, b: { x: 10 * i + 2, y: 10 * i + 3 } });
    }
    const parts = [0, 1, 2].map((i) => boxes.get(i));
    const set = (i: number): void => {
      heap.mallocs.length = 0;
      boxes.set(1, { a: parts[i].b, b: parts[i].a });
    };
    // The second part of the first box ends where the target begins, the first of the last begins where it ends.
    set(0);
    expect(heap.mallocs).toEqual([]);
    expect(JSON.stringify(boxes.get(1))).toBe('{"a":{"x":2,"y":3},"b":{"x":0,"y":1}}');
    set(2);
    expect(heap.mallocs).toEqual([]);
    expect(JSON.stringify(boxes.get(1))).toBe('{"a":{"x":22,"y":23},"b":{"x":20,"y":21}}');
    set(1);
    expect(heap.mallocs).toEqual([
      [P.size, 0],
      [P.size, 0],
    ]);
    expect(JSON.stringify(boxes.get(1))).toBe('{"a":{"x":20,"y":21},"b":{"x":22,"y":23}}');
  });

  it("are moved without an allocation if they are single values", () => {
    const { heap, types } = testHeap();
    const box = types.newObject(Pair, { a: { x: 1 }, b: { x: 2 } });
    const ref = types.unsafe.view(Pair, addrOf(box));
    heap.mallocs.length = 0;
    box.a = box.b;
    const { a } = box;
    box.a = a;
    ref.b = types.unsafe.view(P, addrOf(box.a));
    expect([box.a.x, box.b.x]).toEqual([2, 2]);
    expect(heap.mallocs).toEqual([]);
  });

  it("survive the growth of their own slice", () => {
    const { types } = testHeap();
    const s = types.sliceOf(P, [{ x: 1, y: 2 }]);
    s.push(s.get(0));
    expect([...s].map((p) => [p.x, p.y])).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });
});
