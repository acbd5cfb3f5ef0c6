import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { collectHostUntil } from "../../../vitest.hostgc.ts";
import { declaredAs, declaredEntries } from "../src/declared.ts";
import * as t from "../src/index.ts";
import {
  array,
  bool,
  createBumpHeap,
  createTypes,
  float64,
  identical,
  int,
  int8,
  pointer,
  type StructType,
  slice,
  string,
  struct,
  type Type,
} from "../src/index.ts";
import { OpaqueType } from "../src/opaque.ts";

import { describeType, internType, typeFromDescription } from "../src/type-identity.ts";
import { Mixed, Node, thrown } from "./kit.ts";

/** A thread of its own has module instances of its own: so has a second import after resetModules. */
async function otherThread() {
  vi.resetModules();
  const index = await import("../src/index.ts");
  const identity = await import("../src/type-identity.ts");
  return { ...index, ...identity };
}

afterEach(() => {
  vi.resetModules();
});

/** A name that no other test uses: declared types are found by name. */
let made = 0;
const fresh = (): string => `T${++made}`;

describe("describeType", () => {
  it("writes the parts of a type in the order of a walk from the type", () => {
    expect(describeType(int)).toBe('["int"]');
    expect(describeType(Node)).toBe('[["struct","Node",["value",1],["next",2]],"int",["pointer",0]]');
    expect(describeType(array(slice(bool), 3))).toBe('[["array",3,1],["slice",2],"bool"]');
    expect(describeType(struct('a "b"\n\ud800', { "c:d": int8 }))).toBe(
      '[["struct","a \\"b\\"\\n\\ud800",["c:d",1]],"int8"]',
    );
    expect(describeType(struct("Empty", {}))).toBe('[["struct","Empty"]]');
  });

  it("gives types that lead back to themselves one text, however many parts repeat", () => {
    const P1: Type = pointer(() => P1);
    const Even: Type = pointer(() => Odd);
    const Odd: Type = pointer(() => Even);
    expect([P1, Even, Odd].map(describeType)).toEqual(Array(3).fill('[["pointer",0]]'));
    const S1: Type = slice(() => S1);
    expect(describeType(S1)).toBe('[["slice",0]]');
    // A list whose nodes are two declarations of one name is the list of one declaration.
    const A: StructType = struct("L", { n: int, next: pointer((): Type => B) });
    const B: StructType = struct("L", { n: int, next: pointer((): Type => A) });
    const One: StructType = struct("L", { n: int, next: pointer((): Type => One) });
    expect(describeType(A)).toBe(describeType(One));
    const C: StructType = struct("L", { n: int8, next: pointer((): Type => A) });
    expect(describeType(C)).not.toBe(describeType(One));
  });

  it("tells apart names, order and types of fields, and lengths", () => {
    const texts = [
      struct("A", { x: int, y: int }),
      struct("B", { x: int, y: int }),
      struct("A", { y: int, x: int }),
      struct("A", { x: int, z: int }),
      struct("A", { x: int, y: float64 }),
      struct("A", { x: int }),
      array(int, 2),
      array(int, 3),
      pointer(int),
      slice(int),
      t.bytes,
      slice(t.uint8),
      string,
    ].map(describeType);
    expect(new Set(texts).size).toBe(texts.length);
  });

  it("refuses a type that never ends, and passes on the error of a thunk", () => {
    const endless = (): Type => pointer(endless);
    expect(() => describeType(endless())).toThrow(/^types: .* has more than 10000 types as parts$/);
    let ready = false;
    const late = struct("Late", {
      get p() {
        if (!ready) throw new Error("not yet");
        return pointer(int);
      },
    });
    expect(() => describeType(pointer(late))).toThrow("not yet");
    ready = true;
    expect(describeType(pointer(late))).toBe('[["pointer",1],["struct","Late",["p",2]],["pointer",3],"int"]');
  });
});

