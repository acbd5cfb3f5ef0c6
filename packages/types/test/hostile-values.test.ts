import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addrOf, append, array, type Init, int, struct } from "../src/index.ts";
import { All, hostile, P, testHeap } from "./kit.ts";

// ---- the property ----

interface World {
  readonly types: ReturnType<typeof testHeap>["types"];
  readonly heap: ReturnType<typeof testHeap>["heap"];
  /** What a value's code may do. */
  act(what: number): void;
}

/** How a value of each kind is made, and whether it is one that fits. */
const good: Record<string, unknown> = {
  i: 5,
  b: 1,
  f: 1.5,
  s: "text of a length",
  raw: new Uint8Array([1, 2, 3]),
  grid: [1, 2, 3],
  names: ["a", "bc"],
  p: { x: 1 },
  list: [{ x: 1 }],
  c: { re: 1, im: 2 },
  ptr: null,
};

const bad: Record<string, unknown> = {
  i: 0.5,
  b: 200,
  f: "1",
  s: 5,
  raw: [1],
  grid: [1, 99999],
  names: ["a", 1],
  p: { x: "1" },
  list: [{ y: 1n }],
  c: { re: 1 },
  ptr: 3,
};

const part = fc.record({
  key: fc.constantFrom(...Object.keys(good)),
  wrong: fc.nat(3).map((n) => n === 0),
  getter: fc.boolean(),
  proxy: fc.boolean(),
  act: fc.nat(5),
  throws: fc.nat(15).map((n) => n === 0),
});

function build(
  w: World,
  parts: readonly {
    key: string;
    wrong: boolean;
    getter: boolean;
    proxy: boolean;
    act: number;
    throws: boolean;
  }[],
): object {
  const o = {};
  for (const { key, wrong, getter, act, throws } of parts) {
    const value = (wrong ? bad : good)[key];
    if (!getter) Object.defineProperty(o, key, { value, enumerable: true, configurable: true });
    else
      Object.defineProperty(o, key, {
        enumerable: true,
        configurable: true,
        get() {
          w.act(act);
          if (throws) throw new Error("mine");
          return value;
        },
      });
  }
  return parts.some((p) => p.proxy)
    ? new Proxy(o, {
        ownKeys: (t) => {
          w.act(parts[0].act);
          return Reflect.ownKeys(t);
        },
      })
    : o;
}

describe("objects that are no structs", () => {
  it("are not taken for empty ones", () => {
    const { types } = testHeap();
    const s = types.sliceOf(P, [{ x: 1 }]);
    for (const v of [[], [1], types.makeSlice(P, 1), types.unsafe.view(P), testHeap().types.newObject(P)]) {
      expect(() => s.set(0, hostile(v))).toThrow(/^types: value must be a P/);
      expect(() => types.newObject(P, hostile(v))).toThrow(/^types: value must be a P/);
    }
    expect(() => types.sliceOf(int, hostile(null))).toThrow(
      "types: sliceOf needs a list of values (got null)",
    );
    expect(() => types.toBytes(hostile({ length: 3, charCodeAt: () => 65 }))).toThrow(
      "types: toBytes needs a string (got Object)",
    );
    expect(() => types.toRunes(hostile([["a"]]))).toThrow("types: toRunes needs a string (got Array)");
  });
});

describe("any hostile value", () => {
  it("changes no byte outside of its target, and none at all when it is refused", () => {
    let stored = 0;
    let refused = 0;
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), fc.nat(3), (parts, way) => {
        const { heap, types } = testHeap();
        const Holder = struct("Holder", { before: int, it: All, after: int });
        const target = types.newObject(Holder, { before: 1, after: 2 });
        const s = types.makeSlice(All, 1, 3);
        const wide = s.slice(0, 3);
        const arr = types.newObject(array(All, 2));
        const neighbours = Array.from({ length: 8 }, (_, i) => types.newObject(All, { i, s: `n${i}` }));
        const w: World = {
          heap,
          types,
          act(what) {
            if (what === 0) target.release();
            else if (what === 1) s.release();
            else if (what === 2) arr.release();
            else if (what === 3) neighbours.push(types.newObject(All, { i: 77 }));
            else if (what === 4) scribble();
          },
        };
        // Stores by the value's own code count as the program's: they are repeated on the copy.
        let image = new Uint8Array(0);
        const base = addrOf(target);
        const scribble = (): void => {
          heap.mem.u8[addrOf(neighbours[0])] ^= 1;
          image[addrOf(neighbours[0])] ^= 1;
        };
        const value = build(w, parts);
        const places = [base + 8, s.$addr, s.$addr + All.size, addrOf(arr) + All.size];
        const end = base + heap.allocated;
        image = heap.mem.u8.slice(0, end);
        const alive = heap.liveRefs;
        let error: unknown = null;
        try {
          if (way === 0) target.it = hostile(value);
          else if (way === 1) s.set(0, value);
          else if (way === 2) append(s, value as Init<typeof All>).release();
          else arr.set(1, value);
        } catch (err) {
          error = err;
        }
        if (error === null) stored++;
        else refused++;
        const first = base;
        const changed: number[] = [];
        for (let a = first; a < end; a++) if (heap.mem.u8[a] !== image[a]) changed.push(a);
        if (error !== null) expect(changed).toEqual([]);
        else {
          const lo = places[way];
          expect(changed.filter((a) => a < lo || a >= lo + All.size)).toEqual([]);
        }
        // Nothing of a list that was made on the way is left rooted.
        expect(heap.liveRefs).toBeLessThanOrEqual(alive + neighbours.length - 8);
        expect(wide.length).toBe(3);
      }),
      { numRuns: 400 },
    );
    expect(stored).toBeGreaterThan(10);
    expect(refused).toBeGreaterThan(10);
  });
});
