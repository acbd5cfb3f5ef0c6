import { describe, expect, it, vi } from "vitest";
import { createRuntime, type MemProfileRecord, type Runtime } from "../src/index.ts";
import { closeAfterTest } from "./kit.ts";

/** For each size: objects that the heap profile stands for, scaled as pprof does. */
function objectsBySize(rt: Runtime, rate: number): Map<number, number> {
  let profile: MemProfileRecord[] = [];
  for (let n = 64, ok = false; !ok; n *= 2) {
    const p = new Array<MemProfileRecord>(n).fill(null as never);
    const r = rt.memProfile(p, true);
    ok = r.ok;
    profile = p.slice(0, r.n);
  }
  const found = new Map<number, number>();
  for (const { AllocBytes, AllocObjects } of profile) {
    if (AllocObjects === 0) continue;
    const size = AllocBytes / AllocObjects;
    found.set(size, (found.get(size) ?? 0) + AllocObjects / (1 - Math.exp(-size / rate)));
  }
  return found;
}

describe("the heap profile", () => {
  it("says how much each of several goroutines allocated that run at once", {
    timeout: 60_000,
  }, async () => {
    const rate = 4096;
    const rt = createRuntime({
      maxMemory: 512 << 20,
      godebug: "",
      gogc: 100,
      stderr() {},
      seed: 1,
      memProfileBudget: 1,
    });
    closeAfterTest(rt);
    rt.memProfileRate = rate;
    const bytes = 24 << 20; // some 6,000 samples a goroutine
    const sizes = [64, 1024, 4096, 40_960];
    await rt.main(function* () {
      const ends = sizes.map((size) =>
        rt.go(function* () {
          for (let i = 0; i < bytes / size; i++) {
            rt.unsafe.mallocNoscan(size);
            if (i % 64 === 0) yield* rt.gosched();
          }
        }),
      );
      for (const g of ends) yield* g.done();
    });
    rt.gc();
    rt.gc();
    const found = objectsBySize(rt, rate);
    for (const size of sizes) {
      const part = (found.get(size) ?? 0) / Math.ceil(bytes / size);
      expect(Math.abs(part - 1), `${size} bytes: ${part}`).toBeLessThan(0.05);
    }
  });

  it("counts a sample as freed if the memory has no room to remember it", () => {
    const rt = createRuntime({ maxMemory: 64 << 20, godebug: "", gogc: "off", stderr() {} });
    closeAfterTest(rt);
    rt.memProfileRate = 1;
    vi.spyOn(rt.allocator, "addSpecial").mockReturnValueOnce(-1);
    rt.unsafe.mallocNoscan(1024);
    rt.unsafe.mallocNoscan(2048);
    rt.gc();
    expect(rt.memProfile(null, false).n).toBe(0);
    const p = new Array<MemProfileRecord | null>(4).fill(null);
    const { n } = rt.memProfile(p, true);
    const counts = p.slice(0, n).map((r) => [r?.AllocBytes, r?.FreeBytes]);
    expect(counts.sort()).toEqual([
      [1024, 1024],
      [2048, 2048],
    ]);
  });

  it("says what a short program holds, though its first stacks take V8 long", async () => {
    const size = 106_496; // of a size class
    const n = 480; // some 98 samples: a standard deviation of a tenth
    for (let round = 0; round < 4; round++) {
      const rt = createRuntime({ maxMemory: 256 << 20, godebug: "", gogc: -1, stderr() {} });
      closeAfterTest(rt);
      await rt.main(function* () {
        for (let i = 0; i < n; i++) rt.unsafe.mallocNoscan(size);
      });
      const part = (objectsBySize(rt, 512 * 1024).get(size) ?? 0) / n;
      expect(Math.abs(part - 1), `${part} of what was allocated`).toBeLessThan(0.5);
    }
  });
});
