/** The memory limit: what is mapped and holds physical pages goes back under it with the next span that is taken. */
import type { Addr } from "@gort/memory";
import { describe, expect, it, vi } from "vitest";
import { type Allocator, createAllocator, newHeapStats } from "../src/index.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

const KiB = 1 << 10;
const MiB = 1 << 20;
/** What is released at a time beyond the limit. */
const BATCH = 256 * KiB;

/** As the program sees it: Sys - HeapReleased. */
function mapped(a: Allocator): number {
  const stats = a.readStatsUnflushed(newHeapStats());
  return stats.sys - stats.heapReleased;
}

function heap(options: { limit?: number; maxMemory?: number; shared?: boolean } = {}): Allocator {
  const a = createAllocator({ maxMemory: options.maxMemory ?? 256 * MiB, seed: 3 });
  if (!a.mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
  a.setMemProfileRate(0);
  if (options.limit !== undefined) a.scavenger.memoryLimit = options.limit;
  return a;
}

function large(a: Allocator, n: number, bytes = MiB): Addr[] {
  return Array.from({ length: n }, () => a.mallocgc(bytes, 0, true));
}

const nothing = (): boolean => false;

describe("memory over the limit", () => {
  it("goes back with the first span that is taken after a spike", () => {
    const a = heap({ limit: 64 * MiB });
    large(a, 120);
    collectWith(a, nothing);
    expect(mapped(a)).toBeGreaterThan(120 * MiB);
    a.mallocgc(MiB, 0, true); // in pages that are resident: the heap does not grow
    expect(mapped(a)).toBeLessThanOrEqual(64 * MiB);
    expect(mapped(a)).toBeGreaterThan(64 * MiB - 2 * BATCH);
    verifyHeap(a);
    expect(a.scavenger.trace(false)).toMatch(/^scav 0 KiB work \(bg\), 5\d{4} KiB work \(eager\)/);
    expect(a.scavenger.assistNs).toBeGreaterThan(0);
  });

  it("is made up for while a spike lasts, as far as anything is free", () => {
    const a = heap({ limit: 64 * MiB });
    const spike = large(a, 60);
    const kept = new Set(spike.filter((_, k) => k % 2 === 0)); // no run for 2 MiB among the 30 MiB that become free
    collectWith(a, (p) => kept.has(p));
    for (let k = 0; k < 8; k++) {
      large(a, 1, 2 * MiB);
      expect(mapped(a)).toBeLessThanOrEqual(64 * MiB);
    }
    verifyHeap(a);
    for (const p of kept) a.mem.kernel.fill(p, 1, MiB);
    verifyHeap(a);
  });

  it("goes back when a small object takes a page from the page cache", () => {
    const a = heap({ limit: 40 * MiB });
    const spike = large(a, 60);
    collectWith(a, (p) => p === spike[0]);
    expect(mapped(a)).toBeGreaterThan(60 * MiB);
    a.mallocNoscan(64);
    expect(mapped(a)).toBeLessThanOrEqual(40 * MiB);
    verifyHeap(a);
  });

  it("goes back when a class takes a span that it has kept without objects", () => {
    const a = heap({ limit: 16 * MiB });
    for (let k = 0; k < 40 * KiB; k++) a.mallocNoscan(KiB);
    collectWith(a, nothing);
    const before = mapped(a);
    expect(before).toBeGreaterThan(40 * MiB);
    a.mallocNoscan(KiB);
    expect(mapped(a)).toBeLessThanOrEqual(16 * MiB);
    verifyHeap(a);
  });

  it("goes back when the collector or a stack takes pages", () => {
    for (const take of [(a: Allocator) => a.allocManual(4), (a: Allocator) => a.stackAlloc(64 * KiB)]) {
      const a = heap({ limit: 16 * MiB });
      large(a, 30);
      collectWith(a, nothing);
      take(a);
      expect(mapped(a)).toBeLessThanOrEqual(16 * MiB);
      verifyHeap(a);
    }
  });

  it("goes back when pages that had been released are used again", () => {
    const a = heap({ limit: 32 * MiB });
    const keep = large(a, 16)[0];
    collectWith(a, (p) => p === keep);
    a.freeOSMemory();
    a.scavenger.memoryLimit = mapped(a) + 4 * MiB;
    const { memoryLimit } = a.scavenger;
    let highest = 0;
    for (let k = 0; k < 64; k++) {
      const p = a.mallocgc(500 * KiB, 0, true);
      a.mem.kernel.fill(p, 1, 500 * KiB);
      highest = Math.max(highest, mapped(a));
      collectWith(a, (q) => q === keep || (k % 8 !== 0 && q === p));
    }
    expect(highest).toBeLessThanOrEqual(memoryLimit);
    verifyHeap(a);
  });

  it("goes back under a limit that is lowered beneath what is mapped, and not before a span is taken", () => {
    const a = heap();
    large(a, 50);
    collectWith(a, nothing);
    a.mallocgc(MiB, 0, true);
    const before = mapped(a);
    a.scavenger.memoryLimit = 20 * MiB;
    expect(mapped(a)).toBe(before);
    expect(a.scavenger.excess).toBe(before - 19 * MiB); // there is work for the background, too
    a.mallocNoscan(8 * KiB);
    expect(mapped(a)).toBeLessThanOrEqual(20 * MiB);
    a.scavenger.memoryLimit = Number.POSITIVE_INFINITY;
    expect(a.scavenger.excess).toBe(0);
    large(a, 50);
    expect(mapped(a)).toBeGreaterThan(50 * MiB);
  });

  it("wakes the background when a limit leaves it work, and only then", () => {
    const a = heap();
    let woken = 0;
    a.scavenger.wake = () => woken++;
    large(a, 20);
    collectWith(a, nothing);
    a.scavenger.memoryLimit = 30 * MiB;
    expect(woken).toBe(0);
    a.scavenger.memoryLimit = 10 * MiB;
    expect(woken).toBe(1);
    while (a.scavenger.background().released > 0);
    expect(mapped(a)).toBeLessThanOrEqual(9.5 * MiB);
    a.scavenger.memoryLimit = 10 * MiB;
    expect(woken).toBe(1);
  });

  it("goes back after a refused release, even if the refused pages were used meanwhile", () => {
    const a = heap({ limit: 8 * MiB });
    a.hooks.releaseRefused = () => {};
    large(a, 20);
    collectWith(a, nothing);
    const release = vi.spyOn(a.mem, "sysUnused").mockReturnValueOnce(false);
    const kept = a.mallocgc(MiB, 0, true);
    expect(mapped(a)).toBeGreaterThan(20 * MiB); // refused
    const others = large(a, 18);
    collectWith(a, (p) => p === kept || p === others[17]);
    a.mallocgc(MiB, 0, true);
    expect(mapped(a)).toBeLessThanOrEqual(8 * MiB);
    expect(release.mock.calls.length).toBeGreaterThan(1);
    verifyHeap(a);
  });

  it("counts for threads that attach to the heap as well", () => {
    const a = heap({ limit: 24 * MiB });
    a.share();
    const b = createAllocator({ memory: a.mem });
    expect(b.scavenger.memoryLimit).toBe(24 * MiB);
    large(a, 40);
    collectWith(a, nothing);
    b.mallocgc(MiB, 0, true);
    expect(mapped(a)).toBeLessThanOrEqual(24 * MiB);
    b.scavenger.memoryLimit = 12 * MiB;
    a.mallocgc(MiB, 0, true);
    expect(mapped(b)).toBeLessThanOrEqual(12 * MiB);
    b.flushAll();
    verifyHeap(a);
    b.close();
  });

  it("goes back when another thread's page cache has held it and gives it up", () => {
    for (const [scavenges, holds] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const a = heap();
      a.share();
      const threads = [a, createAllocator({ memory: a.mem })] as const;
      a.free(a.malloc(8 * MiB));
      threads[holds].mallocNoscan(4 * KiB); // the rest of its 64 pages is free, with physical memory
      a.scavenger.memoryLimit = 0;
      threads[scavenges].mallocgc(40 * KiB, 0, true);
      expect(a.heap.counter("heapFree")).toBe(63 * 8 * KiB);
      threads[holds].flushAll();
      for (const b of threads) b.mallocgc(40 * KiB, 0, true);
      expect(a.heap.counter("heapFree")).toBeLessThan(BATCH);
      verifyHeap(a);
    }
  });

  it("of blocks by hand goes back as well", () => {
    const a = heap({ limit: 16 * MiB });
    for (const p of Array.from({ length: 32 }, () => a.malloc(MiB))) a.free(p);
    a.malloc(MiB);
    expect(mapped(a)).toBeLessThanOrEqual(16 * MiB);
    verifyHeap(a);
  });
});

describe("memory within the limit", () => {
  it("stays, to the byte", () => {
    const a = heap();
    large(a, 20);
    collectWith(a, nothing);
    const release = vi.spyOn(a.mem, "sysUnused");
    a.scavenger.memoryLimit = mapped(a);
    a.mallocgc(MiB, 0, true);
    expect(release).not.toHaveBeenCalled();
    a.scavenger.memoryLimit = mapped(a) - 1;
    a.mallocgc(MiB, 0, true);
    expect(release).toHaveBeenCalledOnce();
    expect(mapped(a)).toBe(a.scavenger.memoryLimit + 1 - BATCH - 8 * KiB);
    // One page over the limit is released even if only two pages are free.
    const b = heap();
    const live = b.mallocgc(20 * MiB, 0, true);
    const holes = large(b, 16, 8 * KiB);
    b.scavenge(Number.POSITIVE_INFINITY);
    collectWith(b, (p) => p === live || !(p === holes[3] || p === holes[5]));
    b.scavenger.memoryLimit = mapped(b) - 8 * KiB;
    b.mallocNoscan(8 * KiB);
    expect(mapped(b)).toBeLessThanOrEqual(b.scavenger.memoryLimit);
    a.mallocgc(MiB, 0, true);
    expect(release).toHaveBeenCalledOnce();
  });

  it("is not looked at without a limit", () => {
    const a = heap();
    const looked = vi.spyOn(a.mem.stats, "sys", "get");
    for (let k = 0; k < 10_000; k++) a.mallocNoscan(KiB);
    large(a, 2);
    expect(looked).not.toHaveBeenCalled();
    a.scavenger.memoryLimit = 8 * MiB;
    looked.mockClear();
    large(a, 1);
    expect(looked).toHaveBeenCalled();
  });
});

describe("a limit below what is live", () => {
  /** 20 MiB are live under a limit of 8 MiB. Gives the calls of sysUnused that `work` leads to. */
  function releases(work: (a: Allocator, live: Addr) => void, refuse = false): number {
    const a = heap({ limit: 8 * MiB });
    const live = a.mallocgc(20 * MiB, 0, true);
    a.mem.kernel.fill(live, 7, 20 * MiB);
    a.hooks.releaseRefused = () => {};
    const release = vi.spyOn(a.mem, "sysUnused");
    if (refuse) release.mockReturnValue(false);
    work(a, live);
    expect([a.mem.u8[live], a.mem.u8[live + 20 * MiB - 1]]).toEqual([7, 7]);
    verifyHeap(a);
    return release.mock.calls.length;
  }

  it("asks nothing of the system while nothing becomes free", () => {
    expect(releases((a) => void large(a, 500, 10 * KiB))).toBe(0);
    expect(
      releases((a) => {
        for (let k = 0; k < 10_000; k++) a.mallocNoscan(KiB);
      }),
    ).toBe(0);
  });

  /** Objects of 512 KiB in all become free, again and again. */
  const churn = (a: Allocator, live: Addr): void => {
    for (let k = 0; k < 64; k++) {
      large(a, 16, 32 * KiB);
      collectWith(a, (p) => p === live);
    }
  };

  it("releases what became free, in pieces that are worth a call", () => {
    const calls = releases(churn);
    expect(calls).toBeGreaterThan(30);
    expect(calls).toBeLessThan(64 * 4);
  });

  it("tries once for what became free where the system refuses", () => {
    const calls = releases(churn, true);
    expect(calls).toBeGreaterThan(0);
    expect(calls).toBeLessThanOrEqual(64);
    // 10 MiB stay free: only the first span tries.
    const once = releases((a, live) => {
      large(a, 10);
      collectWith(a, (p) => p === live);
      large(a, 300, 32 * KiB);
    }, true);
    expect(once).toBe(1);
  });

  it("only counts where nothing can be released", () => {
    const a = createAllocator({ maxMemory: 64 * MiB, release: false });
    a.scavenger.memoryLimit = MiB;
    large(a, 20);
    collectWith(a, nothing);
    const before = a.readStats(newHeapStats()).heapReleased;
    large(a, 10);
    expect(a.readStats(newHeapStats()).heapReleased).toBe(before);
    expect(a.scavenger.trace(false)).toContain("0 KiB work (eager)");
    verifyHeap(a);
  });

  it("of 0 holds nothing up, and has all free pages returned in the background", () => {
    const a = heap({ limit: 0 });
    expect(a.scavenger.memoryLimit).toBe(0);
    large(a, 10);
    collectWith(a, nothing);
    expect(a.scavenger.excess).toBe(mapped(a) - 1);
    while (a.scavenger.background().released > 0);
    let stats = a.readStats(newHeapStats());
    expect(stats.heapReleased).toBe(stats.heapIdle);
    large(a, 10);
    collectWith(a, nothing);
    large(a, 1);
    stats = a.readStats(newHeapStats());
    expect(stats.heapIdle - stats.heapReleased).toBeLessThan(BATCH);
    verifyHeap(a);
  });
});
