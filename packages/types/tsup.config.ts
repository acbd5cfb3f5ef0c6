import { defineConfig } from "tsup";
import { oneFile } from "../../tsup.one-file.ts";

export default defineConfig(
  oneFile({ index: "src/index.ts", atomic: "src/atomic.ts", internal: "src/internal.ts" }),
);
