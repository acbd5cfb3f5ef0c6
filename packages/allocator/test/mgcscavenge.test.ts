import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createAllocator, newHeapStats } from "../src/index.ts";
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
