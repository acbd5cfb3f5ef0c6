/** Values whose code runs in the middle of a store, over the collected heap: nothing of other objects changes. */
import { verifyHeap as verifyAllocator } from "@gort/allocator/testing";
import { verifyHeap } from "@gort/gc/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  append,
  array,
  bytes,
  createRuntime,
  int,
  MemProfileRecord,
  pointer,
  type Ref,
  type Runtime,
  slice,
  string,
  struct,
  toUint8Array,
} from "../src/index.ts";

const P = struct("P", { x: int, y: int });
const hostile = (v: unknown): never => v as never;

let rt: Runtime;
beforeEach(() => {
  rt = createRuntime({ maxMemory: 64 * 2 ** 20, stderr: () => {} });
});
afterEach(() => {
  verifyAllocator(rt.allocator);
  verifyHeap(rt.collector);
  rt.close();
});

/** Collects garbage and fills what was freed: 5000 objects with 7 in both fields. */
function refill(others: Ref<typeof P>[]): void {
  rt.gc();
  for (let i = 0; i < 5000; i++) others.push(rt.newObject(P, { x: 7, y: 7 }));
}

const hit = (others: Ref<typeof P>[]): number => others.filter((o) => o.x !== 7 || o.y !== 7).length;

describe("a getter of a stored value", () => {
  it("that releases the target and collects garbage ends the store", () => {
    const others: Ref<typeof P>[] = [];
    const s = rt.makeSlice(P, 1);
    const q = rt.newObject(struct("Q", { p: P }));
    const sly = (o: { release(): void }) => ({
      get x() {
        o.release();
        refill(others);
        return 1111;
      },
      y: 2222,
    });
    expect(() => s.set(0, sly(s))).toThrow("types: use of a released slice of P");
    expect(() => (q.p = hostile(sly(q)))).toThrow("types: use of a released Ref<Q>");
    const t = rt.makeSlice(P, 0, 1);
    expect(() => append(t, sly(t))).toThrow(/released/);
    expect(hit(others)).toBe(0);
  });

  it("that lets the slice grow has its value stored where the slice is then", () => {
    const others: Ref<typeof P>[] = [];
    const s = rt.makeSlice(P, 0, 1);
    s.push({
      get x() {
        s.push({ x: 1, y: 1 });
        s.push({ x: 2, y: 2 });
        refill(others);
        return 1111;
      },
      y: 2222,
    });
    expect(hit(others)).toBe(0);
    expect([...s].map((p) => [p.x, p.y])).toEqual([
      [1, 1],
      [2, 2],
      [1111, 2222],
    ]);
  });

  it("may collect between the parts of a value: what was read stays alive", () => {
    const S = struct("S", { name: string, raw: bytes, list: slice(string), p: pointer(P), last: int });
    const s = rt.makeSlice(S, 1);
    const value = (i: number) => ({
      name: `name of ${i} that takes a block`,
      raw: new Uint8Array(40).fill(i),
      list: [`one of ${i} in its own block`, `two of ${i} in its own block`],
      p: rt.newObject(P, { x: i }),
      get last() {
        rt.gc();
        for (let k = 0; k < 200; k++) rt.newObject(string, `filler ${k} that is as long as those`).release();
        return i;
      },
    });
    const check = (o: Ref<typeof S>, i: number): void => {
      expect([o.name, ...o.raw, ...o.list, o.p?.x, o.last]).toEqual([
        `name of ${i} that takes a block`,
        ...new Array<number>(40).fill(i),
        `one of ${i} in its own block`,
        `two of ${i} in its own block`,
        i,
        i,
      ]);
    };
    s.set(0, value(1));
    check(s.get(0), 1);
    s.push(value(2));
    check(s.get(1), 2);
    check(rt.newObject(S, value(3)), 3);
    check(append(s, value(4), value(5)).get(3), 5);
    check(rt.sliceOf(S, [value(6), value(7)]).get(0), 6);
    rt.gc();
    check(s.get(0), 1);
  });
});

describe("bytes with a length of their own", () => {
  it("fill a block of their real length", () => {
    const B = struct("B", { b: bytes });
    const bs = Array.from({ length: 1000 }, () => rt.newObject(B, { b: new Uint8Array(30) }));
    for (let i = 0; i < 1000; i += 100) bs[i].release();
    rt.gc();
    const evil = new Uint8Array(4096).fill(0x41);
    Object.defineProperty(evil, "length", { value: 30 });
    const b = rt.newObject(B);
    b.b = evil;
    expect(bs.filter((x, i) => i % 100 !== 0 && x.b[0] !== 0).length).toBe(0);
    expect(b.b.length).toBe(4096);
  });
});

