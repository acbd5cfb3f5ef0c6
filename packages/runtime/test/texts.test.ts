import { attachLinearMemory, createLinearMemory, type LinearMemory } from "@gort/memory";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Texts } from "../src/texts.ts";

/** Two threads' views of the texts of one memory. */
function two(): [Texts, Texts] {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const head = mem.persistentAlloc(8, 8, "otherSys");
  return [new Texts(mem, head), new Texts(attachLinearMemory(mem.memory!, { thread: 0 }), head)];
}

describe("texts", () => {
  it("have one number, whichever thread asks first", () => {
    const [a, b] = two();
    const n = a.numberOf("one");
    expect([a.numberOf("one"), b.numberOf("one")]).toEqual([n, n]);
    expect(b.numberOf("two")).not.toBe(n);
    expect([a.textOf(b.numberOf("two")), b.textOf(n)]).toEqual(["two", "one"]);
  });

  it("come back as they were, in any order of threads", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.string({ unit: "binary" }))), (asked) => {
        const [a, b] = two();
        const numbers = new Map<string, number>();
        for (const [first, text] of asked) {
          const n = (first ? a : b).numberOf(text);
          expect(numbers.get(text) ?? n).toBe(n);
          numbers.set(text, n);
          expect((first ? b : a).textOf(n)).toBe(text);
        }
        expect(new Set(numbers.values()).size).toBe(numbers.size);
      }),
    );
  });

  it("keep lone surrogates", () => {
    const [a, b] = two();
    expect(b.textOf(a.numberOf("\ud800x"))).toBe("\ud800x");
  });

  it("of another thread that adds at the same moment are found before a second one is made", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const head = mem.persistentAlloc(8, 8, "otherSys");
    const b = new Texts(mem, head);
    let n = 0;
    // Another thread adds the same text just before this one does.
    const cas = (addr: number, expected: number, value: number): number => {
      if (n === 0) {
        n = -1;
        n = b.numberOf("same");
      }
      return mem.kernel.cas(addr, expected, value);
    };
    const racing = Object.create(mem, { kernel: { value: { ...mem.kernel, cas } } }) as LinearMemory;
    expect(new Texts(racing, head).numberOf("same")).toBe(n);
  });

  it("that no thread has added are a RangeError", () => {
    const [a] = two();
    expect(() => a.textOf(4096)).toThrow("runtime: no text has the number 4096");
  });
});
