import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { collectHostUntil, dropWithReportsDue } from "../../../vitest.hostgc.ts";
import { addrOf, int, type TypedHeap } from "../src/index.ts";
import { Mixed, Node, Point, testHeap } from "./kit.ts";

describe("a released Ref", () => {
  it("can't be used, and neither can handles that came from it", () => {
    const { heap, types } = testHeap();
    const m = types.newObject(Mixed, { at: { x: 1 } });
    const { at, grid } = m;
    expect(heap.liveRefs).toBe(1);
    m.release();
    expect(heap.liveRefs).toBe(0);
    expect(() => m.small).toThrow(new TypeError("types: use of a released Ref: Mixed.small"));
    expect(() => (m.small = 1)).toThrow(/released Ref/);
    expect(() => at.x).toThrow(/released Ref/);
    expect(() => grid.get(0)).toThrow(/released Ref/);
    expect(() => addrOf(m)).toThrow("types: use of a released Ref<Mixed>");
    expect(() => types.newObject(Mixed, { at })).toThrow(/released Ref/);
  });

  it("may be released again, and a part of an object releases nothing", () => {
    const { heap, types } = testHeap();
    const m = types.newObject(Mixed);
    m.at.release();
    expect(heap.liveRefs).toBe(1);
    m.release();
    m.release();
    expect(heap.liveRefs).toBe(0);
    const again = types.newObject(Mixed);
    m.release();
    expect(again.small).toBe(0);
  });

  it("is released at the end of a using block", () => {
    const { heap, types } = testHeap();
    const p = types.newObject(Point);
    p[Symbol.dispose]();
    expect(heap.liveRefs).toBe(0);
  });

  it("has a root of its own for each pointer that was read", () => {
    const { heap, types } = testHeap();
    const a = types.newObject(Node, { value: 5 });
    const b = types.newObject(Node, { next: a });
    const again = b.next!;
    expect(heap.liveRefs).toBe(3);
    a.release();
    expect(again.value).toBe(5);
    again.release();
    expect(heap.liveRefs).toBe(1);
  });
});

describe("an unreachable Ref", () => {
  function dropHandles(types: TypedHeap): void {
    for (let i = 0; i < 100; i++) types.makeSlice(int, 1).slice(0, 1);
  }

  it("gives its root back to the heap", async () => {
    const { heap, types } = testHeap();
    const kept = types.newObject(Mixed).at;
    dropHandles(types);
    expect(heap.liveRefs).toBe(101);
    // The struct lives on through the handle to its part.
    await collectHostUntil(() => heap.liveRefs <= 1);
    expect(heap.liveRefs).toBe(1);
    expect(kept.x).toBe(0);
  });

  it("does so after another heap was dropped whose handles V8 had found dead and not reported", async () => {
    const { heap, types } = testHeap();
    await dropWithReportsDue(() => {
      const other = testHeap();
      dropHandles(other.types);
      return other;
    });
    dropHandles(types);
    await collectHostUntil(() => heap.liveRefs === 0);
  });

  it("does not keep its heap alive", async () => {
    const dropped = ((): WeakRef<object> => {
      const { heap, types } = testHeap();
      dropHandles(types);
      return new WeakRef(heap);
    })();
    await collectHostUntil(() => dropped.deref() === undefined);
  });
});

describe("an inspector", () => {
  it("sees the fields, without following pointers", () => {
    const { types } = testHeap();
    const n = types.newObject(Node, { value: 3 });
    expect(inspect(n)).toBe("Ref<Node> { value: 3, next: null }");
    n.next = n;
    expect(inspect(n)).toMatch(/^Ref<Node> { value: 3, next: '\*Node 0x[0-9a-f]+' }$/);
    expect(inspect(types.newObject(int, 4))).toBe("Ref<int> 4");
    expect(inspect(types.sliceOf(int, [1, 2]))).toBe("[]int(len 2, cap 2) [ 1, 2 ]");
    expect(inspect(types.nilSlice(int))).toBe("[]int nil");
    n.release();
    expect(inspect(n)).toBe("Ref<Node> (released)");
  });
});
