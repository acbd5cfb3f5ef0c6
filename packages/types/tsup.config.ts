import { defineConfig } from "tsup";
import { library } from "../../tsup.base.ts";

export default defineConfig(
  library({ index: "src/index.ts", atomic: "src/atomic.ts", internal: "src/internal.ts" }),
);
