import { defineConfig } from "tsup";
import { library } from "../../tsup.base.ts";

// The command is no part of the runtime, and its file begins with a line for the shell.
export default defineConfig(
  library({ index: "src/index.ts", bin: "src/bin.ts", worker: "src/worker.ts" }, { banner: {}, footer: {} }),
);
