import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const here = fileURLToPath(new URL("../conformance", import.meta.url));
const dir = process.env.ORACLE_DIR ?? join(here, "vectors");

describe("conformance with recorded Go", () => {
  for (const file of readdirSync(here)) {
    const name = file.replace(/\.ts$/, "");
    const vectors = join(dir, `${name}.json`);
    if (name === file || name === "result" || !existsSync(vectors)) continue;
    it(`gives what Go gives: ${name}`, async () => {
      const { run } = await import(`../conformance/${name}.ts`);
      const r = await run(JSON.parse(readFileSync(vectors, "utf8")));
      expect(r.failures).toEqual([]);
      expect(r.passed).toBe(r.total);
    });
  }
});
