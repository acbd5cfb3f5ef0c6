import { describe, expect, it } from "vitest";
import {
  addrOf,
  appendSlice,
  array,
  bytes,
  bytesToString,
  copy,
  int,
  pointer,
  Slice,
  same,
  slice,
  string,
  struct,
  toUint8Array,
  uint8,
} from "../src/index.ts";
import { hostile, P, testHeap } from "./kit.ts";

const Pair = struct("Pair", { a: P, b: P });

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

  it("have their real length, whatever their own properties say", () => {
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
