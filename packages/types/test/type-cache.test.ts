import { describe, expect, it } from "vitest";
import { array, int, pointer, type Ref, struct, type Type } from "../src/index.ts";
import { json, Node, testHeap } from "./kit.ts";

const Point = struct("Point", { x: int, y: int });

describe("the parts that a type has once", () => {
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
