// Runs the example of a README as a reader would paste it.
//
// It bundles the first ```ts block of the README with the sources of the workspace, which need no build, and runs it in
// a new process. The block must be a whole module, import packages by name, and end by itself. Its last comment may
// promise its output, as in Go's examples:
//
//     // Output:
//     // 1 2 3
//
// The output must then be equal, except for blanks at the ends of lines.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface ExampleResult {
  readonly stdout: string;
  readonly stderr: string;
  /** What the `// Output:` comment promises, or `null` if the example makes no promise. */
  readonly expected: string | null;
}

export interface ExampleOptions {
  /** File to read, relative to the package. Default: `README.md`. */
  readonly file?: string;
  /** Which ```ts block, counted from 0. */
  readonly index?: number;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** After this time, the example is stopped and has failed. */
  readonly timeoutMs?: number;
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The text of every ```ts block of a Markdown text, in order, without the blocks of other languages. */
export function typescriptBlocks(markdown: string): string[] {
  const blocks: string[] = [];
  const fence = /^( *)(`{3,})([^\n`]*)\n([\s\S]*?)^\1\2[ \t]*$/gm;
  for (const [, indent = "", , info = "", body = ""] of markdown.matchAll(fence)) {
    const language = info.trim().split(/[\s{]/, 1)[0];
    if (language !== "ts" && language !== "typescript") continue;
    blocks.push(indent === "" ? body : body.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
  }
  return blocks;
}

/** The text promised by the `// Output:` comment at the end of an example. */
export function promisedOutput(source: string): string | null {
  const match = /^[ \t]*\/\/ ?Output:[ \t]*(.*)\n((?:[ \t]*\/\/.*\n?)*)\s*(?![\s\S])/im.exec(`${source}\n`);
  if (match === null) return null;
  const lines = (match[2] ?? "").split("\n").map((line) => line.replace(/^[ \t]*\/\/ ?/, ""));
  return normalize([match[1] ?? "", ...lines].join("\n"));
}

function normalize(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")
    .trim();
}

/** Bundles TypeScript source as if it were a file in `dir`. Siblings come from their sources. */
async function bundle(source: string, dir: string): Promise<string> {
  const result = await build({
    stdin: { contents: source, resolveDir: dir, sourcefile: "example.ts", loader: "ts" },
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@gort/source"],
    external: ["koffi"],
    sourcemap: "inline",
    // Bundled CommonJS dependencies reach node's own modules through require.
    banner: {
      js:
        'import { createRequire as __createRequire } from "node:module"; ' +
        "const require = __createRequire(import.meta.url);",
    },
    logLevel: "silent",
  });
  return result.outputFiles[0].text;
}

/** Runs TypeScript source in a new process, as if it were in `dir`. Rejects unless it exits with 0. */
export async function runExample(
  source: string,
  dir: string,
  options: ExampleOptions = {},
): Promise<ExampleResult> {
  const code = await bundle(source, dir);
  const cache = join(root, "node_modules/.cache/gort-examples");
  mkdirSync(cache, { recursive: true });
  const file = join(cache, `${createHash("sha256").update(dir).update(code).digest("hex").slice(0, 16)}.mjs`);
  writeFileSync(file, code);
  const { args = [], env = {}, timeoutMs = 20_000 } = options;
  // The bundle loads the optional native dependency from here: it is not installed where the bundle lies.
  const NODE_PATH = join(root, "packages/memory/node_modules");
  const result = await new Promise<{ stdout: string; stderr: string }>((done, fail) => {
    execFile(
      process.execPath,
      [file, ...args],
      { cwd: dir, env: { NODE_PATH, ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        if (error === null) return done({ stdout, stderr });
        const why = error.killed
          ? `did not end within ${timeoutMs} ms`
          : `ended with ${error.code ?? error.signal}`;
        fail(new Error(`the example of ${dir} ${why}\n${stdout}${stderr}`));
      },
    );
  });
  const expected = promisedOutput(source);
  if (expected !== null && normalize(result.stdout) !== expected) {
    throw new Error(`the example of ${dir} printed\n${normalize(result.stdout)}\nand promises\n${expected}`);
  }
  return { ...result, expected };
}

/**
 * Runs the first ```ts block of a package's README and checks the output that it promises.
 *
 *     it("has an example that runs as pasted", async () => {
 *       const { stdout } = await runReadmeExample(new URL("..", import.meta.url));
 *       expect(stdout).toContain("...");
 *     });
 */
export async function runReadmeExample(
  packageDir: string | URL,
  options: ExampleOptions = {},
): Promise<ExampleResult> {
  const dir = resolve(packageDir instanceof URL ? fileURLToPath(packageDir) : packageDir);
  const { file = "README.md", index = 0 } = options;
  const source = typescriptBlocks(readFileSync(join(dir, file), "utf8"))[index];
  if (source === undefined) throw new Error(`${join(dir, file)} has no \`\`\`ts block number ${index}`);
  return runExample(source, dir, options);
}
