/**
 * Programs for the tests, run in a Node process of their own: under vitest the call sites are those of transformed
 * code, so what the package says about lines can only be checked outside of it.
 *
 *   node_modules/.cache/gort-profiling/
 *     node_modules/@gort/profiling/dist/   the package, compiled file by file
 *     app-.../                             one folder a program
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const packageDir = fileURLToPath(new URL("../..", import.meta.url));
const cache = join(packageDir, "node_modules/.cache/gort-profiling");

function transpile(source: string, fileName: string, options: ts.CompilerOptions) {
  return ts.transpileModule(source, {
    fileName,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      rewriteRelativeImportExtensions: true,
      verbatimModuleSyntax: true,
      ...options,
    },
  });
}

/** Compiles the package's sources for the programs; once, before all tests. */
export function buildPackage(): void {
  rmSync(cache, { recursive: true, force: true });
  const root = join(cache, "node_modules/@gort/profiling");
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(
    join(root, "package.json"),
    JSON.stringify({
      name: "@gort/profiling",
      type: "module",
      exports: { ".": "./dist/index.js", "./pprof": "./dist/pprof/index.js" },
    }),
  );
  const src = join(packageDir, "src");
  for (const name of readdirSync(src, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const { outputText } = transpile(readFileSync(join(src, name), "utf8"), name, {});
    const out = join(root, "dist", name.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, outputText);
  }
}

export interface Program {
  dir: string;
  /** The JavaScript of the main module, as run. */
  main: string;
  run(...args: string[]): { stdout: string; stderr: string; status: number | null };
  /** Runs and parses standard output as JSON; throws with standard error otherwise. */
  json<T>(...args: string[]): T;
  remove(): void;
}

export interface ProgramOptions {
  /** Where the map goes; "none": no map is made. Default "file". */
  sourceMap?: "file" | "inline" | "none";
  nodeArgs?: string[];
  env?: Record<string, string>;
  packageName?: string;
}

/** Makes a program of TypeScript (or, ending in js, JavaScript) files; the first is the main module. */
export function program(files: Record<string, string>, options: ProgramOptions = {}): Program {
  const { sourceMap = "file", nodeArgs = [], env = {}, packageName = "fixture" } = options;
  const dir = mkdtempSync(join(cache, "app-"));
  writeFileSync(join(dir, "package.json"), JSON.stringify({ name: packageName, type: "module" }));
  let main = "";
  for (const [name, source] of Object.entries(files)) {
    const path = join(dir, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, source);
    let js = path;
    if (name.endsWith(".ts")) {
      const { outputText, sourceMapText } = transpile(source, name.slice(name.lastIndexOf("/") + 1), {
        sourceMap: sourceMap === "file",
        inlineSourceMap: sourceMap === "inline",
      });
      js = path.replace(/\.ts$/, ".js");
      writeFileSync(js, outputText);
      if (sourceMapText !== undefined) writeFileSync(`${js}.map`, sourceMapText);
    }
    main ||= js;
  }
  const run = (...args: string[]) => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [...nodeArgs, main, ...args], {
      cwd: dir,
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "", ...env },
      timeout: 25_000,
    });
    return { stdout, stderr, status };
  };
  return {
    dir,
    main,
    run,
    json<T>(...args: string[]): T {
      const result = run(...args);
      if (result.status !== 0)
        throw new Error(`exit status ${result.status}\n${result.stdout}${result.stderr}`);
      return JSON.parse(result.stdout) as T;
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
