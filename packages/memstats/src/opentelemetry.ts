/**
 * The OpenTelemetry exporter: the metrics of the semantic conventions for Go runtimes, as observable instruments. It
 * imports nothing of OpenTelemetry, so the API stays an optional peer: the program passes its Meter.
 *
 *     go.memory.used{go.memory.type}   stacks; and all other memory that is mapped
 *     go.memory.limit                  the memory limit, while there is one
 *     go.memory.allocated, go.memory.allocations, go.memory.gc.goal, go.goroutine.count, go.processor.limit,
 *     go.config.gogc
 *     opt-in: go.memory.gc.cycles, go.cpu.time{go.cpu.state, go.cpu.detailed_state}
 *
 * The API has no observable histogram. So the distributions (go.schedule.duration, go.memory.gc.pause.duration) are no
 * instruments. `goHistogramProducer` gives those that the source measures, and a reader of the SDK takes the producer
 * in its `metricProducers`.
 *
 * A metric that the source does not know is not observed.
 *
 * Sources: OpenTelemetry's semantic conventions, "Go runtime metrics" (status: development).
 */

import { checkSource, type GoSource, SampleSet } from "./exporter.ts";

export type { GoSource } from "./exporter.ts";

type Attributes = Record<string, string>;

/** An observable instrument of the API. */
export interface ObservableInstrument {
  readonly [unused: symbol]: unknown;
}

interface Result {
  observe(instrument: never, value: number, attributes?: Attributes): void;
}

/** The part of the API's `Meter` that the exporter uses. */
export interface OtelMeter {
  createObservableCounter(name: string, options?: { unit?: string; description?: string }): object;
  createObservableUpDownCounter(name: string, options?: { unit?: string; description?: string }): object;
  addBatchObservableCallback(callback: (result: Result) => void, observables: never): void;
  removeBatchObservableCallback(callback: (result: Result) => void, observables: never): void;
}

export interface OtelOptions {
  /** Also go.memory.gc.cycles and go.cpu.time, which the conventions call opt-in. Default false. */
  optIn?: boolean;
}

type Observe = (value: number | undefined, attributes?: Attributes) => void;

interface Row {
  readonly name: string;
  readonly counter?: boolean;
  readonly unit: string;
  readonly description: string;
  readonly optIn?: boolean;
  /** The runtime/metrics from which the value is computed. */
  readonly from: readonly string[];
  observe(observe: Observe, metric: (name: string) => number | undefined): void;
}

const value =
  (name: string) =>
  (observe: Observe, metric: (name: string) => number | undefined): void =>
    observe(metric(name));

/** A row whose value is one metric, unchanged. */
const plain = (row: Omit<Row, "from" | "observe">, from: string): Row => ({
  ...row,
  from: [from],
  observe: value(from),
});

const NO_LIMIT = 2 ** 63;

/** The leaves of /cpu/classes and their state. */
const CPU: readonly (readonly [state: string, detail: string])[] = [
  ["gc", "gc/mark/assist"],
  ["gc", "gc/mark/dedicated"],
  ["gc", "gc/mark/idle"],
  ["gc", "gc/pause"],
  ["scavenge", "scavenge/assist"],
  ["scavenge", "scavenge/background"],
  ["idle", "idle"],
  ["user", "user"],
];
const cpuMetric = (detail: string): string => `/cpu/classes/${detail}:cpu-seconds`;

const ROWS: readonly Row[] = [
  {
    name: "go.memory.used",
    unit: "By",
    description: "Memory used by the Go runtime.",
    from: [
      "/memory/classes/total:bytes",
      "/memory/classes/heap/released:bytes",
      "/memory/classes/heap/stacks:bytes",
    ],
    observe(observe, metric) {
      const stack = metric("/memory/classes/heap/stacks:bytes") ?? 0;
      const total = metric("/memory/classes/total:bytes") ?? 0;
      const released = metric("/memory/classes/heap/released:bytes") ?? 0;
      observe(stack, { "go.memory.type": "stack" });
      observe(total - released - stack, { "go.memory.type": "other" });
    },
  },
  {
    name: "go.memory.limit",
    unit: "By",
    description: "Go runtime memory limit configured by the user, if a limit exists.",
    from: ["/gc/gomemlimit:bytes"],
    observe(observe, metric) {
      const limit = metric("/gc/gomemlimit:bytes");
      if (limit !== undefined && limit < NO_LIMIT) observe(limit);
    },
  },
  plain(
    {
      name: "go.memory.allocated",
      counter: true,
      unit: "By",
      description: "Memory allocated to the heap by the application.",
    },
    "/gc/heap/allocs:bytes",
  ),
  plain(
    {
      name: "go.memory.allocations",
      counter: true,
      unit: "{allocation}",
      description: "Count of allocations to the heap by the application.",
    },
    "/gc/heap/allocs:objects",
  ),
  plain(
    { name: "go.memory.gc.goal", unit: "By", description: "Heap size target for the end of the GC cycle." },
    "/gc/heap/goal:bytes",
  ),
  plain(
    { name: "go.goroutine.count", unit: "{goroutine}", description: "Count of live goroutines." },
    "/sched/goroutines:goroutines",
  ),
  plain(
    {
      name: "go.processor.limit",
      unit: "{thread}",
      description: "The number of OS threads that can execute user-level Go code simultaneously.",
    },
    "/sched/gomaxprocs:threads",
  ),
  plain(
    {
      name: "go.config.gogc",
      unit: "%",
      description: "Heap size target percentage configured by the user, otherwise 100.",
    },
    "/gc/gogc:percent",
  ),
  plain(
    {
      name: "go.memory.gc.cycles",
      counter: true,
      unit: "{gc_cycle}",
      description: "Number of completed GC cycles.",
      optIn: true,
    },
    "/gc/cycles/total:gc-cycles",
  ),
  {
    name: "go.cpu.time",
    counter: true,
    unit: "s",
    description: "Estimated CPU time spent by the Go runtime.",
    optIn: true,
    from: CPU.map(([, detail]) => cpuMetric(detail)),
    observe(observe, metric) {
      for (const [state, detail] of CPU) {
        observe(metric(cpuMetric(detail)), { "go.cpu.state": state, "go.cpu.detailed_state": detail });
      }
    },
  },
];

