import { describe, expect, it } from "vitest";
import { LockWaits } from "../src/lock-waits.ts";

describe("the choice of waits for locks", () => {
  it("times a burst of 64 and the next one; then one in about 16, whose weights stand for all", () => {
    const waits = new LockWaits();
    for (let i = 0; i < 65; i++) expect(waits.begin(0)).toBe(1);
    let since = 0;
    let timed = 0;
    const n = 33_000;
    for (let i = 0; i < n; i++) {
      since++;
      const standsFor = waits.begin(0);
      if (standsFor === 0) continue;
      expect(standsFor).toBe(since);
      expect(since).toBeLessThanOrEqual(32);
      since = 0;
      timed++;
    }
    // The distances are 1 to 32; their mean is 16.5.
    expect(n / timed).toBeGreaterThan(16);
    expect(n / timed).toBeLessThan(17);
  });

  it("regains one wait for each 10 us, up to the burst", () => {
    const waits = new LockWaits();
    for (let i = 0; i < 1000; i++) expect(waits.begin(i * 0.0101)).toBe(1);
    // Even a long pause refills no more than the burst.
    const late = 1e6;
    for (let i = 0; i < 65; i++) expect(waits.begin(late)).toBe(1);
    const next = Array.from({ length: 32 }, () => waits.begin(late));
    expect(next.filter((w) => w > 0).length).toBeLessThan(16);
    // After 320 us, half of the burst.
    while (waits.begin(late) === 0);
    let burst = 0;
    while (waits.begin(late + 0.32) !== 1);
    while (waits.begin(late + 0.32) === 1) burst++;
    expect(burst).toBeGreaterThanOrEqual(30);
    expect(burst).toBeLessThanOrEqual(33);
  });
});
