import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../hosts.mjs", import.meta.url));

describe("hosts", () => {
  it.each(["latest", "22.x", "--help", "../22", "1 2"])(
    "refuses %s, which is no release of Node",
    (release) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [script, "22", release], {
        encoding: "utf8",
      });
      expect([status, stdout]).toEqual([2, ""]);
      expect(stderr).toBe(`hosts: a release must be like 22 or 22.3.0 (got ${release})\n`);
    },
  );
});
