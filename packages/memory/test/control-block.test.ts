import { describe, expect, it } from "vitest";
import { createLinearMemory } from "../src/index.ts";

const MiB = 1 << 20;

describe("control block", () => {
  it("gives out zeroed pieces until it is full", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    const a = mem.reserveControl(12);
    expect(mem.reserveControl(4)).toBe(a + 16);
    expect(() => mem.reserveControl(65536)).toThrow("control block is full");
  });
});
