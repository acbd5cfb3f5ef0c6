import { defineConfig } from "tsup";
import { oneFile } from "../../tsup.one-file.ts";

export default defineConfig(
  oneFile({ index: "src/index.ts", internal: "src/internal.ts", testing: "src/testing.ts" }),
);
