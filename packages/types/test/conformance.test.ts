import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

interface Result {
  passed: number;
  total: number;
  failures: string[];
}

const conformance = join(dirname(fileURLToPath(import.meta.url)), "../conformance");
const vectors = process.env.ORACLE_DIR ?? join(conformance, "vectors");

describe("conformance", () => {
  for (const file of readdirSync(conformance).filter((f) => f.endsWith(".ts"))) {
    const name = file.slice(0, -3);
    const path = join(vectors, `${name}.json`);
    if (!existsSync(path)) continue;
    it(`${name} agrees with Go`, async () => {
      const runner = (await import(join(conformance, file))) as { run(v: unknown): Result | Promise<Result> };
      const result = await runner.run(JSON.parse(readFileSync(path, "utf8")));
      expect(result.failures).toEqual([]);
      expect(result.passed).toBe(result.total);
      expect(result.total).toBeGreaterThan(0);
    });
  }
});
