import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../check-built.mjs", import.meta.url));
const packages = fileURLToPath(new URL("../../packages", import.meta.url));

interface Manifest {
  private?: boolean;
  scripts?: { prepack?: string };
}

describe("check-built", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "gort-check-built-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const manifest = {
    name: "@gort/example",
    exports: { ".": { "@gort/source": "./src/index.ts", default: "./dist/index.js" } },
    publishConfig: {
      access: "public",
      exports: {
        ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
        "./package.json": "./package.json",
      },
    },
    bin: { example: "./dist/bin.js" },
  };
  const check = (json: object) => {
    writeFileSync(join(dir, "package.json"), JSON.stringify(json));
    const { status, stderr } = spawnSync(process.execPath, [script], { cwd: dir, encoding: "utf8" });
    return { status, stderr };
  };

  it("refuses a package without its files, and names each of them", () => {
    expect(check(manifest)).toEqual({
      status: 1,
      stderr:
        "@gort/example is not built: ./dist/index.d.ts, ./dist/index.js, ./dist/bin.js not found. " +
        "Run `pnpm build` at the root first.\n",
    });
  });

  it("accepts a package whose published files are there, whatever the workspace's own exports name", () => {
    mkdirSync(join(dir, "dist"));
    for (const file of ["index.d.ts", "index.js", "bin.js"]) writeFileSync(join(dir, "dist", file), "");
    expect(check(manifest)).toEqual({ status: 0, stderr: "" });
  });

  it("looks at the ordinary exports of a package without others for publishing", () => {
    const { publishConfig: _, ...plain } = manifest;
    expect(check(plain).stderr).toContain("./src/index.ts, ./dist/index.js, ./dist/bin.js not found");
  });
});

it.each(readdirSync(packages))("packages/%s runs check-built before it is packed", (name) => {
  const json = JSON.parse(readFileSync(join(packages, name, "package.json"), "utf8")) as Manifest;
  expect(json.private === true || json.scripts?.prepack).toBe("node ../../scripts/check-built.mjs");
});