describe("typeFromDescription", () => {
  it("finds the struct that the other thread has declared, also inside of other types", async () => {
    const other = await otherThread();
    const There = other.struct("Node", {
      value: other.int,
      get next() {
        return other.pointer(There);
      },
    });
    expect(other.typeFromDescription(describeType(Node))).toBe(There);
    const list = other.typeFromDescription(
      describeType(slice(pointer(Node))),
    ) as typeof other.SliceType.prototype;
    expect(other.identical(list, other.slice(other.pointer(There)))).toBe(true);
    const City = other.typeFromDescription(describeType(struct("City", { first: Node }))) as StructType;
    expect(City.field("first").type).toBe(There);
  });

  it("makes a type that works as a declared one where none is declared", async () => {
    const other = await otherThread();
    const Built = other.typeFromDescription(describeType(Mixed)) as unknown as typeof Mixed;
    const Genuine = Mixed as Type;
    for (const key of ["name", "kind", "size", "align", "ptrdata"] as const)
      expect(Built[key]).toBe(Genuine[key]);
    expect(Built.pointerMask()).toEqual(Mixed.pointerMask());
    expect(Built.fields.map((f) => [f.name, f.type.name, f.offset])).toEqual(
      Mixed.fields.map((f) => [f.name, f.type.name, f.offset]),
    );
    const types = other.createTypes(other.createBumpHeap());
    const m = types.newObject(Built, { name: "x", at: { x: 1, y: 2 }, grid: [[1, 2], [3]], list: [4, 5] });
    m.list = other.append(m.list, 6);
    expect(JSON.parse(JSON.stringify(m))).toMatchObject({
      name: "x",
      at: { x: 1, y: 2 },
      grid: [
        [1, 2],
        [3, 0],
      ],
      list: [4, 5, 6],
    });
  });

  it("gives one type for one text, which is the type that was described first", () => {
    const name = fresh();
    const A = struct(name, { x: int });
    const B = struct(name, { x: int });
    expect(internType(B)).toBe(describeType(A));
    expect(typeFromDescription(describeType(A))).toBe(B);
    const text = describeType(pointer(A));
    expect(typeFromDescription(text)).toBe(typeFromDescription(text));
    expect(identical(typeFromDescription(text), pointer(B))).toBe(true);
  });

  it("takes the first of two declarations, and skips one whose thunk fails", async () => {
    const name = fresh();
    const text = describeType(struct(name, { p: pointer(int) }));
    const other = await otherThread();
    other.struct(name, {
      get p(): Type {
        throw new ReferenceError("the module has not loaded yet");
      },
    });
    other.struct(name, { q: other.pointer(other.int) });
    const First = other.struct(name, { p: other.pointer(other.int) });
    other.struct(name, { p: other.pointer(other.int) });
    expect(other.typeFromDescription(text)).toBe(First);
  });

  it("finds an opaque type by its name, and says so if the thread has not loaded it", async () => {
    const name = fresh();
    const lock = new OpaqueType(name, 8, 4, () => ({}));
    const Guarded = struct(fresh(), { mu: lock, n: int });
    const text = describeType(Guarded);
    expect(describeType(pointer(lock))).toBe(`[["pointer",1],["opaque","${name}"]]`);
    const other = await otherThread();
    const missing = `types: no module of this thread has made ${name}: import it here too`;
    expect(() => other.typeFromDescription(text)).toThrow(new TypeError(missing));
    const { OpaqueType: TheirOpaque } = await import("../src/opaque.ts");
    const theirs = new TheirOpaque(name, 8, 4, () => ({}));
    // A failure leaves nothing behind that would fail again.
    const Found = other.typeFromDescription(text) as StructType;
    expect([Found.field("mu").type, Found.size]).toEqual([theirs, Guarded.size]);
  });

  it("refuses a text that describes no type", () => {
    for (const text of [
      "",
      "{}",
      "[]",
      "[1]",
      '["nothing"]',
      '["struct"]',
      '[["pointer"]]',
      '[["pointer",1]]',
      '[["pointer",-1]]',
      '[["pointer",0,0]]',
      '[["array",3,0]]',
      '[["array",-1,1],"int"]',
      '[["array",1.5,1],"int"]',
      '[["array",3,1],["array",2,0]]',
      '[["array",3]]',
      '[["map",0,0]]',
      '[["opaque",0]]',
      '[["opaque","a","b"]]',
      '[["struct"]]',
      '[["struct","A",["x"]]]',
      '[["struct","A",["x",0]]]',
      '[["struct","A",["x",1],["x",1]],"int"]',
      '[["struct","A",[1,1]],"int"]',
      '["int","int"]',
      '[["pointer",1],["pointer",0]]',
      ' ["int"]',
    ]) {
      expect(
        thrown(() => typeFromDescription(text)),
        text,
      ).toBeInstanceOf(TypeError);
    }
  });
});

