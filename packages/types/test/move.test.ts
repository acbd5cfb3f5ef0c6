import { describe, expect, it } from "vitest";
import { int, pointer, same, struct } from "../src/index.ts";
import { Node, Point, testHeap } from "./kit.ts";

describe("a copy with the barrier on", () => {
  it("moves both halves of words that are no pointers", () => {
    const { heap, types } = testHeap();
    const Counted = struct("Counted", { p: pointer(Point), n: int });
    const p = types.newObject(Point);
    const from = types.newObject(Counted, { p, n: 2 ** 40 + 5 });
    const Two = struct("Two", { a: Counted, b: Counted });
    for (const barrier of [true, false]) {
      heap.barrier = barrier;
      const to = types.newObject(Two, { b: { n: -1 } });
      to.a = from;
      expect([to.a.n, same(to.a.p, p), to.b.n, to.b.p]).toEqual([2 ** 40 + 5, true, -1, null]);
    }
  });

  it("does nothing onto itself, and stores no pointer for types without one", () => {
    const { heap, types } = testHeap();
    const n = types.newObject(struct("Box", { n: Node, p: Point }), { n: { value: 1 }, p: { x: 3 } });
    heap.stores.length = 0;
    const itself = n.n;
    n.n = itself;
    n.p = types.newObject(Point, { x: 4 });
    expect(heap.stores).toEqual([]);
    expect([n.n.value, n.p.x]).toEqual([1, 4]);
  });
});
