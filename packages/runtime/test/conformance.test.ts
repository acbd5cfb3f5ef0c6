import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const here = join(import.meta.dirname, "../conformance");
const dir = process.env.ORACLE_DIR ?? join(here, "vectors");

describe("conformance with recorded Go", () => {
  for (const file of readdirSync(here)) {
    if (!file.endsWith(".ts")) continue;
    const name = file.slice(0, -".ts".length);
    const vectors = join(dir, `${name}.json`);
    // A folder given by ORACLE_DIR may have fewer files.
    if (!existsSync(vectors)) continue;
    it(`${name}: every vector`, { timeout: 120_000 }, async () => {
      const { run } = (await import(join(here, file))) as {
        run: (v: unknown) => Promise<{ passed: number; total: number; failures: string[] }>;
      };
      const result = await run(JSON.parse(readFileSync(vectors, "utf8")));
      expect(result.failures).toEqual([]);
      expect(result.passed).toBe(result.total);
      expect(result.total).toBeGreaterThan(0);
    });
  }
});
