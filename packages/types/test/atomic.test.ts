import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as atomic from "../src/atomic.ts";
import {
  array,
  int32,
  int64,
  pointer,
  type Ref,
  struct,
  type Type,
  type TypedHeap,
  uint8,
  uint32,
  uint64,
  uintptr,
  type View,
} from "../src/index.ts";
import { describeType, internType, typeFromDescription } from "../src/type-identity.ts";
import { hostile, Node, RecordingHeap, testHeap } from "./kit.ts";

const { fieldRef } = atomic;

const All = struct("All", {
  pad: uint8,
  i: int32,
  u: uint32,
  i64: int64,
  u64: uint64,
  p: uintptr,
  next: pointer(Node),
  other: pointer(int32),
});

/** The operations of one type, as functions, as methods, and as Go defines them. */
interface Kind {
  name: string;
  type: Type;
  field: "i" | "u" | "i64" | "u64" | "p";
  bits: 32 | 64;
  signed: boolean;
  big: boolean;
  methods: Type;
  functions: Record<string, (...args: never[]) => unknown>;
}

const kinds: Kind[] = (
  [
    ["Int32", int32, "i", 32, true, false],
    ["Uint32", uint32, "u", 32, false, false],
    ["Int64", int64, "i64", 64, true, true],
    ["Uint64", uint64, "u64", 64, false, true],
    ["Uintptr", uintptr, "p", 64, false, false],
  ] as const
).map(([name, type, field, bits, signed, big]) => {
  const all = atomic as unknown as Record<string, never>;
  const functions = Object.fromEntries(
    ["load", "store", "swap", "compareAndSwap", "add", "and", "or"].map((op) => [op, all[`${op}${name}`]]),
  );
  return { name, type, field, bits, signed, big, methods: all[name], functions };
});

/** A value of a kind from any bigint. Values of uintptr stay below 2^52, so that sums are exact. */
function numberOf(kind: Kind, x: bigint): bigint | number {
  if (kind.name === "Uintptr") return Number(BigInt.asUintN(52, x));
  const v = kind.signed ? BigInt.asIntN(kind.bits, x) : BigInt.asUintN(kind.bits, x);
  return kind.big ? v : Number(v);
}

const operation = fc.record({
  op: fc.constantFrom("load", "store", "swap", "compareAndSwap", "add", "and", "or"),
  a: fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  b: fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  hit: fc.boolean(),
});

/** What Go's operation returns, and leaves in the place. */
function model(
  kind: Kind,
  now: bigint | number,
  op: string,
  a: bigint | number,
  b: bigint | number,
): [result: unknown, left: bigint | number] {
  const wrap = (x: bigint): bigint | number => {
    const v = kind.signed ? BigInt.asIntN(kind.bits, x) : BigInt.asUintN(kind.bits, x);
    return kind.big ? v : Number(v);
  };
  const [n, x] = [BigInt(now), BigInt(a)];
  if (op === "load") return [now, now];
  if (op === "store") return [undefined, a];
  if (op === "swap") return [now, a];
  if (op === "compareAndSwap") return now === a ? [true, b] : [false, now];
  if (op === "add") return [wrap(n + x), wrap(n + x)];
  return [now, wrap(op === "and" ? n & x : n | x)];
}

