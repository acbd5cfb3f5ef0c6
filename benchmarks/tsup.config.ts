import { defineConfig } from "tsup";
import { library } from "../tsup.base.ts";

export default defineConfig(
  library(
    { main: "src/main.ts", child: "src/child.ts", tasks: "src/tasks.ts" },
    {
      dts: false,
      platform: "node",
      // The peers are measured as they are published, not bundled.
      external: [/^effect/, "js-csp", "ts-chan", "@thi.ng/csp", "sql.js", "@thi.ng/malloc"],
    },
  ),
);
