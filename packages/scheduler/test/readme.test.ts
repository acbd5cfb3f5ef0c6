import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { describe, expect, it } from "vitest";

describe("the README", () => {
  it("has an example that runs as pasted", () => {
    const root = fileURLToPath(new URL("..", import.meta.url));
    const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))![1];
    const dir = mkdtempSync(join(tmpdir(), "gort-readme-"));
    const { outputFiles } = buildSync({
      stdin: { contents: example, loader: "ts", resolveDir: root },
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      target: "es2022",
      conditions: ["@gort/source"],
    });
    writeFileSync(join(dir, "example.mjs"), outputFiles[0].contents);
    const out = execFileSync(process.execPath, [join(dir, "example.mjs")], { encoding: "utf8" });
    const lines = out.trim().split("\n");
    expect(lines.length).toBe(9);
    expect(lines.map((l) => Number(/= (\d+)$/.exec(l)![1])).sort((a, b) => a - b)).toEqual([
      1, 4, 9, 16, 25, 36, 49, 64, 81,
    ]);
  });
});