describe("a record that a program has filled", () => {
  it("is assigned in a running world: a setter may collect and read statistics", () => {
    rt.memProfileRate = 1;
    rt.unsafe.mallocgc(48);
    rt.gc();
    const sly = <T extends object>(record: T, field: keyof T): T =>
      Object.defineProperty(record, field, {
        set() {
          rt.gc();
          rt.unsafe.mallocgc(1024);
          rt.readMemStats();
        },
        get: () => 0,
      });
    const m = sly(rt.readMemStats(), "Alloc");
    const before = rt.readMemStats();
    rt.readMemStats(m);
    expect([m.NumGC, m.Mallocs, m.HeapObjects]).toEqual([before.NumGC, before.Mallocs, before.HeapObjects]);
    const { n } = rt.memProfile(null, true);
    const records = Array.from({ length: n }, () => sly(new MemProfileRecord(), "AllocBytes"));
    expect(rt.memProfile(records, true)).toEqual({ n, ok: true });
    expect(records.length).toBe(n);
  });
});

describe("references of another runtime, or of another type than they say", () => {
  it("get no finalizer, cleanup or weak pointer", () => {
    const other = createRuntime({ maxMemory: 64 * 2 ** 20, stderr: () => {} });
    const far = other.newObject(P);
    const near = rt.newObject(P);
    const calls: [string, (x: never) => unknown][] = [
      ["setFinalizer", (x) => rt.setFinalizer(x, () => {})],
      ["addCleanup", (x) => rt.addCleanup(x, () => {}, 1)],
      ["weak", (x) => rt.weak(x)],
    ];
    for (const [name, f] of calls) {
      expect(() => f(hostile(far))).toThrow(`types: ${name} needs a Ref (got a Ref of another heap)`);
      for (const fake of [{ $addr: near.$addr, $type: P }, 5, undefined, rt.makeSlice(int, 1)])
        expect(() => f(hostile(fake))).toThrow(new RegExp(`^types: ${name} needs a Ref \\(got`));
    }
    expect(() => append(rt.makeSlice(pointer(P), 0), far)).toThrow("(got a Ref of another heap)");
    const heir = Object.create(near, { $type: { value: array(int, 1000) } }) as typeof near;
    expect(rt.weak(heir).value()!.$type).toBe(P);
    near.release();
    for (const [, f] of calls) expect(() => f(hostile(near))).toThrow("types: use of a released Ref<P>");
    other.close();
  });
});

describe("references after close", () => {
  it("read and write what is there, and leave the rest when there is no memory to be had", () => {
    const own = createRuntime({ maxMemory: 64 * 2 ** 20, stderr: () => {} });
    const S = struct("S", { s: string, n: int, list: slice(int) });
    const o = own.newObject(S, { s: "before", n: 1, list: [1] });
    const list = own.sliceOf(int, [1]);
    const p = own.newObject(P);
    own.close();
    o.n = 2;
    expect(() => (o.s = "after, in a block of its own")).toThrow(TypeError);
    expect(() => (o.list = hostile([1, 2]))).toThrow(TypeError);
    expect(() => list.push(2)).toThrow(TypeError);
    expect(() => append(list, 2)).toThrow(TypeError);
    expect([o.s, o.n, list.length, list.cap, list.get(0)]).toEqual(["before", 2, 1, 1, 1]);
    p.release();
    list.release();
    expect(() => p.x).toThrow(/released/);
  });
});

describe("elements of no size", () => {
  it("are no bytes", () => {
    const s = rt.makeSlice(struct("E", {}), 2 ** 32);
    expect(() => toUint8Array(hostile(s))).toThrow(
      "types: toUint8Array needs a slice of uint8 (got a slice of E)",
    );
  });

  it("makeslice refuses what no memory holds in Go's words", () => {
    expect(() => rt.makeSlice(int, 2 ** 29)).toThrow("runtime error: makeslice: len out of range");
    expect(() => rt.makeSlice(int, 0, 2 ** 29)).toThrow("runtime error: makeslice: cap out of range");
  });
});
