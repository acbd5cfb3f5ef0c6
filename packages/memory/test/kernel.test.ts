import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLinearMemory, type Kernel, type LinearMemory } from "../src/index.ts";

const BASE = 16 << 20;
const WINDOW = 512;

function memories(shared: boolean): { wasm: LinearMemory; js: LinearMemory } {
  return {
    wasm: createLinearMemory({ maxMemory: 64 << 20, shared, kernel: "wasm" }),
    js: createLinearMemory({ maxMemory: 64 << 20, shared, kernel: "js" }),
  };
}

describe.each([true, false])("kernel over a memory with shared: %s", (shared) => {
  it("gives the same bytes and results from WebAssembly and from its TypeScript twin", () => {
    const { wasm, js } = memories(shared);
    expect([wasm.kernel.kind, js.kernel.kind]).toEqual(["wasm", "js"]);
    const at = fc.integer({ min: 0, max: WINDOW - 1 });
    const word = fc.integer({ min: 0, max: WINDOW / 4 - 1 }).map((k) => BASE + 4 * k);
    const value = fc.integer();
    const op = fc.oneof(
      fc.tuple(fc.constant("fill" as const), at, value, at),
      fc.tuple(fc.constant("zero" as const), at, value, at),
      fc.tuple(fc.constant("copy" as const), at, at, at),
      fc.tuple(fc.constantFrom("add" as const, "and" as const, "or" as const, "xchg" as const), word, value),
      fc.tuple(fc.constantFrom("load" as const, "store" as const), word, value),
      fc.tuple(fc.constant("cas" as const), word, value, fc.boolean()),
    );
    const apply = (k: Kernel, o: typeof op extends fc.Arbitrary<infer T> ? T : never): unknown => {
      switch (o[0]) {
        case "fill":
          return k.fill(BASE + o[1], o[2], Math.min(o[3], WINDOW - o[1]));
        case "zero":
          return k.zero(BASE + o[1], Math.min(o[3], WINDOW - o[1]));
        case "copy":
          return k.copy(BASE + o[1], BASE + o[2], Math.min(o[3], WINDOW - o[1], WINDOW - o[2]));
        case "load":
          return k.load(o[1]);
        case "store":
          return k.store(o[1], o[2]);
        case "cas":
          return k.cas(o[1], o[3] ? k.load(o[1]) : 1, o[2]);
        default:
          return k[o[0]](o[1], o[2]);
      }
    };
    fc.assert(
      fc.property(fc.array(op, { maxLength: 30 }), (ops) => {
        for (const o of ops) expect(apply(js.kernel, o)).toBe(apply(wasm.kernel, o));
        const bytes = (m: LinearMemory) => Array.from(m.u8.subarray(BASE - 8, BASE + WINDOW + 8));
        expect(bytes(js)).toEqual(bytes(wasm));
      }),
    );
  });

  it("refuses ranges outside of the memory", () => {
    for (const m of Object.values(memories(shared))) {
      expect(() => m.kernel.fill(m.size - 8, 1, 16)).toThrow();
      expect(() => m.kernel.copy(BASE, m.size - 8, 16)).toThrow();
      m.kernel.fill(m.size - 8, 1, 8);
      m.kernel.fill(m.size, 1, 0);
    }
  });
});

describe("kernel", () => {
  it("works at addresses above 2 GiB", () => {
    for (const kernel of ["wasm", "js"] as const) {
      const m = createLinearMemory({ kernel });
      const high = 2 ** 32 - 65536;
      m.kernel.fill(high + 3, 0x5a, 100);
      m.kernel.copy(high + 1000, high, 200);
      expect(m.view.getUint8(high + 1003)).toBe(0x5a);
      expect(m.view.getUint8(high + 1103)).toBe(0);
      m.kernel.store(high + 2000, -5);
      expect(m.kernel.add(high + 2000, 6)).toBe(-5);
      expect(m.u32[(high + 2000) >>> 2]).toBe(1);
      m.kernel.zero(high, 4096);
      expect(m.view.getUint8(high + 50)).toBe(0);
    }
  });
});
