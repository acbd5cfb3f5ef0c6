import { checkIdentities, IDENTITIES } from "@gort/memstats/testing";
import { describe, expect, it } from "vitest";
import { load } from "../conformance/memstats_identities.ts";
import { createRuntime, newMemStats, type RuntimeOptions } from "../src/index.ts";
import { type Description, newSample, type Sample } from "../src/metrics.ts";

const make = (options = {}) =>
  createRuntime({ maxMemory: 256 << 20, gogc: 100, godebug: "", seed: 3, stderr: () => {}, ...options });

describe("a runtime at work", () => {
  it("keeps every identity of MemStats, whatever the collector is doing", { timeout: 60_000 }, async () => {
    for (const godebug of ["", "gcstoptheworld=1", "gcstress=1"]) {
      const rt = make({ godebug });
      const broken: string[] = [];
      let previous = newMemStats();
      let now = newMemStats();
      await rt.main(function* () {
        for (let i = 0; i < 3; i++) rt.go(load, rt, 100 + i);
        for (let i = 0; i < (godebug === "gcstress=1" ? 200 : 1000) && broken.length === 0; i++) {
          yield* rt.gosched();
          rt.readMemStats(now);
          broken.push(...checkIdentities(now, i === 0 ? { gogc: 100 } : { gogc: 100, previous }));
          if (now.NextGC !== Number(rt.collector.nextGC())) broken.push(`NextGC ${now.NextGC}`);
          [previous, now] = [now, previous];
        }
      });
      rt.close();
      expect(broken, godebug).toEqual([]);
      expect(IDENTITIES.length).toBeGreaterThan(25);
    }
  });

  it.each<[string, RuntimeOptions]>([
    ["a limit", { memoryLimit: 24 << 20, gogc: 2000 }],
    ["a limit and GOGC=off", { memoryLimit: 40 << 20, gogc: "off" }],
    ["GOGC=off", { gogc: "off" }],
  ])("has the collector's NextGC with %s", { timeout: 60_000 }, async (_name, options) => {
    const rt = make(options);
    const seen = new Set<number>();
    const m = newMemStats();
    await rt.main(function* () {
      for (let i = 0; i < 3; i++) rt.go(load, rt, 100 + i);
      for (let i = 0; i < 300; i++) {
        yield* rt.gosched();
        // Neither reading changes the figures that the goal is computed from.
        const { NextGC } = rt.readMemStats(m);
        expect(NextGC).toBe(Number(rt.collector.nextGC()));
        seen.add(NextGC);
      }
    });
    rt.close();
    if (options.memoryLimit === undefined) expect(Math.min(...seen)).toBeGreaterThan(2 ** 62);
    else expect(Math.max(...seen)).toBeLessThan(options.memoryLimit);
  });

  it("takes a snapshot into a record without allocating", () => {
    const rt = make();
    rt.gc();
    const m = newMemStats();
    const heapUsed = (): number => process.memoryUsage().heapUsed;
    const calls = 2000;
    // Optimised code keeps numbers in registers. Until V8 has optimised it, each call may box a few.
    for (let i = 0; i < 20_000; i++) rt.readMemStats(m);
    const least = Math.min(
      ...Array.from({ length: 10 }, () => {
        const before = heapUsed();
        for (let i = 0; i < calls; i++) rt.readMemStats(m);
        return heapUsed() - before;
      }).filter((bytes) => bytes >= 0),
    );
    rt.close();
    // The rest are readings of the clock, which V8 boxes; a new record would be 10 KB.
    expect(least / calls).toBeLessThan(256);
  });

  it("has counters that never fall, and gauges within physical bounds", { timeout: 60_000 }, async () => {
    const rt = make();
    const started = performance.now();
    const descriptions = new Map<string, Description>(rt.metrics.all().map((d) => [d.Name, d]));
    const samples = [...descriptions.keys()].map(newSample);
    const before = new Map<string, number | number[]>();
    const faults: string[] = [];
    const value = (s: Sample): number | number[] | undefined => {
      const kind = s.Value.kind();
      if (kind === "uint64") return s.Value.uint64();
      if (kind === "float64") return s.Value.float64();
      return kind === "bad" ? undefined : [...s.Value.float64Histogram().Counts];
    };
    const check = (s: Sample): void => {
      const d = descriptions.get(s.Name)!;
      const v = value(s);
      if (v === undefined) return;
      const old = before.get(s.Name);
      if (d.Cumulative && old !== undefined) {
        const fell = Array.isArray(v) ? v.some((n, i) => n < (old as number[])[i]) : v < (old as number);
        if (fell) faults.push(`${s.Name} fell from ${String(old)} to ${String(v)}`);
      }
      before.set(s.Name, v);
      if (Array.isArray(v)) return;
      if (!(v >= 0)) faults.push(`${s.Name} is ${v}`);
      if (d.Name.startsWith("/memory/classes") && v > rt.memory.size) faults.push(`${s.Name} is ${v} bytes`);
      const seconds = (performance.now() - started) / 1000;
      if (d.Name.endsWith(":cpu-seconds") && v > seconds + 0.1)
        faults.push(`${s.Name} is ${v} s of ${seconds}`);
      if (d.Name.startsWith("/sched/goroutines/") && v > 10_000) faults.push(`${s.Name} is ${v}`);
    };
    const number = (name: string): number => before.get(name) as number;
    await rt.main(function* () {
      for (let i = 0; i < 3; i++) rt.go(load, rt, 200 + i);
      for (let i = 0; i < 2000 && faults.length === 0; i++) {
        yield* rt.gosched();
        rt.metrics.read(samples);
        samples.forEach(check);
        const classes = ["idle", "user", "gc/total", "scavenge/total"].map((c) =>
          number(`/cpu/classes/${c}:cpu-seconds`),
        );
        const sum = classes.reduce((a, b) => a + b, 0);
        if (Math.abs(sum - number("/cpu/classes/total:cpu-seconds")) > 1e-3)
          faults.push(`CPU classes: ${classes}`);
      }
    });
    rt.close();
    expect(faults).toEqual([]);
    expect(number("/gc/cycles/total:gc-cycles")).toBeGreaterThan(2);
  });
});