describe.each(kinds)("atomic operations on $name", (kind) => {
  it("do what Go's do, at fields, elements and views, and as methods", () => {
    const { types } = testHeap();
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (ops) => {
        const ref = fieldRef(types.newObject(All), kind.field);
        const elem = types.makeSlice(kind.type, 3).ref(1);
        const view = types.unsafe.view(kind.type, types.unsafe.newObject(kind.type));
        const value = types.newObject(kind.methods) as unknown as Kind["functions"];
        let now = numberOf(kind, 0n);
        for (const { op, a, b, hit } of ops) {
          const x = op === "compareAndSwap" && hit ? now : numberOf(kind, a);
          const y = numberOf(kind, b);
          const [result, left] = model(kind, now, op, x, y);
          now = kind.name === "Uintptr" && BigInt(left) >= 2n ** 52n ? numberOf(kind, 0n) : left;
          const args = op === "load" ? [] : op === "compareAndSwap" ? [x, y] : [x];
          for (const p of [ref, elem, view]) {
            expect(kind.functions[op](...([p, ...args] as never[]))).toBe(result);
            if (now !== left) kind.functions.store(...([p, now] as never[]));
          }
          expect(value[op](...(args as never[]))).toBe(result);
          if (now !== left) value.store(...([now] as never[]));
        }
        for (const p of [ref, elem, view]) expect(p).toHaveProperty("value", now);
        expect(value.load()).toBe(now);
      }),
    );
  });

  it("touch only their own bytes", () => {
    const { types } = testHeap();
    const o = types.newObject(All);
    const bytes = types.unsafe.bytes(o.$addr, All.size).fill(0xa5);
    kind.functions.store(...([fieldRef(o, kind.field), numberOf(kind, 1n)] as never[]));
    const { offset, type } = All.field(kind.field);
    const others = [...bytes.subarray(0, offset), ...bytes.subarray(offset + type.size)];
    expect(others.every((b) => b === 0xa5)).toBe(true);
    expect(bytes[offset]).toBe(1);
  });

  it("refuse values that the type does not hold, and change nothing", () => {
    const { types } = testHeap();
    const ref = fieldRef(types.newObject(All), kind.field);
    const value = types.newObject(kind.methods) as unknown as Kind["functions"];
    const wrong = kind.big ? [1, "1", null, undefined] : [1n, "1", null, undefined, Number.NaN];
    for (const op of ["store", "swap", "add", "and", "or"]) {
      for (const v of wrong) {
        expect(() => kind.functions[op](...([ref, v] as never[]))).toThrow(Error);
        expect(() => value[op](...([v] as never[]))).toThrow(Error);
      }
    }
    const zero = numberOf(kind, 0n);
    expect(() => kind.functions.compareAndSwap(...([ref, zero, wrong[0]] as never[]))).toThrow(TypeError);
    expect(() => kind.functions.compareAndSwap(...([ref, wrong[0], zero] as never[]))).toThrow(TypeError);
    const beyond = kind.big ? 2n ** 64n : 2 ** 60;
    expect(() => kind.functions.store(...([ref, beyond] as never[]))).toThrow(RangeError);
    expect([ref, value.load()]).toEqual([expect.objectContaining({ value: zero }), zero]);
  });

  it("need a place of exactly their type", () => {
    const { types } = testHeap();
    const o = types.newObject(All);
    const name = `load${kind.name}`;
    const load = kind.functions.load as (p: unknown) => unknown;
    for (const other of kinds) {
      if (other !== kind) {
        expect(() => load(fieldRef(o, other.field))).toThrow(
          `types: ${name} needs a Ref<${kind.type.name}> (got a Ref<${other.type.name}>)`,
        );
      }
    }
    expect(() => load(o)).toThrow(`types: ${name} needs a Ref<${kind.type.name}> (got a Ref<All>)`);
    for (const none of [null, undefined, 5, {}, types.makeSlice(kind.type, 1), () => {}]) {
      expect(() => load(none)).toThrow(`types: ${name} needs a Ref<${kind.type.name}> (got `);
    }
    const released = types.newObject(kind.type);
    released.release();
    expect(() => load(released)).toThrow(`types: use of a released Ref<${kind.type.name}>`);
    expect(() => load(types.unsafe.view(kind.type))).toThrow("nil pointer dereference");
  });

  it("need an address that is a multiple of the size", () => {
    const { types } = testHeap();
    const addr = types.unsafe.newArray(uint8, 64);
    const size = kind.bits / 8;
    const odd = types.unsafe.view(kind.type, (addr + size / 2) as never);
    expect(() => kind.functions.load(...([odd] as never[]))).toThrow(
      `types: load${kind.name} needs an address that is a multiple of ${size} (got 0x`,
    );
    odd.$addr = 2.5 as never;
    expect(() => kind.functions.load(...([odd] as never[]))).toThrow(TypeError);
  });
});

