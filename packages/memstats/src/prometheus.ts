/**
 * The Prometheus exporter: the metrics of client_golang's Go collector, under its exact names. So dashboards for Go
 * programs show a gort program without a change. `prometheusText` renders the metrics as text. `registerGoMetrics` puts
 * them into a registry of prom-client, beside the program's own metrics.
 *
 * Exported metrics:
 *   always       go_goroutines, go_threads, go_info, go_gc_duration_seconds (a summary of the last 256 pauses),
 *                go_memstats_last_gc_time_seconds, and the 21 go_memstats_* of the MemStats set
 *   by rule      runtime/metrics whose names match. The default is client_golang's: GOGC, the memory limit, GOMAXPROCS
 *
 * A metric that the source does not know (kind "bad") is left out: a missing series is honest, a zero is not.
 *
 * Names: `/a/b-c:unit-x` becomes `go_a_b_c_unit_x`. A cumulative metric that is no histogram gets the suffix `_total`.
 * Histograms are re-bucketed, as client_golang does: sizes to powers of 2; times to powers of 10, with one open bucket
 * above a second. Go's bounds are exclusive and Prometheus' are inclusive, so each bound is the largest float64 below
 * Go's. Sums are exact for the two histograms of sizes. For times they are lower estimates: each duration counts at the
 * lower bound of its bucket.
 *
 * The exporter registers `go_*` only: prom-client's own defaults have the `process_*` and `nodejs_*` series already.
 *
 * Unlike client_golang: go_threads counts the threads that run goroutines, not all threads that the process ever made.
 *
 * Sources: client_golang's go_collector (names, rules); the Prometheus text format 0.0.4.
 */

import { checkSource, type GoSource, SampleSet } from "./exporter.ts";
import { gcStats } from "./gcstats.ts";
import { type MemStats, newMemStats } from "./memstats.ts";
import type { Description, Float64Histogram } from "./metrics.ts";

export type { GoSource } from "./exporter.ts";

export type MetricType = "counter" | "gauge" | "histogram" | "summary";

/** One number of a metric. */
export interface Point {
  /** `_sum`, `_count`, `_bucket`, or empty for the metric itself. */
  readonly suffix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric with its numbers. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly points: readonly Point[];
}

export interface PrometheusOptions {
  /**
   * The exporter exports each runtime metric whose name matches one of these expressions. `MetricsAll` and its siblings
   * are client_golang's groups. Default: `DefaultMetrics`.
   */
  runtimeMetrics?: readonly RegExp[];
  /** Whether to export the 21 go_memstats_* of the MemStats set. Default true. */
  memStats?: boolean;
}

/** client_golang's groups, to be given in `runtimeMetrics`. */
export const MetricsAll: RegExp = /^\/.*/;
export const MetricsGC: RegExp = /^\/gc\/.*/;
export const MetricsMemory: RegExp = /^\/memory\/.*/;
export const MetricsScheduler: RegExp = /^\/sched\/.*/;
/** The metrics that client_golang exports by default. */
export const DefaultMetrics: readonly RegExp[] = [
  /^\/gc\/gogc:percent$/,
  /^\/gc\/gomemlimit:bytes$/,
  /^\/sched\/gomaxprocs:threads$/,
];

