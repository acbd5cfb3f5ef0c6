import { describe, expect, it } from "vitest";
import { type MemStats, newMemStats, readMemStats } from "../src/index.ts";
import { checkIdentities, IDENTITIES, modelSource } from "../src/testing.ts";

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
