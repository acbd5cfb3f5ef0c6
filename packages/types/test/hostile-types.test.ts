import { describe, expect, it } from "vitest";
import {
  append,
  array,
  identical,
  int,
  pointer,
  type Ref,
  ScalarType,
  type SliceType,
  StructType,
  same,
  slice,
  struct,
  Type,
} from "../src/index.ts";
import { perTypeOf } from "../src/internal.ts";
import { All, hostile, json, P, testHeap } from "./kit.ts";

describe("types", () => {
  it("call a thunk once, and keep its answer", () => {
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

  it("may release and change the place whose value is read, in their thunks", () => {
    const { heap, types } = testHeap();
    const Known = struct("H", { p: pointer(P), s: slice(P) });
    /** The object of `h` with types whose thunks run at the first use. They release it, and what it held is changed. */
    const late = (h: Ref<typeof Known>, thunk: () => void) => {
      const now = (): typeof P => {
        thunk();
        return P;
      };
      return perTypeOf(types).newRef(
        struct("H", { p: pointer(now), s: slice(now) }),
        h.$addr,
      ) as unknown as typeof h;
    };
    for (const read of ["p", "s"] as const) {
      const h = types.newObject(Known, {
        p: types.newObject(P, { x: 1, y: 2 }),
        s: hostile([{ x: 1, y: 2 }]),
      });
      const place = late(h, () => {
        heap.mem.u32.fill(0, h.$addr >>> 2, (h.$addr + 32) >>> 2);
        place.release();
        h.release();
        // The value that was read is held, and nothing else.
        expect(heap.liveRefs).toBe(before - 1);
      });
      const before = heap.liveRefs;
      const value = place[read]!;
      expect(json(value)).toEqual(read === "p" ? { x: 1, y: 2 } : [{ x: 1, y: 2 }]);
      value.release();
    }
    // A store is refused, and changes nothing.
    for (const value of [types.makeSlice(P, 1), null]) {
      const h = types.newObject(Known, { p: null, s: hostile([{ x: 1, y: 2 }]) });
      const place = late(h, () => place.release());
      const words = heap.mem.u32.slice(h.$addr >>> 2, (h.$addr + 32) >>> 2);
      expect(() => (place.s = hostile(value))).toThrow("released");
      expect(heap.mem.u32.slice(h.$addr >>> 2, (h.$addr + 32) >>> 2)).toEqual(words);
    }
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
