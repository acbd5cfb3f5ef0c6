// Channels of the heap between real threads, on the built packages: see threads/rows.mjs.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "./threads/run.ts";

const folder = process.env.ORACLE_DIR ?? join(import.meta.dirname, "../../scheduler/conformance/vectors");

describe("conformance with recorded Go: the two sides of chan_select on different threads", () => {
  it.each(["worker", "main"])("with the operation on the %s thread", { timeout: 130_000 }, async (side) => {
    const { code, out, err } = await run(["rows.mjs", join(folder, "chan_select.json"), side], {}, 120_000);
    expect([code, err, out]).toEqual([0, "", expect.stringMatching(/^\d{3}\n$/)]);
    expect(Number(out)).toBeGreaterThan(300);
  });
});
