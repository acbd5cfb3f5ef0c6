import { describe, expect, it } from "vitest";
import { createLinearMemory } from "../src/index.ts";

const MiB = 1 << 20;

describe("the methods of a LinearMemory", () => {
  it("names an argument that is no number, and holds no lock afterwards", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB }) as never as Record<
      string,
      (...a: unknown[]) => void
    > & {
      stats: { add(...a: unknown[]): void };
    };
    expect(() => mem.persistentAlloc(8n, 8, "gcSys")).toThrow(/persistentAlloc needs a size.*got 8, 8/);
    expect(() => mem.persistentAlloc(8, 8n, "gcSys")).toThrow(/persistentAlloc needs a size.*got 8, 8/);
    expect(() => mem.reserveControl(8n)).toThrow("reserveControl needs a whole number of bytes (got 8n)");
    expect(() => mem.sysReserve(8n)).toThrow("sysReserve needs a whole number of bytes");
    expect(() => mem.sysMap(0n, 8, "gcSys")).toThrow("a range needs an address and bytes");
    expect(() => mem.stats.add("gcSys", 1n)).toThrow("stats.add needs a number of bytes (got 1)");
    expect(() => mem.persistentAlloc(8, 8, "gcSys")).not.toThrow();
  });
});
