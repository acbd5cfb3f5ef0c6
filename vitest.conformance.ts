/** The conformance tests of a package: they run its runners over vectors recorded from Go. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

/** The answer of a conformance runner. */
interface Result {
  passed: number;
  total: number;
  /** One line for each row that differs. */
  failures: string[];
}

/**
 * Declares a test for each runner NAME.ts in `folder` that has recorded vectors, `vectors/NAME.json`. `ORACLE_DIR`
 * names a folder with other vectors. If a file is missing there, its test is skipped.
 */
export function conformance(folder: string): void {
  const own = join(folder, "vectors");
  const taken = process.env.ORACLE_DIR ?? own;
  const names = readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -".ts".length))
    .filter((name) => existsSync(join(own, `${name}.json`)));
  describe("conformance with recorded Go", () => {
    for (const name of names) {
      it(`agrees with every row of ${name}`, { timeout: 120_000 }, async (test) => {
        const vectors = join(taken, `${name}.json`);
        test.skip(!existsSync(vectors), `ORACLE_DIR has no ${name}.json`);
        const { run } = (await import(join(folder, `${name}.ts`))) as {
          run(vectors: unknown): Result | Promise<Result>;
        };
        const result = await run(JSON.parse(readFileSync(vectors, "utf8")));
        expect(result.failures).toEqual([]);
        expect(result.passed).toBe(result.total);
        expect(result.total).toBeGreaterThan(0);
      });
    }
  });
}
