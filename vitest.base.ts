import { defineConfig } from "vitest/config";

/** The tests of every package: siblings come from their sources, and a failure prints its seed. */
export default defineConfig({
  resolve: { conditions: ["@gort/source"] },
  ssr: { resolve: { conditions: ["@gort/source", "node", "import", "default"] } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
  },
});
