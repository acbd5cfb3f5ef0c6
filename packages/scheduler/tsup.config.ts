import { defineConfig } from "tsup";
import { oneFile } from "../../tsup.one-file.ts";

export default defineConfig(
  oneFile({
    index: "src/index.ts",
    internal: "src/internal.ts",
    testing: "src/testing.ts",
    sync: "src/sync/index.ts",
    context: "src/context.ts",
    adapters: "src/adapters.ts",
  }),
);
