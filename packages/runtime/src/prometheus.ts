/**
 * `@gort/runtime/prometheus`: the runtime's metrics for Prometheus, under the names of client_golang's Go collector. A
 * runtime is a `GoSource` as it is: `prometheusText(rt)`, `registerGoMetrics(register, rt)`.
 */
export {
  contentType,
  DefaultMetrics,
  type Family,
  GoCollector,
  type GoSource,
  MetricsAll,
  MetricsGC,
  MetricsMemory,
  MetricsScheduler,
  type PrometheusOptions,
  type PrometheusRegistry,
  prometheusText,
  registerGoMetrics,
} from "@gort/memstats/prometheus";