describe("structs that crossed threads", () => {
  it("are one type if they are declared twice with one name and the same fields; others are not", () => {
    const name = fresh();
    const A = struct(name, { x: int, p: pointer(int) });
    const B = struct(name, { x: int, p: pointer(int) });
    const C = struct(name, { x: int, p: pointer(int8) });
    const Holder = struct(fresh(), { to: pointer(A), list: slice(A) });
    const types = createTypes(createBumpHeap());
    const h = types.newObject(Holder);
    const b = types.newObject(B, { x: 4 });
    expect(() => (h.to = b as never)).toThrow(TypeError);
    const text = internType(pointer(A));
    expect(identical(A, B)).toBe(false);
    typeFromDescription(text);
    expect([identical(A, B), identical(B, A), identical(A, C), identical(pointer(B), pointer(A))]).toEqual([
      true,
      true,
      false,
      true,
    ]);
    h.to = b;
    h.list = types.sliceOf(B, [{ x: 7 }]);
    expect([h.to?.x, h.list.get(0).x]).toEqual([4, 7]);
    expect(() => (h.to = types.newObject(C) as never)).toThrow(TypeError);
  });

  it("are one with a declaration that a module makes later", async () => {
    const text = describeType(Node);
    const other = await otherThread();
    const Built = other.typeFromDescription(text);
    const Late = other.struct("Node", {
      value: other.int,
      get next() {
        return other.pointer(Late);
      },
    });
    expect(other.typeFromDescription(text)).toBe(Built);
    expect(other.identical(Built, Late)).toBe(true);
  });
});

describe("declared structs", () => {
  it("are found by name in order, and forgotten when V8 has collected them", async () => {
    const name = fresh();
    const A = struct(name, { x: int });
    const B = struct(name, { y: int });
    expect(declaredAs(name)).toEqual([A, B]);
    expect(declaredAs(fresh())).toEqual([]);
    const gone = fresh();
    for (let i = 0; i < 100; i++) struct(gone, { x: int });
    await collectHostUntil(() => declaredAs(gone).length === 0);
    const entries = declaredEntries();
    expect(entries).toBeGreaterThan(100);
    // Every entry is paid for by a look at it: before as many again are made, the dead ones have gone.
    const kept = Array.from({ length: entries + 65 }, () => struct(fresh(), { x: int }));
    expect(declaredEntries()).toBeLessThan(entries + kept.length - 99);
    expect(declaredAs(name)).toEqual([A, B]);
  });
});

// ---- random types

/** A schema: structs whose fields are expressions. "in" contains a struct by value, of a lower number. */
type Expr =
  | { readonly k: "scalar"; readonly i: number }
  | { readonly k: "pointer" | "slice"; readonly of: Expr }
  | { readonly k: "array"; readonly n: number; readonly of: Expr }
  | { readonly k: "struct"; readonly i: number };
interface Schema {
  readonly structs: readonly { readonly name: string; readonly fields: readonly Expr[] }[];
  readonly root: Expr;
}

const scalars = [int, int8, bool, float64, string, t.bytes, t.complex64];

/** Expressions over `n` structs; by value only those below `below`. */
function expr(n: number, below: number): fc.Arbitrary<Expr> {
  const scalar = fc.record({ k: fc.constant("scalar" as const), i: fc.nat(scalars.length - 1) });
  const struct = (max: number): fc.Arbitrary<Expr> =>
    max === 0 ? scalar : fc.record({ k: fc.constant("struct" as const), i: fc.nat(max - 1) });
  return fc.letrec<{ value: Expr; target: Expr }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      scalar,
      struct(below),
      fc.record({ k: fc.constantFrom("pointer" as const, "slice" as const), of: tie("target") }),
      fc.record({ k: fc.constant("array" as const), n: fc.nat(3), of: tie("value") }),
    ),
    target: fc.oneof({ maxDepth: 3 }, struct(n), tie("value")),
  })).value;
}