/** Content type of `prometheusText`. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8";

type MemStatRow = readonly [
  name: string,
  type: "counter" | "gauge",
  help: string,
  value: (m: MemStats) => number,
];

// biome-ignore format: one or two lines a metric
const MEMSTATS: readonly MemStatRow[] = [
  ["alloc_bytes", "gauge", "Bytes of allocated heap objects.", (m) => m.Alloc],
  ["alloc_bytes_total", "counter", "Bytes allocated since the start.", (m) => m.TotalAlloc],
  ["buck_hash_sys_bytes", "gauge", "Bytes of the profiles' buckets.", (m) => m.BuckHashSys],
  ["frees_total", "counter", "Objects freed since the start, tiny ones included.", (m) => m.Frees],
  ["gc_sys_bytes", "gauge", "Bytes of the collector's metadata.", (m) => m.GCSys],
  ["heap_alloc_bytes", "gauge", "Bytes of allocated heap objects, the same as go_memstats_alloc_bytes.",
    (m) => m.HeapAlloc],
  ["heap_idle_bytes", "gauge", "Bytes of the heap in unused spans.", (m) => m.HeapIdle],
  ["heap_inuse_bytes", "gauge", "Bytes of the heap in spans with objects.", (m) => m.HeapInuse],
  ["heap_objects", "gauge", "Allocated heap objects.", (m) => m.HeapObjects],
  ["heap_released_bytes", "gauge", "Bytes of the heap returned to the operating system.", (m) => m.HeapReleased],
  ["heap_sys_bytes", "gauge", "Bytes of the heap obtained from the system.", (m) => m.HeapSys],
  ["mallocs_total", "counter", "Objects allocated since the start, tiny ones included.", (m) => m.Mallocs],
  ["mcache_inuse_bytes", "gauge", "Bytes of mcache structures in use.", (m) => m.MCacheInuse],
  ["mcache_sys_bytes", "gauge", "Bytes obtained for mcache structures.", (m) => m.MCacheSys],
  ["mspan_inuse_bytes", "gauge", "Bytes of mspan structures in use.", (m) => m.MSpanInuse],
  ["mspan_sys_bytes", "gauge", "Bytes obtained for mspan structures.", (m) => m.MSpanSys],
  ["next_gc_bytes", "gauge", "The heap size at which the next collection will take place.", (m) => m.NextGC],
  ["other_sys_bytes", "gauge", "Bytes of everything else that the runtime obtained.", (m) => m.OtherSys],
  ["stack_inuse_bytes", "gauge", "Bytes of stacks in use.", (m) => m.StackInuse],
  ["stack_sys_bytes", "gauge", "Bytes of stacks obtained from the system.", (m) => m.StackSys],
  ["sys_bytes", "gauge", "Bytes obtained from the system in total.", (m) => m.Sys],
];

/** Histograms whose exact sum is another metric. */
const EXACT_SUM: Readonly<Record<string, string>> = {
  "/gc/heap/allocs-by-size:bytes": "/gc/heap/allocs:bytes",
  "/gc/heap/frees-by-size:bytes": "/gc/heap/frees:bytes",
};

const QUANTILES = ["0", "0.25", "0.5", "0.75", "1"];
const NO_LABELS = Object.freeze({});

/** The Prometheus name of a runtime metric. */
export function prometheusName(d: Pick<Description, "Name" | "Kind" | "Cumulative">): string {
  const [path, unit] = d.Name.split(":");
  if (path === undefined || unit === undefined || !path.startsWith("/")) {
    throw new RangeError(`prometheus: not the name of a runtime metric (got ${JSON.stringify(d.Name)})`);
  }
  const name =
    `go${path.replace(/[/-]/g, "_")}_` +
    unit.replaceAll("-", "_").replaceAll("*", "_").replaceAll("/", "_per_");
  return d.Cumulative && d.Kind !== "float64-histogram" ? `${name}_total` : name;
}

/** Thins out ascending `bounds`: each bound that it keeps is at least `base` times the bound that it kept before. */
function reBucketExp(bounds: readonly number[], base: number): number[] {
  const out: number[] = [];
  let from = 0;
  if (bounds[0] === Number.NEGATIVE_INFINITY) out.push(bounds[from++]);
  let bound = bounds[from];
  for (let i = from + 1; i < bounds.length; i++) {
    const next = bounds[i];
    if (bound >= 0 ? next < bound * base : next < bound / base) continue;
    out.push(bound);
    bound = next;
  }
  out.push(bound);
  return out;
}

/** The bounds of the exported histogram of a unit, without the first infinite bound. */
export function exportedBounds(bounds: ArrayLike<number>, unit: string): number[] {
  let out = Array.from(bounds);
  if (unit === "bytes") out = reBucketExp(out, 2);
  else if (unit === "seconds") {
    out = reBucketExp(out, 10);
    const long = out.findIndex((b) => b > 1);
    if (long >= 0) {
      out.length = long + 1;
      out[long] = Number.POSITIVE_INFINITY;
    }
  }
  return out[0] === Number.NEGATIVE_INFINITY ? out.slice(1) : out;
}

const bits = new DataView(new ArrayBuffer(8));

/** The largest float64 below x > 0. */
function below(x: number): number {
  bits.setFloat64(0, x);
  bits.setBigUint64(0, bits.getBigUint64(0) - 1n);
  return bits.getFloat64(0);
}

/** Re-buckets one histogram, read after read. */
class HistogramShape {
  /** The exported bucket to which each of Go's buckets belongs. */
  readonly #to: Uint16Array;
  readonly #lower: number[];
  readonly #labels: Readonly<Record<string, string>>[];
  readonly #counts: Float64Array;

  constructor(buckets: ArrayLike<number>, unit: string) {
    const bounds = exportedBounds(buckets, unit);
    this.#to = new Uint16Array(buckets.length - 1);
    for (let i = 0, j = 0; i < this.#to.length; i++) {
      this.#to[i] = j;
      if (buckets[i + 1] === bounds[j + 1]) j++;
    }
    this.#lower = bounds.slice(0, -1);
    this.#labels = bounds
      .slice(1)
      .map((b) => Object.freeze({ le: b === Number.POSITIVE_INFINITY ? "+Inf" : goFloat(below(b)) }));
    this.#counts = new Float64Array(this.#lower.length);
  }

