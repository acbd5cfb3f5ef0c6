import { describe, expect, it, vi } from "vitest";
import { createLinearMemory } from "../src/index.ts";
import { beginChange, endChange, stableVersion, unchanged } from "../src/seqlock.ts";

/** A memory with a version word; `loads` runs before each load of that word, and may change it. */
function setUp(loads: (n: number) => void = () => {}) {
  const mem = createLinearMemory({ maxMemory: 64 << 20, shared: false });
  const version = mem.reserveControl(8);
  const { kernel } = mem;
  let n = 0;
  const load = (addr: number): number => {
    if (addr === version) {
      // A reader that never gives up would hang the test run.
      if (++n > 1_000_000) throw new Error("the reader does not give up");
      loads(n);
    }
    return kernel.load(addr);
  };
  Object.defineProperty(mem, "kernel", { value: { ...kernel, load } });
  return { mem, version, loads: () => n };
}

describe("a sequence lock", () => {
  it("is odd during a change, and shows a reader that a change has begun or passed", () => {
    const { mem, version } = setUp();
    const before = stableVersion(mem, version);
    expect([before & 1, unchanged(mem, version, before)]).toEqual([0, true]);
    beginChange(mem, version);
    expect(unchanged(mem, version, before)).toBe(false);
    expect(mem.u32[version >>> 2] & 1).toBe(1);
    endChange(mem, version);
    expect(unchanged(mem, version, before)).toBe(false);
    const after = stableVersion(mem, version);
    expect([after & 1, after === before, unchanged(mem, version, after)]).toEqual([0, false, true]);
  });

  it("makes a reader wait for the end of a change, spinning first and sleeping later", () => {
    for (const endsAt of [10, 5000]) {
      const { mem, version, loads } = setUp((n) => {
        if (n === endsAt) endChange(mem, version);
      });
      beginChange(mem, version);
      expect(stableVersion(mem, version) & 1).toBe(0);
      expect(loads()).toBe(endsAt);
    }
  });

  it("stops waiting for a writer that does not end its change within a second", () => {
    let now = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => (now += 0.5));
    try {
      const { mem, version } = setUp();
      beginChange(mem, version);
      expect(stableVersion(mem, version) & 1).toBe(1);
      expect(now).toBeGreaterThanOrEqual(1000);
      expect(now).toBeLessThan(1010);
    } finally {
      clock.mockRestore();
    }
  });
});
