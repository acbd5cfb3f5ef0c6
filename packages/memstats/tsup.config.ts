import { defineConfig } from "tsup";
import { oneFile } from "../../tsup.one-file.ts";

export default defineConfig(
  oneFile({
    index: "src/index.ts",
    internal: "src/internal.ts",
    testing: "src/testing.ts",
    v8: "src/v8.ts",
    metrics: "src/metrics.ts",
    prometheus: "src/prometheus.ts",
    heapdump: "src/heapdump/index.ts",
    opentelemetry: "src/opentelemetry.ts",
  }),
);
