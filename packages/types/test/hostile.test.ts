/**
 * Values with code of their own, and objects that pretend. A store reads its value first, checks it, and then
 * writes: whatever the value does meanwhile, no byte outside of the target changes, and a refused store changes none.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addrOf,
  append,
  appendSlice,
  array,
  BumpHeap,
  bytes,
  bytesToString,
  complex128,
  copy,
  createTypes,
  float64,
  type Init,
  identical,
  int,
  int8,
  int16,
  pointer,
  ScalarType,
  Slice,
  type SliceType,
  StructType,
  same,
  slice,
  string,
  struct,
  Type,
  toUint8Array,
  uint8,
} from "../src/index.ts";
import { testHeap } from "./heap.ts";

const P = struct("P", { x: int, y: int });
const Pair = struct("Pair", { a: P, b: P });
const All = struct("All", {
  i: int,
  b: int8,
  f: float64,
  c: complex128,
  s: string,
  raw: bytes,
  p: P,
  ptr: pointer(P),
  list: slice(P),
  grid: array(int16, 4),
  names: array(string, 2),
});

/** A value that TypeScript would refuse. */
const hostile = (v: unknown): never => v as never;

describe("a store whose value runs code", () => {
  it("leaves a target that was released meanwhile, and says so", () => {
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

  it("gives up what was read when another part released it", () => {
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
  it("are read before anything is written: a swap swaps", () => {
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

  it("and are single ones are moved, without an allocation", () => {
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

describe("receivers", () => {
  const Small = struct("Small", { x: int });
  const Big = struct("Big", { a: array(int, 100), z: int });

  it("of another type or heap are refused by accessors and methods", () => {
    const { types } = testHeap();
    const small = types.newObject(Small, { x: 7 });
    const big = types.newObject(Big);
    const arr = types.newObject(array(int, 1000));
    expect(() => Reflect.set(big, "z", 0x41, small)).toThrow(
      "types: a member of Ref<Big> needs a Ref<Big> as its receiver (got a Ref<Small>)",
    );
    expect(() => Reflect.get(big, "z", small)).toThrow(TypeError);
    expect(() => arr.set.call(hostile(small), 50, 0x42)).toThrow(TypeError);
    expect(() => arr.get.call(hostile(small), 50)).toThrow(TypeError);
    expect(() => arr.slice.call(hostile(small), 0, 50)).toThrow(TypeError);
    expect(() => [...(arr[Symbol.iterator].call(hostile(small)) as unknown as Iterable<number>)]).toThrow(
      TypeError,
    );
    const far = testHeap().types.newObject(Big);
    // Types belong to no heap, accessors do.
    expect(() => Reflect.set(big, "z", 1, far)).toThrow("(got a Ref of another heap)");
    for (const none of [{}, null, undefined, 5, types.makeSlice(int, 1000), { $cell: {} }]) {
      expect(() => arr.set.call(hostile(none), 1, 1)).toThrow(TypeError);
      expect(() =>
        Reflect.apply(Object.getOwnPropertyDescriptor(Object.getPrototypeOf(big), "z")!.set!, none, [1]),
      ).toThrow(TypeError);
      expect(() =>
        Slice.prototype.set.call(
          hostile(none === undefined || Array.isArray(none) ? none : arr),
          1,
          hostile(1),
        ),
      ).toThrow(TypeError);
    }
    expect(small.x).toBe(7);
  });

  it("can't be forged: not by prototypes, own properties, constructors or proxies", () => {
    const { types } = testHeap();
    const small = types.newObject(Small, { x: 7 });
    const other = types.newObject(Small, { x: 8 });
    const big = types.newObject(Big);
    expect(
      () => (Object.setPrototypeOf(types.newObject(Small), Object.getPrototypeOf(big)) as typeof big).z,
    ).toThrow(TypeError);
    const heir = Object.create(small, { $addr: { value: addrOf(other) } }) as typeof small;
    heir.x = 9;
    expect([small.x, other.x]).toEqual([9, 8]);
    const RefClass = big.constructor as new (...args: unknown[]) => typeof big;
    expect(() => new RefClass({ addr: 64, slot: 1, home: {} }).z).toThrow(TypeError);
    expect(() => new RefClass((small as never as { $cell: unknown }).$cell).z).toThrow(TypeError);
    const { $cell } = small as never as {
      $cell: { constructor: new (...a: unknown[]) => unknown; addr: number };
    };
    expect(() => new $cell.constructor(Symbol(), null, 64, null, 1)).toThrow(
      "types: a root can't be made by new (use newObject)",
    );
    expect(() => ($cell.addr = 4096)).toThrow(TypeError);
    expect(() => ((small as { $addr: number }).$addr = 4096)).toThrow(TypeError);
    const s = types.makeSlice(int, 1);
    expect(() => Reflect.construct(Slice, [undefined, {}, {}, 64, 1000, 1000])).toThrow(
      "types: a Slice can't be made by new (use makeSlice)",
    );
    class More extends (Slice as never as new () => object) {}
    expect(() => new More()).toThrow(TypeError);
    expect(() => ((s as { $addr: number }).$addr = 4096)).toThrow(TypeError);
    // A proxy that lies about its address stands for the object that it is a proxy of.
    const ptr = types.newObject(pointer(Small));
    ptr.value = new Proxy(small, { get: (t, k) => (k === "$addr" ? 4096 : Reflect.get(t, k)) });
    expect(same(ptr.value, small)).toBe(true);
    ptr.value = null;
    expect(() => (ptr.value = hostile(new Proxy(small, { get: () => ({ addr: 4096 }) })))).toThrow(
      /^types: value must be a Ref<Small> or null/,
    );
    expect(ptr.value).toBeNull();
  });

  it("that give their identity by code can't release the target of a store", () => {
    const { types } = testHeap();
    const H = struct("H", { p: pointer(Small), s: Small });
    for (const field of ["p", "s"] as const) {
      const h = types.newObject(H);
      const small = types.newObject(Small, { x: 7 });
      const at = addrOf(h);
      const sly = new Proxy(small, {
        get: (t, k) => {
          h.release();
          return Reflect.get(t, k);
        },
      });
      expect(() => (h[field] = sly)).toThrow("types: use of a released Ref<H>");
      expect([...types.heap.mem.u8.slice(at, at + H.size)].every((b) => b === 0)).toBe(true);
    }
    const s = types.makeSlice(pointer(Small), 1);
    const small = types.newObject(Small);
    expect(() =>
      s.set(
        0,
        new Proxy(small, {
          get: (t, k) => {
            s.release();
            return Reflect.get(t, k);
          },
        }),
      ),
    ).toThrow(/released/);
  });

  it("own properties of slices change nothing about them", () => {
    const { types } = testHeap();
    const s = types.sliceOf(uint8, [1, 2]);
    const dst = types.makeSlice(uint8, 10);
    const held = types.newObject(struct("L", { list: slice(uint8) }));
    for (const [key, value] of [
      ["length", 1000],
      ["cap", 1000],
      ["$addr", 4096],
      ["isNil", true],
      ["elem", int],
    ] as const) {
      Object.defineProperty(s, key, { value });
    }
    expect(copy(dst, s)).toBe(2);
    expect(toUint8Array(s)).toEqual(new Uint8Array([1, 2]));
    expect(bytesToString(s)).toBe("\u0001\u0002");
    held.list = s;
    expect([held.list.length, held.list.cap]).toEqual([2, 2]);
    expect(appendSlice(dst, s).length).toBe(12);
  });

  it("of a part of an object release nothing of it", () => {
    const { heap, types } = testHeap();
    const pair = types.newObject(Pair, { a: { x: 5 } });
    const { a } = pair;
    Object.defineProperty(a, "$owns", { value: true });
    a.release();
    expect(heap.liveRefs).toBe(1);
    expect(() => a.x).toThrow(/released/);
    expect(pair.a.x).toBe(5);
  });
});

describe("bytes", () => {
  const B = struct("B", { b: bytes });

  it("are as long as they are, whatever their properties say", () => {
    const { heap, types } = testHeap();
    const b = types.newObject(B);
    const evil = new Uint8Array(4096).fill(0x41);
    Object.defineProperty(evil, "length", { value: 30 });
    Object.defineProperty(evil, "byteLength", { value: 30 });
    b.b = evil;
    expect(b.b.length).toBe(4096);
    const small = new Uint8Array(4).fill(1);
    Object.defineProperty(small, "length", { value: 2 ** 32 + 8 });
    b.b = small;
    expect(b.b).toEqual(new Uint8Array([1, 1, 1, 1]));
    expect(heap.mallocs.slice(-2).map(([n]) => n)).toEqual([4096, 8]);
    class Sub extends Uint8Array {
      override get length(): number {
        return 100;
      }
      static get [Symbol.species](): never {
        throw new Error("species");
      }
    }
    b.b = new Sub([1, 2, 3]);
    expect(b.b).toEqual(new Uint8Array([1, 2, 3]));
    b.b = Buffer.from("buffer");
    expect(String.fromCharCode(...b.b)).toBe("buffer");
  });

  it("must be genuine", () => {
    const { types } = testHeap();
    const b = types.newObject(B, { b: new Uint8Array([1]) });
    for (const v of [
      new Proxy(new Uint8Array(4), {}),
      Object.create(Uint8Array.prototype),
      new Uint8ClampedArray(4),
      new DataView(new ArrayBuffer(4)),
      { length: 4, __proto__: Uint8Array.prototype },
      Object.assign([1], { [Symbol.toStringTag]: "Uint8Array" }),
    ])
      expect(() => (b.b = hostile(v))).toThrow(/^types: bytes must be a Uint8Array/);
    expect(b.b).toEqual(new Uint8Array([1]));
  });

  it("of buffers that were detached, shrink or grow fill their block and no more", () => {
    const { types } = testHeap();
    const all = types.makeSlice(struct("T", { b: bytes, n: int }), 1);
    const detached = new Uint8Array(100).fill(9);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    all.set(0, { b: detached });
    expect(all.get(0).b.length).toBe(0);
    const Resizable = ArrayBuffer as never as new (
      n: number,
      o: { maxByteLength: number },
    ) => ArrayBuffer & { resize(n: number): void };
    const buffer = new Resizable(100, { maxByteLength: 4096 });
    const view = new Uint8Array(buffer).fill(7);
    all.set(0, {
      b: view,
      get n() {
        buffer.resize(4096);
        return 1;
      },
    });
    expect(all.get(0).b).toEqual(new Uint8Array(100).fill(7));
    buffer.resize(10);
    all.set(0, { b: view });
    expect(all.get(0).b).toEqual(new Uint8Array(10).fill(7));
    const shared = new Uint8Array(new SharedArrayBuffer(50)).fill(5);
    all.set(0, {
      b: shared,
      get n() {
        shared.fill(6);
        return 1;
      },
    });
    expect(all.get(0).b).toEqual(new Uint8Array(50).fill(5));
  });

  it("and strings are read without the program's constructors", () => {
    const { types } = testHeap();
    const b = types.newObject(struct("T", { b: bytes, s: string }), {
      b: new Uint8Array(40).fill(3),
      s: "ä".repeat(40),
    });
    const asked: unknown[] = [];
    const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array), Symbol.species)!;
    Object.defineProperty(Uint8Array, Symbol.species, {
      configurable: true,
      get() {
        asked.push(1);
        return Uint8Array;
      },
    });
    try {
      expect(b.b.length + b.s.length).toBe(80);
      toUint8Array(types.toBytes("x".repeat(100)));
    } finally {
      delete (Uint8Array as never as Record<symbol, unknown>)[Symbol.species];
    }
    expect(typeof own.get).toBe("function");
    expect(asked).toEqual([]);
  });

  it("of a slice need elements of type uint8", () => {
    const { types } = testHeap();
    const E = struct("E", {});
    for (const f of [toUint8Array, bytesToString]) {
      expect(() => f(hostile(types.makeSlice(E, 2 ** 32)))).toThrow(
        `types: ${f.name} needs a slice of uint8 (got a slice of E)`,
      );
      expect(() => f(hostile(types.makeSlice(int, 4)))).toThrow(TypeError);
      expect(() => f(hostile(null))).toThrow(`types: ${f.name} needs a slice of uint8 (got null)`);
      expect(() => f(hostile({ length: 4, $addr: 64 }))).toThrow(TypeError);
      const s = types.makeSlice(uint8, 4);
      s.release();
      expect(() => f(s)).toThrow(/released/);
    }
  });
});

describe("types", () => {
  it("ask a thunk once, and keep its answer", () => {
    const { types } = testHeap();
    const Small = struct("Small", { x: int });
    const Big = struct("Big", { a: array(int, 1000) });
    let answers = 0;
    const H = struct("H", {
      p: pointer(() => (answers++ === 0 ? Small : Big) as typeof Small),
      s: slice(() => (answers++ < 2 ? Small : Big) as typeof Small),
    });
    const h = types.newObject(H);
    h.p = types.newObject(Small, { x: 3 });
    h.s = hostile([{ x: 4 }]);
    expect([h.p.$type.name, h.s.elem.name, answers]).toEqual(["Small", "Small", 2]);
    expect(() => (h.p = hostile(types.newObject(Big)))).toThrow(TypeError);
  });

  it("ask again after a thunk that failed, and refuse a result that is no type", () => {
    let ready = false;
    const p = pointer(() => {
      if (!ready) throw new Error("not yet");
      return int;
    });
    expect(() => p.elem).toThrow("not yet");
    ready = true;
    expect(p.elem).toBe(int);
    expect(() => pointer(hostile(() => ({ size: 8, kind: "int" }))).elem).toThrow(
      "types: pointer needs an element type (got object)",
    );
    const own: SliceType = slice((): Type => own.elem);
    expect(() => own.elem).toThrow("types: slice needs its own element type to give it");
  });

  it("take the names of fields once", () => {
    const { types } = testHeap();
    let keys = ["a", "b"];
    const T = struct(
      "T",
      new Proxy(
        { a: int, b: int, $addr: int, release: int },
        {
          ownKeys: () => keys,
          getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
        },
      ),
    );
    keys = ["$addr", "release"];
    expect(T.fields.map((f) => f.name)).toEqual(["a", "b"]);
    expect(types.newObject(T).$addr).toBeGreaterThan(0);
  });

  it("that lead back to themselves have a name, and are compared", () => {
    const P1: Type = pointer(() => P1);
    const P2: Type = pointer(() => P2);
    const S1: Type = slice(() => S1);
    const Even: Type = pointer(() => Odd);
    const Odd: Type = pointer(() => Even);
    expect([P1.name, S1.name, String(pointer(S1)), Even.name]).toEqual(["*...", "[]...", "*[]...", "**..."]);
    expect([identical(P1, P2), identical(P1, Even), identical(P1, S1), identical(P1, pointer(int))]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    const endless = (): Type => pointer(endless);
    expect(endless().name).toMatch(/^\*{50,60}\.\.\.$/);
    expect(() => identical(endless(), endless())).toThrow("is more than 1000 types deep");
    const { types } = testHeap();
    const p = types.newObject(P1 as ReturnType<typeof pointer<typeof P>>) as never as { value: unknown };
    p.value = p;
    expect(same(hostile(p.value), hostile(p))).toBe(true);
    expect(() => JSON.stringify(p)).toThrow("types: JSON of a cycle through *...");
    const list = types.makeSlice(S1, 1) as never as { set(i: number, v: unknown): void };
    list.set(0, list);
    expect(() => JSON.stringify(list)).toThrow("types: JSON of a cycle through []...");
  });

  it("can't be changed, extended or invented", () => {
    const { types } = testHeap();
    const A = array(int, 2);
    expect(() => ((A as { length: number }).length = 1000)).toThrow(TypeError);
    expect(() => ((int as { size: number }).size = 1)).toThrow(TypeError);
    expect(() => ((P as { name: string }).name = "Q")).toThrow(TypeError);
    expect(() => Object.defineProperty(StructType.prototype, "size", { value: 1 })).toThrow(TypeError);
    expect(() => Object.setPrototypeOf(A, {})).toThrow(TypeError);
    expect(() => Reflect.construct(ScalarType, ["int", 1, 1, 0, 0])).toThrow(
      "types: there are no further scalar types (got int)",
    );
    class Sly extends StructType {
      override get size(): number {
        return 1;
      }
    }
    expect(() => new Sly("Sly", { x: int })).toThrow("types: classes of types can't be extended");
    class Own extends (Type as never as new () => object) {
      kind = "int";
      size = 1;
    }
    expect(() => new Own()).toThrow(TypeError);
    for (const fake of [
      Object.create(P),
      Object.create(Type.prototype),
      new Proxy(P, {}),
      { kind: "int", size: 1 },
    ]) {
      expect(() => types.newObject(fake as Type)).toThrow(/^types: newObject needs a type/);
      expect(() => pointer(fake as Type)).toThrow(TypeError);
      expect(() => array(fake as Type, 3)).toThrow(TypeError);
      expect(() => struct("T", { a: fake }).size).toThrow(TypeError);
      expect(() => types.unsafe.load(hostile(fake), hostile(64))).toThrow(/^types: load needs a type/);
    }
    expect(() => types.newObject(array(array(pointer(int), 2 ** 31), 2 ** 31))).toThrow(
      /is larger than the memory/,
    );
  });

  it("give their handles members that can't be replaced or removed", () => {
    const { types } = testHeap();
    const members: [object, PropertyKey[]][] = [
      [types.newObject(array(int, 2)), ["get", "set", "slice", "length", Symbol.iterator]],
      [types.newObject(All), ["i", "p", "list"]],
      [types.newObject(int), ["value"]],
      [types.unsafe.view(All), ["i", "p", "list"]],
      [types.unsafe.view(array(int, 2)), ["get", "set", "length"]],
      [types.unsafe.view(slice(int)), ["get", "set", "length", "ptr", "cap"]],
      [types.unsafe.view(int), ["value"]],
    ];
    for (const [handle, keys] of members) {
      const proto = Object.getPrototypeOf(handle) as object;
      for (const key of keys) {
        expect(Object.hasOwn(proto, key), String(key)).toBe(true);
        expect(Reflect.deleteProperty(proto, key), String(key)).toBe(false);
        expect(Reflect.defineProperty(proto, key, { value: 1 }), String(key)).toBe(false);
      }
    }
  });
});

describe("sizes", () => {
  it("beyond the memory are Go's errors", () => {
    const { types } = testHeap();
    expect(() => types.makeSlice(int, types.heap.mem.size / 8)).toThrow(
      "runtime error: makeslice: len out of range",
    );
    expect(() => types.makeSlice(int, 0, 2 ** 40)).toThrow("runtime error: makeslice: cap out of range");
    for (const n of [Number.NaN, 0.5, "8", { valueOf: () => 8 }, null]) {
      expect(() => types.makeSlice(int, hostile(n))).toThrow(/^types: len must be a whole number/);
    }
    expect(Object.is(types.makeSlice(int, -0).length, 0)).toBe(true);
    expect(() => types.makeSlice(int, -1)).toThrow("makeslice: len out of range");
  });

  it("of slices of nothing go beyond 2^32, in the heap too", () => {
    const { types } = testHeap();
    const E = struct("E", {});
    const many = types.makeSlice(E, 2 ** 32 + 5);
    const held = types.newObject(struct("H", { es: slice(E), after: int }), { after: 1 });
    held.es = many;
    expect([held.es.length, held.es.cap, held.after]).toEqual([2 ** 32 + 5, 2 ** 32 + 5, 1]);
    held.es = types.makeSlice(E, 3);
    expect([held.es.length, held.es.cap]).toEqual([3, 3]);
    expect(many.get(2 ** 32 + 4)).toBeDefined();
    expect(() => many.get(2 ** 32 + 5)).toThrow("index out of range [4294967301] with length 4294967301");
    const most = types.makeSlice(E, Number.MAX_SAFE_INTEGER);
    expect(() => append(most, {})).toThrow("runtime error: growslice: len out of range");
    expect(() => most.push({})).toThrow("runtime error: growslice: len out of range");
  });

  it("and indices that are no numbers run no code twice", () => {
    const { types } = testHeap();
    const s = types.sliceOf(int, [1, 2]);
    let n = 0;
    const evil = {
      valueOf: () => n++,
      toString: () => {
        throw new Error("mine");
      },
      [Symbol.toPrimitive]: () => n++,
    };
    expect(() => s.set(hostile(evil), 5)).toThrow(/^types: index must be a whole number/);
    expect(() => s.get(hostile(evil))).toThrow(TypeError);
    expect(() => s.slice(hostile(evil))).toThrow(/^types: slice bound must be a whole number/);
    expect(() => s.get(hostile(Object.create(null)))).toThrow(TypeError);
    expect(() =>
      s.get(
        hostile({
          get constructor(): never {
            throw new Error("mine");
          },
        }),
      ),
    ).toThrow("(got object)");
    expect([...s]).toEqual([1, 2]);
    s.set(-0, 3);
    expect(s.get(0)).toBe(3);
  });
});

describe("objects that are no structs", () => {
  it("are not taken for empty ones", () => {
    const { types } = testHeap();
    const s = types.sliceOf(P, [{ x: 1 }]);
    for (const v of [[], [1], types.makeSlice(P, 1), types.unsafe.view(P), testHeap().types.newObject(P)]) {
      expect(() => s.set(0, hostile(v))).toThrow(/^types: value must be a P/);
      expect(() => types.newObject(P, hostile(v))).toThrow(/^types: value must be a P/);
    }
    expect(() => types.sliceOf(int, hostile(null))).toThrow(
      "types: sliceOf needs a list of values (got null)",
    );
    expect(() => types.toBytes(hostile({ length: 3, charCodeAt: () => 65 }))).toThrow(
      "types: toBytes needs a string (got Object)",
    );
    expect(() => types.toRunes(hostile([["a"]]))).toThrow("types: toRunes needs a string (got Array)");
  });
});

// ---- the property ----

interface World {
  readonly types: ReturnType<typeof testHeap>["types"];
  readonly heap: ReturnType<typeof testHeap>["heap"];
  /** What a value's code may do. */
  act(what: number): void;
}

/** How a value of each kind is made, and whether it is one that fits. */
const good: Record<string, unknown> = {
  i: 5,
  b: 1,
  f: 1.5,
  s: "text of a length",
  raw: new Uint8Array([1, 2, 3]),
  grid: [1, 2, 3],
  names: ["a", "bc"],
  p: { x: 1 },
  list: [{ x: 1 }],
  c: { re: 1, im: 2 },
  ptr: null,
};
const bad: Record<string, unknown> = {
  i: 0.5,
  b: 200,
  f: "1",
  s: 5,
  raw: [1],
  grid: [1, 99999],
  names: ["a", 1],
  p: { x: "1" },
  list: [{ y: 1n }],
  c: { re: 1 },
  ptr: 3,
};

const part = fc.record({
  key: fc.constantFrom(...Object.keys(good)),
  wrong: fc.nat(3).map((n) => n === 0),
  getter: fc.boolean(),
  proxy: fc.boolean(),
  act: fc.nat(5),
  throws: fc.nat(15).map((n) => n === 0),
});

function build(
  w: World,
  parts: readonly {
    key: string;
    wrong: boolean;
    getter: boolean;
    proxy: boolean;
    act: number;
    throws: boolean;
  }[],
): object {
  const o = {};
  for (const { key, wrong, getter, act, throws } of parts) {
    const value = (wrong ? bad : good)[key];
    if (!getter) Object.defineProperty(o, key, { value, enumerable: true, configurable: true });
    else
      Object.defineProperty(o, key, {
        enumerable: true,
        configurable: true,
        get() {
          w.act(act);
          if (throws) throw new Error("mine");
          return value;
        },
      });
  }
  return parts.some((p) => p.proxy)
    ? new Proxy(o, {
        ownKeys: (t) => {
          w.act(parts[0].act);
          return Reflect.ownKeys(t);
        },
      })
    : o;
}

describe("any hostile value", () => {
  it("changes no byte outside of its target, and none at all when it is refused", () => {
    let stored = 0;
    let refused = 0;
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), fc.nat(3), (parts, way) => {
        const { heap, types } = testHeap();
        const Holder = struct("Holder", { before: int, it: All, after: int });
        const target = types.newObject(Holder, { before: 1, after: 2 });
        const s = types.makeSlice(All, 1, 3);
        const wide = s.slice(0, 3);
        const arr = types.newObject(array(All, 2));
        const neighbours = Array.from({ length: 8 }, (_, i) => types.newObject(All, { i, s: `n${i}` }));
        const w: World = {
          heap,
          types,
          act(what) {
            if (what === 0) target.release();
            else if (what === 1) s.release();
            else if (what === 2) arr.release();
            else if (what === 3) neighbours.push(types.newObject(All, { i: 77 }));
            else if (what === 4) scribble();
          },
        };
        // Stores by the value's own code count as the program's: they are repeated on the copy.
        let image = new Uint8Array(0);
        const base = addrOf(target);
        const scribble = (): void => {
          heap.mem.u8[addrOf(neighbours[0])] ^= 1;
          image[addrOf(neighbours[0])] ^= 1;
        };
        const value = build(w, parts);
        const places = [base + 8, s.$addr, s.$addr + All.size, addrOf(arr) + All.size];
        const end = base + heap.allocated;
        image = heap.mem.u8.slice(0, end);
        const alive = heap.liveRefs;
        let error: unknown = null;
        try {
          if (way === 0) target.it = hostile(value);
          else if (way === 1) s.set(0, value);
          else if (way === 2) append(s, value as Init<typeof All>).release();
          else arr.set(1, value);
        } catch (err) {
          error = err;
        }
        if (error === null) stored++;
        else refused++;
        const first = base;
        const changed: number[] = [];
        for (let a = first; a < end; a++) if (heap.mem.u8[a] !== image[a]) changed.push(a);
        if (error !== null) expect(changed).toEqual([]);
        else {
          const lo = places[way];
          expect(changed.filter((a) => a < lo || a >= lo + All.size)).toEqual([]);
        }
        // Nothing of a list that was made on the way is left rooted.
        expect(heap.liveRefs).toBeLessThanOrEqual(alive + neighbours.length - 8);
        expect(wide.length).toBe(3);
      }),
      { numRuns: 400 },
    );
    expect(stored).toBeGreaterThan(10);
    expect(refused).toBeGreaterThan(10);
  });
});
