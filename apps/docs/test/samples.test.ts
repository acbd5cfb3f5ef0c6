import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { runExample, typescriptBlocks } from "../../../scripts/readme-example.ts";

// The samples run where a reader would run them: in a project that has installed @gort/runtime and @gort/allocator.
const site = fileURLToPath(new URL("..", import.meta.url));
const root = fileURLToPath(new URL("../../..", import.meta.url));

const pages = [
  ...readdirSync(site)
    .filter((file) => file.endsWith(".md"))
    .map((file) => ({ page: file, path: join(site, file) })),
  { page: "the root's README.md", path: join(root, "README.md") },
];
const samples = pages.flatMap(({ page, path }) =>
  typescriptBlocks(readFileSync(path, "utf8")).map((source, index) => ({ page, number: index + 1, source })),
);

describe("the samples of the site and of the root's README", () => {
  it("stand on exactly these pages", () => {
    expect([...new Set(samples.map(({ page }) => page))]).toEqual([
      "allocator.md",
      "contexts-and-streams.md",
      "deadlocks.md",
      "errors.md",
      "getting-started.md",
      "locks.md",
      "memory.md",
      "profiling.md",
      "statistics.md",
      "the root's README.md",
    ]);
  });

  it.each(samples)("run as pasted: sample $number of $page", async ({ source }) => {
    await runExample(source, site);
  });

  it("pass TypeScript under strict rules", () => {
    const dir = join(site, "node_modules/.cache/samples");
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    const files = samples.map(({ source }, i) => {
      const file = join(dir, `sample${i}.ts`);
      writeFileSync(file, source);
      return file;
    });
    const { config } = ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile);
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
    const program = ts.createProgram(files, options);
    const wrong = files.flatMap((file, i) => {
      const parsed = program.getSourceFile(file);
      return [...program.getSyntacticDiagnostics(parsed), ...program.getSemanticDiagnostics(parsed)].map(
        ({ messageText }) =>
          `sample ${samples[i].number} of ${samples[i].page}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
      );
    });
    expect(wrong).toEqual([]);
  });
});
