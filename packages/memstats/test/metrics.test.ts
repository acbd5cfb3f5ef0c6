import { describe, expect, it } from "vitest";
import { all, createMetrics, newSample } from "../src/metrics.ts";
import { modelMetrics, modelSource } from "../src/testing.ts";

describe("all", () => {
  it("is in ascending order, and every metric has a meaning and a unit", () => {
    const names = all().map((d) => d.Name);
    expect(names).toEqual([...names].sort((a, b) => (a < b ? -1 : 1)));
    for (const d of all()) {
      expect(d.Description).toMatch(/\.$/);
      expect(d.Name).toMatch(/^\/.+:[a-z-]+$/);
    }
  });
});

describe("read", () => {
  const stats = modelSource(7);
  for (let i = 0; i < 100; i++) stats.step();
  stats.collect(true);

  it("fills every metric when both sources answer", () => {
    const samples = all().map((d) => newSample(d.Name));
    createMetrics(stats, modelMetrics(7)).read(samples);
    expect(samples.map((s) => s.Value.kind())).toEqual(all().map((d) => d.Kind));
  });

  it("gives bad for a metric that no source knows, and keeps nothing of an earlier read", () => {
    let known = true;
    const more = modelMetrics(7);
    const metrics = createMetrics(stats, { fill: (raw) => known && more.fill(raw) });
    const samples = [
      "/sched/gomaxprocs:threads",
      "/sched/latencies:seconds",
      "/gc/heap/live:bytes",
      "/x:y",
    ].map(newSample);
    metrics.read(samples);
    expect(samples.map((s) => s.Value.kind())).toEqual(["uint64", "float64-histogram", "uint64", "bad"]);
    known = false;
    metrics.read(samples);
    expect(samples.map((s) => s.Value.kind())).toEqual(["bad", "bad", "bad", "bad"]);
  });

  it("needs no second source for the metrics that MemStats has", () => {
    const sample = newSample("/memory/classes/total:bytes");
    createMetrics(stats).read([sample]);
    expect(sample.Value.uint64()).toBeGreaterThan(0);
  });

  it("sums the parts of the CPU time to the total", () => {
    const names = ["gc/total", "scavenge/total", "idle", "user", "total"].map(
      (n) => `/cpu/classes/${n}:cpu-seconds`,
    );
    const samples = names.map(newSample);
    createMetrics(stats, modelMetrics(1)).read(samples);
    const [gc, scavenge, idle, user, total] = samples.map((s) => s.Value.float64());
    expect(gc + scavenge + idle + user).toBeCloseTo(total, 9);
  });

  it("sums the memory classes to the total", () => {
    const classes = all().filter((d) => d.Name.startsWith("/memory/classes/"));
    const samples = classes.map((d) => newSample(d.Name));
    createMetrics(stats).read(samples);
    const total = samples.find((s) => s.Name === "/memory/classes/total:bytes")!.Value.uint64();
    const sum = samples.reduce((n, s) => n + s.Value.uint64(), 0) - total;
    expect(sum).toBe(total);
  });

  it("counts each allocation in the histogram by size once", () => {
    const samples = ["/gc/heap/allocs-by-size:bytes", "/gc/heap/allocs:objects"].map(newSample);
    createMetrics(stats).read(samples);
    const { Counts } = samples[0].Value.float64Histogram();
    expect(Counts.reduce((a, b) => a + b, 0)).toBe(samples[1].Value.uint64());
  });

  it("reuses a sample's histogram", () => {
    const metrics = createMetrics(stats, modelMetrics(1));
    const sample = newSample("/gc/pauses:seconds");
    metrics.read([sample]);
    const first = sample.Value.float64Histogram();
    metrics.read([sample]);
    expect(sample.Value.float64Histogram()).toBe(first);
  });

  it("refuses the accessor of another kind, and samples that are no list", () => {
    const metrics = createMetrics(stats);
    const sample = newSample("/gc/cycles/total:gc-cycles");
    expect(() => sample.Value.uint64()).toThrow("metrics: called uint64 on non-uint64 metric value");
    metrics.read([sample]);
    expect(() => sample.Value.float64()).toThrow(TypeError);
    expect(() => sample.Value.float64Histogram()).toThrow(TypeError);
    expect(() => metrics.read("x" as unknown as [])).toThrow(
      "metrics: read needs a list of samples (got string)",
    );
  });
});
