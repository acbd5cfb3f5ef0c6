import { describe, expect, expectTypeOf, it } from "vitest";
import { type MemStats, newMemStats, readMemStats, type StatsSource } from "../src/index.ts";
import { checkIdentities, IDENTITIES, modelSource } from "../src/testing.ts";

const empty: StatsSource = { fill() {} };

describe("newMemStats", () => {
  it("is all zeros, with the collector enabled as Go always says", () => {
    const m = newMemStats();
    for (const [name, value] of Object.entries(m)) {
      if (typeof value === "number") expect(value, name).toBe(0);
    }
    expect(m.LastGC).toBe(0n);
    expect(m.EnableGC).toBe(true);
    expect(m.DebugGC).toBe(false);
  });

  it("has rings of 256 and 61 size classes", () => {
    const m = newMemStats();
    expect([m.PauseNs.length, m.PauseEnd.length, m.BySize.length]).toEqual([256, 256, 61]);
  });

  it("has bigints where a number would lose digits, numbers elsewhere", () => {
    expectTypeOf<MemStats["LastGC"]>().toEqualTypeOf<bigint>();
    expectTypeOf<MemStats["HeapAlloc"]>().toEqualTypeOf<number>();
    expectTypeOf<MemStats["PauseEnd"][number]>().toEqualTypeOf<bigint>();
    expectTypeOf<MemStats["PauseNs"][number]>().toEqualTypeOf<number>();
    expectTypeOf<MemStats["EnableGC"]>().toEqualTypeOf<boolean>();
  });
});

describe("readMemStats", () => {
  it("fills and returns the target that it is given, and keeps its rings and rows", () => {
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

  it("refuses a target that is not a MemStats", () => {
    const wrong = {} as MemStats;
    expect(() => readMemStats(empty, wrong)).toThrow(
      new TypeError("memstats: target must be a MemStats (got object)"),
    );
    expect(() => readMemStats(empty, null as unknown as MemStats)).toThrow(/got null/);
  });
});

describe("checkIdentities", () => {
  it("holds for a working source over wrapped rings", () => {
    const source = modelSource(4);
    const m = newMemStats();
    let previous: MemStats | undefined;
    for (let i = 0; i < 600; i++) {
      source.step();
      if (i % 2 === 0) source.collect(i % 4 === 0);
      readMemStats(source, m);
      expect(
        checkIdentities(m, { gogc: 100, now: source.now, ...(previous === undefined ? {} : { previous }) }),
      ).toEqual([]);
      previous = readMemStats(source);
    }
    expect(m.NumGC).toBeGreaterThan(256);
  });

  /** For each relation a change that breaks it. */
  const spoil: Record<string, (m: MemStats, p: MemStats) => void> = {
    alloc: (m) => m.Alloc++,
    sys_sum: (m) => m.Sys++,
    heap_sys: (m) => m.HeapIdle++,
    objects: (m) => m.Mallocs++,
    released: (m) => (m.HeapReleased = m.HeapIdle + 1),
    inuse: (m) => (m.HeapInuse = m.HeapAlloc - 1),
    stack_sys: (m) => (m.StackInuse = m.StackSys + 1),
    mspan: (m) => (m.MSpanInuse = m.MSpanSys + 1),
    mcache: (m) => (m.MCacheInuse = m.MCacheSys + 1),
    total_ge_alloc: (m) => (m.TotalAlloc = m.HeapAlloc - 1),
    mono_total: (_, p) => p.Mallocs++,
    mono_meta: (_, p) => p.MSpanSys++,
    constants: (m) => (m.EnableGC = false),
    forced: (m) => (m.NumForcedGC = m.NumGC + 1),
    last_gc: (m) => m.LastGC++,
    last_gc_past: (m) => (m.LastGC = 1n << 62n),
    pause_pos: (m) => (m.PauseNs[m.NumGC - 1] = 0),
    pause_total: (m) => m.PauseTotalNs++,
    pause_total_wrapped: (m) => (m.PauseTotalNs = 0),
    pause_unused: (m) => (m.PauseNs[255] = 1),
    pause_ring_order: (m) => (m.PauseEnd[0] = 1n << 62n),
    fraction: (m) => (m.GCCPUFraction = 1),
    bysize_sizes: (m) => m.BySize[7].Size++,
    bysize_zero: (m) => m.BySize[0].Mallocs++,
    bysize_frees: (m) => (m.BySize[9].Frees = m.BySize[9].Mallocs + 1),
    bysize_mallocs_sum: (m) => (m.BySize[9].Mallocs = m.Mallocs + 1),
    bysize_bytes: (m) => (m.BySize[60].Mallocs += 1e9),
    pages: (m) => m.HeapInuse++,
    stack_pages: (m) => m.StackInuse++,
    released_pages: (m) => (m.HeapReleased = 1),
    next_gc_min: (m) => (m.NextGC = 1),
    counters: (m) => (m.OtherSys += 0.5),
  };

  it.each(IDENTITIES.map((i) => i.name))("notices when %s is broken", (name) => {
    const source = modelSource(5);
    for (let i = 0; i < 10; i++) source.step();
    source.collect(true);
    source.collect(false);
    const m = readMemStats(source);
    const previous = readMemStats(source);
    spoil[name](m, previous);
    const broken = checkIdentities(m, { previous, gogc: 100, now: source.now });
    expect(broken.map((b) => b.split(":")[0])).toContain(name);
  });
});
