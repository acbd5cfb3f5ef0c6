// Channels of the heap between real threads, on the built packages: see threads/rows.mjs and threads/chans.mjs.
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

describe("channels that threads find in the heap", () => {
  it.each([
    ["fields", "in fields carry requests, and by a field of each request its answer", "[300,300,300]"],
    ["chans", "as elements of channels go to another thread and back", "125250"],
    [
      "batches",
      "and slices of strings, released while they wait, come whole to other threads",
      "[4498500,3000,4498500,3000,4498500,3000]",
    ],
    ["replace", "as elements of a slice stay whole while all threads replace them and collect", "[0,0,0]"],
  ])("%s: %s", { timeout: 60_000 }, async (name, _what, out) => {
    const checks = { PROCS: "3", GODEBUG: "clobberfree=1,gccheckmark=1" };
    expect(await run(["chans.mjs", name], checks, 50_000)).toEqual({ code: 0, err: "", out: `${out}\n` });
  });
});
