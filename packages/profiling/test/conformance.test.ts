import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as caller from "../conformance/caller.ts";
import * as pprofFacts from "../conformance/pprof_facts.ts";

const dir = process.env.ORACLE_DIR ?? fileURLToPath(new URL("../conformance/vectors", import.meta.url));

describe("conformance with recorded Go", () => {
  for (const [name, { run }] of Object.entries({ caller, pprof_facts: pprofFacts })) {
    const path = join(dir, `${name}.json`);
    // Skips a file that ORACLE_DIR doesn't have: a set of vectors may be partial.
    it.runIf(existsSync(path))(`${name}.json`, async () => {
      const { passed, total, failures } = await run(JSON.parse(readFileSync(path, "utf8")));
      expect(failures).toEqual([]);
      expect(passed).toBe(total);
      expect(total).toBeGreaterThan(0);
    });
  }
});
