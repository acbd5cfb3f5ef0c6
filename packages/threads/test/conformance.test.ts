import { readFileSync } from "node:fs";
import { join } from "node:path";
import { int } from "@gort/types";
import { describe, expect, it } from "vitest";
import { run } from "../../scheduler/conformance/chan_select.ts";
import { modes, TestChans } from "./kit.ts";

const folder = process.env.ORACLE_DIR ?? join(import.meta.dirname, "../../scheduler/conformance/vectors");
const vectors = JSON.parse(readFileSync(join(folder, "chan_select.json"), "utf8")) as unknown;

describe.each(modes)("conformance with recorded Go: %s channels in the heap", (mode) => {
  it("agree with every row of chan_select", { timeout: 120_000 }, () => {
    const made = new WeakMap<object, TestChans>();
    const result = run(vectors, (s, n) => {
      let h = made.get(s);
      if (h === undefined) made.set(s, (h = new TestChans(s, mode)));
      return h.make(int, n);
    });
    expect(result.failures).toEqual([]);
    expect(result.passed).toBe(result.total);
    expect(result.total).toBeGreaterThan(300);
  });
});