it("a uintptr beyond 2^53 is an error when it is read, and was changed", () => {
  const { types } = testHeap();
  const p = types.newObject(uintptr);
  atomic.storeUintptr(p, Number.MAX_SAFE_INTEGER);
  expect(() => atomic.addUintptr(p, 1)).toThrow(
    "types: uintptr does not fit a number (got 9007199254740992)",
  );
  const bits = types.ref(uint64, p.$addr as never) as Ref<typeof uint64>;
  expect(atomic.loadUint64(bits)).toBe(2n ** 53n);
});

describe("fieldRef", () => {
  it("refers to a field, also of a struct in a struct, as long as the Ref of the object lives", () => {
    const { types } = testHeap();
    const Outer = struct("Outer", { a: int32, inner: All, grid: array(int32, 4) });
    const o = types.newObject(Outer, { inner: { i: 7 } });
    const i = fieldRef(fieldRef(o, "inner"), "i");
    expect(i.value).toBe(7);
    i.value = 8;
    expect([o.inner.i, i.$type, i.$addr]).toEqual([8, int32, o.$addr + 4 + 4 + All.field("i").offset]);
    expect(fieldRef(o, "grid").length).toBe(4);
    i.release();
    expect(o.inner.i).toBe(8);
    const again = fieldRef(o, "a");
    o.release();
    expect(() => again.value).toThrow("released");
    expect(() => fieldRef(o, "a")).toThrow("types: use of a released Ref<Outer>");
  });

  it("refuses what is no struct, and a field that it has not", () => {
    const { types } = testHeap();
    expect(() => fieldRef(hostile(types.newObject(int32)), hostile("value"))).toThrow(
      "types: fieldRef needs a Ref of a struct (got a Ref<int32>)",
    );
    expect(() => fieldRef(hostile(null), hostile("x"))).toThrow(
      "types: fieldRef needs a Ref of a struct (got null)",
    );
    expect(() => fieldRef(types.newObject(All), hostile("none"))).toThrow(
      "types: struct All has no field none",
    );
  });
});

/** A place of a pointer, as functions at a Ref, and as methods. */
interface PointerPlace {
  load(): Ref<typeof Node> | null;
  store(v: Ref<typeof Node> | null): void;
  swap(v: Ref<typeof Node> | null): Ref<typeof Node> | null;
  compareAndSwap(old: Ref<typeof Node> | null, v: Ref<typeof Node> | null): boolean;
}

const places: [string, (types: TypedHeap) => PointerPlace][] = [
  [
    "functions",
    (types) => {
      const p = fieldRef(types.newObject(All), "next");
      return {
        load: () => atomic.loadPointer(p),
        store: (v) => atomic.storePointer(p, v),
        swap: (v) => atomic.swapPointer(p, v),
        compareAndSwap: (old, v) => atomic.compareAndSwapPointer(p, old, v),
      };
    },
  ],
  ["methods", (types) => types.newObject(atomic.Pointer(Node))],
];

