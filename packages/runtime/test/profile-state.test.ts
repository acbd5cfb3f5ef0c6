/** The state of the profiler: the part that lies in the linear memory, and the rate, which the allocator owns. */
import { attachLinearMemory } from "@gort/memory";
import { ROOT_PROFILING } from "@gort/memory/internal";
import { BucketTable } from "@gort/profiling/internal";
import { describe, expect, it } from "vitest";
import { LinearArena } from "../src/heap.ts";
import { createRuntime, type Runtime } from "../src/index.ts";
import { closeAfterTest } from "./kit.ts";

const MEM_KIND = 1;

function newRuntime(): Runtime {
  const rt = createRuntime({ maxMemory: 64 << 20, shared: true, godebug: "", gogc: 100, stderr() {} });
  closeAfterTest(rt);
  return rt;
}

describe("the state of the profiles", () => {
  it("lies in the linear memory, where an attached memory finds buckets, counts and cycle", () => {
    const rt = newRuntime();
    rt.memProfileRate = 1;
    for (const size of [16, 32, 32]) rt.unsafe.mallocNoscan(size);
    const { buckets } = rt.profiler;
    expect(buckets.count(MEM_KIND)).toBeGreaterThan(0);

    const attached = attachLinearMemory(rt.memory.memory as never, { thread: 0 });
    expect(attached.root(ROOT_PROFILING)).not.toBe(0);
    const found = new BucketTable(new LinearArena(attached, false));
    expect(found.count(MEM_KIND)).toBe(buckets.count(MEM_KIND));
    expect(found.first(MEM_KIND)).toBe(buckets.first(MEM_KIND));
    const sizes: number[] = [];
    for (let b = found.first(MEM_KIND); b !== 0; b = found.nextOf(b)) {
      sizes.push(found.sizeOf(b));
      expect([...found.stackOf(b)]).toEqual([...buckets.stackOf(b)]);
    }
    expect(sizes).toEqual(expect.arrayContaining([16, 32]));

    expect(found.cycle).toBe(0);
    rt.gc();
    expect(found.cycle).toBeGreaterThan(0);
    expect(found.cycle).toBe(buckets.cycle);
    expect(found.flushed).toBe(true);
  });

  it("takes nothing of BuckHashSys before the first sample", () => {
    const rt = newRuntime();
    rt.memProfileRate = 0;
    const before = rt.readMemStats().BuckHashSys;
    rt.unsafe.mallocNoscan(1 << 20);
    rt.gc();
    expect(rt.readMemStats().BuckHashSys).toBe(before);
  });
});

describe("the rate of the memory profile", () => {
  it("is the allocator's, whichever object it is set through", () => {
    const rt = newRuntime();
    const rates = () => [rt.memProfileRate, rt.profiler.memProfileRate, rt.allocator.memProfileRate];
    expect(rates()).toEqual([524288, 524288, 524288]);
    rt.memProfileRate = 4096;
    expect(rates()).toEqual([4096, 4096, 4096]);
    rt.profiler.memProfileRate = 1;
    expect(rates()).toEqual([1, 1, 1]);
    const before = rt.profiler.memProfile(null, true).n;
    rt.unsafe.mallocNoscan(48);
    expect(rt.profiler.memProfile(null, true).n).toBe(before + 1);
    expect(() => (rt.memProfileRate = -1)).toThrow(/memProfileRate/);
    expect(rates()).toEqual([1, 1, 1]);
  });
});
