import { defineConfig } from "vitest/config";

/** How every package is tested: siblings are taken from their sources, seeds are printed on failure. */
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
