import { createLinearMemory, type LinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator } from "../src/internal.ts";
import { TypeTable } from "../src/type-table.ts";

const newMemory = (): LinearMemory => createLinearMemory({ maxMemory: 64 << 20 });

/** Runs `before` ahead of the first cas of the memory's kernel. */
function beforeFirstCas(mem: LinearMemory, before: () => void): void {
  const { kernel } = mem;
  const cas: typeof kernel.cas = (addr, expected, value) => {
    Object.defineProperty(mem, "kernel", { value: kernel });
    before();
    return kernel.cas(addr, expected, value);
  };
  // persistentAlloc's lock has its own reference to the original cas.
  Object.defineProperty(mem, "kernel", { value: { ...kernel, cas } });
}

describe("the table of types", () => {
  it("gives equal types of a memory one address, whichever thread asks", () => {
    const a = createAllocator({ memory: newMemory() });
    a.share();
    const b = createAllocator({ memory: a.mem });
    const typ = a.newType(64, [0b101]);
    expect(b.newType(64, [0b101])).toBe(typ);
    expect(b.newType(64, new Uint32Array([0b101, 0]))).toBe(typ); // zero words at the end change nothing
    expect(new TypeTable(a.mem).newType(64, [0b101])).toBe(typ);
  });

  it("tells types apart by their size and by each word of their mask", () => {
    const table = new TypeTable(newMemory());
    // Many more types than lists, so that each comparison decides within some list.
    const masks = Array.from({ length: 200 }, (_, k) => [[k], [k, 1], [k, 2 ** 31], [k, 2 ** 31 + 1]]).flat();
    const all = [512, 520].flatMap((size) => masks.map((mask) => table.newType(size, mask)));
    expect(new Set(all).size).toBe(all.length);
    expect(all.every((typ) => table.has(typ))).toBe(true);
  });

  it("finds each of a thousand types again", () => {
    const mem = newMemory();
    const table = new TypeTable(mem);
    const all = Array.from({ length: 1000 }, (_, k) => table.newType(8 * k + 8, [1]));
    expect(new Set(all).size).toBe(1000);
    const other = new TypeTable(mem);
    expect(Array.from({ length: 1000 }, (_, k) => other.newType(8 * k + 8, [1]))).toEqual(all);
  });

  it("gives both threads one address if they make an equal type at the same time", () => {
    const mem = newMemory();
    const [table, other] = [new TypeTable(mem), new TypeTable(mem)];
    let theirs = 0;
    beforeFirstCas(mem, () => {
      theirs = other.newType(24, [7]);
    });
    expect(table.newType(24, [7])).toBe(theirs);
    expect(theirs).not.toBe(0);
  });

  it("keeps both types if another thread makes a type of the same list at the same time", () => {
    // More types than lists: some of them share a list with size 8.
    const sizes = Array.from({ length: 200 }, (_, k) => 16 + 8 * k);
    const mem = newMemory();
    const [table, other] = [new TypeTable(mem), new TypeTable(mem)];
    let theirs: number[] = [];
    beforeFirstCas(mem, () => {
      theirs = sizes.map((size) => other.newType(size, [1]));
    });
    const typ = table.newType(8, [1]);
    expect(other.newType(8, [1])).toBe(typ);
    expect(sizes.map((size) => table.newType(size, [1]))).toEqual(theirs);
  });
});
