import { describe, expect, it } from "vitest";
import type { G } from "../src/runtime2.ts";
import { CreationSites } from "../src/sites.ts";

/** Starts `n` goroutines of different functions, and returns how many of their sites were captured. */
function captured(sites: CreationSites, n: number): number {
  let count = 0;
  for (let i = 0; i < n; i++) {
    const g = { site: null } as G;
    sites.record(g, () => {}, captured);
    if (g.site !== null) count++;
  }
  return count;
}

describe("creation sites", () => {
  it("are captured for 512 starts at once, and then for 6 a millisecond", () => {
    const sites = new CreationSites();
    expect(captured(sites, 600)).toBe(512);
    sites.refill(0);
    expect(captured(sites, 10)).toBe(0);
    sites.refill(1);
    expect(captured(sites, 10)).toBe(6);
    // Time that is too short for one site adds up with later time.
    sites.refill(1.1);
    expect(captured(sites, 10)).toBe(0);
    sites.refill(1.2);
    expect(captured(sites, 10)).toBe(1);
    sites.refill(11.2);
    expect(captured(sites, 50)).toBe(50);
    expect(captured(sites, 50)).toBe(10);
    // A clock that was set back adds no site.
    sites.refill(5);
    expect(captured(sites, 10)).toBe(0);
  });

  it("are captured for 512 starts at once again after a pause of any length", () => {
    // From 357913942 ms on, six a millisecond exceed an int32.
    for (const pause of [86, 1000, 357913942, 715827882, 1e12]) {
      const sites = new CreationSites();
      captured(sites, 512);
      sites.refill(pause);
      expect(captured(sites, 600)).toBe(512);
    }
  });

  it("do not accumulate beyond 512", () => {
    const sites = new CreationSites();
    sites.refill(1000);
    expect(captured(sites, 100)).toBe(100);
    sites.refill(1010);
    expect(captured(sites, 600)).toBe(512);
  });

  it("of a function are those of its last captured start when no more are captured", () => {
    const sites = new CreationSites();
    const f = () => {};
    const start = (fn: unknown = f): G["site"] => {
      const g = { site: null } as G;
      sites.record(g, fn, start);
      return g.site;
    };
    captured(sites, 510);
    const first = start();
    const second = start();
    expect(first).not.toBe(null);
    expect(second).not.toBe(first);
    expect([start(), start(() => {}), start()]).toEqual([second, null, second]);
    expect(start()).toBe(second);
    sites.forget();
    expect(start()).toBe(null);
  });
});
