import { describe, expect, it } from "vitest";
import { addrOf, int, isRuntimeError, pointer, type Ref, uint32 } from "../src/index.ts";
import { Mixed, Node, Point, testHeap } from "./kit.ts";

describe("raw access", () => {
  it("makes and moves views without roots", () => {
    const { heap, types } = testHeap();
    const { unsafe } = types;
    const view = unsafe.view(Node);
    let head = unsafe.newObject(Node);
    head = 0 as typeof head;
    for (let i = 0; i < 5; i++) {
      const n = unsafe.newObject(Node);
      view.$at(n).value = i;
      view.next = head;
      head = n;
    }
    const seen: number[] = [];
    for (let p = head; (p as number) !== 0; p = view.$at(p).next) seen.push(view.$at(p).value);
    expect(seen).toEqual([4, 3, 2, 1, 0]);
    expect(heap.liveRefs).toBe(0);
    expect(heap.stores.length).toBe(5);
  });

  it("panics at nil", () => {
    const { unsafe } = testHeap().types;
    const view = unsafe.view(Mixed);
    for (const use of [() => view.small, () => (view.small = 1), () => view.at, () => view.list]) {
      let err: unknown;
      try {
        use();
      } catch (e) {
        err = e;
      }
      expect(isRuntimeError(err)).toBe(true);
      expect((err as Error).message).toBe("runtime error: invalid memory address or nil pointer dereference");
    }
    expect(() => unsafe.load(int, 0 as never)).toThrow(/nil pointer/);
  });

  it("sees nested structs, arrays and slices through views that move along", () => {
    const { types } = testHeap();
    const a = types.newObject(Mixed, { at: { x: 1 }, grid: [[1, 2]], list: [7, 8] });
    const b = types.newObject(Mixed, { at: { x: 2 } });
    const view = types.unsafe.view(Mixed, addrOf(a));
    const { at } = view;
    expect([at.x, view.grid.get(0).get(1), view.list.length, view.list.cap, view.list.get(1)]).toEqual([
      1, 2, 2, 2, 8,
    ]);
    expect(() => view.list.get(2)).toThrow("runtime error: index out of range [2] with length 2");
    view.$addr = addrOf(b);
    expect(view.at).toBe(at);
    expect(at.x).toBe(2);
    at.x = 3;
    expect(b.at.x).toBe(3);
    view.list = types.unsafe.view(Mixed, addrOf(a)).list;
    expect([...b.list]).toEqual([7, 8]);
  });

  it("loads, stores and shows bytes", () => {
    const { types } = testHeap();
    const { unsafe } = types;
    const p = unsafe.newArray(uint32, 2);
    unsafe.store(uint32, p, 0x04030201);
    expect(unsafe.load(uint32, p)).toBe(0x04030201);
    const live = unsafe.bytes(p, 8);
    expect([...live]).toEqual([1, 2, 3, 4, 0, 0, 0, 0]);
    live[0] = 9;
    expect(unsafe.load(uint32, p)).toBe(0x04030209);
    expect([unsafe.sizeof(Mixed) % 8, unsafe.alignof(Mixed), unsafe.offsetof(Mixed, "at")]).toEqual([
      0, 8, 8,
    ]);
    expect(() => unsafe.bytes(p, -1)).toThrow(RangeError);
    expect(() => unsafe.newArray(uint32, 1.5)).toThrow(RangeError);
    expect(() => unsafe.store(pointer(int), p as never, -1 as never)).toThrow(
      "types: value must be an address (got -1)",
    );
  });

  it("is rooted by ref, and nil by null", () => {
    const { heap, types } = testHeap();
    const p = types.unsafe.newObject(Point);
    const ref = types.ref(Point, p)!;
    ref.x = 5;
    expect(heap.liveRefs).toBe(1);
    expect(addrOf(ref)).toBe(p);
    expect(types.ref(Point, 0 as typeof p)).toBeNull();
    expect(addrOf(null)).toBe(0);
    expect(() => addrOf({} as Ref<typeof Point>)).toThrow("types: addrOf needs a Ref (got Object)");
  });
});
