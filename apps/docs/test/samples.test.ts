import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { promisedOutput, runExample, typescriptBlocks } from "../../../scripts/readme-example.ts";

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

/** The modules of a sample that begins with the name of one: `// sums.ts` stands above each. */
function modulesOf(source: string): { name: string; text: string }[] {
  if (!/^\/\/ \S+\.ts\n/.test(source)) return [];
  const parts = source.split(/^\/\/ (\S+\.ts)\n/m).slice(1);
  return parts.flatMap((name, i) => (i % 2 === 0 ? [{ name, text: parts[i + 1] }] : []));
}

/** Runs main.ts of the modules as a reader would, with the built packages: workers load the modules by their URLs. */
function runModules(modules: readonly { name: string; text: string }[]): string {
  const dir = join(site, "node_modules/.cache/modules");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  for (const { name, text } of modules) {
    const { outputText } = ts.transpileModule(text, { compilerOptions: options });
    const code = outputText.replaceAll(/(from "\.\/[^"]*)\.ts"/g, '$1.mjs"');
    writeFileSync(join(dir, name.replace(/ts$/, "mjs")), code);
  }
  return execFileSync(process.execPath, [join(dir, "main.mjs")], { encoding: "utf8", timeout: 20_000 });
}

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
      "tasks.md",
      "the root's README.md",
    ]);
  });

  it.each(samples)("run as pasted: sample $number of $page", async ({ source }) => {
    const modules = modulesOf(source);
    if (modules.length === 0) await runExample(source, site);
    else expect(runModules(modules).trim()).toBe(promisedOutput(source));
  });

  it("pass TypeScript under strict rules", () => {
    const dir = join(site, "node_modules/.cache/samples");
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    const owners = new Map<string, (typeof samples)[number]>();
    samples.forEach((sample, i) => {
      const folder = join(dir, `sample${i}`);
      mkdirSync(folder);
      const modules = modulesOf(sample.source);
      for (const { name, text } of modules.length > 0
        ? modules
        : [{ name: "sample.ts", text: sample.source }]) {
        writeFileSync(join(folder, name), text);
        owners.set(join(folder, name), sample);
      }
    });
    const files = [...owners.keys()];
    const { config } = ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile);
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
    const program = ts.createProgram(files, options);
    const wrong = files.flatMap((file) => {
      const { number, page } = owners.get(file)!;
      const parsed = program.getSourceFile(file);
      return [...program.getSyntacticDiagnostics(parsed), ...program.getSemanticDiagnostics(parsed)].map(
        ({ messageText }) =>
          `sample ${number} of ${page}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
      );
    });
    expect(wrong).toEqual([]);
  });
});
