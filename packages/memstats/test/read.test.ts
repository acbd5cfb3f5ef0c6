import { describe, expect, it } from "vitest";
import { type MemStats, newMemStats, readMemStats, type StatsSource } from "../src/index.ts";
import { modelSource } from "../src/testing.ts";

const empty: StatsSource = { fill() {} };

describe("readMemStats", () => {
  it("fills and returns its target, and keeps the rings and rows of the target", () => {
    const m = newMemStats();
    const { PauseNs, PauseEnd, BySize } = m;
    const row = BySize[5];
    const source = modelSource(1);
    source.step();
    source.collect(true);
    expect(readMemStats(source, m)).toBe(m);
    expect(m.PauseNs).toBe(PauseNs);
    expect(m.PauseEnd).toBe(PauseEnd);
    expect(m.BySize).toBe(BySize);
    expect(m.BySize[5]).toBe(row);
    expect(m.NumForcedGC).toBe(1);
  });

  it("leaves nothing of an earlier, richer snapshot in a reused target", () => {
    const m = newMemStats();
    const source = modelSource(2);
    for (let i = 0; i < 50; i++) source.step();
    source.collect(false);
    readMemStats(source, m);
    readMemStats(empty, m);
    expect(m).toEqual(newMemStats());
  });

  it("shares nothing between snapshots", () => {
    const source = modelSource(3);
    source.step();
    source.collect(true);
    const a = readMemStats(source);
    const before = structuredClone({ ...a });
    for (let i = 0; i < 50; i++) source.step();
    readMemStats(source);
    expect({ ...a }).toEqual(before);
  });

  it("counts a tiny object as malloc and free, and its bytes as the block's", () => {
    const m = readMemStats({
      fill(raw) {
        raw.classSizes[2] = 16;
        raw.smallAllocCount[2] = 1;
        raw.tinyAllocs = 3;
      },
    });
    expect([m.Mallocs, m.Frees, m.HeapObjects, m.TotalAlloc]).toEqual([4, 3, 1, 16]);
  });

  it("counts large objects in Mallocs and bytes, but in no size class", () => {
    const m = readMemStats({
      fill(raw) {
        raw.largeAllocCount = 2;
        raw.largeAllocBytes = 16 * 8192;
        raw.largeFreeCount = 1;
        raw.largeFreeBytes = 8 * 8192;
      },
    });
    expect([m.Mallocs, m.Frees, m.TotalAlloc, m.HeapAlloc]).toEqual([2, 1, 131072, 65536]);
    expect(m.BySize.every((b) => b.Mallocs === 0)).toBe(true);
  });

  it("adds work buffers to GCSys and the threads' own stacks to StackSys", () => {
    const m = readMemStats({
      fill(raw) {
        raw.gcSys = 100;
        raw.gcWorkBufInuse = 32768;
        raw.stackInuse = 8192;
        raw.osStackSys = 4096;
      },
    });
    expect([m.GCSys, m.StackSys, m.StackInuse, m.Sys]).toEqual([32868, 12288, 8192, 45156]);
  });

  it("fills a target whose setter reads statistics with one snapshot, and leaves that reader its own", () => {
    const source = modelSource(4);
    const inner = newMemStats();
    const m = newMemStats();
    Object.defineProperty(m, "TotalAlloc", {
      set() {
        for (let i = 0; i < 50; i++) source.step();
        source.collect(true);
        readMemStats(source, inner);
      },
      get: () => 0,
    });
    source.step();
    const before = readMemStats(source);
    readMemStats(source, m);
    const { TotalAlloc: _, ...rest } = before;
    expect(m).toMatchObject(rest);
    expect(inner).toEqual(readMemStats(source));
  });

  it("refuses a target that is not a MemStats", () => {
    const wrong = {} as MemStats;
    expect(() => readMemStats(empty, wrong)).toThrow(
      new TypeError("memstats: target must be a MemStats (got object)"),
    );
    expect(() => readMemStats(empty, null as unknown as MemStats)).toThrow(/got null/);
  });
});