  points(h: Float64Histogram, exactSum: number | undefined): Point[] {
    const counts = this.#counts.fill(0);
    for (let i = 0; i < h.Counts.length; i++) counts[this.#to[i]] += h.Counts[i];
    const points: Point[] = [];
    let total = 0;
    let sum = 0;
    for (let i = 0; i < counts.length; i++) {
      total += counts[i];
      if (counts[i] !== 0) sum += this.#lower[i] * counts[i];
      points.push({ suffix: "_bucket", labels: this.#labels[i], value: total });
    }
    points.push({ suffix: "_sum", labels: NO_LABELS, value: exactSum ?? sum });
    points.push({ suffix: "_count", labels: NO_LABELS, value: total });
    return points;
  }
}

/** Collects all families of a source, in the order of their names. */
export class GoCollector {
  readonly #source: GoSource;
  readonly #rows: { name: string; description: Description; unit: string }[];
  readonly #samples: SampleSet;
  readonly #memStats: boolean;
  readonly #shapes = new Map<string, HistogramShape>();
  readonly #m = newMemStats();

  constructor(source: GoSource, options: PrometheusOptions = {}) {
    checkSource(source, "prometheus");
    const rules = options.runtimeMetrics ?? DefaultMetrics;
    if (!Array.isArray(rules) || rules.some((r) => !(r instanceof RegExp))) {
      throw new TypeError("prometheus: runtimeMetrics must be a list of regular expressions");
    }
    this.#source = source;
    this.#memStats = options.memStats ?? true;
    this.#rows = source.metrics
      .all()
      .filter((d) => rules.some((r) => new RegExp(r.source, r.flags.replace(/[gy]/g, "")).test(d.Name)))
      .map((description) => ({
        name: prometheusName(description),
        description,
        unit: description.Name.split(":")[1],
      }));
    this.#samples = new SampleSet(source.metrics, [
      "/sched/goroutines:goroutines",
      "/sched/threads/total:threads",
      ...Object.values(EXACT_SUM),
      ...this.#rows.map((r) => r.description.Name),
    ]);
  }

  /** One snapshot. */
  collect(): Family[] {
    const m = this.#source.readMemStats(this.#m);
    this.#samples.read();
    const families: Family[] = [];
    const add = (name: string, type: MetricType, help: string, value: number | undefined): void => {
      if (value !== undefined)
        families.push({ name, type, help, points: [{ suffix: "", labels: NO_LABELS, value }] });
    };

    const goroutines = this.#source.numGoroutine?.() ?? this.#samples.number("/sched/goroutines:goroutines");
    add("go_goroutines", "gauge", "Goroutines that exist.", goroutines);
    add(
      "go_threads",
      "gauge",
      "Threads that run goroutines.",
      this.#samples.number("/sched/threads/total:threads"),
    );
    families.push({
      name: "go_info",
      type: "gauge",
      help: "What the program runs on.",
      points: [{ suffix: "", labels: { version: this.#source.version?.() ?? "unknown" }, value: 1 }],
    });
    const gc = gcStats(m, QUANTILES.length);
    families.push({
      name: "go_gc_duration_seconds",
      type: "summary",
      help: "Pauses of the last 256 garbage collections; the sum and the count are since the start.",
      points: [
        ...QUANTILES.map((quantile, i) => ({
          suffix: "",
          labels: { quantile },
          value: gc.PauseQuantiles[i] / 1e9,
        })),
        { suffix: "_sum", labels: NO_LABELS, value: m.PauseTotalNs / 1e9 },
        { suffix: "_count", labels: NO_LABELS, value: m.NumGC },
      ],
    });
    add(
      "go_memstats_last_gc_time_seconds",
      "gauge",
      "When the last garbage collection ended, seconds since 1970.",
      Number(m.LastGC) / 1e9,
    );
    if (this.#memStats) {
      for (const [name, type, help, value] of MEMSTATS) add(`go_memstats_${name}`, type, help, value(m));
    }
    for (const { name, description: d, unit } of this.#rows) {
      const help = `${d.Description} Sourced from ${d.Name}.`;
      const { Value: value } = this.#samples.get(d.Name);
      if (value.kind() === "float64-histogram") {
        const h = value.float64Histogram();
        let shape = this.#shapes.get(name);
        if (shape === undefined) {
          shape = new HistogramShape(h.Buckets, unit);
          this.#shapes.set(name, shape);
        }
        const exact = EXACT_SUM[d.Name];
        const sum = exact === undefined ? undefined : this.#samples.number(exact);
        families.push({ name, type: "histogram", help, points: shape.points(h, sum) });
      } else {
        add(name, d.Cumulative ? "counter" : "gauge", help, this.#samples.number(d.Name));
      }
    }
    return families.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/**
 * A number as Go's clients write it (strconv 'g' with the shortest digits), so that the labels of buckets name the same
 * series. Below 1e-4 and from 1e6 on the number has an exponent of at least two digits.
 */
function goFloat(x: number): string {
  if (x === Number.POSITIVE_INFINITY) return "+Inf";
  if (x === Number.NEGATIVE_INFINITY) return "-Inf";
  const magnitude = Math.abs(x);
  if (x === 0 || (magnitude >= 1e-4 && magnitude < 1e6)) return String(x);
  const [mantissa, exponent] = x.toExponential().split("e") as [string, string];
  return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

const escapeHelp = (s: string): string => s.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
const escapeLabel = (s: string): string => escapeHelp(s).replaceAll('"', '\\"');

/** Families as Prometheus' text format 0.0.4. */
export function renderFamilies(families: Iterable<Family>): string {
  let out = "";
  for (const f of families) {
    out += `# HELP ${f.name} ${escapeHelp(f.help)}\n# TYPE ${f.name} ${f.type}\n`;
    for (const p of f.points) {
      const labels = Object.entries(p.labels).map(([k, v]) => `${k}="${escapeLabel(v)}"`);
      out += `${f.name}${p.suffix}${labels.length > 0 ? `{${labels.join(",")}}` : ""} ${goFloat(p.value)}\n`;
    }
  }
  return out;
}

/** All metrics of the source as text, for a `/metrics` page without prom-client. Serve it as `contentType`. */
export function prometheusText(source: GoSource, options: PrometheusOptions = {}): string {
  return renderFamilies(new GoCollector(source, options).collect());
}

/** The part of prom-client's `Registry` that the exporter uses. */
export interface PrometheusRegistry {
  registerMetric(metric: never): void;
  removeSingleMetric(name: string): void;
}

/** The way in which prom-client's cluster support combines the values of several processes. */
function aggregator(f: Family): string {
  if (f.name === "go_info") return "first";
  if (f.name === "go_memstats_last_gc_time_seconds") return "max";
  // The quantiles of several processes can't be combined.
  if (f.type === "summary") return "omit";
  return "sum";
}

/** A metric in the form that prom-client's registry takes. The registry calls `get` at every scrape. */
class RegisteredMetric {
  name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly aggregator: string;
  readonly labelNames: readonly string[];
  readonly #collect: () => Family | undefined;

  constructor(f: Family, collect: () => Family | undefined) {
    this.name = f.name;
    this.help = f.help;
    this.type = f.type;
    this.aggregator = aggregator(f);
    this.labelNames = [...new Set(f.points.flatMap((p) => Object.keys(p.labels)))];
    this.#collect = collect;
  }

  async get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    // A registry of OpenMetrics text removes `_total` from the name, and adds it again to values without a metricName.
    const values = (this.#collect()?.points ?? []).map((p) => ({
      labels: p.labels,
      value: p.value,
      ...(p.suffix === "" ? {} : { metricName: name + p.suffix }),
    }));
    return { name, help, type, aggregator, values };
  }

  /** The runtime's figures can't be set back. */
  reset(): void {}
}

/**
 * Registers the metrics of the source with a registry of prom-client. Each scrape takes one snapshot for all of them.
 * Returns a function that removes them again.
 *
 * @throws Error of prom-client if the registry already has a metric of one of the names
 */
export function registerGoMetrics(
  registry: PrometheusRegistry,
  source: GoSource,
  options: PrometheusOptions = {},
): () => void {
  if (typeof registry?.registerMetric !== "function") {
    throw new TypeError("prometheus: registry must be a Registry of prom-client");
  }
  const collector = new GoCollector(source, options);
  // The registry asks all metrics of a scrape in one synchronous run. A call after that run is another scrape.
  let snapshot: Map<string, Family> | null = null;
  const family = (name: string): Family | undefined => {
    if (snapshot === null) {
      // A source that has ended has no figures. The registry must still get the figures of other sources.
      const families = source.closed === true ? [] : collector.collect();
      snapshot = new Map(families.map((f) => [f.name, f]));
      queueMicrotask(() => {
        snapshot = null;
      });
    }
    return snapshot.get(name);
  };
  const registered: RegisteredMetric[] = [];
  const unregister = (): void => {
    for (const metric of registered.splice(0)) registry.removeSingleMetric(metric.name);
  };
  try {
    for (const f of collector.collect()) {
      const metric = new RegisteredMetric(f, () => family(f.name));
      registry.registerMetric(metric as never);
      registered.push(metric);
    }
  } catch (err) {
    unregister();
    throw err;
  }
  return unregister;
}
