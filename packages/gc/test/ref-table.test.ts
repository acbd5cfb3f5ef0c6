import { createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { REF_BLOCK_BYTES, RefTable } from "../src/ref-table.ts";

const idle = { marking: false, shade() {} };

describe("the ref table", () => {
  it("hands out distinct slots, lowest first, and reuses freed ones", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const refs = new RefTable(mem, idle);
    const slots = Array.from({ length: 2000 }, (_, i) => refs.alloc(i + 1));
    expect(new Set(slots).size).toBe(2000);
    expect(slots[1]).toBe(slots[0] + 8);
    expect(slots.map((s) => refs.get(s))).toEqual(slots.map((_, i) => i + 1));
    expect(refs.inuse).toBe(2000);
    refs.free(slots[5]);
    expect(refs.inuse).toBe(1999);
    expect(refs.alloc(9)).toBe(slots[5]);
  });

  it("takes one block for 511 slots, the newest block first, and refuses a slot when there is no memory", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const refs = new RefTable(mem, idle);
    const blocks = () => {
      const seen: number[] = [];
      for (let b = refs.firstBlock; b !== 0; b = refs.nextBlock(b)) seen.push(b);
      return seen;
    };
    expect(blocks()).toEqual([]);
    const slots = Array.from({ length: 511 }, () => refs.alloc(8));
    const [first] = blocks();
    expect([blocks(), slots[0], slots[510]]).toEqual([[first], first + 8, first + REF_BLOCK_BYTES - 8]);
    slots.push(refs.alloc(8));
    expect([blocks().length, blocks()[1]]).toEqual([2, first]);
    expect(slots[511]).toBe(blocks()[0] + 8);
    // Freed slots come again, the last one first, before any new one.
    refs.free(slots[3]);
    refs.free(slots[511]);
    expect([refs.alloc(1), refs.alloc(2), refs.alloc(3)]).toEqual([slots[511], slots[3], slots[511] + 8]);
    expect(() => refs.free((slots[511] + 16) as never)).toThrow(
      `gc: free of a ref slot that is not in use (got 0x${(slots[511] + 16).toString(16)})`,
    );
    mem.persistentAlloc = () => 0 as never;
    for (let k = 0; k < 509; k++) refs.alloc(8);
    expect(() => refs.alloc(8)).toThrow("out of memory");
    expect(refs.inuse).toBe(1022);
  });

  it("reads as nil wherever no slot is in use, so that a block can be scanned blindly", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const refs = new RefTable(mem, idle);
    const held = [11, 22, 33].map((v) => refs.alloc(v));
    refs.free(held[1]);
    const found: number[] = [];
    for (let b = refs.firstBlock; b !== 0; b = refs.nextBlock(b)) {
      for (let a = b + 8; a < b + REF_BLOCK_BYTES; a += 8)
        if (mem.u32[a >>> 2] !== 0) found.push(mem.u32[a >>> 2]);
    }
    expect(found).toEqual([11, 33]);
  });

  it("shades stored and freed pointers while a cycle marks", () => {
    const shaded: number[] = [];
    const refs = new RefTable(createLinearMemory({ maxMemory: 64 << 20 }), {
      marking: true,
      shade: (p) => shaded.push(p),
    });
    refs.free(refs.alloc(64));
    expect(shaded).toEqual([64, 64]);
  });
});
