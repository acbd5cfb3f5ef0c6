import { describe, expect, it } from "vitest";
import type { G } from "../src/runtime2.ts";
import { CreationSites } from "../src/sites.ts";

/** Starts `n` goroutines, each of another function, and returns how many sites of theirs were captured. */
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
  it("are captured 512 at once, and then 6 a millisecond", () => {
    const sites = new CreationSites();
    expect(captured(sites, 600)).toBe(512);
    sites.refill(0);
    expect(captured(sites, 10)).toBe(0);
    sites.refill(1);
    expect(captured(sites, 10)).toBe(6);
    // What is too short for one counts together with what follows.
    sites.refill(1.1);
    expect(captured(sites, 10)).toBe(0);
    sites.refill(1.2);
    expect(captured(sites, 10)).toBe(1);
    sites.refill(11.2);
    expect(captured(sites, 50)).toBe(50);
    expect(captured(sites, 50)).toBe(10);
    // A clock that was set back gives nothing.
    sites.refill(5);
    expect(captured(sites, 10)).toBe(0);
  });

  it("are captured 512 at once again after a pause, however long", () => {
    // From 357913942 ms on, six a millisecond are more than an int32 holds.
    for (const pause of [86, 1000, 357913942, 715827882, 1e12]) {
      const sites = new CreationSites();
      captured(sites, 512);
      sites.refill(pause);
      expect(captured(sites, 600)).toBe(512);
    }
  });

  it("are not saved up beyond that", () => {
    const sites = new CreationSites();
    sites.refill(1000);
    expect(captured(sites, 100)).toBe(100);
    sites.refill(1010);
    expect(captured(sites, 600)).toBe(512);
  });

  it("of one function are those of its last captured start where no more are captured", () => {
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
