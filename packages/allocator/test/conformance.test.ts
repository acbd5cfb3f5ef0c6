import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as sizeclasses from "../conformance/sizeclasses.ts";

const dir = process.env.ORACLE_DIR ?? new URL("../conformance/vectors", import.meta.url).pathname;

describe("conformance", () => {
  for (const [name, runner] of Object.entries({ sizeclasses })) {
    const file = join(dir, `${name}.json`);
    it.runIf(existsSync(file))(`equals Go's ${name}`, async () => {
      const result = await runner.run(JSON.parse(readFileSync(file, "utf8")));
      expect(result.failures).toEqual([]);
      expect(result.passed).toBe(result.total);
      expect(result.total).toBeGreaterThan(0);
    });
  }
});