const schema: fc.Arbitrary<Schema> = fc.integer({ min: 1, max: 4 }).chain((n) =>
  fc.record({
    structs: fc.tuple(
      ...Array.from({ length: n }, (_, i) =>
        fc.record({ name: fc.constantFrom("A", "B"), fields: fc.array(expr(n, i), { maxLength: 3 }) }),
      ),
    ),
    root: expr(n, n),
  }),
);

/** The types of a schema. `copies` structs of each declaration are used in turn: they unfold to the same tree. */
function realise({ structs, root }: Schema, copies: number): Type {
  const made = structs.map(() => [] as StructType[]);
  let turn = 0;
  const build = (e: Expr): Type => {
    if (e.k === "scalar") return scalars[e.i];
    if (e.k === "struct") return made[e.i][turn++ % copies];
    if (e.k === "array") return array(build(e.of), e.n);
    return e.k === "pointer" ? pointer(() => build(e.of)) : slice(() => build(e.of));
  };
  structs.forEach(({ name, fields }, i) => {
    for (let c = 0; c < copies; c++)
      made[i].push(struct(name, Object.fromEntries(fields.map((e, k) => [`f${k}`, () => build(e)]))));
  });
  return build(root);
}

/** The schema with another scalar instead of the one that a walk meets as number `at`; the same if there are fewer. */
function tweaked({ structs, root }: Schema, at: number): Schema {
  let left = at;
  const walk = (e: Expr): Expr => {
    if (e.k === "struct") return e;
    if (e.k !== "scalar") return { ...e, of: walk(e.of) };
    return left-- === 0 ? { k: "scalar", i: (e.i + 1) % scalars.length } : e;
  };
  return { structs: structs.map((s) => ({ name: s.name, fields: s.fields.map(walk) })), root: walk(root) };
}

/** Whether two types unfold to the same tree: the definition, without any cleverness. */
function alike(a: Type, b: Type, assumed = new Set<string>(), ids = new Map<Type, number>()): boolean {
  for (const x of [a, b]) if (!ids.has(x)) ids.set(x, ids.size);
  const key = `${ids.get(a)},${ids.get(b)}`;
  if (assumed.has(key)) return true;
  assumed.add(key);
  if (a.kind !== b.kind) return false;
  if (a instanceof t.StructType && b instanceof t.StructType) {
    const other = b.fields;
    return (
      a.name === b.name &&
      a.fields.length === other.length &&
      a.fields.every((f, i) => f.name === other[i].name && alike(f.type, other[i].type, assumed, ids))
    );
  }
  if (a instanceof t.ArrayType && b instanceof t.ArrayType && a.length !== b.length) return false;
  if (a instanceof t.ScalarType) return true;
  const elem = (x: Type): Type => (x as t.PointerType).elem;
  return alike(elem(a), elem(b), assumed, ids);
}

describe("random types", () => {
  it("have one text if and only if they unfold to the same tree", () => {
    fc.assert(
      fc.property(schema, schema, fc.nat(5), (s1, s2, at) => {
        const a = realise(s1, 1);
        expect(describeType(realise(s1, 3))).toBe(describeType(a));
        for (const s of [s2, tweaked(s1, at)]) {
          const b = realise(s, 1);
          expect(describeType(a) === describeType(b)).toBe(alike(a, b));
        }
      }),
      { numRuns: 400 },
    );
  });

  it("come back from their text on a thread that knows all, some or none of their structs", async () => {
    const other = await otherThread();
    fc.assert(
      fc.property(schema, (s) => {
        const a = realise(s, 2);
        const text = describeType(a);
        const b = other.typeFromDescription(text);
        expect(other.describeType(b)).toBe(text);
        expect([b.name, b.size, b.align, b.ptrdata]).toEqual([a.name, a.size, a.align, a.ptrdata]);
        expect(b.pointerMask()).toEqual(a.pointerMask());
        expect(other.typeFromDescription(text)).toBe(b);
        expect(identical(typeFromDescription(text), a)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});
