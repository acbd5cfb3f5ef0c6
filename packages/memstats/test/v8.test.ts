import { describe, expect, it } from "vitest";
import { newMemStats, readMemStats } from "../src/index.ts";
import { checkIdentities } from "../src/testing.ts";
import { v8Source } from "../src/v8.ts";

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Garbage enough for a few scavenges. */
function churn(): number {
  let kept: unknown[] = [];
  for (let i = 0; i < 600_000; i++) {
    kept.push({ i });
    if (kept.length > 1000) kept = [];
  }
  return kept.length;
}

describe("v8Source", () => {
  it("gives snapshots in which the identities of MemStats hold", async () => {
    const source = v8Source();
    try {
      let previous = readMemStats(source);
      for (let i = 0; i < 5; i++) {
        churn();
        await turn();
        const m = readMemStats(source);
        // V8 has no size classes, so that their sizes are the one relation left out.
        const broken = checkIdentities(m, { previous, now: BigInt(Date.now() + 1) * 1_000_000n }).filter(
          (b) => !b.startsWith("bysize_sizes"),
        );
        expect(broken).toEqual([]);
        previous = m;
      }
      expect(previous.NumGC).toBeGreaterThan(0);
      expect(previous.HeapAlloc).toBeGreaterThan(1 << 20);
      expect(previous.Sys).toBeGreaterThan(previous.HeapSys);
    } finally {
      source.close();
    }
  });

  it("counts no scavenges with minor: false", async () => {
    const all = v8Source();
    const major = v8Source({ minor: false });
    churn();
    await turn();
    expect(readMemStats(major).NumGC).toBeLessThan(readMemStats(all).NumGC);
    all.close();
    major.close();
  });

  it("stops watching after close", async () => {
    const source = v8Source();
    source.close();
    churn();
    await turn();
    expect(readMemStats(source, newMemStats()).NumGC).toBe(0);
  });
});