describe.each(places)("atomic pointers as %s", (_, make) => {
  it("load, store, swap, and compare addresses", () => {
    const { types } = testHeap();
    const p = make(types);
    const a = types.newObject(Node, { value: 1 });
    const b = types.newObject(Node, { value: 2 });
    expect(p.load()).toBeNull();
    p.store(a);
    expect([p.load()?.value, p.load()?.$addr]).toEqual([1, a.$addr]);
    expect(p.swap(b)?.$addr).toBe(a.$addr);
    expect([p.compareAndSwap(a, null), p.compareAndSwap(null, a)]).toEqual([false, false]);
    expect([p.compareAndSwap(types.ref(Node, b.$addr), null), p.load()]).toEqual([true, null]);
    expect([p.compareAndSwap(null, a), p.swap(null)?.value, p.swap(null)]).toEqual([true, 1, null]);
  });

  it("root what they return", () => {
    const { types, heap } = testHeap();
    const p = make(types);
    p.store(types.newObject(Node));
    const refs = heap.liveRefs;
    const got = p.load();
    expect(heap.liveRefs).toBe(refs + 1);
    got?.release();
    expect(heap.liveRefs).toBe(refs);
    p.swap(null)?.release();
    p.load();
    expect(heap.liveRefs).toBe(refs);
  });

  it("refuse values that are no Ref of the element, released Refs, and Refs of another heap", () => {
    const { types } = testHeap();
    const p = make(types);
    const released = types.newObject(Node);
    released.release();
    const foreign = testHeap().types.newObject(Node);
    for (const v of [undefined, 5, {}, types.newObject(int32), released, foreign]) {
      expect(() => p.store(hostile(v))).toThrow(TypeError);
      expect(() => p.swap(hostile(v))).toThrow(TypeError);
      expect(() => p.compareAndSwap(null, hostile(v))).toThrow(TypeError);
      expect(() => p.compareAndSwap(hostile(v), null)).toThrow(TypeError);
    }
    expect(p.load()).toBeNull();
  });

  it("refuse a value whose own code releases another value, or the place", () => {
    const { types } = testHeap();
    const p = make(types);
    const a = types.newObject(Node);
    const evil = (f: () => void): Ref<typeof Node> =>
      new Proxy(types.newObject(Node), {
        get(target, key) {
          if (key === "$cell") f();
          return Reflect.get(target, key) as unknown;
        },
      });
    expect(() =>
      p.compareAndSwap(
        a,
        evil(() => a.release()),
      ),
    ).toThrow("types: use of a released Ref<Node>");
    if ("release" in p) {
      expect(() => p.store(evil(() => (p as unknown as Ref<typeof Node>).release()))).toThrow("released");
    }
  });

  it("use the heap's exchange, which has the write barrier, and can do without one", () => {
    const heap = new RecordingHeap();
    const types = new (testHeap().types.constructor as new (h: RecordingHeap) => TypedHeap)(heap);
    const p = make(types);
    const a = types.newObject(Node);
    const swaps: number[][] = [];
    heap.swapPointer = (slot, value) => {
      swaps.push([value]);
      return RecordingHeap.prototype.swapPointer.call(heap, slot, value);
    };
    heap.compareAndSwapPointer = (slot, old, value) => {
      swaps.push([old, value]);
      return RecordingHeap.prototype.compareAndSwapPointer.call(heap, slot, old, value);
    };
    p.store(a);
    p.swap(null);
    p.compareAndSwap(null, a);
    expect(swaps).toEqual([[a.$addr], [0], [0, a.$addr]]);
    expect(heap.stores).toEqual([]);
    // A heap of one thread.
    Object.assign(heap, { swapPointer: undefined, compareAndSwapPointer: undefined });
    expect([p.swap(null)?.$addr, p.compareAndSwap(a, a), p.compareAndSwap(null, a), p.load()?.$addr]).toEqual(
      [a.$addr, false, true, a.$addr],
    );
    expect(heap.stores.length).toBe(2);
  });
});

describe("pointers at a view", () => {
  it("are addresses", () => {
    const { types } = testHeap();
    const view: View<ReturnType<typeof pointer<typeof Node>>> = types.unsafe.view(pointer(Node));
    view.$at(types.unsafe.newObject(pointer(Node)));
    const a = types.unsafe.newObject(Node);
    atomic.storePointer(view, a);
    expect([atomic.loadPointer(view), atomic.swapPointer(view, 0 as never)]).toEqual([a, a]);
    expect([
      atomic.compareAndSwapPointer(view, a, a),
      atomic.compareAndSwapPointer(view, 0 as never, a),
    ]).toEqual([false, true]);
    expect(() => atomic.storePointer(view, hostile(1.5))).toThrow(
      "types: value must be an address (got 1.5)",
    );
    const numbers = types.unsafe.view(int32, types.unsafe.newObject(int32));
    expect(() => atomic.loadPointer(hostile(numbers))).toThrow(
      "types: loadPointer needs a Ref<*T> (got a Ref<int32>)",
    );
  });
});

