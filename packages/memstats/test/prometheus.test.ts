import parsePrometheus from "parse-prometheus-text-format";
import { Counter, type OpenMetricsContentType, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { newMemStats, readMemStats } from "../src/index.ts";
import { createMetrics, newSample, TIME_BOUNDS } from "../src/metrics.ts";
import {
  contentType,
  exportedBounds,
  type GoSource,
  MetricsAll,
  MetricsGC,
  prometheusName,
  prometheusText,
  registerGoMetrics,
} from "../src/prometheus.ts";
import { modelMetrics, modelSource } from "../src/testing.ts";
import { v8Source } from "../src/v8.ts";

/** client_golang 1.24 with its default options: 6 series of the base, 21 of MemStats, 3 of runtime/metrics. */
const BASE = {
  go_goroutines: "gauge",
  go_threads: "gauge",
  go_info: "gauge",
  go_gc_duration_seconds: "summary",
  go_memstats_last_gc_time_seconds: "gauge",
};
const MEMSTATS = {
  go_memstats_alloc_bytes: "gauge",
  go_memstats_alloc_bytes_total: "counter",
  go_memstats_sys_bytes: "gauge",
  go_memstats_mallocs_total: "counter",
  go_memstats_frees_total: "counter",
  go_memstats_heap_alloc_bytes: "gauge",
  go_memstats_heap_sys_bytes: "gauge",
  go_memstats_heap_idle_bytes: "gauge",
  go_memstats_heap_inuse_bytes: "gauge",
  go_memstats_heap_released_bytes: "gauge",
  go_memstats_heap_objects: "gauge",
  go_memstats_stack_inuse_bytes: "gauge",
  go_memstats_stack_sys_bytes: "gauge",
  go_memstats_mspan_inuse_bytes: "gauge",
  go_memstats_mspan_sys_bytes: "gauge",
  go_memstats_mcache_inuse_bytes: "gauge",
  go_memstats_mcache_sys_bytes: "gauge",
  go_memstats_buck_hash_sys_bytes: "gauge",
  go_memstats_gc_sys_bytes: "gauge",
  go_memstats_other_sys_bytes: "gauge",
  go_memstats_next_gc_bytes: "gauge",
};
const EXTRAS = {
  go_gc_gogc_percent: "gauge",
  go_gc_gomemlimit_bytes: "gauge",
  go_sched_gomaxprocs_threads: "gauge",
};

/** The names that MetricsAll adds, as client_golang has them. */
const ALL = `go_cgo_go_to_c_calls_calls_total go_cpu_classes_gc_mark_assist_cpu_seconds_total
go_cpu_classes_gc_mark_dedicated_cpu_seconds_total go_cpu_classes_gc_mark_idle_cpu_seconds_total
go_cpu_classes_gc_pause_cpu_seconds_total go_cpu_classes_gc_total_cpu_seconds_total
go_cpu_classes_idle_cpu_seconds_total go_cpu_classes_scavenge_assist_cpu_seconds_total
go_cpu_classes_scavenge_background_cpu_seconds_total go_cpu_classes_scavenge_total_cpu_seconds_total
go_cpu_classes_total_cpu_seconds_total go_cpu_classes_user_cpu_seconds_total go_gc_cleanups_executed_cleanups_total
go_gc_cleanups_queued_cleanups_total go_gc_cycles_automatic_gc_cycles_total go_gc_cycles_forced_gc_cycles_total
go_gc_cycles_total_gc_cycles_total go_gc_finalizers_executed_finalizers_total go_gc_finalizers_queued_finalizers_total
go_gc_gogc_percent go_gc_gomemlimit_bytes go_gc_heap_allocs_by_size_bytes go_gc_heap_allocs_bytes_total
go_gc_heap_allocs_objects_total go_gc_heap_frees_by_size_bytes go_gc_heap_frees_bytes_total
go_gc_heap_frees_objects_total go_gc_heap_goal_bytes go_gc_heap_live_bytes go_gc_heap_objects_objects
go_gc_heap_tiny_allocs_objects_total go_gc_limiter_last_enabled_gc_cycle go_gc_pauses_seconds go_gc_scan_globals_bytes
go_gc_scan_heap_bytes go_gc_scan_stack_bytes go_gc_scan_total_bytes go_gc_stack_starting_size_bytes
go_memory_classes_heap_free_bytes go_memory_classes_heap_objects_bytes go_memory_classes_heap_released_bytes
go_memory_classes_heap_stacks_bytes go_memory_classes_heap_unused_bytes go_memory_classes_metadata_mcache_free_bytes
go_memory_classes_metadata_mcache_inuse_bytes go_memory_classes_metadata_mspan_free_bytes
go_memory_classes_metadata_mspan_inuse_bytes go_memory_classes_metadata_other_bytes go_memory_classes_os_stacks_bytes
go_memory_classes_other_bytes go_memory_classes_profiling_buckets_bytes go_memory_classes_total_bytes
go_sched_gomaxprocs_threads go_sched_goroutines_created_goroutines_total go_sched_goroutines_not_in_go_goroutines
go_sched_goroutines_runnable_goroutines go_sched_goroutines_running_goroutines go_sched_goroutines_waiting_goroutines
go_sched_goroutines_goroutines go_sched_latencies_seconds go_sched_pauses_stopping_gc_seconds
go_sched_pauses_stopping_other_seconds go_sched_pauses_total_gc_seconds go_sched_pauses_total_other_seconds
go_sched_threads_total_threads go_sync_mutex_wait_total_seconds_total`.split(/\s+/);

function model(seed = 1): GoSource & { readonly stats: ReturnType<typeof modelSource> } {
  const stats = modelSource(seed);
  for (let i = 0; i < 300; i++) stats.step();
  stats.collect(true);
  return {
    stats,
    readMemStats: (m = newMemStats()) => readMemStats(stats, m),
    metrics: createMetrics(stats, modelMetrics(seed)),
    version: () => "go1.27.3",
  };
}

interface Parsed {
  types: Record<string, string>;
  values: Map<string, number>;
}

/**
 * A strict reader of the text format 0.0.4: one HELP, then one TYPE, then the samples of the family, no name twice.
 */
function parse(text: string): Parsed {
  const types: Record<string, string> = {};
  const values = new Map<string, number>();
  let help = "";
  let family = "";
  expect(text.endsWith("\n")).toBe(true);
  for (const line of text.split("\n").filter((l) => l !== "")) {
    const head = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line);
    if (head !== null) {
      if (head[1] === "HELP") help = head[2];
      else {
        expect(head[2]).toBe(help);
        expect(types[head[2]], `${head[2]} twice`).toBeUndefined();
        expect(["gauge", "counter", "summary", "histogram"]).toContain(head[3]);
        types[head[2]] = head[3];
        family = head[2];
      }
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$/.exec(line);
    if (sample === null) throw new Error(`not a line of the format: ${line}`);
    const [, name, labels = "", number] = sample;
    const suffix = name.slice(family.length);
    expect(name.startsWith(family)).toBe(true);
    expect(
      {
        gauge: [""],
        counter: [""],
        summary: ["", "_sum", "_count"],
        histogram: ["_bucket", "_sum", "_count"],
      }[types[family] as "gauge"],
    ).toContain(suffix);
    const value = number === "+Inf" ? Number.POSITIVE_INFINITY : Number(number);
    expect(Number.isNaN(value), line).toBe(false);
    expect(values.has(name + labels), `${name}${labels} twice`).toBe(false);
    values.set(name + labels, value);
  }
  return { types, values };
}

describe("prometheusText", () => {
  it("has client_golang's names and types, and no others", () => {
    expect(parse(prometheusText(model())).types).toEqual({ ...BASE, ...MEMSTATS, ...EXTRAS });
    expect(parse(prometheusText(model(), { memStats: false, runtimeMetrics: [] })).types).toEqual(BASE);
  });

  it("has all of runtime/metrics under client_golang's names if the rules match them", () => {
    const { types } = parse(prometheusText(model(), { memStats: false, runtimeMetrics: [MetricsAll] }));
    expect(Object.keys(types).sort()).toEqual([...Object.keys(BASE), ...ALL].sort());
    const gc = parse(prometheusText(model(), { memStats: false, runtimeMetrics: [MetricsGC] }));
    expect(Object.keys(gc.types).sort()).toEqual(
      [...Object.keys(BASE), ...ALL.filter((n) => n.startsWith("go_gc_"))].sort(),
    );
  });

  it("gives text that another parser of the format reads", () => {
    const source = model(4);
    const text = prometheusText(source, { runtimeMetrics: [MetricsAll] });
    const families = parsePrometheus(text) ?? [];
    const types = Object.fromEntries(families.map((f) => [f.name, f.type.toLowerCase()]));
    const ours = parse(text);
    expect(types).toEqual(ours.types);
    expect(Object.keys(types).sort()).toEqual(
      [...new Set([...Object.keys(BASE), ...Object.keys(MEMSTATS), ...ALL])].sort(),
    );
    for (const f of families) expect(f.help.length).toBeGreaterThan(10);

    const theirs = new Map<string, number>();
    const value = (text: string): number => (text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text));
    for (const { name, metrics } of families) {
      for (const { labels, value: v, quantiles, buckets, sum, count } of metrics) {
        const set = Object.entries(labels ?? {}).map(([k, l]) => `${k}="${l}"`);
        if (v !== undefined) theirs.set(name + (set.length > 0 ? `{${set}}` : ""), value(v));
        for (const [q, n] of Object.entries(quantiles ?? {}))
          theirs.set(`${name}{quantile="${q}"}`, value(n));
        for (const [le, n] of Object.entries(buckets ?? {}))
          theirs.set(`${name}_bucket{le="${le}"}`, value(n));
        if (sum !== undefined) theirs.set(`${name}_sum`, value(sum));
        if (count !== undefined) theirs.set(`${name}_count`, value(count));
      }
    }
    expect([...theirs].sort()).toEqual([...ours.values].sort());
    expect(theirs.get("go_memstats_alloc_bytes")).toBe(source.readMemStats().Alloc);
  });

  it("gives the figures of MemStats", () => {
    const source = model(7);
    const m = source.readMemStats();
    const { values } = parse(prometheusText(source));
    expect(values.get("go_memstats_alloc_bytes")).toBe(m.Alloc);
    expect(values.get("go_memstats_alloc_bytes_total")).toBe(m.TotalAlloc);
    expect(values.get("go_memstats_mallocs_total")).toBe(m.Mallocs);
    expect(values.get("go_memstats_next_gc_bytes")).toBe(m.NextGC);
    expect(values.get("go_memstats_last_gc_time_seconds")).toBeCloseTo(Number(m.LastGC) / 1e9, 3);
    expect(values.get("go_gc_duration_seconds_count")).toBe(m.NumGC);
    expect(values.get("go_gc_duration_seconds_sum")).toBeCloseTo(m.PauseTotalNs / 1e9, 12);
    expect(values.get('go_gc_duration_seconds{quantile="1"}')).toBe(
      Math.max(...m.PauseNs.slice(0, m.NumGC)) / 1e9,
    );
    expect(values.get('go_info{version="go1.27.3"}')).toBe(1);
  });

  it("re-buckets histograms cumulatively, by powers of 2 for sizes and of 10 for times up to a second", () => {
    const source = model(3);
    const { values } = parse(prometheusText(source, { runtimeMetrics: [MetricsAll] }));
    const bounds = (name: string): [number, number][] =>
      [...values]
        .filter(([k]) => k.startsWith(`${name}_bucket`))
        .map(([k, v]) => {
          const le = /le="([^"]+)"/.exec(k)![1];
          return [le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), v];
        });
    const sizes = bounds("go_gc_heap_allocs_by_size_bytes");
    expect(sizes.map(([le]) => Math.round(le + 1e-9)).slice(0, 4)).toEqual([9, 25, 65, 145]);
    expect(sizes[0][0]).toBe(8.999999999999998);
    expect(sizes.at(-1)![0]).toBe(Number.POSITIVE_INFINITY);
    const latencies = bounds("go_sched_latencies_seconds");
    for (const list of [sizes, latencies]) {
      for (let i = 1; i < list.length; i++) {
        expect(list[i][0]).toBeGreaterThan(list[i - 1][0]);
        expect(list[i][1]).toBeGreaterThanOrEqual(list[i - 1][1]);
      }
    }
    expect(latencies.at(-2)![0]).toBeLessThan(1);
    const sample = newSample("/gc/heap/allocs-by-size:bytes");
    source.metrics.read([sample]);
    const total = sample.Value.float64Histogram().Counts.reduce((a, b) => a + b, 0);
    expect(sizes.at(-1)![1]).toBe(total);
    expect(values.get("go_gc_heap_allocs_by_size_bytes_count")).toBe(total);
    expect(values.get("go_gc_heap_allocs_by_size_bytes_sum")).toBe(source.readMemStats().TotalAlloc);
  });

  it("labels buckets as client_golang does, to the last digit", () => {
    const text = prometheusText(model(), { runtimeMetrics: [MetricsAll] });
    const le = (name: string): string[] =>
      [...text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\}`, "gm"))].map((m) => m[1]);
    // Go's bounds by client_golang's rule, as strconv writes them.
    expect(le("go_gc_pauses_seconds")).toEqual([
      "6.399999999999999e-08",
      "6.399999999999999e-07",
      "7.167999999999999e-06",
      "8.191999999999999e-05",
      "0.0009175039999999999",
      "0.010485759999999998",
      "0.11744051199999998",
      "+Inf",
    ]);
    expect(le("go_gc_heap_frees_by_size_bytes")).toEqual([
      "8.999999999999998",
      "24.999999999999996",
      "64.99999999999999",
      "144.99999999999997",
      "320.99999999999994",
      "704.9999999999999",
      "1536.9999999999998",
      "3200.9999999999995",
      "6528.999999999999",
      "13568.999999999998",
      "27264.999999999996",
      "+Inf",
    ]);
    expect(text).toMatch(/^go_memstats_last_gc_time_seconds 1\.7\d*e\+09$/m);
  });

  it("keeps the bounds that client_golang keeps", () => {
    const seconds = exportedBounds(TIME_BOUNDS, "seconds");
    // 0, then at least ten times the one before: 64 ns, 640 ns, 7.168 us, ...
    expect(seconds.map((b) => b * 1e9).slice(0, 4)).toEqual([0, 64, 640, 7168]);
    expect(seconds.at(-1)).toBe(Number.POSITIVE_INFINITY);
    expect(exportedBounds([1, 2, 3, 4, 9, Number.POSITIVE_INFINITY], "bytes")).toEqual([
      1,
      2,
      4,
      9,
      Number.POSITIVE_INFINITY,
    ]);
    expect(exportedBounds([-8, -5, -3, -1, 1], "bytes")).toEqual([-8, -3, -1, 1]);
    expect(exportedBounds([1, 2, 3], "objects")).toEqual([1, 2, 3]);
  });

  it("leaves out the metrics that the source does not measure", () => {
    const stats = v8Source();
    const text = prometheusText(
      { readMemStats: (m) => readMemStats(stats, m ?? newMemStats()), metrics: createMetrics(stats) },
      { runtimeMetrics: [MetricsAll] },
    );
    stats.close();
    const { types } = parse(text);
    expect(types.go_memory_classes_total_bytes).toBe("gauge");
    expect(types.go_sched_latencies_seconds).toBeUndefined();
    expect(types.go_goroutines).toBeUndefined();
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  });

  it("names the wrong argument", () => {
    expect(() => prometheusText(null as never)).toThrow(/prometheus: source must have readMemStats/);
    expect(() => prometheusText({} as never)).toThrow(TypeError);
    expect(() => prometheusText(model(), { runtimeMetrics: ["/gc/"] as never })).toThrow(
      /list of regular expressions/,
    );
    expect(() => prometheusName({ Name: "gc", Kind: "uint64", Cumulative: true })).toThrow(RangeError);
  });
});

describe("registerGoMetrics", () => {
  it("gives prom-client the text that we render ourselves", async () => {
    const registry = new Registry();
    const source = model(5);
    registerGoMetrics(registry, source, { runtimeMetrics: [MetricsAll] });
    const theirs = parse(await registry.metrics());
    const ours = parse(prometheusText(source, { runtimeMetrics: [MetricsAll] }));
    expect(theirs.types).toEqual(ours.types);
    expect([...theirs.values].sort()).toEqual([...ours.values].sort());
  });

  it("takes one snapshot for a scrape, and a new one for the next", async () => {
    const registry = new Registry();
    const source = model(6);
    let reads = 0;
    registerGoMetrics(registry, {
      ...source,
      readMemStats: (m) => {
        reads++;
        source.stats.step();
        return source.readMemStats(m);
      },
    });
    reads = 0;
    const first = parse(await registry.metrics());
    expect(reads).toBe(1);
    expect(first.values.get("go_memstats_alloc_bytes")).toBe(
      first.values.get("go_memstats_heap_alloc_bytes"),
    );
    const second = parse(await registry.metrics());
    expect(reads).toBe(2);
    expect(second.values.get("go_memstats_mallocs_total")).toBeGreaterThan(
      first.values.get("go_memstats_mallocs_total")!,
    );
  });

  it("leaves the other metrics of the registry alone after its source has closed", async () => {
    const registry = new Registry();
    const source = model(5);
    let closed = false;
    registerGoMetrics(registry, {
      ...source,
      get closed() {
        return closed;
      },
      readMemStats: (m) => {
        if (closed) throw new TypeError("use of a runtime after its close");
        return source.readMemStats(m);
      },
    });
    new Counter({ name: "mine_total", help: "mine", registers: [registry] }).inc();
    closed = true;
    const text = await registry.metrics();
    expect([...parse(text).values.keys()]).toEqual(["mine_total"]);
    closed = false;
    expect(parse(await registry.metrics()).values.has("go_goroutines")).toBe(true);
  });

  it("stands beside the program's own metrics, their labels and prom-client's defaults", async () => {
    const { collectDefaultMetrics } = await import("prom-client");
    const registry = new Registry();
    registry.setDefaultLabels({ pod: "a" });
    collectDefaultMetrics({ register: registry });
    new Counter({ name: "mine_total", help: "mine", registers: [registry] }).inc();
    const end = registerGoMetrics(registry, model());
    const text = await registry.metrics();
    expect(text).toContain('go_memstats_alloc_bytes{pod="a"}');
    expect(text).toContain("process_cpu_seconds_total");
    const names = registry.getMetricsAsArray().map((m) => m.name);
    expect(names.filter((n) => n.startsWith("go_")).length).toBe(29);
    expect(() => registerGoMetrics(registry, model())).toThrow(/already been registered/);
    end();
    expect(registry.getMetricsAsArray().some((m) => m.name.startsWith("go_"))).toBe(false);
    expect(() => registry.resetMetrics()).not.toThrow();
  });

  it("renders as OpenMetrics too", async () => {
    const registry = new Registry<OpenMetricsContentType>();
    registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    registerGoMetrics(registry, model());
    const text = await registry.metrics();
    expect(text).toMatch(/^# TYPE go_memstats_mallocs counter$/m);
    expect(text).toMatch(/^go_memstats_mallocs_total \d+$/m);
    expect(text.endsWith("# EOF\n")).toBe(true);
  });

  it("names the way in which a cluster combines the figures of its processes", async () => {
    const registry = new Registry();
    registerGoMetrics(registry, model());
    const of = new Map(registry.getMetricsAsArray().map((m) => [m.name, m.aggregator]));
    expect(of.get("go_info")).toBe("first");
    expect(of.get("go_memstats_last_gc_time_seconds")).toBe("max");
    expect(of.get("go_gc_duration_seconds")).toBe("omit");
    expect(of.get("go_memstats_heap_alloc_bytes")).toBe("sum");
  });

  it("removes its own metrics only, and once", async () => {
    const registry = new Registry();
    const end = registerGoMetrics(registry, model());
    end();
    registerGoMetrics(registry, model());
    const before = registry.getMetricsAsArray().length;
    end();
    expect(registry.getMetricsAsArray()).toHaveLength(before);
    expect(await registry.metrics()).toContain("go_goroutines");
  });

  it("refuses a registry of another kind", () => {
    expect(() => registerGoMetrics({} as never, model())).toThrow(/registry must be a Registry/);
  });
});
