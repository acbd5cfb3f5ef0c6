import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { createAllocator, newHeapStats } from "../src/index.ts";
import { gcPercentScavengeGoal, memoryLimitScavengeGoal } from "../src/internal.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

const onLinux = process.platform === "linux";
const rss = (): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;

describe("scavenging", () => {
  // VmRSS is Linux's; release itself is tested wherever canRelease.
  it.runIf(onLinux)("lowers the process's resident memory by what HeapReleased says, within 5 %", () => {
    const a = createAllocator({ maxMemory: 512 << 20 });
    if (!a.mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
    const n = 200 << 20;
    const p = a.mallocgc(n, 0, true);
    a.mem.kernel.fill(p, 1, n);
    collectWith(a, () => false);
    const before = a.readStats(newHeapStats()).heapReleased;
    const resident = rss();
    expect(a.freeOSMemory()).toBe(n);
    const released = a.readStats(newHeapStats()).heapReleased - before;
    expect(released).toBe(n);
    expect(Math.abs(resident - rss() - released)).toBeLessThan(0.05 * released);
    verifyHeap(a);
  });

  it("returns the highest free pages first and stops when it has returned enough", () => {
    const a = createAllocator({ maxMemory: 128 << 20 });
    if (!a.mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
    const blocks = Array.from({ length: 16 }, () => a.mallocgc(1 << 20, 0, true));
    const keep = new Set(blocks.filter((_, i) => i % 4 === 3));
    for (const p of blocks) a.mem.kernel.fill(p, 1, 1 << 20);
    collectWith(a, (p) => keep.has(p));
    expect(a.scavenge(1 << 20)).toBe(1 << 20);
    verifyHeap(a);
    expect(a.mem.u8[blocks[14] as number]).toBe(0); // dropped
    expect(a.mem.u8[blocks[0] as number]).toBe(1); // not yet
    expect(a.scavenge(Number.POSITIVE_INFINITY)).toBe(11 << 20);
    expect(a.scavenge(Number.POSITIVE_INFINITY)).toBe(0);
    verifyHeap(a);
    for (const p of keep) expect(a.mem.u8[p + 77]).toBe(1);
    const q = a.mallocgc(3 << 20, 0, false); // known zero: not cleared
    expect(a.mem.u8[q + 12345]).toBe(0);
    verifyHeap(a);
  });

  it("of a heap that never had a page returns nothing, least of all its tables", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    if (!a.mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
    expect(a.freeOSMemory()).toBe(0);
    expect(a.scavenge(1 << 20)).toBe(0);
    verifyHeap(a);
    expect(() => a.mallocgc(1 << 30, 0, true)).toThrow("out of memory"); // takes back what threads have put aside, too
    expect(a.freeOSMemory()).toBe(0);
    a.free(a.malloc(64));
    verifyHeap(a);
  });

  it("keeps HeapReleased honest when the operating system refuses, and reports it once", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    if (!a.mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
    const refused: [number, number][] = [];
    a.hooks.releaseRefused = (addr, n) => refused.push([addr, n]);
    const p = a.mallocgc(2 << 20, 0, true);
    a.mem.kernel.fill(p, 1, 2 << 20);
    collectWith(a, () => false);
    const before = a.readStats(newHeapStats());
    const release = vi.spyOn(a.mem, "sysUnused").mockReturnValue(false);
    expect(a.freeOSMemory()).toBe(0);
    expect(refused).toHaveLength(1);
    expect(a.scavenge(1 << 20)).toBe(0);
    expect(release).toHaveBeenCalledTimes(2);
    expect(refused).toEqual([[p, 2 << 20]]);
    const after = a.readStats(newHeapStats());
    expect(after.heapReleased).toBe(before.heapReleased);
    expect(after.heapIdle).toBe(before.heapIdle);
    verifyHeap(a);
    release.mockRestore();
    expect(a.freeOSMemory()).toBe(2 << 20);
    expect(refused).toHaveLength(1);
    verifyHeap(a);
  });

  it("reports a refusal once for all threads of the heap", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    const b = createAllocator({ memory: a.mem });
    const refused: string[] = [];
    a.hooks.releaseRefused = () => refused.push("a");
    b.hooks.releaseRefused = () => refused.push("b");
    a.free(a.malloc(2 << 20));
    const release = vi.spyOn(a.mem, "sysUnused").mockReturnValue(false);
    expect([b.freeOSMemory(), a.freeOSMemory(), b.freeOSMemory()]).toEqual([0, 0, 0]);
    expect(release).toHaveBeenCalledTimes(3);
    expect(refused).toEqual(["b"]);
  });

  it("releases nothing, and says so, where it is turned off", () => {
    const a = createAllocator({ maxMemory: 64 << 20, release: false });
    const p = a.mallocgc(1 << 20, 0, true);
    a.mem.kernel.fill(p, 1, 1 << 20);
    collectWith(a, () => false);
    const before = a.readStats(newHeapStats()).heapReleased;
    expect(a.freeOSMemory()).toBe(0);
    expect(a.readStats(newHeapStats()).heapReleased).toBe(before);
    const q = a.mallocgc(1 << 20, 0, true);
    expect(q).toBe(p);
    expect(a.mem.u8[q + 5]).toBe(0);
  });
});

const MiB = 1 << 20;

describe("scavenge goals", () => {
  it("retain what was in use, scaled by how the heap goal moved, and a tenth", () => {
    const pace = { heapGoal: 20 * MiB, lastHeapGoal: 40 * MiB, lastHeapInUse: 50 * MiB };
    expect(gcPercentScavengeGoal(pace, 100 * MiB, 4096)).toBe(27.5 * MiB);
    expect(gcPercentScavengeGoal(pace, 27 * MiB, 4096)).toBe(Number.POSITIVE_INFINITY);
    expect(gcPercentScavengeGoal({ ...pace, lastHeapGoal: 0 }, 100 * MiB, 4096)).toBe(
      Number.POSITIVE_INFINITY,
    );
  });

  it("are whole pages, rounded up, one at least, and none for less than a page beyond them", () => {
    const pace = (lastHeapInUse: number) => ({ heapGoal: 4 * MiB, lastHeapGoal: 4 * MiB, lastHeapInUse });
    expect(gcPercentScavengeGoal(pace(40_961), MiB, 4096)).toBe(12 * 4096); // 45,057 bytes
    expect(gcPercentScavengeGoal(pace(0), MiB, 4096)).toBe(4096);
    expect(gcPercentScavengeGoal(pace(10 * MiB), 11 * MiB + 4096, 4096)).toBe(11 * MiB);
    expect(gcPercentScavengeGoal(pace(10 * MiB), 11 * MiB + 4095, 4096)).toBe(Number.POSITIVE_INFINITY);
  });

  it("are none before there was a goal to compare with, whatever else is 0", () => {
    for (const heapGoal of [0, 4 * MiB]) {
      for (const lastHeapInUse of [0, MiB]) {
        const pace = { heapGoal, lastHeapGoal: 0, lastHeapInUse };
        expect(gcPercentScavengeGoal(pace, 100 * MiB, 4096)).toBe(Number.POSITIVE_INFINITY);
      }
    }
  });

  it("stay 5 % under the memory limit", () => {
    expect(memoryLimitScavengeGoal(100 * MiB, 96 * MiB)).toBe(95 * MiB);
    expect(memoryLimitScavengeGoal(100 * MiB, 95 * MiB)).toBe(Number.POSITIVE_INFINITY);
    expect(memoryLimitScavengeGoal(Number.POSITIVE_INFINITY, 2 ** 32)).toBe(Number.POSITIVE_INFINITY);
    expect(memoryLimitScavengeGoal(0, MiB)).toBe(1); // 0 would be no goal
  });
});

describe("background scavenging", () => {
  /** 64 MiB were in use and are free now; the clock moves 0.125 ms a look. */
  function idleHeap() {
    let now = 0;
    const a = createAllocator({ maxMemory: 256 * MiB, clock: () => (now += 0.125) });
    if (!a.mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
    a.mem.kernel.fill(a.mallocgc(56 * MiB, 0, true), 1, 56 * MiB);
    const keep = a.mallocgc(8 * MiB, 0, true);
    collectWith(a, (p) => p === keep);
    return a;
  }

  it("does nothing before it is paced", () => {
    expect(idleHeap().scavenger.background()).toEqual({ released: 0, sleepMs: 1000 });
  });

  it("works for a millisecond, rests 99 times as long, and stops at the goal", () => {
    const a = idleHeap();
    a.scavenger.pace({ heapGoal: 16 * MiB, lastHeapGoal: 128 * MiB, lastHeapInUse: 64 * MiB });
    const goal = Math.ceil((8 * 1.1 * MiB) / 4096) * 4096;
    const first = { ...a.scavenger.background() };
    expect(first.released).toBe(8 * 65536);
    expect(first.sleepMs).toBeCloseTo(99, 5);
    let calls = 1;
    while (a.scavenger.background().released > 0) calls++;
    expect(calls).toBeGreaterThan(50);
    expect(a.scavenger.heapRetained).toBeLessThanOrEqual(goal);
    expect(a.scavenger.heapRetained).toBeGreaterThan(goal - 65536);
    verifyHeap(a);
    const released = 64 * MiB - a.scavenger.heapRetained;
    expect(a.scavenger.trace(false)).toBe(
      `scav ${released / 1024} KiB work (bg), 0 KiB work (eager), ${released / 1024} KiB now, 91% util`,
    );
  });

  it("adds up its time and its work until the next trace line", () => {
    const a = idleHeap();
    a.scavenger.pace({ heapGoal: 16 * MiB, lastHeapGoal: 128 * MiB, lastHeapInUse: 64 * MiB });
    const { assistNs } = a.scavenger; // of the growth
    expect(assistNs).toBe(250_000);
    a.scavenger.background(); // 9 steps of the clock: 8 of work, one to count it
    expect(a.scavenger.backgroundNs).toBe(1_125_000);
    a.scavenger.background();
    expect([a.scavenger.backgroundNs, a.scavenger.assistNs]).toEqual([2_250_000, assistNs]);
    expect(a.scavenger.trace(false)).toContain("scav 1024 KiB work (bg), 0 KiB work (eager)");
    expect(a.scavenger.trace(false)).toContain("scav 0 KiB work (bg), 0 KiB work (eager)");
    a.freeOSMemory();
    const p = a.mallocgc(MiB, 0, true);
    a.mem.kernel.fill(p, 1, MiB);
    collectWith(a, () => false);
    a.freeOSMemory();
    expect(a.scavenger.trace(true)).toContain("scav 0 KiB work (bg), 65536 KiB work (eager)");
    expect(a.scavenger.trace(false)).toContain(", 0% util"); // nothing is retained
  });

  it("rests a hundred times 10 microseconds at least, where the clock stands still", () => {
    const a = createAllocator({ maxMemory: 64 * MiB, clock: () => 5 });
    a.mallocgc(4 * MiB, 0, true);
    collectWith(a, () => false);
    a.scavenger.pace({ heapGoal: MiB, lastHeapGoal: 4 * MiB, lastHeapInUse: 4 * MiB });
    const { released, sleepMs } = a.scavenger.background();
    expect(released).toBe(Math.ceil((4 - 1.1) * 16) * 65536);
    expect(sleepMs).toBeCloseTo(0.99, 9);
  });

  it("stops, and rests for a second, when nothing more is free or the system refuses", () => {
    const a = createAllocator({ maxMemory: 64 * MiB, clock: () => 5 });
    const keep = a.mallocgc(4 * MiB, 0, true);
    a.mallocgc(192 << 10, 0, true);
    collectWith(a, (p) => p === keep);
    a.scavenger.pace({ heapGoal: MiB, lastHeapGoal: 4 * MiB, lastHeapInUse: 4 * MiB });
    expect(a.scavenger.background()).toEqual({ released: 192 << 10, sleepMs: 1000 });
    const b = idleHeap();
    const refused: number[] = [];
    b.hooks.releaseRefused = (_, n) => refused.push(n);
    const release = vi.spyOn(b.mem, "sysUnused").mockReturnValue(false);
    b.scavenger.pace({ heapGoal: 16 * MiB, lastHeapGoal: 128 * MiB, lastHeapInUse: 64 * MiB });
    expect(b.scavenger.background()).toEqual({ released: 0, sleepMs: 1000 });
    expect(release).toHaveBeenCalledOnce();
    expect(refused).toEqual([65536]); // reported at once
  });

  it("has nothing to do where nothing can be released", () => {
    const a = createAllocator({ maxMemory: 64 * MiB, release: false });
    a.mallocgc(8 * MiB, 0, true);
    collectWith(a, () => false);
    a.scavenger.pace({ heapGoal: MiB, lastHeapGoal: 4 * MiB, lastHeapInUse: 4 * MiB });
    expect(a.scavenger.excess).toBe(0);
    expect(a.scavenger.background()).toEqual({ released: 0, sleepMs: 1000 });
  });

  it("keeps the whole memory under its limit", () => {
    const a = idleHeap();
    a.scavenger.memoryLimit = 40 * MiB;
    while (a.scavenger.background().released > 0);
    expect(a.scavenger.mappedReady).toBeLessThanOrEqual(38 * MiB);
    expect(a.scavenger.mappedReady).toBeGreaterThan(37 * MiB);
  });

  it("gives pages back at once when the heap grows beyond the goal", () => {
    const a = idleHeap();
    a.scavenger.pace({ heapGoal: 16 * MiB, lastHeapGoal: 128 * MiB, lastHeapInUse: 64 * MiB });
    const before = a.scavenger.heapRetained;
    const p = a.mallocgc(60 * MiB, 0, true); // does not fit the 56 MiB that are free
    expect(a.scavenger.heapRetained - before).toBeLessThanOrEqual(8 * MiB);
    expect(a.scavenger.trace(false)).toMatch(
      /^scav 0 KiB work \(bg\), 57344 KiB work \(eager\), \d+ KiB now, 100% util$/,
    );
    verifyHeap(a);
    expect(p).toBeGreaterThan(0);
  });

  /** 64 MiB in use, of which every other one is free now: a larger object makes the heap grow by a chunk of 4 MiB. */
  function holedHeap() {
    const a = createAllocator({ maxMemory: 256 * MiB });
    const blocks = Array.from({ length: 64 }, () => a.mallocgc(MiB, 0, true));
    const keep = new Set(blocks.filter((_, i) => i % 2 === 1));
    collectWith(a, (p) => keep.has(p));
    expect(a.scavenger.heapRetained).toBe(64 * MiB);
    return a;
  }

  it("gives no more pages back than the heap has grown by", () => {
    const a = holedHeap();
    a.scavenger.pace({ heapGoal: 32 * MiB, lastHeapGoal: 32 * MiB, lastHeapInUse: 32 * MiB }); // 35.2 MiB
    a.mallocgc(2 * MiB, 0, true);
    expect(a.scavenger.heapRetained).toBe((64 + 2 - 4) * MiB);
    expect(a.scavenger.trace(false)).toMatch(/^scav 0 KiB work \(bg\), 4096 KiB work \(eager\)/);
    a.mallocgc(2 * MiB, 0, true); // from the rest of the chunk: no growth, nothing to give back
    expect(a.scavenger.heapRetained).toBe(64 * MiB);
    expect(a.scavenger.trace(false)).toContain(" 0 KiB work (eager)");
    verifyHeap(a);
  });

  it("gives back no more than is beyond the goal when the heap grows", () => {
    const a = holedHeap();
    a.scavenger.pace({ heapGoal: 55 * MiB, lastHeapGoal: 55 * MiB, lastHeapInUse: 55 * MiB }); // 60.5 MiB
    expect(a.scavenge(8 * MiB)).toBe(8 * MiB);
    a.mallocgc(2 * MiB, 0, true);
    expect(a.scavenger.heapRetained).toBe((56 + 2) * MiB - (56 + 2 + 4 - 60.5) * MiB);
    verifyHeap(a);
  });

  it("reports what was forced", () => {
    const a = idleHeap();
    a.freeOSMemory();
    expect(a.scavenger.trace(true)).toBe(
      "scav 0 KiB work (bg), 57344 KiB work (eager), 57344 KiB now, 100% util (forced)",
    );
    expect(a.scavenger.trace(false)).toContain("0 KiB work (eager)");
  });
});
