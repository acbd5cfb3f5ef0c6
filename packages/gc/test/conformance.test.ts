import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as debugTraces from "../conformance/debug_traces.ts";
import * as pacer from "../conformance/pacer.ts";
import type { Result } from "../conformance/result.ts";

const own = fileURLToPath(new URL("../conformance/vectors", import.meta.url));
const dir = process.env.ORACLE_DIR ?? own;

const runners: Record<string, (vectors: unknown) => Result | Promise<Result>> = {
  pacer: pacer.run,
  debug_traces: debugTraces.run,
};

describe("conformance with real Go", () => {
  for (const [name, run] of Object.entries(runners)) {
    const file = join(dir, `${name}.json`);
    it.runIf(existsSync(file))(`agrees with every row of ${name}`, async () => {
      const result = await run(JSON.parse(readFileSync(file, "utf8")));
      expect(result.failures).toEqual([]);
      expect(result.passed).toBe(result.total);
      expect(result.total).toBeGreaterThan(0);
    });
  }
});
