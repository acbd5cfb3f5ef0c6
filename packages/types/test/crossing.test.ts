import { describe, expect, it, vi } from "vitest";
import { Crossing, type HandleParts } from "../src/crossing.ts";
import {
  addrOf,
  append,
  array,
  createTypes,
  int,
  pointer,
  slice,
  string,
  struct,
  type Type,
} from "../src/index.ts";
import { Mixed, Node, testHeap } from "./kit.ts";
import { SharedHeap } from "./shared-heap.ts";

/** A heap, and the same heap on another thread: other module instances, another allocator, another LinearMemory. */
async function twoThreads() {
  const heap = SharedHeap.create();
  const types = createTypes(heap);
  vi.resetModules();
  const other = await import("../src/index.ts");
  const their = await import("../src/crossing.ts");
  const theirHeap = heap.attach();
  const theirTypes = other.createTypes(theirHeap);
  return {
    here: { heap, types, crossing: new Crossing(types) },
    there: { ...other, heap: theirHeap, types: theirTypes, crossing: new their.Crossing(theirTypes) },
  };
}

/** The parts of a handle as numbers, as a record in the linear memory holds them. */
function sent(crossing: Crossing, x: unknown): { id: number; addr: number; length: number; cap: number } {
  const parts = crossing.parts(x) as HandleParts;
  expect([parts.ours, parts.live]).toEqual([true, true]);
  return {
    id: crossing.records.idOf(parts.type),
    addr: parts.addr,
    length: parts.length,
    cap: parts.cap,
  };
}

describe("a Ref on another thread", () => {
  it("shows the same object: stores of one thread are loads of the other", async () => {
    const { here, there } = await twoThreads();
    const Theirs = there.struct("Node", {
      value: there.int,
      get next() {
        return there.pointer(Theirs);
      },
    });
    const a = here.types.newObject(Node, { value: 1, next: here.types.newObject(Node, { value: 2 }) });
    const { id, addr } = sent(here.crossing, a);
    const b = there.crossing.ref(there.crossing.records.typeOf(id) as typeof Theirs, addr);
    expect([b.$type, b.$addr, b.value, b.next?.value]).toEqual([Theirs, addrOf(a), 1, 2]);
    b.value = 10;
    b.next = there.types.newObject(Theirs, { value: 20, next: b });
    expect([a.value, a.next?.value, a.next?.next?.value]).toEqual([10, 20, 10]);
    expect(here.types.descriptor(Node)).toBe(there.types.descriptor(Theirs));
  });

  it("works with a type that only the sender has declared, whatever its fields are", async () => {
    const { here, there } = await twoThreads();
    const a = here.types.newObject(Mixed, { name: "Zürich", at: { x: 1, y: 2 }, list: [1, 2] });
    const { id, addr } = sent(here.crossing, a);
    const type = there.crossing.records.typeOf(id) as unknown as typeof Mixed;
    const b = there.crossing.ref(type, addr);
    expect(JSON.stringify(b)).toBe(JSON.stringify(a));
    b.name = "x";
    b.name = "Genève";
    b.at.x = 5;
    b.data = new Uint8Array([1, 2, 3]);
    b.grid.get(1).set(0, -4);
    b.list.push(3);
    b.list = there.append(b.list as never, 3, 4) as never;
    b.peer = there.types.newObject<Type>(type.field("at").type, { x: 8 }) as never;
    expect(JSON.stringify(a)).toBe(JSON.stringify(b));
    expect([a.name, a.at.x, [...a.data], a.grid.get(1).get(0), [...a.list], a.peer?.x]).toEqual([
      "Genève",
      5,
      [1, 2, 3],
      -4,
      [1, 2, 3, 4],
      8,
    ]);
  });

  it("to a part of an object, to a string and to a pointer has the type of its target", async () => {
    const { here, there } = await twoThreads();
    const Outer = struct("Outer", { head: int, in: Node, row: array(Node, 2) });
    const o = here.types.newObject(Outer, { in: { value: 3 }, row: [{ value: 4 }, { value: 5 }] });
    const text = here.types.newObject(string, "heap");
    const to = here.types.newObject(pointer(Node), o.in);
    const values = [o.in, o.row, o.row.get(1), text, to].map((x) => {
      const { id, addr } = sent(here.crossing, x);
      const b = there.crossing.ref(there.crossing.records.typeOf(id), addr);
      return JSON.stringify(b);
    });
    expect(values).toEqual([o.in, o.row, o.row.get(1), text, to].map((x) => JSON.stringify(x)));
  });

  it("has a root of its own: each thread releases its own handle", async () => {
    const { here, there } = await twoThreads();
    const a = here.types.newObject(Node);
    const { id, addr } = sent(here.crossing, a);
    const b = there.crossing.ref(there.crossing.records.typeOf(id), addr);
    expect(here.heap.roots).toBe(2);
    a.release();
    expect([here.heap.roots, here.crossing.parts(a)?.live]).toEqual([1, false]);
    b.release();
    b.release();
    expect(there.heap.roots).toBe(0);
  });
});