describe("atomic values", () => {
  it("have the sizes of Go's types, and the collector sees the pointer", () => {
    const T = struct("T", { b: atomic.Bool, n: atomic.Int64, p: atomic.Pointer(Node), i: atomic.Int32 });
    expect(T.fields.map((f) => [f.type.name, f.offset, f.type.size])).toEqual([
      ["atomic.Bool", 0, 4],
      ["atomic.Int64", 8, 8],
      ["atomic.Pointer[Node]", 16, 8],
      ["atomic.Int32", 24, 4],
    ]);
    expect([T.size, T.ptrdata, [...T.pointerMask()]]).toEqual([32, 24, [1 << 2]]);
    const { types } = testHeap();
    const t = types.newObject(T);
    t.p.store(types.newObject(Node, { value: 3 }));
    t.n.add(5n);
    expect([t.n.load(), t.p.load()?.value]).toEqual([5n, 3]);
    // A copy of the struct copies the values.
    const u = types.newObject(T, t);
    expect([u.n.load(), u.p.load()?.value]).toEqual([5n, 3]);
    expect(() => (t.n = hostile(5n))).toThrow("types: atomic.Int64 can't be assigned: use it where it lies");
  });

  it("of booleans load, store, swap and compare", () => {
    const { types } = testHeap();
    const b = types.newObject(atomic.Bool);
    expect([b.load(), b.swap(true), b.swap(true), b.load()]).toEqual([false, false, true, true]);
    expect([b.compareAndSwap(false, true), b.compareAndSwap(true, false), b.load()]).toEqual([
      false,
      true,
      false,
    ]);
    b.store(true);
    expect(b.load()).toBe(true);
    for (const v of [1, 0, null, "true"]) expect(() => b.store(hostile(v))).toThrow(TypeError);
    expect(() => b.compareAndSwap(hostile(1), true)).toThrow(TypeError);
  });

  it("may be recursive", () => {
    const List = struct("List", {
      value: int32,
      get next() {
        return atomic.Pointer(List);
      },
    });
    const { types } = testHeap();
    const a = types.newObject(List, { value: 1 });
    a.next.store(types.newObject(List, { value: 2 }));
    a.next.load()?.next.store(a);
    expect(a.next.load()?.next.load()?.value).toBe(1);
    expect(List.field("next").type.name).toBe("atomic.Pointer[List]");
  });

  it("are the same types on every thread", () => {
    const T = struct("AtomicParts", { n: atomic.Uint64, p: atomic.Pointer(Node) });
    expect(describeType(atomic.Pointer(int32))).toBe('[["opaque","atomic.Pointer",1],"int32"]');
    for (const t of [atomic.Int32, atomic.Bool, atomic.Pointer(int32), atomic.Pointer(T), T] as Type[]) {
      const text = internType(t);
      expect(describeType(typeFromDescription(text))).toBe(text);
    }
    const { types } = testHeap();
    const holder = types.newObject(pointer(atomic.Pointer(int32)));
    holder.value = types.newObject(typeFromDescription('[["opaque","atomic.Pointer",1],"int32"]')) as never;
    expect(() => (holder.value = types.newObject(atomic.Pointer(uint32)) as never)).toThrow(TypeError);
    for (const text of ['[["opaque","atomic.Pointer"]]', '[["opaque","atomic.Int32",0]]']) {
      expect(() => typeFromDescription(text)).toThrow("types: no module of this thread has made atomic.");
    }
  });
});
