import { metrics } from "@opentelemetry/api";
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  InstrumentType,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { describe, expect, it } from "vitest";
import { newMemStats, readMemStats } from "../src/index.ts";
import { createMetrics } from "../src/metrics.ts";
import { type GoSource, goHistogramProducer, registerGoInstruments } from "../src/opentelemetry.ts";
import { modelMetrics, modelSource } from "../src/testing.ts";

function model(seed = 1): GoSource {
  const stats = modelSource(seed);
  for (let i = 0; i < 300; i++) stats.step();
  return {
    readMemStats: (m = newMemStats()) => readMemStats(stats, m),
    metrics: createMetrics(stats, modelMetrics(seed)),
  };
}

/** The SDK keeps the instrument's type, its declarations hide it. */
const typeOf = (descriptor: object): unknown => (descriptor as { type?: unknown }).type;

async function collect(source: GoSource, optIn: boolean) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: 3_600_000,
    metricProducers: [goHistogramProducer(source, { optIn })],
  });
  const provider = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  const end = registerGoInstruments(metrics.getMeter("@gort/runtime"), source, { optIn });
  const { resourceMetrics, errors } = await reader.collect();
  end();
  await provider.shutdown();
  metrics.disable();
  expect(errors).toEqual([]);
  return new Map(
    resourceMetrics.scopeMetrics.flatMap((s) => s.metrics).map((m) => [m.descriptor.name, m] as const),
  );
}

describe("registerGoInstruments", () => {
  it("has the names, units and kinds of the semantic conventions", async () => {
    const metrics = await collect(model(), false);
    const rows = [...metrics].map(([name, m]) => `${name} ${typeOf(m.descriptor)} ${m.descriptor.unit}`);
    expect(rows.sort()).toEqual([
      "go.config.gogc OBSERVABLE_UP_DOWN_COUNTER %",
      "go.goroutine.count OBSERVABLE_UP_DOWN_COUNTER {goroutine}",
      "go.memory.allocated OBSERVABLE_COUNTER By",
      "go.memory.allocations OBSERVABLE_COUNTER {allocation}",
      "go.memory.gc.goal OBSERVABLE_UP_DOWN_COUNTER By",
      "go.memory.used OBSERVABLE_UP_DOWN_COUNTER By",
      "go.processor.limit OBSERVABLE_UP_DOWN_COUNTER {thread}",
      "go.schedule.duration HISTOGRAM s",
    ]);
  });

  it("splits the used memory into stacks and the rest, without released pages", async () => {
    const source = model(4);
    const m = source.readMemStats();
    const points = (await collect(source, false)).get("go.memory.used")!.dataPoints;
    const by = Object.fromEntries(points.map((p) => [p.attributes["go.memory.type"], p.value]));
    expect(by).toEqual({ stack: m.StackInuse, other: m.Sys - m.HeapReleased - m.StackInuse });
  });

  it("has the opt-in metrics if the program asks for them", async () => {
    const metrics = await collect(model(), true);
    expect(typeOf(metrics.get("go.memory.gc.cycles")!.descriptor)).toBe(InstrumentType.OBSERVABLE_COUNTER);
    const cpu = metrics.get("go.cpu.time")!;
    expect(cpu.dataPoints.map((p) => p.attributes["go.cpu.detailed_state"])).toContain("gc/mark/assist");
    expect(new Set(cpu.dataPoints.map((p) => p.attributes["go.cpu.state"]))).toEqual(
      new Set(["gc", "scavenge", "idle", "user"]),
    );
    const pauses = metrics.get("go.memory.gc.pause.duration")!;
    if (pauses.dataPointType !== DataPointType.HISTOGRAM) throw new Error("not a histogram");
    const { buckets, count } = pauses.dataPoints[0].value;
    expect(buckets.counts.length).toBe(buckets.boundaries.length + 1);
    expect(buckets.counts.reduce((a, b) => a + b, 0)).toBe(count);
  });

  it("observes the limit only while there is one", async () => {
    expect((await collect(model(), false)).has("go.memory.limit")).toBe(false);
    const source = model();
    const limited: GoSource = {
      ...source,
      metrics: createMetrics(modelSource(1), {
        fill(x) {
          x.memoryLimit = 1 << 30;
        },
      }),
    };
    const metrics = await collect(limited, false);
    expect(metrics.get("go.memory.limit")!.dataPoints[0].value).toBe(1 << 30);
    // The rest of what only the scheduler knows is absent.
    expect(metrics.has("go.goroutine.count")).toBe(false);
    expect(metrics.has("go.schedule.duration")).toBe(false);
  });

  it("refuses a meter or a source of another kind", () => {
    expect(() => registerGoInstruments({} as never, model())).toThrow(/meter must be a Meter/);
    expect(() => goHistogramProducer({} as never)).toThrow(/source must have readMemStats/);
  });
});