/**
 * Makes the instruments in `meter` and observes them, all from one snapshot per collection. Returns a function that
 * ends the observation.
 *
 *     const end = registerGoInstruments(metrics.getMeter("@gort/runtime"), rt);
 */
export function registerGoInstruments(
  meter: OtelMeter,
  source: GoSource,
  options: OtelOptions = {},
): () => void {
  if (typeof meter?.addBatchObservableCallback !== "function") {
    throw new TypeError("opentelemetry: meter must be a Meter of @opentelemetry/api");
  }
  checkSource(source, "opentelemetry");
  const rows = ROWS.filter((r) => options.optIn === true || r.optIn !== true);
  const samples = new SampleSet(
    source.metrics,
    rows.flatMap((r) => r.from),
  );
  const instruments = rows.map(({ name, counter, unit, description }) =>
    counter === true
      ? meter.createObservableCounter(name, { unit, description })
      : meter.createObservableUpDownCounter(name, { unit, description }),
  );
  const metric = (name: string): number | undefined => samples.number(name);
  const callback = (result: Result): void => {
    if (source.closed === true) return;
    samples.read();
    rows.forEach((row, i) => {
      row.observe((v, attributes) => {
        if (v !== undefined) result.observe(instruments[i] as never, v, attributes);
      }, metric);
    });
  };
  meter.addBatchObservableCallback(callback, instruments as never);
  return () => meter.removeBatchObservableCallback(callback, instruments as never);
}

/** Constants of the SDK's `DataPointType`, `AggregationTemporality` and `InstrumentType`. */
const HISTOGRAM = 0;
const CUMULATIVE = 1;
const INSTRUMENT_HISTOGRAM = "HISTOGRAM";

const HISTOGRAMS = [
  {
    name: "go.schedule.duration",
    description:
      "The time goroutines have spent in the scheduler in a runnable state before actually running.",
    from: "/sched/latencies:seconds",
    optIn: false,
  },
  {
    name: "go.memory.gc.pause.duration",
    description: "Distribution of individual GC-related stop-the-world pause latencies.",
    from: "/sched/pauses/total/gc:seconds",
    optIn: true,
  },
];

/** Seconds and nanoseconds since 1970. */
function hrTime(): [number, number] {
  const ms = Date.now();
  return [Math.floor(ms / 1000), (ms % 1000) * 1e6];
}

/**
 * The distributions, as a `MetricProducer` of the SDK:
 * `new PeriodicExportingMetricReader({ metricProducers: [producer] })`. It leaves out distributions that the source
 * does not measure. Buckets are the runtime's own. The sum is a lower estimate, because each duration counts at the
 * lower bound of its bucket.
 */
export function goHistogramProducer(
  source: GoSource,
  options: OtelOptions = {},
): { collect(): Promise<never> } {
  checkSource(source, "opentelemetry");
  const wanted = HISTOGRAMS.filter((h) => options.optIn === true || !h.optIn);
  const samples = new SampleSet(
    source.metrics,
    wanted.map((h) => h.from),
  );
  const startTime = hrTime();
  const data = (h: (typeof HISTOGRAMS)[number]): object[] => {
    const { Value: v } = samples.get(h.from);
    if (v.kind() !== "float64-histogram") return [];
    const { Counts, Buckets } = v.float64Histogram();
    // The bounds between the buckets. The format leaves out the two infinite ends.
    const boundaries = Array.from(Buckets.subarray(1, -1));
    const counts = Array.from(Counts);
    let sum = 0;
    let count = 0;
    counts.forEach((n, i) => {
      count += n;
      if (n > 0) sum += n * Math.max(0, Buckets[i]);
    });
    return [
      {
        descriptor: {
          name: h.name,
          description: h.description,
          unit: "s",
          type: INSTRUMENT_HISTOGRAM,
          valueType: 1,
          advice: {},
        },
        aggregationTemporality: CUMULATIVE,
        dataPointType: HISTOGRAM,
        dataPoints: [
          {
            startTime,
            endTime: hrTime(),
            attributes: {},
            value: { buckets: { boundaries, counts }, sum, count },
          },
        ],
      },
    ];
  };
  return {
    async collect() {
      if (source.closed !== true) samples.read();
      const metrics = source.closed === true ? [] : wanted.flatMap(data);
      const scopeMetrics = metrics.length === 0 ? [] : [{ scope: { name: "@gort/memstats" }, metrics }];
      return { resourceMetrics: { scopeMetrics }, errors: [] } as never;
    },
  };
}
