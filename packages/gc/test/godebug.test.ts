import { switchDefaults } from "@gort/base";
import { describe, expect, it } from "vitest";
import { GODEBUG_SWITCHES, parseGodebug } from "../src/godebug.ts";

describe("the collector's switches", () => {
  it("are off, but for invalidptr, as in Go", () => {
    const on = GODEBUG_SWITCHES.filter((s) => s.default !== 0).map((s) => [s.name, s.default]);
    expect(on).toEqual([["invalidptr", 1]]);
    expect(parseGodebug()).toEqual(switchDefaults(GODEBUG_SWITCHES));
    expect(parseGodebug("gctrace=2,invalidptr=0,schedtrace=9")).toEqual({
      ...switchDefaults(GODEBUG_SWITCHES),
      gctrace: 2,
      invalidptr: 0,
    });
  });
});
