import type { Ptr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { addrOf, array, int, pointer, same, slice, struct } from "../src/index.ts";
import { hostile, json, testHeap } from "./kit.ts";

const Point = struct("Point", { x: int, y: int });

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
