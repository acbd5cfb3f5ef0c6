/**
 * `@gort/runtime/opentelemetry`: the runtime's metrics for OpenTelemetry, under the names of its conventions for Go
 * runtimes. A runtime is a `GoSource` as it is: `registerGoInstruments(meter, rt)`.
 */
export {
  type GoSource,
  goHistogramProducer,
  type OtelMeter,
  type OtelOptions,
  registerGoInstruments,
} from "@gort/memstats/opentelemetry";
