import { defineConfig } from "tsup";
import { oneFile } from "../../tsup.one-file.ts";

export default defineConfig(
  oneFile(
    {
      index: "src/index.ts",
      internal: "src/internal.ts",
      testing: "src/testing.ts",
      // One of them is the import #cloner of package.json.
      "cloner-node": "src/cloner-node.ts",
      "cloner-web": "src/cloner-web.ts",
    },
    { external: ["#cloner"] },
  ),
);
