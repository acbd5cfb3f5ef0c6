import { describe, expect, it } from "vitest";
import { createLinearMemory } from "../src/index.ts";
import { verifyMemory } from "../src/testing.ts";

const MiB = 1 << 20;

describe("persistentAlloc", () => {
  it("carves aligned zeroed pieces and moves their bytes from otherSys to their purpose", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    const other = mem.stats.otherSys;
    const a = mem.persistentAlloc(10, 8, "mspanSys");
    const b = mem.persistentAlloc(100, 64, "gcSys");
    expect(b % 64).toBe(0);
    expect(b).toBeGreaterThanOrEqual(a + 10);
    expect(mem.stats).toMatchObject({ mspanSys: 10, gcSys: 100, otherSys: other + 256 * 1024 - 110 });
    expect(mem.u8.subarray(a, b + 100).every((x) => x === 0)).toBe(true);
    verifyMemory(mem);
  });

  it("goes on at the high end when the low region is full, and gives 0 when nothing is left", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    mem.sysReserve(40 * MiB, 8);
    let p = 0;
    let high = 0;
    let total = 0;
    while ((p = mem.persistentAlloc(200_000, 8, "gcSys")) !== 0) {
      total += 200_000;
      if (p > 41 * MiB) high++;
    }
    expect(high).toBeGreaterThan(50);
    expect(mem.stats.gcSys).toBe(total);
    verifyMemory(mem);
  });

  it("rejects a size of 0, and an alignment that is no power of two", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    expect(() => mem.persistentAlloc(0, 8, "gcSys")).toThrow(RangeError);
    expect(() => mem.persistentAlloc(8, 12, "gcSys")).toThrow(RangeError);
  });
});
