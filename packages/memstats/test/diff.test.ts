import { describe, expect, it } from "vitest";
import { diff, formatDiff, newMemStats, readMemStats } from "../src/index.ts";
import { worked } from "./kit.ts";

describe("diff", () => {
  it("added to the earlier snapshot gives the later one", () => {
    const source = worked(11, 5);
    const a = readMemStats(source);
    source.step();
    source.collect(true);
    source.collect(false);
    const b = readMemStats(source);
    const d = diff(a, b);
    expect(a.Mallocs + d.Mallocs).toBe(b.Mallocs);
    expect(a.HeapIdle + d.HeapIdle).toBe(b.HeapIdle);
    expect(a.LastGC + d.LastGC).toBe(b.LastGC);
    expect(d.Pauses).toEqual([b.PauseNs[5], b.PauseNs[6]]);
    expect(d.BySize.every((row) => row.Mallocs !== 0 || row.Frees !== 0)).toBe(true);
  });

  it("holds the last 256 pauses of more cycles, oldest first, and none of fewer", () => {
    const a = newMemStats();
    const b = newMemStats();
    a.NumGC = 7;
    b.NumGC = 307;
    // The ring: cycle n has its pause at (n - 1) % 256.
    for (let n = 1; n <= b.NumGC; n++) b.PauseNs[(n - 1) % 256] = n;
    const { Pauses } = diff(a, b);
    expect(Pauses).toHaveLength(256);
    expect([Pauses[0], Pauses[255]]).toEqual([52, 307]);
    expect(diff(b, a).Pauses).toEqual([]);
  });

  it("of a snapshot with itself is empty, and prints nothing", () => {
    const m = readMemStats(worked(12, 2));
    expect(formatDiff(diff(m, m))).toBe("");
  });

  it("prints the changes with signs and units", () => {
    const a = newMemStats();
    const b = newMemStats();
    b.HeapAlloc = 1.5 * 2 ** 20;
    b.Mallocs = 7;
    b.PauseTotalNs = 1500;
    a.HeapIdle = 8192;
    expect(formatDiff(diff(a, b))).toBe(
      "Mallocs +7\nHeapAlloc +1.50M\nHeapIdle -8.00K\nPauseTotalNs +1.50us",
    );
  });
});
