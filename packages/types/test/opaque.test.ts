import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { append, array, int, pointer, type Ref, struct, type Type } from "../src/index.ts";
import { OpaqueType } from "../src/internal.ts";
import { describeType, internType, typeFromDescription } from "../src/type-identity.ts";
import { hostile, testHeap } from "./kit.ts";

/** A counter whose word only its own members touch. */
const counter = new OpaqueType<{ bump(): number; readonly where: number }>(
  "test.Counter",
  8,
  4,
  ({ heap, addrOf }) => ({
    bump() {
      return ++heap.mem.u32[addrOf(this) >>> 2];
    },
    get where() {
      return addrOf(this);
    },
  }),
);

const Outer = struct("Outer", { n: int, c: counter, list: array(counter, 3) });

describe("an opaque type", () => {
  it("has the size, the alignment and the name that it was given, and no pointers", () => {
    expect([counter.kind, counter.name, counter.size, counter.align]).toEqual([
      "opaque",
      "test.Counter",
      8,
      4,
    ]);
    expect([counter.hasPointers, [...counter.pointerMask()]]).toEqual([false, [0]]);
    expect(Outer.fields.map((f) => f.offset)).toEqual([0, 8, 16]);
    expect(Object.isFrozen(counter)).toBe(true);
  });

  it("works alone, as a field, as an element of arrays and slices, and behind a pointer", () => {
    const { types } = testHeap();
    const alone: Ref<typeof counter> = types.newObject(counter);
    expect([alone.bump(), alone.bump(), alone.where]).toEqual([1, 2, alone.$addr]);
    const o = types.newObject(Outer, { n: 7 });
    expect([o.c.bump(), o.c.bump(), o.c.where]).toEqual([1, 2, o.$addr + 8]);
    expect([o.list.get(2).bump(), o.list.get(2).bump(), o.list.get(1).bump()]).toEqual([1, 2, 1]);
    const s = types.makeSlice(counter, 2);
    expect([s.get(1).bump(), s.get(1).bump(), s.ref(1).bump(), s.get(0).bump()]).toEqual([1, 2, 3, 1]);
    const p = types.newObject(pointer(counter));
    p.value = alone;
    expect(p.value?.bump()).toBe(3);
    expect([o.n, types.unsafe.view(Outer, o.$addr).c.$addr]).toEqual([7, o.$addr + 8]);
  });

  it("can't be assigned, but is copied with its struct", () => {
    const { types } = testHeap();
    const o = types.newObject(Outer);
    const alone = types.newObject(counter);
    o.c.bump();
    const text = "types: test.Counter can't be assigned: use it where it lies";
    expect(() => (o.c = alone)).toThrow(text);
    expect(() => types.newObject(Outer, { c: hostile(alone) })).toThrow(text);
    expect(() => types.newObject(counter, hostile({}))).toThrow(text);
    expect(() => types.sliceOf(counter, [hostile(alone)])).toThrow(text);
    expect(() => append(types.nilSlice(counter), hostile(alone))).toThrow(text);
    const view = types.unsafe.view(Outer, o.$addr);
    expect(() => (view.c = types.unsafe.view(counter, alone.$addr))).toThrow(text);
    expect(types.newObject(Outer, o).c.bump()).toBe(2);
  });

  it("has members that refuse another receiver, and a Ref that was released", () => {
    const { types } = testHeap();
    const alone = types.newObject(counter);
    const o = types.newObject(Outer);
    const { bump } = alone;
    for (const wrong of [o, o.list, {}, null, undefined, testHeap().types.newObject(counter)]) {
      expect(() => bump.call(hostile(wrong))).toThrow(TypeError);
    }
    const { c } = o;
    o.release();
    expect(() => c.bump()).toThrow("types: use of a released Ref<test.Counter>");
    alone.release();
    expect(() => alone.bump()).toThrow("types: use of a released Ref<test.Counter>");
  });

  it("is {} as JSON and to inspectors, as a struct without exported fields is in Go", () => {
    const { types } = testHeap();
    const o = types.newObject(Outer, { n: 1 });
    expect(JSON.stringify(o)).toBe('{"n":1,"c":{},"list":[{},{},{}]}');
    expect(JSON.stringify(types.newObject(counter))).toBe("{}");
    expect(inspect(types.newObject(counter))).toBe("Ref<test.Counter> {}");
    expect(inspect(o)).toContain("c: Ref<test.Counter> {}");
  });

  it("is the same type on another thread by its name, alone and as a part", () => {
    for (const t of [counter, Outer, pointer(counter)] as Type[]) {
      expect(typeFromDescription(describeType(t))).toBe(typeFromDescription(internType(t)));
    }
    expect(describeType(counter)).toBe('[["opaque","test.Counter"]]');
    expect(typeFromDescription(describeType(counter))).toBe(counter);
    for (const text of ['[["opaque","test.None"]]', '[["opaque","test.Counter",0]]']) {
      expect(() => typeFromDescription(text)).toThrow("types: no module of this thread has made test.");
    }
    for (const text of ['[["opaque",1]]', '[["opaque","test.Counter",0,0]]']) {
      expect(() => typeFromDescription(text)).toThrow("types: not the description of a type");
    }
  });

  it("makes its members once for each heap", () => {
    let made = 0;
    const t = new OpaqueType<object>("test.T", 4, 4, () => ({ n: ++made }));
    const { types } = testHeap();
    types.newObject(t);
    types.newObject(t);
    expect(made).toBe(1);
    testHeap().types.newObject(t);
    expect(made).toBe(2);
  });
});
