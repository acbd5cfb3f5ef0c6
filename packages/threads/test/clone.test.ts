import { createBumpHeap, createTypes, int, struct } from "@gort/types";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cloned, clone, clonedBytes, fromClone } from "../src/clone.ts";
import * as node from "../src/cloner-node.ts";
import * as web from "../src/cloner-web.ts";
import { HANDLE } from "../src/handles.ts";

const value = (c: Cloned<unknown>): unknown => fromClone(clonedBytes(c) as Uint8Array);
const cloners = [
  ["node", node],
  ["web", web],
] as const;

describe("clone", () => {
  it("copies at once: later changes of the value do not matter, and each use gets a value of its own", () => {
    const list = [1, { a: 2 }];
    const c = clone(list);
    list.push(3);
    expect([value(c), value(c)]).toEqual([
      [1, { a: 2 }],
      [1, { a: 2 }],
    ]);
    expect(value(c)).not.toBe(value(c));
    const loop: unknown[] = [];
    loop.push(loop);
    expect(value(clone(loop))).toStrictEqual(loop);
    expect(String(c)).toBe(`Cloned(${clonedBytes(c)?.length} bytes)`);
  });

  it("is known to another copy of the package by a registered symbol, and nothing else is", () => {
    const c = clone(1);
    expect((c as never)[Symbol.for("gort.clone")]).toBe(clonedBytes(c));
    for (const x of [null, undefined, 1, {}, [], { [Symbol.for("gort.clone")]: "x" }, () => 1])
      expect(clonedBytes(x)).toBe(null);
    expect(c).toBeInstanceOf(Cloned);
  });

  it("refuses what belongs to one thread, with one line of V8's reason", () => {
    const f = function named() {
      return 1;
    };
    for (const x of [f, { f }, [[f]]]) {
      expect(() => clone(x)).toThrow(/^threads: clone can't copy the value: function named\(\) \{$/);
    }
    expect(() => clone(Symbol("x"))).toThrow(
      new TypeError("threads: clone can't copy the value: Symbol(x) could not be cloned"),
    );
    for (const x of [Promise.resolve(), new WeakMap(), new Proxy({}, {}), new SharedArrayBuffer(1)])
      expect(() => clone(x)).toThrow(TypeError);
    const long = { toString: () => "x", ["y".repeat(200)]: () => "z".repeat(200).length };
    expect(() => clone(long)).toThrow(/^.{0,130}$/);
  });

  it("passes on the error of a getter", () => {
    const own = new RangeError("mine");
    const x = {
      get a() {
        throw own;
      },
    };
    expect(() => clone(x)).toThrow(own);
  });

  it("refuses values of the heap, wherever they are in the value", () => {
    const types = createTypes(createBumpHeap());
    const ref = types.newObject(struct("Point", { x: int }));
    const slice = types.makeSlice(int, 1);
    const handle = { [HANDLE]: () => ({ name: "HeapChan<int>" }) };
    expect(() => clone(ref)).toThrow(
      new TypeError("threads: clone can't copy a value of the heap: pass it as it is (got Ref<Point>)"),
    );
    const inside =
      "threads: clone can't copy a value of the heap: pass it as an argument of its own (got WHAT)";
    const loop: unknown[] = [];
    loop.push(loop, { deep: new Set([new Map([[slice, 1]])]) });
    for (const [x, what] of [
      [{ a: [{ ref }] }, "Ref<Point>"],
      [loop, "[]int"],
      [new Map([[1, { handle }]]), "HeapChan<int>"],
    ] as const) {
      expect(() => clone(x)).toThrow(new TypeError(inside.replace("WHAT", what)));
    }
  });
});

describe.each(cloners)("the bytes of a clone by %s", (_, { toBytes, fromBytes }) => {
  const copy = (x: unknown): unknown => fromBytes(new Uint8Array(toBytes(x)));

  it("keep every plain value", () => {
    const plain = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
      key: fc.string().filter((key) => key !== "__proto__"),
    });
    fc.assert(
      fc.property(plain, (x) => {
        expect(copy(x)).toStrictEqual(x);
      }),
      { numRuns: 500 },
    );
  });

  it("keep texts to the last unit, special numbers, cycles and what is in two places", () => {
    const one = { n: 1 };
    const holes = [-0, Number.NaN, 0, 3];
    delete holes[2];
    const loop: Record<string, unknown> = {
      a: one,
      b: [one],
      text: "\ufeffa\ud800",
      list: holes,
    };
    loop.self = loop;
    const got = copy(loop) as typeof loop & { b: unknown[] };
    expect(got.self).toBe(got);
    expect(got.b[0]).toBe(got.a);
    expect(got.text).toBe("\ufeffa\ud800");
    expect(got.list).toStrictEqual(holes);
    expect(copy("\ufeff")).toBe("\ufeff");
  });

  it("keep errors with their class, message, stack and cause", () => {
    const cause = { code: 7 };
    const error = new RangeError("too far", { cause });
    const got = copy({ error }) as { error: RangeError };
    expect(got.error).toBeInstanceOf(RangeError);
    expect([got.error.message, got.error.stack, got.error.cause]).toEqual(["too far", error.stack, cause]);
    class Custom extends Error {
      override name = "Custom";
    }
    const custom = copy(new Custom("x")) as Error;
    expect([custom instanceof Error, custom.message, "cause" in custom]).toEqual([true, "x", false]);
  });

  it("keep the properties of an object with a class, and regular expressions and buffers", () => {
    class Point {
      x = 1;
      #hidden = 2;
      get hidden() {
        return this.#hidden;
      }
    }
    expect(copy([new Point(), new Point()])).toStrictEqual([{ x: 1 }, { x: 1 }]);
    expect(copy(/a+/giu)).toEqual(/a+/giu);
    expect(new Uint8Array(copy(new Uint8Array([1, 2, 3]).buffer) as ArrayBuffer)).toEqual(
      new Uint8Array([1, 2, 3]),
    );
  });

  it("are none for functions, symbols and promises", () => {
    for (const x of [() => 1, { f: () => 1 }, Symbol("x"), [Promise.resolve(1)], new WeakSet()])
      expect(() => toBytes(x)).toThrow(Error);
  });
});
