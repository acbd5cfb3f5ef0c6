import { createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { REF_BLOCK_BYTES, RefTable } from "../src/reftable.ts";

const idle = { marking: false, shade() {} };

describe("the ref table", () => {
  it("hands out distinct slots, lowest first, and reuses freed ones", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const refs = new RefTable(mem, idle);
    const slots = Array.from({ length: 2000 }, (_, i) => refs.alloc(i + 1));
    expect(new Set(slots).size).toBe(2000);
    expect(slots[1]).toBe(slots[0]! + 8);
    expect(slots.map((s) => refs.get(s))).toEqual(slots.map((_, i) => i + 1));
    expect(refs.inuse).toBe(2000);
    refs.free(slots[5]!);
    expect(refs.inuse).toBe(1999);
    expect(refs.alloc(9)).toBe(slots[5]);
  });

  it("reads as nil wherever no slot is in use, so that a block can be scanned blindly", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const refs = new RefTable(mem, idle);
    const held = [11, 22, 33].map((v) => refs.alloc(v));
    refs.free(held[1]!);
    const found: number[] = [];
    for (let b = refs.firstBlock; b !== 0; b = refs.nextBlock(b)) {
      for (let a = b + 8; a < b + REF_BLOCK_BYTES; a += 8)
        if (mem.u32[a >>> 2] !== 0) found.push(mem.u32[a >>> 2]!);
    }
    expect(found).toEqual([11, 33]);
  });

  it("shades what is stored and what is freed while a cycle marks", () => {
    const shaded: number[] = [];
    const refs = new RefTable(createLinearMemory({ maxMemory: 64 << 20 }), {
      marking: true,
      shade: (p) => shaded.push(p),
    });
    refs.free(refs.alloc(64));
    expect(shaded).toEqual([64, 64]);
  });
});