describe("a Slice on another thread", () => {
  it("is a copy of the three words; the elements are shared", async () => {
    const { here, there } = await twoThreads();
    let a = here.types.makeSlice(int, 2, 4);
    const { id, addr, length, cap } = sent(here.crossing, a);
    const type = there.crossing.records.typeOf(id) as unknown as typeof there.int;
    let b = there.crossing.slice(type, addr, length, cap);
    expect([b.length, b.cap, b.elem]).toEqual([2, 4, there.int]);
    b.set(1, 7);
    expect(a.get(1)).toBe(7);
    // Both append into the free capacity of one array, as two goroutines of Go would: the length is each slice's own.
    b = there.append(b, 8);
    expect([a.length, b.length]).toEqual([2, 3]);
    expect(a.slice(0, 3).get(2)).toBe(8);
    a = append(a, 9);
    expect(b.get(2)).toBe(9);
    // Beyond the capacity each gets an array of its own.
    b = there.append(b, 1, 2, 3);
    b.set(0, 100);
    expect([a.get(0), b.$addr === (a.$addr as number)]).toEqual([0, false]);
  });

  it("of strings and of slices holds what either thread puts there", async () => {
    const { here, there } = await twoThreads();
    const a = here.types.sliceOf(slice(string), [["a"], null, ["b", "ccc"]]);
    const { id, addr, length, cap } = sent(here.crossing, a);
    const type = there.crossing.records.typeOf(id);
    const b = there.crossing.slice(type, addr, length, cap) as unknown as typeof a;
    b.set(1, ["from", "there"]);
    expect(JSON.stringify(a)).toBe('[["a"],["from","there"],["b","ccc"]]');
    expect(JSON.stringify(b)).toBe(JSON.stringify(a));
  });

  it("that is nil, empty, or of elements without size stays so", async () => {
    const { here, there } = await twoThreads();
    const None = struct("None", {});
    const big = here.types.makeSlice(None, 2 ** 40, 2 ** 41);
    const parts = sent(here.crossing, big);
    expect([parts.length, parts.cap]).toEqual([2 ** 40, 2 ** 41]);
    const type = there.crossing.records.typeOf(parts.id);
    const b = there.crossing.slice(type, parts.addr, parts.length, parts.cap);
    expect([b.length, b.cap, b.isNil]).toEqual([2 ** 40, 2 ** 41, false]);
    expect(sent(here.crossing, here.types.nilSlice(int))).toMatchObject({ addr: 0, length: 0, cap: 0 });
    const nil = there.crossing.slice(there.int, 0, 0, 0);
    expect([nil.isNil, [...there.append(nil, 1)]]).toEqual([true, [1]]);
  });
});

describe("parts", () => {
  it("are those at the time of the access, and tell foreign and released handles", () => {
    const { types } = testHeap();
    const crossing = new Crossing(types);
    const s = types.makeSlice(int, 1, 1);
    const p = crossing.parts(s) as HandleParts;
    expect([p.kind, p.length, p.cap, p.type]).toEqual(["Slice", 1, 1, int]);
    const old = p.addr;
    s.push(2);
    expect([p.length, p.cap > 1, p.addr === old]).toEqual([2, true, false]);
    s.release();
    expect(p.live).toBe(false);
    const foreign = testHeap().types;
    expect(crossing.parts(foreign.newObject(Node))?.ours).toBe(false);
    expect(crossing.parts(foreign.makeSlice(int, 1))?.ours).toBe(false);
    expect(crossing.parts(types.newObject(Node))?.kind).toBe("Ref");
  });

  it("exist of Refs and Slices only", () => {
    const { types } = testHeap();
    const crossing = new Crossing(types);
    for (const x of [
      null,
      undefined,
      1,
      "a",
      {},
      [],
      () => 1,
      { $addr: 8, $type: int },
      types.unsafe.view(Node),
    ])
      expect(crossing.parts(x)).toBe(null);
  });
});

describe("state of one thread that another would need", () => {
  it("is none: descriptors, zero-size objects and one-byte strings serve all threads", async () => {
    const { here, there } = await twoThreads();
    const Empty = struct("Empty", {});
    expect(there.types.newObject(there.struct("Empty", {})).$addr).toBe(here.types.newObject(Empty).$addr);
    expect(there.types.descriptor(there.string)).toBe(here.types.descriptor(string));
    const s = here.types.newObject(string, "a");
    const { id, addr } = sent(here.crossing, s);
    const theirs = there.crossing.ref(
      there.crossing.records.typeOf(id) as unknown as typeof there.string,
      addr,
    );
    theirs.value = "z";
    expect(s.value).toBe("z");
    const before = there.heap.stores;
    theirs.value = "zz";
    // The store goes through the barrier of the thread that stores.
    expect([there.heap.stores - before, here.heap.stores > 0]).toEqual([1, true]);
  });
});
