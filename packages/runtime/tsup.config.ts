import { defineConfig } from "tsup";
import { library } from "../../tsup.base.ts";

export default defineConfig(
  library({
    index: "src/index.ts",
    internal: "src/internal.ts",
    debug: "src/debug.ts",
    unsafe: "src/unsafe.ts",
    pprof: "src/pprof.ts",
    "pprof-tools": "src/pprof-tools.ts",
    sync: "src/sync.ts",
    atomic: "src/atomic.ts",
    context: "src/context.ts",
    adapters: "src/adapters.ts",
    metrics: "src/metrics.ts",
    attach: "src/attach.ts",
    worker: "src/worker.ts",
    prometheus: "src/prometheus.ts",
    opentelemetry: "src/opentelemetry.ts",
  }),
);
