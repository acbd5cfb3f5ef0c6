import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

describe("functions that are derived from methods", () => {
  it("are what scripts/functions.mjs writes", () => {
    const script = fileURLToPath(new URL("../../../scripts/functions.mjs", import.meta.url));
    expect(execFileSync(process.execPath, [script, "--check"], { encoding: "utf8" })).toBe("");
  });
});
